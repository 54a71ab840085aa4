"""How much of one body is inside the other, as a volume and as a collision score."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from duomotion.body.limbs import body_limbs, bounds
from duomotion.body.mesh import body_mesh
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
    _check_two(interaction)
    carrier = interaction.skeletons[0]
    offsets = np.ascontiguousarray(carrier.offsets, dtype=np.float64).tobytes()
    inside_TN = _depths(interaction, 0, _interior(carrier.names, carrier.parents, offsets)) > 0
    return inside_TN.sum(1) * CELL**3 * 1000


def collision_scores(interaction: Interaction) -> np.ndarray:
    """(T,) sums over all vertices of both bodies that are inside the other: sigmoid of the depth.

    ILD, equation 17. Depths are in metres, so each vertex counts a little more than a half.
    Vertices are those of `body_mesh`, about fifteen hundred a body, each moving with the joint that
    moves it most; depths are those in `body_limbs` instead of in a grid of a mesh's distances.

    Raises:
        ValueError: there are not two people.
    """
    _check_two(interaction)
    total_T = np.zeros(interaction.num_frames)
    for person, skeleton in enumerate(interaction.skeletons):
        depths_TN = _depths(interaction, person, _surface(skeleton))
        total_T += ((depths_TN > 0) / (1 + np.exp(-depths_TN))).sum(1)
    return total_T


def _check_two(interaction: Interaction) -> None:
    if interaction.num_people != 2:
        raise ValueError(f"an overlap is of two people, this motion has {interaction.num_people}")


def _depths(interaction: Interaction, person: int, cloud: "Cloud") -> np.ndarray:
    """Metres (T, N) that a person's points are inside the other's body, 0 outside."""
    partner = interaction.skeletons[1 - person]
    limbs, rest = body_limbs(partner), partner.rest_positions
    carried, world = (
        global_rotations(interaction.rotations[each], interaction.skeletons[each])
        for each in (person, 1 - person)
    )
    joints_TJ3, partner_TJ3 = (interaction.positions[each] for each in (person, 1 - person))
    centres_TO3 = joints_TJ3[:, cloud.joints] + np.einsum(
        "toij,oj->toi", carried[:, cloud.joints], cloud.centres
    )
    depths = np.zeros((interaction.num_frames, len(cloud.points)), np.float32)
    for limb in limbs:
        middle = (limb.a + limb.b) / 2
        reach = np.linalg.norm(limb.b - limb.a) / 2 + limb.thickness
        turn_T33 = world[:, limb.joint]
        middle_T3 = partner_TJ3[:, limb.joint] + turn_T33 @ (middle - rest[limb.joint])
        apart_TO = np.linalg.norm(centres_TO3 - middle_T3[:, None], axis=-1)
        frames, owners = np.nonzero(apart_TO < reach + cloud.radii)
        # Points of a carrying joint in the limb's own rest pose, one rigid motion for all of them.
        turned = turn_T33[frames].swapaxes(-1, -2)
        moved = np.einsum(
            "mij,mj->mi", turned, joints_TJ3[frames, cloud.joints[owners]] - middle_T3[frames]
        )
        turned = turned @ carried[frames, cloud.joints[owners]]
        for owner in np.unique(owners):
            chosen, points = owners == owner, cloud.of(owner)
            seen = cloud.points[points] @ turned[chosen].swapaxes(-1, -2) + moved[chosen, None]
            near = np.einsum("mni,mni->mn", seen, seen) < reach**2
            found = np.zeros(near.shape, np.float32)
            found[near] = -limb.distance(seen[near] + middle)
            depths[frames[chosen], points] = np.maximum(depths[frames[chosen], points], found)
    return depths


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points on a grid inside a body, in the order of the joints that carry them.

    Attributes:
        points: (N, 3) relative to their joint in the rest pose, metres.
        joints: (O,) the joints that carry points.
        starts: (O + 1,) where each joint's points start.
        centres: (O, 3) middles of each joint's points, relative to the joint.
        radii: (O,) how far the points are from there, metres.
    """

    points: np.ndarray
    joints: np.ndarray
    starts: np.ndarray
    centres: np.ndarray
    radii: np.ndarray

    @classmethod
    def of_points(cls, points: np.ndarray, carriers: np.ndarray) -> "Cloud":
        """From points (N, 3) and the joint (N,) that carries each, in any order."""
        order = np.argsort(carriers, kind="stable")
        joints, starts = np.unique(carriers[order], return_index=True)
        starts = np.append(starts, len(points))
        groups = [points[order[start:stop]] for start, stop in pairwise(starts)]
        centres = np.stack([(group.min(0) + group.max(0)) / 2 for group in groups])
        radii = [
            np.linalg.norm(group - centre, axis=-1).max()
            for group, centre in zip(groups, centres, strict=True)
        ]
        return cls(points[order], joints, starts, centres, np.array(radii))

    def of(self, owner: int) -> slice:
        """Where the points of one of the carrying joints are."""
        return slice(self.starts[owner], self.starts[owner + 1])


@lru_cache(maxsize=16)
def _interior(names: tuple[str, ...], parents: tuple[int, ...], offsets: bytes) -> Cloud:
    """Grid points inside a body."""
    skeleton = Skeleton(names, parents, np.frombuffer(offsets).reshape(-1, 3))
    limbs = body_limbs(skeleton)
    low, high = bounds(limbs)
    axes = [np.arange(start, stop, CELL) for start, stop in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    depths, carriers = np.zeros(grid.shape[:3]), np.full(grid.shape[:3], -1)
    for limb in limbs:
        around = zip(axes, *bounds([limb]), strict=True)
        box = tuple(slice(*np.searchsorted(axis, ends)) for axis, *ends in around)
        distances = limb.distance(grid[box])
        deeper = distances < depths[box]
        depths[box][deeper], carriers[box][deeper] = distances[deeper], limb.joint
    points, carriers = grid[carriers >= 0], carriers[carriers >= 0]
    return Cloud.of_points(points - skeleton.rest_positions[carriers], carriers)


def _surface(skeleton: Skeleton) -> Cloud:
    """Vertices of a body's mesh."""
    mesh = body_mesh(skeleton, CELL)
    carriers = mesh.joints[:, 0].astype(int)
    return Cloud.of_points(mesh.vertices - mesh.rest[carriers], carriers)
