"""How many of a model's clips are copies of training clips, and how much its seeds differ.

A model speaks in tokens, and no tokenizer gives a recording back as it was: what replays a training
clip token by token is not near the recording, but near what the tokenizer makes of it. So all that
is compared has gone through the tokenizer: the training clips as training shows them, with either
person as the first, and the generated clips as the network makes them. Two more sets say what a
distance means. Training clips that are replayed from yet another frame, so that they get other
tokens, are copies, if not to the letter; a replay to the letter is at 0 mm. Recordings that
training has not seen are none. A clip that is nearer to a training clip than all but `STRAY` % of
these counts as a copy. People repeat themselves, so two recordings of one kind of action may be as
near; how often they are is what a model that does not copy would come to.

The distance is that of `neighbours`: over the 1.5 s that match best.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, cycle
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from duomotion.evaluation.metrics.neighbours import Library, nearest
from duomotion.evaluation.open.opensets import Motion, OpenSet
from duomotion.models.base import MotionModel
from duomotion.progress import counter, track
from duomotion.sampling.request import AS_TUNED, Request, Sampling

STRAY = 5  # % of the held-out recordings that count as copies
REPLAYS = 100  # training clips that are replayed
SHOWN = (5, 25, 50, 75, 95)  # % of the clips that are at most at a distance


class Nearest(NamedTuple):
    """The training clip that is nearest to a clip, and how far it is."""

    clip: str
    mm: float


@dataclass(frozen=True)
class Copies:
    """Distances to the nearest training clip, all through the tokenizer.

    Attributes:
        generated: by prompt, one for each seed.
        replayed: of training clips whose tokens cover other frames.
        held_out: of recordings that training has not seen.
        of_one_kind: of training clips to those of other recordings of the same kind of action.
        between_seeds: by prompt, how far in mm the clips of every two seeds are apart.
    """

    generated: Mapping[str, list[Nearest]]
    replayed: list[Nearest]
    held_out: list[Nearest]
    of_one_kind: list[Nearest]
    between_seeds: Mapping[str, list[float]]

    @property
    def limit_mm(self) -> float:
        """What is nearer counts as a copy."""
        return float(np.percentile(_mm(self.held_out), STRAY))

    def share(self, found: Sequence[Nearest]) -> float:
        """How many of these count as copies, from 0 to 1."""
        return float(np.mean(_mm(found) < self.limit_mm))

    @property
    def all_generated(self) -> list[Nearest]:
        return [each for found in self.generated.values() for each in found]

    def as_dict(self) -> dict[str, Any]:
        """Numbers and names of clips only, for JSON."""
        return {
            "limit_mm": self.limit_mm,
            "share": self.share(self.all_generated),
            "generated": {
                name: [each._asdict() for each in found] for name, found in self.generated.items()
            },
            "replayed": [each._asdict() for each in self.replayed],
            "held_out": [each._asdict() for each in self.held_out],
            "of_one_kind": [each._asdict() for each in self.of_one_kind],
            "between_seeds_mm": dict(self.between_seeds),
        }

    def markdown(self) -> str:
        """Tables for a person."""
        limit = f"{self.limit_mm:.0f} mm"
        rows = {
            "generated": self.all_generated,
            "training clips, replayed from another frame": self.replayed,
            "held-out recordings": self.held_out,
            "training clips, to other recordings of their kind": self.of_one_kind,
        }
        lines = [
            "Distance in mm to the nearest training clip over the 1.5 s that match best, all as "
            f"the tokenizer gives it. A copy is nearer than {limit}, as {STRAY} % of the held-out "
            "recordings are:",
            "",
            "| motion | clips | " + " | ".join(f"{part} %" for part in SHOWN) + " | copies |",
            "|---" * (len(SHOWN) + 3) + "|",
        ]
        for name, found in rows.items():
            if not found:
                continue
            parts = " | ".join(f"{mm:.0f}" for mm in np.percentile(_mm(found), SHOWN))
            lines.append(f"| {name} | {len(found)} | {parts} | {self.share(found):.0%} |")
        lines += [
            "",
            "| prompt | copies | mm | of training clips | mm between seeds |",
            "|---|---|---|---|---|",
        ]
        for name, found in self.generated.items():
            clips = Counter(each.clip for each in found).most_common()
            copies = f"{round(self.share(found) * len(found))}/{len(found)}"
            lines.append(
                f"| {name} | {copies} | {_range(_mm(found).tolist())} "
                f"| {', '.join(f'{clip} {count}x' for clip, count in clips)} "
                f"| {_range(self.between_seeds[name])} |"
            )
        return "\n".join(lines)


def find_copies(
    model: MotionModel,
    data: OpenSet,
    train: Sequence[Any],
    test: Sequence[Any],
    *,
    kinds: Mapping[str, str],
    seeds: int,
    sampling: Sampling = AS_TUNED,
) -> Copies:
    """Look for copies among what a model makes of the prompts.

    Args:
        train: clips that a copy would come from, with those that training shows mirrored.
        test: held-out clips.
        kinds: of action, by name of training clip; what is not in it has a kind of its own.
        seeds: clips that are generated for each prompt.

    Raises:
        ValueError: the model makes no features of the texts.
    """
    fps, layout = data.layout.fps, data.layout
    library = Library.of(
        (
            (clip.name, _through(model, data, motion, start))
            for clip in track(train, "training clips", unit="clip")
            for motion in data.shown(clip)
            for start in data.starts
        ),
        fps,
    )

    def found(positions: np.ndarray) -> Nearest:
        return Nearest(*library.nearest(positions))

    def others_of_its_kind(clip: Any) -> set[str]:
        kind, recording = kinds.get(clip.name), recording_of(clip.name)
        names = (other.name for other in train if kind and kinds.get(other.name) == kind)
        return {name for name in names if recording_of(name) != recording}

    generated, between = {}, {}
    total = len(data.prompts) * seeds
    with counter("copies", unit="clip", total=total) as add:
        for name, prompt in data.prompts.items():
            requests = [
                Request(
                    text=prompt.text,
                    frames=model.lengths([prompt.text], seed)[0],
                    seed=seed,
                    sampling=sampling,
                )
                for seed in range(seeds)
            ]
            made = [layout.positions(features) for features in model.features(requests)]
            generated[name] = [found(positions) for positions in made]
            pairs = combinations(made, 2)
            between[name] = [nearest(one, {"": other}, fps)[1] for one, other in pairs]
            add(seeds)
    chosen = np.linspace(0, len(train) - 1, min(REPLAYS, len(train))).round().astype(int)
    others = cycle(start + 1 for start in data.starts)
    return Copies(
        generated=generated,
        replayed=[
            found(_through(model, data, data.motion.recorded(train[index]), start))
            for index, start in track(
                list(zip(chosen, others, strict=False)), "replays", unit="clip"
            )
        ],
        held_out=[
            found(_through(model, data, data.motion.recorded(clip)))
            for clip in track(test, "held-out recordings", unit="clip")
        ],
        of_one_kind=[
            Nearest(*library.only(others).nearest(_through(model, data, motion)))
            for clip in track([train[index] for index in chosen], "kinds", unit="clip")
            if (others := others_of_its_kind(clip))
            for motion in [data.motion.recorded(clip)]
        ],
        between_seeds=between,
    )


def count_clips(data: OpenSet, train: Sequence[Any], test: Sequence[Any], seeds: int) -> int:
    """How many clips `find_copies` goes through."""
    replays = min(REPLAYS, len(train))
    return len(train) + len(data.prompts) * seeds + 2 * replays + len(test)


def recording_of(name: str) -> str:
    """The recording that a clip, or its mirrored copy, is a segment of."""
    return name.removeprefix("M").partition("-")[0]


def _through(model: MotionModel, data: OpenSet, motion: Motion, start: int = 0) -> np.ndarray:
    """Joints (P, T, 22, 3) of a motion from a frame on, to tokens and back.

    A second is held at the end, so that the last token is whole and none of the motion is lost.
    """
    seen = motion.features(start)
    held = np.pad(seen, [(0, 0), (0, round(data.layout.fps)), (0, 0)], mode="edge")
    return data.layout.positions(model.reconstruct(held)[:, : seen.shape[1]])


def _mm(found: Sequence[Nearest]) -> np.ndarray:
    return np.array([each.mm for each in found])


def _range(values: Sequence[float]) -> str:
    """Median, smallest and largest."""
    if not values:
        return "-"
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
