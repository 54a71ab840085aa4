"""The layouts of features that networks see, behind one protocol; modules implement it."""

from typing import Protocol

import numpy as np

from duomotion.motion import features, interx
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import Array


class Layout(Protocol):
    """Per-frame numbers of a person: F of them, which make a map of J joints with D numbers.

    P people, T frames. Attributes and functions are those of `motion.features` (InterHuman) and
    `motion.interx`; see there for what the numbers mean.
    """

    NAME: str
    NUM_FEATURES: int
    NUM_JOINTS: int
    JOINT_DIM: int
    MIN_FRAMES: int
    MAX_FRAMES: int

    def bodies(self, interaction: Interaction, /) -> Interaction:
        """The same motion on the layout's skeleton.

        Raises:
            ValueError: the skeleton can't be mapped.
        """
        ...

    def placing(self, people: Interaction, /) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3,) into the world in which the layout sees people."""
        ...

    def encode(self, people: Interaction, /) -> np.ndarray:
        """Features (P, T - 1, F) of people on the layout's skeleton in the layout's world."""
        ...

    def decode(self, features: np.ndarray, /, *, fps: float = 30.0) -> Interaction:
        """Rigid bodies along features (P, T, F), in the layout's world."""
        ...

    def positions(self, features: Array, /) -> Array:
        """Joint positions in metres of features (..., F)."""
        ...

    def grounded(self, people: Interaction, /) -> Interaction:
        """People from the layout's world in one whose floor is at height 0."""
        ...

    def to_joint_map(self, features: Array, /) -> Array:
        """(..., F) -> (..., J, D)."""
        ...

    def from_joint_map(self, joints: Array, /) -> Array:
        """(..., J, D) -> (..., F)."""
        ...


LAYOUTS: tuple[Layout, ...] = (features, interx)


def layout_of(num_joints: int, joint_dim: int) -> Layout:
    """The layout whose maps have this size.

    Raises:
        ValueError: there is none.
    """
    for layout in LAYOUTS:
        if (num_joints, joint_dim) == (layout.NUM_JOINTS, layout.JOINT_DIM):
            return layout
    sizes = (f"{layout.NUM_JOINTS} x {layout.JOINT_DIM} ({layout.NAME})" for layout in LAYOUTS)
    raise ValueError(
        f"no layout of motion has {num_joints} x {joint_dim} numbers; there are {', '.join(sizes)}"
    )
