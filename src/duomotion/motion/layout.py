"""The contract of a layout: what networks see of a person in each frame."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from duomotion.motion.interaction import Interaction
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.rotations import Array

IMPORTANCE = {"rotations": 0.1, "contacts": 0.02}  # of features that are not metres


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout(ABC):
    """Per-frame features of a person, F of them; those of each data set are in its own module.

    P people, T frames. The layout's world is the one in which features say where people are.

    Attributes:
        name: in recipes and on the command line.
        fps: frames a second.
        num_features: F.
        num_joints: joints that are described; Inter-X counts the translation as one more.
        min_frames: released loaders skip shorter clips.
        max_frames: the longest motion that is generated at once.
        accumulates_root: whether features hold the root's steps, so that its path is their sum.
        knows_floor: whether the floor is at height 0 of the layout's world.
    """

    name: str
    fps: float
    num_features: int
    num_joints: int
    min_frames: int
    max_frames: int
    accumulates_root: bool = False
    knows_floor: bool = True

    @property
    @abstractmethod
    def blocks(self) -> tuple[slice, ...]:
        """Slices of the features by name, a NamedTuple; together they are all, in their order."""

    @abstractmethod
    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on the layout's skeleton.

        Raises:
            ValueError: the skeleton can't be mapped.
        """

    @abstractmethod
    def placing(self, people: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3,) of people into the layout's world."""

    @abstractmethod
    def encode(self, people: Interaction) -> np.ndarray:
        """Features (P, T - 1, F) float32 of people on the layout's skeleton in its world.

        The last frame is dropped: it has no velocity.
        """

    @abstractmethod
    def decode(
        self, features: np.ndarray, *, fps: float | None = None, caption: str = ""
    ) -> Interaction:
        """Rigid bodies along features (P, T, F), at the layout's frame rate if none is given."""

    @abstractmethod
    def positions(self, features: Array) -> Array:
        """Joint positions (..., T, J, 3) in metres of features (..., T, F); numpy or torch."""

    @property
    def importance(self) -> np.ndarray:
        """(F,) how much an error of each feature counts: positions decide where bodies are."""
        found = np.ones(self.num_features, np.float32)
        for name, weight in IMPORTANCE.items():
            if (block := getattr(self.blocks, name, None)) is not None:
                found[block] = weight
        return found

    def fit_normaliser(self, features: np.ndarray) -> Normaliser:
        """Statistics of features (..., F)."""
        return Normaliser.fit(features)

    def grounded(self, people: Interaction) -> Interaction:
        """People from the layout's world in one whose floor is at height 0; here it is already."""
        return people


@dataclass(frozen=True, kw_only=True, eq=False)
class MapLayout(Layout):
    """A layout whose features make a map of `num_joints` rows with `joint_dim` numbers each."""

    joint_dim: int

    @abstractmethod
    def to_joint_map(self, features: Array) -> Array:
        """(..., F) -> (..., J, D); numpy or torch."""

    @abstractmethod
    def from_joint_map(self, joints: Array) -> Array:
        """(..., J, D) -> (..., F); numpy or torch."""

    @abstractmethod
    def shifted(self, features: Array, shift: Array, steps: Array) -> Array:
        """Features (..., T, F) of the same motion somewhere else; numpy or torch.

        Args:
            shift: (..., T, 3) metres.
            steps: (..., T, 3), what it changes by to the next frame.
        """

    @abstractmethod
    def rotations(self, features: Array) -> Array:
        """Local rotations (..., T, 22, 3, 3) of SMPL's joints but the hands; numpy or torch."""


def consecutive(*widths: int) -> Iterator[slice]:
    """Slices of these widths, one after the other."""
    start = 0
    for width in widths:
        yield slice(start, start + width)
        start += width
