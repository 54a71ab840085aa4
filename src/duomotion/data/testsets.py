"""What the loaders of the published protocols show of each data set's test clips.

Those of HumanML3D, KIT-ML and Inter-X show whole units of four frames, from a random one on.

Source: released code of InterGen (datasets/interhuman.py), InterMask (data/interx.py) and
text-to-motion (data/dataset.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from duomotion.data import humanml3d, interhuman, interx
from duomotion.data.captions import untagged
from duomotion.data.humanml3d import SoloClip
from duomotion.data.interhuman import Clip, Problem
from duomotion.data.interx import InterxClip
from duomotion.motion import layouts
from duomotion.motion.humanml3d import SoloLayout

UNIT = 4  # frames
SHORTER = 1 / 3  # share of the views that are one unit shorter than they could be


class AnyClip(Protocol):
    """A recording of any data set."""

    @property
    def name(self) -> str: ...

    @property
    def num_frames(self) -> int: ...


OneClip = TypeVar("OneClip", bound=AnyClip)


class Query(NamedTuple, Generic[OneClip]):
    """What a row is asked for: a motion as long as a test clip for one of its captions.

    Attributes:
        words: the caption's tagged words, where the data set has any.
    """

    clip: OneClip
    text: str
    seed: int
    words: str = ""


@dataclass(frozen=True)
class TestSet(Generic[OneClip]):
    """The clips of a data set as networks and evaluators meet them.

    Attributes:
        title: the data set's name.
        protocols: the published protocols of this data set.
        evaluator: what reads its features.
        importer: what `duomotion import-official` calls this evaluator.
        num_features: numbers a person and frame.
        read: (folder, split) -> clips that can be used, and what is wrong with the others.
        view: (clip, random numbers) -> what a loader shows of it.
        num_frames: of a view's features.
        recorded: (view, seed) -> features (P, T, F) in metres.
        positions: features -> joints (..., J, 3) in metres.
        actor: which person of a clip the other one reacts to; None where nobody says.
        unit_mm: mm in the unit of errors in papers, where it is that of a body of another size.
        is_tagged: whether the evaluator reads tagged words.
    """

    __test__ = False  # no test of pytest's

    title: str
    protocols: tuple[str, ...]
    evaluator: str
    importer: str
    num_features: int
    read: Callable[[Path, str], tuple[list[OneClip], list[Problem]]]
    view: Callable[[OneClip, np.random.Generator], OneClip]
    num_frames: Callable[[OneClip], int]
    recorded: Callable[[OneClip, int], np.ndarray]
    positions: Callable[[np.ndarray], np.ndarray]
    captions: Callable[[OneClip], tuple[tuple[str, ...], tuple[str, ...]]]
    actor: Callable[[OneClip], int | None] = lambda clip: 0
    unit_mm: float | None = None
    is_tagged: bool = False

    def query(self, clip: OneClip, rng: np.random.Generator) -> Query[OneClip]:
        """A random view, one of its captions, and a seed."""
        seen = self.view(clip, rng)
        captions, words = self.captions(clip)
        chosen = rng.integers(len(captions))
        return Query(seen, captions[chosen], int(rng.integers(2**31)), words[chosen])

    def text(self, query: Query[OneClip]) -> str:
        """What the evaluator reads."""
        return (query.words or untagged(query.text)) if self.is_tagged else query.text

    def num_untagged(self, clips: list[OneClip]) -> int:
        """Captions without the tags that the evaluator reads."""
        if not self.is_tagged:
            return 0
        return sum(not words for clip in clips for words in self.captions(clip)[1])


def _people_of_interhuman(root: Path, split: str) -> tuple[list[Clip], list[Problem]]:
    clips, problems = interhuman.read_captioned(root, split)
    if alone := [clip.name for clip in clips if len(clip.positions) != 2]:
        raise ValueError(f"these {split} clips don't show two people: {', '.join(alone[:5])}")
    return clips, problems


def _view_of_interhuman(clip: Clip, rng: np.random.Generator) -> Clip:
    """A stretch of at most ten seconds, either person first."""
    longest = layouts.INTERHUMAN.max_frames
    start = rng.integers(max(1, clip.num_frames - longest))
    cut = (slice(None, None, rng.choice([-1, 1])), slice(start, start + longest))
    return replace(clip, positions=clip.positions[cut], sixd=clip.sixd[cut])


def _recorded_interhuman(clip: Clip, seed: int) -> np.ndarray:
    """Features whose origin is where the first person starts; then either is first again."""
    found = layouts.INTERHUMAN.encode_pair(clip.positions, clip.sixd, floor="each")
    return found[:: np.random.default_rng(seed).choice([-1, 1])]


def _in_units(frames: int, rng: np.random.Generator) -> slice:
    """A random stretch of whole units; in a third of the cases one unit shorter."""
    length = (frames // UNIT - (rng.random() < SHORTER)) * UNIT
    start = rng.integers(frames - length + 1)
    return slice(start, start + length)


def _view_of_interx(clip: InterxClip, rng: np.random.Generator) -> InterxClip:
    """Whole units, and of these the first five seconds."""
    cut = _in_units(clip.num_frames, rng)
    cut = slice(cut.start, min(cut.stop, cut.start + layouts.INTERX.max_frames))
    return replace(clip, rotations=clip.rotations[:, cut], translations=clip.translations[:, cut])


def _recorded_interx(clip: InterxClip, seed: int) -> np.ndarray:
    """As many features as frames: in the last one nobody moves."""
    held = np.minimum(np.arange(clip.num_frames + 1), clip.num_frames - 1)
    return layouts.INTERX.encode_smplx(clip.rotations[:, held], clip.translations[:, held])


def _people_alone(
    root: Path, split: str, *, layout: SoloLayout
) -> tuple[list[SoloClip], list[Problem]]:
    clips, problems = humanml3d.read_split(root, split)
    if (found := clips[0].layout) is not layout:
        raise ValueError(f"{root} is in the layout {found.name}; the evaluator reads {layout.name}")
    return clips, problems


def _view_of_one(clip: SoloClip, rng: np.random.Generator) -> SoloClip:
    return replace(clip, features=clip.features[_in_units(clip.num_frames, rng)])


INTERHUMAN = TestSet(
    title="InterHuman",
    protocols=("intergen", "intermask"),
    evaluator="InterCLIP",
    importer="interclip",
    num_features=layouts.INTERHUMAN.num_features,
    read=_people_of_interhuman,
    view=_view_of_interhuman,
    num_frames=lambda clip: clip.num_frames - 1,
    recorded=_recorded_interhuman,
    positions=layouts.INTERHUMAN.positions,
    captions=lambda clip: (clip.captions, ("",) * len(clip.captions)),
)

INTERX = TestSet(
    title="Inter-X",
    protocols=("interx",),
    evaluator="Inter-X's evaluator",
    importer="interx-evaluator",
    num_features=layouts.INTERX.num_features,
    read=interx.read_split,
    view=_view_of_interx,
    num_frames=lambda clip: clip.num_frames,
    recorded=_recorded_interx,
    positions=layouts.INTERX.positions,
    captions=lambda clip: (clip.captions, clip.words),
    actor=lambda clip: clip.actor,
    is_tagged=True,
)


def _solo(title: str, layout: SoloLayout) -> TestSet[SoloClip]:
    return TestSet(
        title=title,
        protocols=("t2m",),
        evaluator=f"{title}'s evaluator",
        importer="t2m-evaluator",
        num_features=layout.num_features,
        read=partial(_people_alone, layout=layout),
        view=_view_of_one,
        num_frames=lambda clip: clip.num_frames,
        recorded=lambda clip, seed: clip.features[None],
        positions=layout.positions,
        captions=lambda clip: (
            tuple(caption.text for caption in clip.captions),
            tuple(caption.words for caption in clip.captions),
        ),
        unit_mm=None if layout.metres == 1 else 1000 * layout.metres,
        is_tagged=True,
    )


HUMANML3D = _solo("HumanML3D", layouts.HUMANML3D)
KIT = _solo("KIT-ML", layouts.KIT)

TEST_SETS: Mapping[str, TestSet] = {
    "interhuman": INTERHUMAN,
    "interx": INTERX,
    layouts.HUMANML3D.name: HUMANML3D,
    layouts.KIT.name: KIT,
}


def test_sets_of(protocol: str) -> dict[str, TestSet]:
    """By name, the data sets that a published protocol is for."""
    return {name: each for name, each in TEST_SETS.items() if protocol in each.protocols}
