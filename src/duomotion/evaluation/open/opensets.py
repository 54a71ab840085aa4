"""What differs between the open data sets, of two people and of one, in how models are scored.

Axes: P people, T frames, F features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from duomotion.data import humanml3d, humanml3d_views, interhuman
from duomotion.data.humanml3d import SoloClip
from duomotion.data.interhuman import Clip
from duomotion.data.layouts import VIEWS
from duomotion.evaluation.metrics.agreement import contact_agreement, role_consistency
from duomotion.evaluation.metrics.embedder import Embedder, SentenceEmbedder
from duomotion.evaluation.metrics.neighbours import Library
from duomotion.evaluation.metrics.physics import PAIR_LIMITS, SOLO_LIMITS, Limits
from duomotion.evaluation.metrics.protocols import OPEN, OPEN_SOLO
from duomotion.evaluation.metrics.protocols import Protocol as Constants
from duomotion.evaluation.open.checks import Prompt
from duomotion.evaluation.open.prompts import PROMPTS
from duomotion.evaluation.open.solo_prompts import SOLO_PROMPTS
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.layout import Layout
from duomotion.motion.rotations import matrix_to_sixd_interleaved

FLOOR = "keep"  # see `motion.interhuman.on_floor`
ALONE = ("foot_sliding", "floor_depth", "hover", "jerk", "bone_drift")
TOGETHER = ("body_depth", "body_litres", "collision")


class Motion(Protocol):
    """Motion as it is scored: joints in metres, and what an evaluator reads of them."""

    @property
    def positions(self) -> np.ndarray:
        """(P, T, 22, 3)."""
        ...

    @property
    def num_frames(self) -> int: ...

    @classmethod
    def recorded(cls, clip: Any, /) -> Self: ...

    @classmethod
    def of(cls, interaction: Interaction, /) -> Self:
        """What users get."""
        ...

    @classmethod
    def decoded(cls, features: np.ndarray, /) -> Self:
        """Of features (P, T, F) that a network made."""
        ...

    def features(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """(P, T, F) from a frame on, so many or all; in metres."""
        ...

    def held(self, frames: np.ndarray) -> Self:
        """Some of its frames, by number; who is held at one stands still."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class PairMotion(NamedTuple):
    """Two people: positions (2, T, 22, 3) in metres and local rotations (2, T, 21, 6)."""

    positions: np.ndarray
    sixd: np.ndarray

    @classmethod
    def recorded(cls, clip: Clip) -> Self:
        return cls(clip.positions, clip.sixd)

    @classmethod
    def of(cls, interaction: Interaction) -> Self:
        sixd = matrix_to_sixd_interleaved(interaction.rotations[:, :, 1:])
        return cls(interaction.positions, sixd)

    @classmethod
    def decoded(cls, made: np.ndarray) -> Self:
        return cls(INTERHUMAN.positions(made), INTERHUMAN.sixd(made))

    @property
    def num_frames(self) -> int:
        return self.positions.shape[1]

    @property
    def orders(self) -> tuple[Self, Self]:
        """Each of the two people as the first."""
        return self, type(self)(self.positions[::-1], self.sixd[::-1])

    def features(self, start: int = 0, count: int | None = None) -> np.ndarray:
        """One frame fewer, with their own origin: that of the first person's first frame."""
        cut = slice(start, None if count is None else start + count + 1)
        return INTERHUMAN.encode_pair(self.positions[:, cut], self.sixd[:, cut], floor=FLOOR)

    def held(self, frames: np.ndarray) -> Self:
        return type(self)(self.positions[:, frames], self.sixd[:, frames])


class SoloMotion(NamedTuple):
    """One person: positions (1, T, 22, 3) in metres and HumanML3D's vectors (1, T, 263)."""

    positions: np.ndarray
    vectors: np.ndarray

    @classmethod
    def recorded(cls, clip: SoloClip) -> Self:
        return cls.decoded(clip.features[None])

    @classmethod
    def of(cls, interaction: Interaction) -> Self:
        return cls._along(interaction.positions)

    @classmethod
    def decoded(cls, made: np.ndarray) -> Self:
        return cls(HUMANML3D.positions(made), made)

    @classmethod
    def _along(cls, positions: np.ndarray) -> Self:
        """The vectors of positions (1, T, 22, 3), after whose last frame all goes on as before."""
        after = 2 * positions[:, -1:] - positions[:, -2:][:, :1]
        joints_TJ3 = np.concatenate([positions, after], 1)[0].astype(np.float64)
        return cls(positions, HUMANML3D.encode_joints(HUMANML3D.placed(joints_TJ3))[None])

    @property
    def num_frames(self) -> int:
        return self.positions.shape[1]

    def features(self, start: int = 0, count: int | None = None) -> np.ndarray:
        return self.vectors[:, start : None if count is None else start + count]

    def held(self, frames: np.ndarray) -> Self:
        return self._along(self.positions[:, frames])


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """An open data set, and how models of as many people are scored on it.

    Attributes:
        title: what reports call it.
        recipe: what trains its evaluator.
        num_people: in every clip.
        layout: of the features that its evaluator reads.
        protocol: constants of the metrics.
        motion: how its motion is scored.
        read: (folder, split) -> clips that can be used.
        captions: what a clip's captions say.
        searched: the clips among which the nearest is looked for.
        shown: what training shows of a clip; a mirrored one is a clip of its own.
        starts: frames from which a copy may begin, so that its tokens cover other frames.
        whole: a clip's features, as tokenizers are tried on them.
        agreement: by name, measurements of a motion beside the recorded one, from joints.
        physics: names of what is measured of a motion alone (`physics.report`, `.collision`).
        limits: of sound motion.
        prompts: what models are asked to show.
    """

    title: str
    recipe: str
    num_people: int
    layout: Layout
    protocol: Constants
    motion: type[Motion]
    read: Callable[[str | Path, str], list[Any]]
    captions: Callable[[Any], tuple[str, ...]]
    searched: Callable[[Sequence[Any]], list[Any]]
    shown: Callable[[Any], Sequence[Motion]]
    starts: tuple[int, ...]
    whole: Callable[[Any], np.ndarray]
    agreement: Mapping[str, Callable[[np.ndarray, np.ndarray], float]]
    physics: tuple[str, ...]
    limits: Limits
    prompts: Mapping[str, Prompt]

    def bodies(self, motion: Motion) -> Interaction:
        """Rigid bodies along a motion's joints."""
        return Interaction.from_positions(motion.positions, fps=self.layout.fps)

    def neighbours(self, train: Sequence[Any]) -> Library:
        """Recorded training clips, ready to be searched for the nearest."""
        clips = self.searched(train)
        return Library.of(
            ((clip.name, self.motion.recorded(clip).positions) for clip in clips), self.layout.fps
        )


def _clips_of_one(root: str | Path, split: str) -> list[SoloClip]:
    clips, _ = humanml3d.read_split(root, split)
    if (found := clips[0].layout) is not HUMANML3D:
        raise ValueError(
            f"{root} is in the layout {found.name}; the open benchmark reads {HUMANML3D.name}"
        )
    return clips


PAIRS = OpenSet(
    title="two people",
    recipe="evaluator/open",
    num_people=2,
    layout=INTERHUMAN,
    protocol=OPEN,
    motion=PairMotion,
    read=lambda root, split: interhuman.read_captioned(root, split)[0],
    captions=lambda clip: clip.captions,
    searched=list,
    shown=lambda clip: PairMotion.recorded(clip).orders,
    starts=(0, 2, 4, 6),
    whole=lambda clip: VIEWS["interhuman"].whole(clip, FLOOR),
    agreement={"contacts": contact_agreement, "roles": role_consistency},
    physics=(*ALONE, *TOGETHER),
    limits=PAIR_LIMITS,
    prompts=PROMPTS,
)

SOLO = OpenSet(
    title="one person",
    recipe="evaluator/solo",
    num_people=1,
    layout=HUMANML3D,
    protocol=OPEN_SOLO,
    motion=SoloMotion,
    read=_clips_of_one,
    captions=humanml3d_views.captions,
    searched=humanml3d.without_mirrored,
    shown=lambda clip: [SoloMotion.recorded(clip)],
    starts=(0,),
    whole=lambda clip: clip.features[None],
    agreement={},
    physics=ALONE,
    limits=SOLO_LIMITS,
    prompts=SOLO_PROMPTS,
)

OPEN_SETS: dict[str, OpenSet] = {"open-pairs": PAIRS, "solo-open": SOLO}
"""By the names of `data.DATASETS`."""


def evaluator_of(data: OpenSet, embedder: Embedder) -> SentenceEmbedder:
    """The evaluator, if it is one of the data set.

    Raises:
        ValueError: it is another one.
    """
    if not isinstance(embedder, SentenceEmbedder) or OPEN_SETS.get(embedder.data) is not data:
        raise ValueError(
            f"{embedder.name} is not an evaluator of the open benchmark for {data.title}; the "
            f"recipe {data.recipe} trains one"
        )
    return embedder


class Scored(Protocol):
    """A model, as far as it matters here."""

    @property
    def name(self) -> str: ...

    @property
    def num_people(self) -> int: ...

    @property
    def fps(self) -> float: ...


def open_set_of(models: Sequence[Scored]) -> str:
    """Name of the open data set of as many people as the models make.

    Raises:
        ValueError: some make two people, others one, or at another frame rate.
    """
    people = {model.num_people: model.name for model in models}
    if len(people) > 1:
        raise ValueError(
            f"{people[2]} makes the motion of two people and {people[1]} that of one; they are "
            "scored on different data and can't be compared in one table"
        )
    (num_people,) = people
    name = next(name for name, each in OPEN_SETS.items() if each.num_people == num_people)
    data = OPEN_SETS[name]
    for model in models:
        if model.fps != data.layout.fps:
            raise ValueError(
                f"{model.name} makes {model.fps:g} frames a second; the open data of {data.title} "
                f"have {data.layout.fps:g}"
            )
    return name
