"""One closed, smooth surface around a skeleton, and how it moves with the joints."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.sparse import csr_array

from duomotion.body.limbs import (
    Limb,
    body_limbs,
    body_scale,
    bounds,
    ground_level,
    is_body,
    meetings,
)
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.rotations import normalise
from duomotion.motion.skeleton import Skeleton

# Joints that may move one vertex: what glTF's first set of weights can hold.
NUM_INFLUENCES = 4
# How far limbs round off into each other where they meet, as a share of the thinner one's radius.
BLEND = 0.7
# Metres between vertices: about five thousand a body.
CELL = 0.021
# Half the thickness of a stick, as a share of its bone's length.
STICK = 0.06
# Over what distance in metres a vertex passes from one joint's motion to the next's.
SKIN_BLEND = 0.03


@dataclass(frozen=True, eq=False)
class BodyMesh:
    """A skinned surface in the skeleton's rest pose, root at the origin.

    Attributes:
        vertices, normals: (V, 3) float32, metres; normals point outward.
        quads: (F, 4) vertex indices, counter-clockwise seen from outside.
        joints, weights: (V, 4) the joints that move each vertex (uint16), strongest first, and by
            how much (float32, each row sums to 1).
        rest: (J, 3) joint positions of the rest pose, metres.
    """

    vertices: np.ndarray
    normals: np.ndarray
    quads: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    rest: np.ndarray

    @cached_property
    def triangles(self) -> np.ndarray:
        """(2F, 3) vertex indices: every quad split along its shorter diagonal."""
        q = self.quads
        p = self.vertices
        diagonal = [np.linalg.norm(p[q[:, i]] - p[q[:, i + 2]], axis=-1) for i in (0, 1)]
        turned = np.where((diagonal[0] > diagonal[1])[:, None], np.roll(q, -1, axis=1), q)
        return np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])

    def posed(self, positions_J3: np.ndarray, rotations_J33: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) in the world by linear blend skinning.

        Args:
            positions_J3: joint positions in the world, metres.
            rotations_J33: joint rotations in the world.
        """
        shift = positions_J3 - np.einsum("jab,jb->ja", rotations_J33, self.rest)
        turned = np.concatenate([rotations_J33, shift[..., None]], axis=-1)
        blended = (self._weight_matrix @ turned.reshape(len(turned), 12)).reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", blended[..., :3], self.vertices) + blended[..., 3]

    def normals_of(self, vertices: np.ndarray) -> np.ndarray:
        """Outward unit normals (V, 3) of the posed vertices."""
        p = vertices[self.quads]
        return normalise(self._corner_matrix @ np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 1]))

    @cached_property
    def _corner_matrix(self) -> csr_array:
        """1 where the vertex is a corner of the quad."""
        rows = self.quads.ravel()
        columns = np.repeat(np.arange(len(self.quads)), 4)
        shape = (len(self.vertices), len(self.quads))
        return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)

    @cached_property
    def _weight_matrix(self) -> csr_array:
        count = len(self.vertices)
        rows = np.repeat(np.arange(count), NUM_INFLUENCES)
        shape = (count, len(self.rest))
        return csr_array((self.weights.ravel(), (rows, self.joints.ravel())), shape=shape)


def body_mesh(skeleton: Skeleton, cell: float = CELL) -> BodyMesh:
    """A mannequin around the skeleton: one surface without seams, built from `body_limbs`.

    A skeleton that is no body gets a stick a bone.

    The limbs' distance functions grow together at shared joints; the surface where the result is
    zero is found on a grid by naive surface nets (Gibson 1998) and then moved onto the exact zero.

    Args:
        skeleton: any tree; bodies of the same names and offsets share one mesh.
        cell: metres between vertices, for a body of the reference height.
    """
    offsets = np.ascontiguousarray(skeleton.offsets, dtype=np.float64).tobytes()
    return _cached_mesh(skeleton.names, skeleton.parents, offsets, cell)


def posed_bodies(
    interaction: Interaction, person: int, cell: float = CELL
) -> tuple[BodyMesh, Iterator[np.ndarray]]:
    """The person's mesh and, frame by frame, its vertices (V, 3) in the world."""
    skeleton = interaction.skeletons[person]
    mesh = body_mesh(skeleton, cell)
    world = global_rotations(interaction.rotations[person], skeleton)
    positions = interaction.positions[person]
    return mesh, (mesh.posed(p, r) for p, r in zip(positions, world, strict=True))


@lru_cache(maxsize=16)
def _cached_mesh(
    names: tuple[str, ...], parents: tuple[int, ...], offsets: bytes, cell: float
) -> BodyMesh:
    skeleton = Skeleton(names, parents, np.frombuffer(offsets).reshape(-1, 3))
    surface = _surface(skeleton, cell) if is_body(skeleton) else None
    return surface or _sticks(skeleton)


def _surface(skeleton: Skeleton, cell: float) -> BodyMesh | None:
    """None where all limbs are too thin for the cells."""
    scale = body_scale(skeleton)
    body = _Body(skeleton.with_offsets(skeleton.offsets / scale))
    vertices, quads = _surface_nets(body, cell)
    if not len(quads):
        return None
    neighbours = _neighbours(quads, len(vertices))
    for _ in range(3):
        vertices = body.project(0.4 * vertices + 0.6 * (neighbours @ vertices))
    vertices = body.project(vertices)
    normals = body.slope(vertices)[1]
    normals = normalise(normals + neighbours @ normalise(normals))
    joints, weights = body.skin_weights(vertices, neighbours)
    return BodyMesh(
        vertices=(vertices * scale).astype(np.float32),
        normals=normals.astype(np.float32),
        quads=quads,
        joints=joints,
        weights=weights,
        rest=skeleton.rest_positions,
    )


def _sticks(skeleton: Skeleton) -> BodyMesh:
    """A square rod for each bone, thinner towards the child; one for a joint without bones."""
    rest = skeleton.rest_positions
    ends = np.array(skeleton.bones or [(0, 0)])
    starts, stops = rest[ends[:, 1]], rest[ends[:, 0]]
    lengths = np.linalg.norm(stops - starts, axis=-1, keepdims=True)
    size = max(float(np.ptp(rest, axis=0).max()), 1e-3)
    thickness = np.clip(STICK * lengths, STICK / 10 * size, STICK / 3 * size)
    ahead = np.where(lengths > 0, (stops - starts) / np.maximum(lengths, 1e-12), [0.0, 1.0, 0.0])
    aside = normalise(np.cross(ahead, np.eye(3)[np.abs(ahead).argmin(-1)]))
    across = np.cross(ahead, aside)
    around = np.stack([aside, across, -aside, -across], axis=1)
    rings = [
        (end + sign * thickness * ahead)[:, None] + share * thickness[:, None] * around
        for end, sign, share in ((starts, -1, 1.0), (stops, 1, 0.6))
    ]
    vertices = np.stack(rings, axis=1).reshape(-1, 3)
    slants = np.stack([around - ahead[:, None], around + ahead[:, None]], axis=1)
    faces = [[i, (i + 1) % 4, 4 + (i + 1) % 4, 4 + i] for i in range(4)]
    faces += [[3, 2, 1, 0], [4, 5, 6, 7]]
    joints, weights = np.zeros((2, len(vertices), NUM_INFLUENCES))
    joints[:, 0], weights[:, 0] = np.repeat(ends[:, 1], 8), 1
    return BodyMesh(
        vertices=vertices.astype(np.float32),
        normals=normalise(slants.reshape(-1, 3)).astype(np.float32),
        quads=(8 * np.arange(len(ends))[:, None, None] + faces).reshape(-1, 4),
        joints=joints.astype(np.uint16),
        weights=weights.astype(np.float32),
        rest=rest,
    )


class _Body:
    """The implicit surface of a body and the joints that own its parts."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.limbs = body_limbs(skeleton)
        self.num_joints = skeleton.num_joints
        self.floor = ground_level(skeleton)
        self.touching = [
            (i, j, _blend(self.limbs[i], self.limbs[j])) for i, j in meetings(self.limbs)
        ]

    def distance(self, points: np.ndarray) -> np.ndarray:
        """About how far (...) points (..., 3) are outside of the surface, negative inside."""
        each = np.stack([limb.distance(points) for limb in self.limbs])
        whole = each.min(axis=0)
        for i, j, blend in self.touching:
            overlap = np.maximum(blend - np.abs(each[i] - each[j]), 0)
            rounded = np.minimum(each[i], each[j]) - overlap * overlap / (4 * blend)
            np.minimum(whole, rounded, out=whole)
        return np.maximum(whole, self.floor - points[..., 1])

    def slope(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance (...) and its gradient (..., 3)."""
        step = 1e-3
        here = self.distance(points)
        ahead = [self.distance(points + shift) for shift in step * np.eye(3)]
        return here, (np.stack(ahead, -1) - here[..., None]) / step

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points moved towards the surface by one step of Newton's method."""
        distance, gradient = self.slope(points)
        step = distance / np.maximum((gradient**2).sum(-1), 0.25)
        return points - np.clip(step, -0.02, 0.02)[..., None] * gradient

    def skin_weights(
        self, points: np.ndarray, neighbours: csr_array
    ) -> tuple[np.ndarray, np.ndarray]:
        """The strongest joints (V, 4) and their weights (V, 4).

        A vertex follows the limbs it lies on, of those that touch the nearest one, and weights are
        then evened out along the surface, so that an arm beside the trunk does not pull at it.
        """
        each = np.stack([limb.distance(points) for limb in self.limbs], -1)
        nearest = each.argmin(-1)
        touches = np.eye(len(self.limbs), dtype=bool)
        for i, j, _ in self.touching:
            touches[i, j] = touches[j, i] = True
        excess = (each - each.min(-1, keepdims=True)) / SKIN_BLEND
        share = np.exp(-(excess**2)) * touches[nearest]
        owner = np.zeros((len(self.limbs), max(self.num_joints, NUM_INFLUENCES)))
        owner[np.arange(len(self.limbs)), [limb.joint for limb in self.limbs]] = 1
        weights = share @ owner
        weights /= weights.sum(-1, keepdims=True)
        for _ in range(6):
            weights = 0.5 * weights + 0.5 * (neighbours @ weights)
        joints = np.argsort(-weights, axis=-1)[:, :NUM_INFLUENCES]
        strongest = np.take_along_axis(weights, joints, -1)
        strongest[strongest < 0.01] = 0
        strongest /= strongest.sum(-1, keepdims=True)
        joints[strongest == 0] = 0
        return joints.astype(np.uint16), strongest.astype(np.float32)


def _blend(one: Limb, other: Limb) -> float:
    """Over what distance two limbs round off, metres; less where one continues the other."""
    continues = np.allclose(one.b, other.a) or np.allclose(other.b, one.a)
    return BLEND * min(one.thickness, other.thickness) * (0.25 if continues else 1.0)


def _neighbours(quads: np.ndarray, count: int) -> csr_array:
    """(V, V) matrix that averages over each vertex's neighbours along the quads' edges."""
    a, b = quads.ravel(), np.roll(quads, -1, axis=1).ravel()
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    return csr_array(matrix / np.asarray(matrix.sum(axis=1))[:, None])


def _surface_nets(body: _Body, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) near the surface, one a crossed grid cell, and quads (F, 4) between them.

    The grid is symmetric about x = 0, and so is the mesh of a symmetric body.
    """
    low, high = bounds(body.limbs)
    low, high = np.floor(low / cell) - 1, np.ceil(high / cell) + 1
    low[0] = -max(-low[0], high[0])
    high[0] = -low[0]
    axes = [np.arange(a, b + 1) * cell for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    value = _distance_near_surface(body, grid, cell)
    inside = value < 0
    cells = np.array(inside.shape) - 1
    total, crossings = np.zeros((*cells, 3)), np.zeros(cells)
    edges = []
    for axis in range(3):
        first = tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))
        second = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
        crossed = inside[first] != inside[second]
        where = np.argwhere(crossed)
        start, end = value[first][crossed], value[second][crossed]
        points = grid[first][crossed]
        points[:, axis] += cell * start / (start - end)
        u, v = (axis + 1) % 3, (axis + 2) % 3
        corners = []
        for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
            owner = where.copy()
            owner[:, u] -= du
            owner[:, v] -= dv
            corners.append(owner)
            np.add.at(total, tuple(owner.T), points)
            np.add.at(crossings, tuple(owner.T), 1)
        quad = np.stack(corners, 1)
        outward = inside[first][crossed]
        quad[~outward] = quad[~outward][:, ::-1]
        edges.append(quad)
    used = crossings > 0
    index = np.full(crossings.shape, -1)
    index[used] = np.arange(used.sum())
    quads = index[tuple(np.concatenate(edges).transpose(2, 0, 1))]
    return total[used] / crossings[used][:, None], quads


def _distance_near_surface(body: _Body, grid: np.ndarray, cell: float) -> np.ndarray:
    """Distances (X, Y, Z) at the grid's points; far from the surface those of a point nearby."""
    shape = grid.shape[:3]
    value = body.distance(grid[::2, ::2, ::2])
    for axis, length in enumerate(shape):
        value = np.repeat(value, 2, axis=axis).take(range(length), axis=axis)
    near = np.abs(value) < 3.5 * cell
    value[near] = body.distance(grid[near])
    return value
