"""Skeletons as graphs that are pooled twice (released code), and the matrices that do it.

Axes: J joints of a graph, K those of the one that it is pooled to.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Joints = tuple[int, ...]
Groups = tuple[Joints, ...]


@dataclass(frozen=True)
class SkeletonGraph:
    """A skeleton and what it is pooled to, level by level.

    Attributes:
        parents: of the joints of each level, the skeleton's first; -1 for the root.
        groups: joints of each level that become one of the next.
        contacts: joints with one more number, whether they touch the floor, in the features' order.
    """

    parents: tuple[Joints, ...]
    groups: tuple[Groups, ...]
    contacts: Joints = ()

    @property
    def num_joints(self) -> int:
        return len(self.parents[0])

    @property
    def latent_joints(self) -> int:
        return len(self.groups[-1])


BODY = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
LIMBS: Groups = (
    *((0, 1, 2, 3), (0, 1, 4), (4, 7, 10), (0, 2, 5), (5, 8, 11), (0, 3, 6, 9)),
    *((6, 9, 12, 13, 14), (9, 13, 16), (16, 18, 20), (9, 14, 17), (17, 19, 21), (9, 12, 15)),
)
LIMB_PARENTS = (-1, 0, 1, 0, 3, 0, 5, 6, 7, 6, 9, 6)
PARTS: Groups = ((0, 1, 3, 5), (0, 1, 2), (0, 3, 4), (0, 5, 6), (6, 7, 8), (6, 9, 10), (6, 11))
SMPL = SkeletonGraph((BODY, LIMB_PARENTS), (LIMBS, PARTS), contacts=(7, 10, 8, 11))

HEAD, FACE, TRANSLATION = 15, (22, 23, 24), 55
HANDS = ((20, 25, 8), (21, 40, 10))  # wrist, first joint of the fingers, forearm among the limbs
FINGERS, FINGER_JOINTS = 5, 3


def _smplx() -> SkeletonGraph:
    """Of Inter-X's rows: the body, jaw and eyes, fingers, and the translation in the end.

    How its authors pooled these is not released. Here jaw and eyes go with the head, the
    translation with the pelvis, a finger with its wrist, and then a hand with its forearm.
    """
    pelvis, *others, head = LIMBS
    limbs: list[Joints] = [(*pelvis, TRANSLATION), *others, (*head, *FACE)]
    parts: list[Joints] = [*PARTS]
    parents, limb_parents = [*BODY, *(HEAD for _ in FACE)], [*LIMB_PARENTS]
    for wrist, first, forearm in HANDS:
        parts.append((forearm, *range(len(limbs), len(limbs) + FINGERS)))
        for start in range(first, first + FINGERS * FINGER_JOINTS, FINGER_JOINTS):
            finger = range(start, start + FINGER_JOINTS)
            limbs.append((wrist, *finger))
            limb_parents.append(forearm)
            parents += [wrist, *finger[:-1]]
    return SkeletonGraph(((*parents, 0), tuple(limb_parents)), (tuple(limbs), tuple(parts)))


GRAPHS = {"interhuman": SMPL, "interx": _smplx()}


def adjacency(parents: Joints) -> Tensor:
    """(J, J): 1 for joints that a bone joins, and for each joint with itself."""
    matrix = torch.eye(len(parents))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            matrix[joint, parent] = matrix[parent, joint] = 1
    return matrix


def membership(groups: Groups, joints: int) -> Tensor:
    """(K, J): 1 for the joints of each group."""
    matrix = torch.zeros(len(groups), joints)
    for row, members in enumerate(groups):
        matrix[row, list(members)] = 1
    return matrix


def pooling_matrix(groups: Groups, joints: int) -> Tensor:
    """(K, J): the mean of each group's joints."""
    return F.normalize(membership(groups, joints), p=1, dim=1)


def unpooling_matrix(groups: Groups, joints: int) -> Tensor:
    """(J, K): a joint gets the sum of its groups."""
    return membership(groups, joints).T.contiguous()
