"""Joint trees as data."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A joint tree in its rest pose: T-pose, Y up, facing +Z.

    Attributes:
        names: one name a joint.
        parents: index of each joint's parent, -1 for the root; parents come before their children.
        offsets: (J, 3) metres, from the parent's position to the joint's in the rest pose.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.parents) == len(self.offsets)
        assert self.parents[0] == -1
        assert all(0 <= parent < joint for joint, parent in enumerate(self.parents) if joint)

    @property
    def num_joints(self) -> int:
        return len(self.names)

    @property
    def bones(self) -> list[tuple[int, int]]:
        """(child, parent) of every joint but the root."""
        return [(joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0]

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.names]
        for child, parent in self.bones:
            found[parent].append(child)
        return tuple(tuple(joints) for joints in found)

    @cached_property
    def levels(self) -> tuple[np.ndarray, ...]:
        """Joint indices by distance from the root; parents are in the level before."""
        depth = [0] * self.num_joints
        for child, parent in self.bones:
            depth[child] = depth[parent] + 1
        return tuple(np.flatnonzero(np.equal(depth, d)) for d in range(max(depth) + 1))

    @cached_property
    def mirrored(self) -> np.ndarray:
        """For each joint the index of its counterpart on the other side, itself on the midline."""
        table = {name: joint for joint, name in enumerate(self.names)}
        return np.array(
            [table.get(_other_side(name), joint) for joint, name in enumerate(self.names)]
        )

    @property
    def rest_positions(self) -> np.ndarray:
        """(J, 3) metres, root at the origin."""
        positions = np.array(self.offsets, dtype=np.float64)
        positions[0] = 0
        for child, parent in self.bones:
            positions[child] += positions[parent]
        return positions

    def index(self, name: str) -> int:
        """Raises ValueError when there is no joint of that name."""
        if name not in self.names:
            raise ValueError(f"no joint {name!r} in this skeleton; it has {', '.join(self.names)}")
        return self.names.index(name)

    def with_offsets(self, offsets: np.ndarray) -> "Skeleton":
        return replace(self, offsets=np.asarray(offsets, dtype=np.float64))

    def same_tree(self, other: "Skeleton") -> bool:
        return self.names == other.names and self.parents == other.parents


def _other_side(name: str) -> str:
    space, colon, plain = name.rpartition(":")
    for one, other in (("left", "right"), ("Left", "Right"), ("L", "R"), ("l", "r")):
        if plain.startswith(one):
            return space + colon + other + plain.removeprefix(one)
        if plain.startswith(other):
            return space + colon + one + plain.removeprefix(other)
    return name


# The first 22 joints of SMPL, SMPL-H and SMPL-X (Loper et al. 2015), in their order. Offsets are
# those of an average adult, made symmetric and rounded to millimetres.
SMPL22 = Skeleton(
    names=(
        "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2",
        "left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar",
        "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
        "left_wrist", "right_wrist",
    ),
    parents=(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
    offsets=np.array([
        [0.000, 0.000, 0.000], [0.059, -0.086, -0.016], [-0.059, -0.086, -0.016],
        [0.000, 0.124, -0.038], [0.043, -0.385, 0.002], [-0.043, -0.385, 0.002],
        [0.000, 0.138, 0.027], [-0.017, -0.423, -0.036], [0.017, -0.423, -0.036],
        [0.000, 0.056, 0.003], [0.038, -0.061, 0.126], [-0.038, -0.061, 0.126],
        [0.000, 0.212, -0.033], [0.077, 0.113, -0.021], [-0.077, 0.113, -0.021],
        [0.000, 0.089, 0.050], [0.118, 0.046, -0.014], [-0.118, 0.046, -0.014],
        [0.258, -0.015, -0.027], [-0.258, -0.015, -0.027], [0.267, 0.010, -0.007],
        [-0.267, 0.010, -0.007],
    ]),
)  # fmt: skip
