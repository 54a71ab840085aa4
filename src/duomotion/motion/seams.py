"""Whether it shows where pieces of motion were joined."""

from collections.abc import Sequence

import numpy as np

from duomotion.motion.contacts import foot_joints, foot_sliding
from duomotion.motion.interaction import Interaction

TINY = 1e-6  # keeps people who stand still from standing out against nothing


def joint_motion(positions: np.ndarray, fps: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Speeds (..., T-1, J) in m/s and accelerations (..., T-2, J) in m/s^2 of (..., T, J, 3)."""
    velocities = np.diff(positions, axis=-3) * fps
    accelerations = np.diff(velocities, axis=-3) * fps
    return np.linalg.norm(velocities, axis=-1), np.linalg.norm(accelerations, axis=-1)


def seams(interaction: Interaction, starts: Sequence[int], around: int = 3) -> dict[str, float]:
    """Whether the frames at which generated pieces were joined can be told from the others.

    Args:
        interaction: people whose skeleton has ankles and feet; 3 frames or more.
        starts: the first frame of each piece but the first.
        around: frames before and after a seam that belong to it.

    Returns:
        speed, acceleration: the largest of any joint at a seam over the 99th percentile, over the
            clip's frames, of the largest of any joint; 1 and less does not stand out.
        sliding: foot sliding at the seams over that of the whole clip.
    """
    positions = interaction.positions.astype(np.float64)
    frames = np.unique(np.add.outer(starts, np.arange(-around, around + 1)))
    found = {}
    for name, values in zip(
        ("speed", "acceleration"), joint_motion(positions, interaction.fps), strict=True
    ):
        largest_T = values.max((0, 2))
        at = frames[(frames >= 0) & (frames < len(largest_T))]
        found[name] = float(largest_T[at].max() / max(np.percentile(largest_T, 99), TINY))
    feet = positions[:, :, foot_joints(interaction.skeletons[0])]
    pieces = [feet[:, max(0, start - around) : start + around + 2] for start in starts]
    there = np.mean([foot_sliding(piece, interaction.fps) for piece in pieces])
    found["sliding"] = float(there / max(foot_sliding(feet, interaction.fps).mean(), TINY))
    return found
