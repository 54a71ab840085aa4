"""How much of one body is inside the other."""

from functools import lru_cache

import numpy as np

from duomotion.body.limbs import body_limbs, bounds
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.skeleton import Skeleton

CELL = 0.04  # metres between the points that stand for a body's volume; 64 ml each


def overlap_volumes(interaction: Interaction) -> np.ndarray:
    """Litres (T,) of the first person's body that are inside the second's.

    Bodies are the volumes of `body_limbs`; points on a grid of 4 cm, fixed to the first person's
    limbs, are counted inside the second's.

    Raises:
        ValueError: there are not two people.
    """
    if interaction.num_people != 2:
        raise ValueError(f"an overlap is of two people, this motion has {interaction.num_people}")
    points_TN3, partner = _carried(interaction, 0), interaction.positions[1]
    skeleton = interaction.skeletons[1]
    limbs, rest = body_limbs(skeleton), skeleton.rest_positions
    world = global_rotations(interaction.rotations[1], skeleton)

    reach = max(limb.thickness + np.linalg.norm(limb.b - limb.a) for limb in limbs)
    low_T13, high_T13 = partner.min(1, keepdims=True), partner.max(1, keepdims=True)
    around = (points_TN3 > low_T13 - reach) & (points_TN3 < high_T13 + reach)
    frame_M, point_M = np.nonzero(around.all(-1))
    points_M3, inside_M = points_TN3[frame_M, point_M], np.zeros(len(frame_M), bool)
    for limb in limbs:
        middle = (limb.a + limb.b) / 2
        middle_T3 = partner[:, limb.joint] + world[:, limb.joint] @ (middle - rest[limb.joint])
        away_M3 = points_M3 - middle_T3[frame_M]
        radius = np.linalg.norm(limb.b - limb.a) / 2 + limb.thickness
        (near,) = np.nonzero(np.einsum("mi,mi->m", away_M3, away_M3) < radius**2)
        turned = np.einsum("mji,mj->mi", world[frame_M[near], limb.joint], away_M3[near])
        inside_M[near] |= limb.distance(turned + middle) < 0
    counts_T = np.bincount(frame_M[inside_M], minlength=interaction.num_frames)
    return counts_T * CELL**3 * 1000


def _carried(interaction: Interaction, person: int) -> np.ndarray:
    """The points (T, N, 3) of a person's body in the world, in metres."""
    skeleton = interaction.skeletons[person]
    offsets = np.ascontiguousarray(skeleton.offsets, dtype=np.float64).tobytes()
    points_N3, owners_N = _interior(skeleton.names, skeleton.parents, offsets)
    world = global_rotations(interaction.rotations[person], skeleton)
    turned = np.einsum("tnij,nj->tni", world[:, owners_N], points_N3)
    return interaction.positions[person][:, owners_N] + turned


@lru_cache(maxsize=16)
def _interior(
    names: tuple[str, ...], parents: tuple[int, ...], offsets: bytes
) -> tuple[np.ndarray, np.ndarray]:
    """Grid points inside a body, relative to the joints they move with, and those joints."""
    skeleton = Skeleton(names, parents, np.frombuffer(offsets).reshape(-1, 3))
    limbs = body_limbs(skeleton)
    low, high = bounds(limbs)
    axes = [np.arange(start, stop, CELL) for start, stop in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    each = np.stack([limb.distance(grid) for limb in limbs])
    inside = each.min(0) < 0
    owners = np.array([limb.joint for limb in limbs])[each[:, inside].argmin(0)]
    return grid[inside] - skeleton.rest_positions[owners], owners
