"""The layouts of features that networks see, behind one protocol; modules implement it."""

from typing import Protocol

import numpy as np

from duomotion.motion import interhuman as features
from duomotion.motion import interx
from duomotion.motion.humanml3d import SOLO_LAYOUTS
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import Array


class Layout(Protocol):
    """Per-frame numbers of a person, F of them.

    P people, T frames. Attributes and functions are those of `motion.features` (InterHuman),
    `motion.interx` and of the objects in `motion.humanml3d` (one person); see there for what the
    numbers mean.
    """

    @property
    def NAME(self) -> str: ...

    @property
    def NUM_FEATURES(self) -> int: ...

    @property
    def NUM_JOINTS(self) -> int: ...

    @property
    def FPS(self) -> float:
        """Frames a second."""
        ...

    @property
    def MIN_FRAMES(self) -> int:
        """Released loaders skip shorter clips."""
        ...

    @property
    def MAX_FRAMES(self) -> int:
        """The longest motion that is generated at once."""
        ...

    @property
    def ACCUMULATES_ROOT(self) -> bool:
        """Whether features tell the root's steps, so that where it is is the sum of them."""
        ...

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

    def decode(self, features: np.ndarray, /, *, fps: float = ...) -> Interaction:
        """Rigid bodies along features (P, T, F), in the layout's world."""
        ...

    def positions(self, features: Array, /) -> Array:
        """Joint positions in metres of features (..., F)."""
        ...

    def grounded(self, people: Interaction, /) -> Interaction:
        """People from the layout's world in one whose floor is at height 0."""
        ...


class MapLayout(Layout, Protocol):
    """A layout whose numbers make a map of J joints with D numbers each."""

    @property
    def JOINT_DIM(self) -> int: ...

    def to_joint_map(self, features: Array, /) -> Array:
        """(..., F) -> (..., J, D)."""
        ...

    def from_joint_map(self, joints: Array, /) -> Array:
        """(..., J, D) -> (..., F)."""
        ...


LAYOUTS: tuple[MapLayout, ...] = (features, interx)


def layout_of(num_joints: int, joint_dim: int) -> MapLayout:
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


def layout_named(name: str) -> Layout:
    """The layout of this name.

    Raises:
        ValueError: there is none.
    """
    layouts: dict[str, Layout] = {each.NAME: each for each in (*LAYOUTS, *SOLO_LAYOUTS)}
    if name not in layouts:
        raise ValueError(f"no layout is called {name!r}; there are {', '.join(layouts)}")
    return layouts[name]
