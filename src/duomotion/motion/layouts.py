"""All layouts, by name and by the size of their maps."""

from duomotion.motion.humanml3d import HUMANML3D, KIT
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.interx import INTERX
from duomotion.motion.layout import Layout, MapLayout

MAP_LAYOUTS: tuple[MapLayout, ...] = (INTERHUMAN, INTERX)
LAYOUTS: tuple[Layout, ...] = (*MAP_LAYOUTS, HUMANML3D, KIT)


def layout_of(num_joints: int, joint_dim: int) -> MapLayout:
    """The layout whose maps have this size.

    Raises:
        ValueError: there is none.
    """
    for layout in MAP_LAYOUTS:
        if (num_joints, joint_dim) == (layout.num_joints, layout.joint_dim):
            return layout
    sizes = (f"{each.num_joints} x {each.joint_dim} ({each.name})" for each in MAP_LAYOUTS)
    raise ValueError(
        f"no layout of motion has {num_joints} x {joint_dim} numbers; there are {', '.join(sizes)}"
    )


def layout_named(name: str) -> Layout:
    """The layout of this name.

    Raises:
        ValueError: there is none.
    """
    layouts = {each.name: each for each in LAYOUTS}
    if name not in layouts:
        raise ValueError(f"no layout is called {name!r}; there are {', '.join(layouts)}")
    return layouts[name]
