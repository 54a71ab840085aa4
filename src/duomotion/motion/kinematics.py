"""From joint rotations to positions and back."""

import numpy as np

from duomotion.motion.rotations import Array, align_vectors, namespace, normalise, rotation_between
from duomotion.motion.skeleton import Skeleton

PALM = 0.09
"""Metres from the wrist, where SMPL-22 ends, to the middle of the palm."""


def palms(wrists: np.ndarray, elbows: np.ndarray) -> np.ndarray:
    """(..., 3) middles of hands that continue their forearms, of joints (..., 3) in metres."""
    return wrists + PALM * normalise(wrists - elbows)


def global_rotations(rotations: Array, skeleton: Skeleton) -> Array:
    """Local (..., J, 3, 3) to world (..., J, 3, 3) rotations; numpy or torch."""
    parents = np.array(skeleton.parents)
    levels = [rotations[..., skeleton.levels[0], :, :]]
    for above, joints in zip(skeleton.levels, skeleton.levels[1:], strict=False):
        parent = np.searchsorted(above, parents[joints])
        levels.append(levels[-1][..., parent, :, :] @ rotations[..., joints, :, :])
    return _in_order(levels, skeleton, axis=-3)


def local_rotations(rotations: Array, skeleton: Skeleton) -> Array:
    """World (..., J, 3, 3) to local (..., J, 3, 3) rotations; numpy or torch."""
    children = rotations[..., 1:, :, :]
    parents = rotations[..., np.array(skeleton.parents)[1:], :, :]
    xp = namespace(rotations)
    return xp.concatenate([rotations[..., :1, :, :], xp.swapaxes(parents, -1, -2) @ children], -3)


def forward_kinematics(root_positions: Array, rotations: Array, offsets: Array, skeleton: Skeleton):
    """World positions of all joints; numpy or torch, differentiable in torch.

    Args:
        root_positions: (..., 3) metres.
        rotations: (..., J, 3, 3) local rotations, the root's in the world.
        offsets: (J, 3) metres, or (..., J, 3) where each item has its own bone lengths.
        skeleton: gives the tree; its own offsets are not used.

    Returns:
        (..., J, 3) metres.
    """
    world = global_rotations(rotations, skeleton)
    parents = np.array(skeleton.parents)
    steps = (world[..., parents[1:], :, :] @ offsets[..., 1:, :, None])[..., 0]
    levels = [root_positions[..., None, :]]
    for above, joints in zip(skeleton.levels, skeleton.levels[1:], strict=False):
        parent = np.searchsorted(above, parents[joints])
        levels.append(levels[-1][..., parent, :] + steps[..., joints - 1, :])
    return _in_order(levels, skeleton, axis=-2)


def _in_order(levels: list[Array], skeleton: Skeleton, axis: int) -> Array:
    joined = namespace(levels[0]).concatenate(levels, axis)
    order = np.argsort(np.concatenate(skeleton.levels))
    return joined[..., order, :] if axis == -2 else joined[..., order, :, :]


def fit_rotations(
    positions: np.ndarray, skeleton: Skeleton, twist: np.ndarray | None = None
) -> np.ndarray:
    """Local rotations whose bones point where the bones between `positions` point.

    A joint with one child turns by the smallest rotation from where `twist` puts it, so the turn
    about the bone, which positions do not show, comes from there. A joint with several children is
    aligned to all of them at once.

    Args:
        positions: (..., J, 3) metres; bone lengths need not be the skeleton's.
        skeleton: rest pose.
        twist: (..., J, 3, 3) local rotations to start from, identities when missing. The root's is
            not used unless the root has a single child.

    Returns:
        (..., J, 3, 3) local rotations, the root's in the world.
    """
    positions = np.asarray(positions, dtype=np.float64)
    world = np.broadcast_to(np.eye(3), (*positions.shape, 3)).copy()
    parents, children = np.array(skeleton.parents), skeleton.children
    for joints in skeleton.levels:
        if joints[0] > 0:
            world[..., joints, :, :] = world[..., parents[joints], :, :]
        if twist is not None:
            world[..., joints, :, :] @= twist[..., joints, :, :]
        single = [joint for joint in joints if len(children[joint]) == 1]
        if single:
            ends = [children[joint][0] for joint in single]
            start = world[..., single, :, :]
            turned = (start @ skeleton.offsets[ends][..., None])[..., 0]
            turn = rotation_between(turned, positions[..., ends, :] - positions[..., single, :])
            world[..., single, :, :] = turn @ start
        for joint in joints:
            if len(children[joint]) > 1:
                ends = list(children[joint])
                observed = positions[..., ends, :] - positions[..., joint, None, :]
                # A faint pull towards the start decides only what bones leave open, such as bones
                # without length.
                pull = 1e-4 * np.swapaxes(world[..., joint, :, :], -1, -2)
                source = np.concatenate([skeleton.offsets[ends], 1e-4 * np.eye(3)])
                target = np.concatenate([observed, pull], axis=-2)
                world[..., joint, :, :] = align_vectors(source, target)
    return local_rotations(world, skeleton)


def fit_skeleton(positions: np.ndarray, like: Skeleton) -> Skeleton:
    """The skeleton of the body whose joints moved along `positions` (T, J, 3), in metres.

    Bone lengths are medians over the frames. Bones that leave a joint alone keep the rest direction
    of `like`; where several leave one joint, their rest directions are the median of what is seen
    in that joint's frame, so that shoulders and hips keep the body's own shape.
    """
    positions = np.asarray(positions, dtype=np.float64)
    offsets = like.offsets.copy()
    for joint, children in enumerate(like.children):
        observed = positions[:, children, :] - positions[:, joint, None, :]
        lengths = np.median(np.linalg.norm(observed, axis=-1), axis=0)
        rest = like.offsets[list(children)]
        if len(children) > 1:
            turn = align_vectors(np.broadcast_to(rest, observed.shape), observed)
            rest = np.median(observed @ turn, axis=0)
        for child, direction, length in zip(children, rest, lengths, strict=True):
            offsets[child] = direction / (np.linalg.norm(direction) + 1e-9) * length
    return like.with_offsets(offsets)
