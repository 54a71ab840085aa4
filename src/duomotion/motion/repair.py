"""Mending recorded motion: joints that jump for a few frames, and trembling."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_dilation, gaussian_filter1d
from scipy.spatial.transform import Rotation, RotationSpline

from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import nearest_rotation
from duomotion.motion.skeleton import Skeleton

SPIKE = 14.0  # degrees that a joint is off halfway between its neighbouring frames, at 30 fps
AROUND = 2  # frames on either side of a spike that are not trusted either
BONES = 2  # between a joint that jumps and those that may make up for it


def remove_spikes(interaction: Interaction) -> Interaction:
    """Interpolates rotations over the frames in which a joint jumps.

    A joint jumps where its angular acceleration is beyond that of a moving body. Joints up to two
    bones away may make up for the jump, and are interpolated with it; all others stay as they are.
    Before the first and behind the last sound frame, that frame is repeated.
    """
    rotations = interaction.rotations.astype(np.float64)
    roots = interaction.root_positions.astype(np.float64)
    jumps_PTJ = _spread(spikes(rotations), interaction.skeletons[0])
    for person, joint in np.argwhere(jumps_PTJ.any(1)):
        jumps_T = jumps_PTJ[person, :, joint]
        sound, gaps = np.flatnonzero(~jumps_T), np.flatnonzero(jumps_T)
        if len(sound) < 2:
            continue
        frames = np.clip(gaps, sound[0], sound[-1])
        way = RotationSpline(sound, Rotation.from_matrix(rotations[person, sound, joint]))
        rotations[person, gaps, joint] = way(frames).as_matrix()
        if joint == 0:
            roots[person, gaps] = CubicSpline(sound, roots[person, sound])(frames)
    return replace(interaction, root_positions=roots, rotations=rotations)


def _spread(jumps_PTJ: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Jumps with the frames and joints around them."""
    near = np.eye(skeleton.num_joints, dtype=bool)
    child, parent = np.array(skeleton.bones).T
    near[child, parent] = near[parent, child] = True
    joints = jumps_PTJ @ np.linalg.matrix_power(near.astype(int), BONES) > 0
    return binary_dilation(joints, np.ones((1, 2 * AROUND + 1, 1)))


def spikes(rotations: np.ndarray) -> np.ndarray:
    """Whether joints jump (P, T, J) in local rotations (P, T, J, 3, 3) at 30 fps."""
    jumps = np.zeros(rotations.shape[:3], bool)
    before, here, after = rotations[:, :-2], rotations[:, 1:-1], rotations[:, 2:]
    step = Rotation.from_matrix((before.swapaxes(-1, -2) @ after).reshape(-1, 3, 3)).as_rotvec()
    halfway = before @ Rotation.from_rotvec(step / 2).as_matrix().reshape(before.shape)
    off = Rotation.from_matrix((halfway.swapaxes(-1, -2) @ here).reshape(-1, 3, 3)).magnitude()
    jumps[:, 1:-1] = (off > np.radians(SPIKE)).reshape(here.shape[:3])
    return jumps


def smooth(interaction: Interaction, frames: float) -> Interaction:
    """Rotations and root positions averaged over time with a Gaussian weight.

    Args:
        frames: its standard deviation.
    """
    rotations = gaussian_filter1d(interaction.rotations, frames, axis=1, mode="nearest")
    roots = gaussian_filter1d(interaction.root_positions, frames, axis=1, mode="nearest")
    return replace(interaction, root_positions=roots, rotations=nearest_rotation(rotations))
