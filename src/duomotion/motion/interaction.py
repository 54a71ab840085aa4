"""The motion of one or more people in one world."""

from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from duomotion.motion.kinematics import fit_rotations, fit_skeleton, forward_kinematics
from duomotion.motion.skeleton import SMPL22, Skeleton

QUALITY = "duomotion.evaluation.metrics.quality"
FORMATS = "duomotion.formats"
"""What measures interactions, and what reads and writes files. They are made of interactions, not
the other way round, so they are named here and found when they are needed, as Python finds its
codecs."""


@dataclass(frozen=True)
class Reading:
    """What a model read a prompt as.

    Attributes:
        kind: the kind of action in its training data that comes nearest, as in "handshake".
        score: how near, as a cosine: 1 where a caption of this kind says the same.
        known: whether anything like the prompt was in the training data at all.
        composed: whether it was there only in clips that were composed of recordings of one person;
            models often do not show what is known from these.
    """

    kind: str
    score: float
    known: bool
    composed: bool = False


@dataclass(frozen=True)
class Quality:
    """What is measured of a clip, see `evaluation.metrics.physics.report`.

    Attributes:
        foot_sliding: m/s, of feet near the floor, the worst of the people.
        overlap: litres of one body inside the other, at worst; 0 of one person.
        top_acceleration: m/s^2, the largest of a joint.
        floor_error: metres under the floor, or over it for longer than a jump.
        flaw: the worst of them over what sound motion has at most: 1 and less is sound, and of two
            clips the one with less is better.
    """

    foot_sliding: float
    overlap: float
    top_acceleration: float
    floor_error: float
    flaw: float

    def __str__(self) -> str:
        return (
            f"foot sliding {self.foot_sliding:.3f} m/s, overlap {self.overlap:.2f} l, largest "
            f"acceleration {self.top_acceleration:.0f} m/s², off the floor "
            f"{self.floor_error:.3f} m, flaw {self.flaw:.2f}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Interaction:
    """P people over T frames. World: metres, right-handed, Y up.

    Rotations, root positions and bone lengths are what is stored; joint positions follow by forward
    kinematics, so that every format shows the same motion.

    Attributes:
        root_positions: (P, T, 3) float32, metres.
        rotations: (P, T, J, 3, 3) float32, local rotation matrices; the root's is in the world.
        skeletons: one a person, the same tree with each person's own bone lengths.
        fps: frames a second.
        caption: what happens, in words.
        reading: what a model read the caption as; None where none did.
    """

    root_positions: np.ndarray
    rotations: np.ndarray
    skeletons: tuple[Skeleton, ...]
    fps: float = 30.0
    caption: str = ""
    reading: Reading | None = None

    def __post_init__(self) -> None:
        roots, rotations = self.root_positions.shape, self.rotations.shape
        people, frames, joints = (*rotations, 0, 0, 0)[:3]
        if rotations != (people, frames, joints, 3, 3) or roots != (people, frames, 3):
            raise ValueError(
                "rotations have to be (P, T, J, 3, 3) and root positions (P, T, 3), not "
                f"{rotations} and {roots}"
            )
        if (count := len(self.skeletons)) != people or not people:
            raise ValueError(f"{people} people need as many skeletons, not {count}")
        if self.skeletons[0].num_joints != joints:
            raise ValueError(
                f"the skeletons have {self.skeletons[0].num_joints} joints, the rotations {joints}"
            )
        if not all(other.same_tree(self.skeletons[0]) for other in self.skeletons):
            raise ValueError("the skeletons of all people need the same joints")
        object.__setattr__(self, "root_positions", np.float32(self.root_positions))
        object.__setattr__(self, "rotations", np.float32(self.rotations))
        # Halves of characters, which no file can hold, become question marks.
        object.__setattr__(self, "caption", self.caption.encode(errors="replace").decode())

    @classmethod
    def from_positions(
        cls,
        positions: np.ndarray,
        twist: np.ndarray | None = None,
        *,
        like: Skeleton = SMPL22,
        fps: float = 30.0,
        caption: str = "",
    ) -> "Interaction":
        """The rigid bodies closest to joint positions (P, T, J, 3) in metres.

        Args:
            positions: in the joint order of `like`; bones may stretch a little over time.
            twist: (P, T, J, 3, 3) local rotations that say how limbs turn about themselves.
            like: the tree and the rest directions of its bones.
        """
        skeletons = tuple(fit_skeleton(person, like) for person in positions)
        rotations = [
            fit_rotations(person, skeleton, None if twist is None else twist[index])
            for index, (person, skeleton) in enumerate(zip(positions, skeletons, strict=True))
        ]
        return cls(positions[:, :, 0], np.stack(rotations), skeletons, fps, caption)

    @cached_property
    def positions(self) -> np.ndarray:
        """(P, T, J, 3) float32, metres, by forward kinematics."""
        offsets = np.stack([skeleton.offsets for skeleton in self.skeletons])[:, None]
        return forward_kinematics(
            self.root_positions, self.rotations, offsets.astype(np.float32), self.skeletons[0]
        )

    @cached_property
    def quality(self) -> Quality | None:
        """What is measured of the motion; None of other skeletons than SMPL-22."""
        return import_module(QUALITY).measured(self)

    def __repr__(self) -> str:
        people = "1 person" if self.num_people == 1 else f"{self.num_people} people"
        joints = f"{self.skeletons[0].num_joints} joints"
        length = f"{self.num_frames} frames at {self.fps:g} fps"
        return f"Interaction({people}, {length}, {joints}, {self.caption!r})"

    def _repr_html_(self) -> str:
        """The player, for notebooks."""
        return import_module(f"{FORMATS}.html").frame(self)

    @property
    def num_people(self) -> int:
        return len(self.rotations)

    @property
    def num_frames(self) -> int:
        return self.rotations.shape[1]

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps

    def frames(self, start: int, stop: int) -> "Interaction":
        """The frames from `start` up to, not including, `stop`."""
        return replace(
            self,
            root_positions=self.root_positions[:, start:stop],
            rotations=self.rotations[:, start:stop],
        )

    def person(self, index: int) -> "Interaction":
        """One of the people alone."""
        return replace(
            self,
            root_positions=self.root_positions[index : index + 1],
            rotations=self.rotations[index : index + 1],
            skeletons=self.skeletons[index : index + 1],
        )

    def reordered(self, skeleton: Skeleton) -> "Interaction":
        """The joints in the order of `skeleton`, which has the same names and bones."""
        own = self.skeletons[0]
        order = [own.index(name) for name in skeleton.names]
        assert own.num_joints == skeleton.num_joints
        return replace(
            self,
            rotations=self.rotations[:, :, order],
            skeletons=tuple(
                skeleton.with_offsets(person.offsets[order]) for person in self.skeletons
            ),
        )

    def with_caption(self, caption: str, reading: Reading | None = None) -> "Interaction":
        """The same under another caption, which has a reading of its own or none."""
        return replace(self, caption=caption, reading=reading)

    def save(self, path: str | Path) -> None:
        """Write in the format that the suffix names (.npz, .bvh, .glb, .mp4, .gif, .png, .html).

        Raises:
            ValueError: unknown suffix, or the format can't hold the motion.
            OSError: the file can't be written.
        """
        import_module(FORMATS).save(self, path)

    @staticmethod
    def load(path: str | Path, second: str | Path | None = None, **options: Any) -> "Interaction":
        """Read a file of motion, or two of partners: `duomotion.formats.load`, with its options.

        Raises:
            ValueError: unknown suffix, or a file that does not hold what its suffix says.
            OSError: the file can't be read.
        """
        return import_module(FORMATS).load(path, second, **options)


def together(people: list[Interaction]) -> Interaction:
    """One interaction of people that were loaded apart, in the world frame they share.

    Raises:
        ValueError: they differ in skeleton tree, frame rate or number of frames.
    """
    first = people[0]
    for other in people[1:]:
        if not other.skeletons[0].same_tree(first.skeletons[0]):
            raise ValueError("the people have different skeletons; retarget them to one first")
        if (other.num_frames, other.fps) != (first.num_frames, first.fps):
            raise ValueError(
                f"the people differ in length: {first.num_frames} frames at {first.fps:g} fps and "
                f"{other.num_frames} at {other.fps:g}"
            )
    return replace(
        first,
        root_positions=np.concatenate([person.root_positions for person in people]),
        rotations=np.concatenate([person.rotations for person in people]),
        skeletons=tuple(skeleton for person in people for skeleton in person.skeletons),
    )


def joined(pieces: list[Interaction]) -> Interaction:
    """Interactions of the same people one after the other; bone lengths are the first one's."""
    return replace(
        pieces[0],
        root_positions=np.concatenate([piece.root_positions for piece in pieces], axis=1),
        rotations=np.concatenate([piece.rotations for piece in pieces], axis=1),
    )
