"""Where an interaction stands: axes, floor, origin, facing, mirroring."""

from dataclasses import replace

import numpy as np

from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import Skeleton

# Turns a world whose Z is up into one whose Y is up: (x, y, z) -> (x, z, -y).
Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

# The reflection that swaps left and right.
REFLECTION = np.diag([-1.0, 1, 1])


def facing(positions: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Angle (...) in radians about +Y from +Z to where the hips (..., J, 3) face."""
    left, right = skeleton.index("left_hip"), skeleton.index("right_hip")
    across = positions[..., left, :] - positions[..., right, :]
    return np.arctan2(-across[..., 2], across[..., 0])


def transform(
    interaction: Interaction, rotation: np.ndarray, translation: np.ndarray
) -> Interaction:
    """The interaction moved by x -> rotation x + translation; (3, 3) and (3,) metres."""
    rotations = interaction.rotations.copy()
    rotations[:, :, 0] = rotation @ rotations[:, :, 0]
    return replace(
        interaction,
        root_positions=interaction.root_positions @ rotation.T + translation,
        rotations=rotations,
    )


def scaled(interaction: Interaction, factor: float) -> Interaction:
    """All lengths, of bodies and of their ways, times a factor."""
    return replace(
        interaction,
        root_positions=interaction.root_positions * factor,
        skeletons=tuple(
            skeleton.with_offsets(skeleton.offsets * factor) for skeleton in interaction.skeletons
        ),
    )


def placing(interaction: Interaction) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and translation (3,) that `place` applies."""
    turn = yaw(-facing(interaction.positions[0, 0], interaction.skeletons[0]))
    start = turn @ interaction.root_positions[0, 0]
    floor = interaction.positions[..., 1].min()
    return turn, -np.array([start[0], floor, start[2]])


def place(interaction: Interaction) -> Interaction:
    """Lowest joint at height 0; the first person starts at the origin and faces +Z."""
    return transform(interaction, *placing(interaction))


def ground(interaction: Interaction) -> Interaction:
    """A recording with its floor at height 0.

    Feet rest on the floor most of the time; the floor is the 5th percentile of the lowest joint's
    height, which single frames below it do not move.
    """
    floor = np.percentile(interaction.positions[..., 1].min((0, 2)), 5)
    return transform(interaction, np.eye(3), np.array([0, -floor, 0]))


def mirror(interaction: Interaction) -> Interaction:
    """Left and right swapped: the motion as seen in a mirror."""
    swap = interaction.skeletons[0].mirrored
    return replace(
        interaction,
        root_positions=interaction.root_positions @ REFLECTION,
        rotations=REFLECTION @ interaction.rotations[:, :, swap] @ REFLECTION,
        skeletons=tuple(
            skeleton.with_offsets(skeleton.offsets[swap] @ REFLECTION)
            for skeleton in interaction.skeletons
        ),
    )


def swap(interaction: Interaction) -> Interaction:
    """The people in the opposite order."""
    return replace(
        interaction,
        root_positions=interaction.root_positions[::-1],
        rotations=interaction.rotations[::-1],
        skeletons=interaction.skeletons[::-1],
    )


def resample(interaction: Interaction, fps: float) -> Interaction:
    """At another frame rate: positions linear, rotations spherical between the nearest frames."""
    if fps == interaction.fps or interaction.num_frames < 2:
        return replace(interaction, fps=fps)
    frames = 1 + int((interaction.num_frames - 1) / interaction.fps * fps + 1e-6)
    times = np.minimum(np.arange(frames) * interaction.fps / fps, interaction.num_frames - 1)
    low = np.minimum(times.astype(int), interaction.num_frames - 2)
    return replace(interpolate(interaction, low, low + 1, times - low), fps=fps)


def held(interaction: Interaction, frames: int) -> Interaction:
    """So many first frames; the last one there is stands for those behind it."""
    chosen = np.minimum(np.arange(frames), interaction.num_frames - 1)
    return replace(
        interaction,
        root_positions=interaction.root_positions[:, chosen],
        rotations=interaction.rotations[:, chosen],
    )


def interpolate(
    interaction: Interaction, low: np.ndarray, high: np.ndarray, part: np.ndarray
) -> Interaction:
    """Frames that lie `part` of the way from frames `low` to frames `high`, (T,) each."""
    from scipy.spatial.transform import Rotation

    part = part[None, :, None]
    roots = interaction.root_positions
    first, second = interaction.rotations[:, low], interaction.rotations[:, high]
    step = Rotation.from_matrix((np.swapaxes(first, -1, -2) @ second).reshape(-1, 3, 3))
    share = np.broadcast_to(part, first.shape[:3]).reshape(-1, 1)
    turn = Rotation.from_rotvec(step.as_rotvec() * share).as_matrix().reshape(first.shape)
    return replace(
        interaction,
        root_positions=roots[:, low] * (1 - part) + roots[:, high] * part,
        rotations=first @ turn,
    )
