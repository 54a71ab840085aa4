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

    @cached_property
    def rest_positions(self) -> np.ndarray:
        """(J, 3) metres, root at the origin; to be read only."""
        positions = np.array(self.offsets, dtype=np.float64)
        positions[0] = 0
        for child, parent in self.bones:
            positions[child] += positions[parent]
        positions.setflags(write=False)
        return positions

    def path_to_root(self, joint: int) -> list[int]:
        """The joint itself, its parent, and so on up to the root."""
        path = [joint]
        while self.parents[path[-1]] >= 0:
            path.append(self.parents[path[-1]])
        return path

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

# KIT-ML's joints (Guo et al. 2022), those of the MMM reference model in their order: pelvis, two of
# the spine, lower and upper neck, arms, legs. The published positions are mirrored, so joints are
# named by the side they are on: what MMM calls left is right here. Offsets are SMPL-22's.
KIT21 = Skeleton(
    names=(
        "pelvis", "spine", "chest", "neck", "head", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "right_midfoot", "right_foot", "left_hip", "left_knee", "left_ankle", "left_midfoot",
        "left_foot",
    ),
    parents=(-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19),
    offsets=np.array([
        [0.000, 0.000, 0.000], [0.000, 0.124, -0.038], [0.000, 0.194, 0.030],
        [0.000, 0.212, -0.033], [0.000, 0.089, 0.050], [-0.195, -0.053, -0.002],
        [-0.258, -0.015, -0.027], [-0.267, 0.010, -0.007], [0.195, -0.053, -0.002],
        [0.258, -0.015, -0.027], [0.267, 0.010, -0.007], [-0.059, -0.086, -0.016],
        [-0.043, -0.385, 0.002], [0.017, -0.423, -0.036], [-0.019, -0.0305, 0.063],
        [-0.019, -0.0305, 0.063], [0.059, -0.086, -0.016], [0.043, -0.385, 0.002],
        [-0.017, -0.423, -0.036], [0.019, -0.0305, 0.063], [0.019, -0.0305, 0.063],
    ]),
)  # fmt: skip

# All joints of SMPL-X (Pavlakos et al. 2019). The first 22 are where programs that use the neutral
# model publish them, the hands are MANO's mean ones (Romero et al. 2017), laid flat. Jaw and eyes,
# which no data set here moves, are put where an average face has them.
SMPLX_PELVIS = np.array([0.0031, -0.3514, 0.0120])  # in the rest pose, metres
_SMPLX_BODY = np.array([
    [0.0031, -0.3514, 0.0120], [0.0613, -0.4442, -0.0140], [-0.0601, -0.4553, -0.0092],
    [0.0004, -0.2415, -0.0156], [0.1160, -0.8229, -0.0234], [-0.1044, -0.8177, -0.0260],
    [0.0098, -0.1097, -0.0215], [0.0726, -1.2260, -0.0552], [-0.0889, -1.2284, -0.0462],
    [-0.0015, -0.0574, 0.0069], [0.1198, -1.2840, 0.0630], [-0.1277, -1.2868, 0.0728],
    [-0.0137, 0.1077, -0.0247], [0.0448, 0.0275, -0.0003], [-0.0492, 0.0269, -0.0065],
    [0.0111, 0.2682, -0.0040], [0.1641, 0.0852, -0.0158], [-0.1518, 0.0804, -0.0191],
    [0.4182, 0.0131, -0.0582], [-0.4229, 0.0439, -0.0456], [0.6702, 0.0363, -0.0607],
    [-0.6722, 0.0394, -0.0609],
])  # fmt: skip
_FACE = np.array([[0.000, -0.015, 0.025], [0.032, 0.060, 0.080], [-0.032, 0.060, 0.080]])
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
# Joints of a right hand from its wrist, three a finger.
_RIGHT_HAND = np.array([
    [-0.0881, -0.0052, 0.0207], [-0.1208, -0.0012, 0.0229], [-0.1429, -0.0025, 0.0228],
    [-0.0947, -0.0015, -0.0034], [-0.1258, 0.0004, -0.0090], [-0.1487, -0.0009, -0.0129],
    [-0.0688, -0.0099, -0.0432], [-0.0858, -0.0099, -0.0557], [-0.1017, -0.0106, -0.0660],
    [-0.0817, -0.0040, -0.0267], [-0.1100, -0.0019, -0.0318], [-0.1336, -0.0036, -0.0394],
    [-0.0241, -0.0155, 0.0258], [-0.0437, -0.0146, 0.0495], [-0.0659, -0.0201, 0.0640],
])  # fmt: skip


def _smplx55() -> Skeleton:
    names, parents = list(SMPL22.names), list(SMPL22.parents)
    names += ["jaw", "left_eye", "right_eye"]
    parents += 3 * [SMPL22.index("head")]
    offsets = _SMPLX_BODY.copy()
    offsets[1:] -= _SMPLX_BODY[list(SMPL22.parents[1:])]
    offsets[0] = 0
    blocks = [offsets, _FACE]
    for side, sign in (("left", [-1, 1, 1]), ("right", [1, 1, 1])):
        for finger in _FINGERS:
            first = len(names)
            names += [f"{side}_{finger}{number}" for number in (1, 2, 3)]
            parents += [SMPL22.index(f"{side}_wrist"), first, first + 1]
        steps = _RIGHT_HAND.reshape(len(_FINGERS), 3, 3).copy()
        steps[:, 1:] = np.diff(steps, axis=1)
        blocks.append(steps.reshape(-1, 3) * sign)
    return Skeleton(tuple(names), tuple(parents), np.concatenate(blocks))


SMPLX55 = _smplx55()
