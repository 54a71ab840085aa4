"""The protocol "long": whether it shows where the windows of a motion of a minute are joined.

Seams are measured (`motion.seams`), and by the same measure other places of the same clips: the
motion of any place can stand out, so seams only have to stand out no more often than these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from duomotion.evaluation.open.checks import Prompt
from duomotion.evaluation.report import Content
from duomotion.models.base import MotionModel
from duomotion.motion.seams import seams
from duomotion.progress import track
from duomotion.sampling.request import AS_TUNED, Sampling

WORDINGS = 3  # of each prompt
PLACES = 60  # in each clip that are measured beside its seams
AWAY = 15  # frames of such a place from a seam, at least

Measured = dict[str, float]


@dataclass(frozen=True)
class LongReport:
    """What the protocol found.

    Attributes:
        model: the model's name.
        seconds: length of the clips.
        seams: for each text what `motion.seams.seams` says of each seam.
        elsewhere: the same of other places.
        in_one_piece: the same of the seams' places in clips that have no seams, of models that are
            not bound to a number of frames.
        sampling: what was not as the model was tuned.
    """

    model: str
    seconds: float
    seams: dict[str, list[Measured]]
    elsewhere: dict[str, list[Measured]]
    in_one_piece: dict[str, list[Measured]]
    sampling: str

    def as_dict(self) -> dict[str, object]:
        """Numbers only, for JSON."""
        return vars(self)

    def files(self) -> dict[str, Content]:
        """long.md and long.json."""
        return {"long.md": self.markdown(), "long.json": self.as_dict()}

    def markdown(self) -> str:
        """Tables for a person."""
        lines = [
            f"# {self.model}: seams of clips of {self.seconds:g} s",
            "",
            "Largest speed and acceleration of a joint at a place over the 99th percentile of the",
            "clip's frames (1 and less does not stand out), and foot sliding over the clip's own.",
            *([f"Sampling: {self.sampling}."] if self.sampling else []),
            "",
            "| places | number | standing out | speed, median and largest "
            "| acceleration, median and largest | sliding, mean and 90th percentile |",
            "|---|---|---|---|---|---|",
            _row("seams", [*chain(*self.seams.values())]),
            _row("elsewhere", [*chain(*self.elsewhere.values())]),
            *(
                [_row("seams' places, in one piece", [*chain(*self.in_one_piece.values())])]
                if self.in_one_piece
                else []
            ),
            "",
            "Seams by text:",
            "",
            "| text | number | standing out | speed | acceleration | sliding |",
            "|---|---|---|---|---|---|",
            *(_row(text, rows) for text, rows in self.seams.items()),
        ]
        return "\n".join(lines) + "\n"


def _row(name: str, measured: list[Measured]) -> str:
    speed, acceleration, sliding = (
        np.array([each[what] for each in measured]) for what in ("speed", "acceleration", "sliding")
    )
    out = int((np.maximum(speed, acceleration) > 1).sum())
    return (
        f"| {name} | {len(measured)} | {out} ({out / len(measured):.1%}) "
        f"| {np.median(speed):.2f}, {speed.max():.2f} "
        f"| {np.median(acceleration):.2f}, {acceleration.max():.2f} "
        f"| {sliding.mean():.2f}, {np.percentile(sliding, 90):.2f} |"
    )


def run(
    model: MotionModel,
    prompts: Mapping[str, Prompt],
    *,
    seconds: float = 60.0,
    seed: int = 0,
    wordings: int = WORDINGS,
    sampling: Sampling = AS_TUNED,
) -> LongReport:
    """Generate long clips of the first wordings of every prompt and measure their seams.

    Models that can then make each in one piece as well, and keep this window.

    Args:
        wordings: of each prompt, at most.

    Raises:
        ValueError: the clips would be no longer than the model's window, or too long.
    """
    window = model.max_frames / model.fps
    if seconds <= window:
        raise ValueError(f"{seconds:g} s has no seams: {model.name} makes {window:g} s at once")
    texts = [text for prompt in prompts.values() for text in prompt.texts[:wordings]]
    at_seams: dict[str, list[Measured]] = {}
    elsewhere: dict[str, list[Measured]] = {}
    in_one_piece: dict[str, list[Measured]] = {}
    starts_of: dict[str, list[int]] = {}
    rng = np.random.default_rng(seed)
    for text in track(texts, "long clips", unit="clip"):
        clip, starts = model.generate_long(text, seconds=seconds, seed=seed, sampling=sampling)
        places = rng.integers(AWAY, clip.num_frames - AWAY, PLACES)
        far = np.abs(np.subtract.outer(places, starts)).min(1) >= AWAY
        starts_of[text] = starts
        at_seams[text] = [seams(clip, [start]) for start in starts]
        elsewhere[text] = [seams(clip, [int(place)]) for place in places[far]]
    if model.any_length:
        model.in_one_piece(round(seconds * model.fps))
        for text in track(texts, "clips in one piece", unit="clip"):
            clip = model.generate(text, seconds=seconds, seed=seed, sampling=sampling)
            in_one_piece[text] = [seams(clip, [place]) for place in starts_of[text]]
    return LongReport(model.name, seconds, at_seams, elsewhere, in_one_piece, str(sampling))
