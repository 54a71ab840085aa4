"""Whether generated motion moves as bodies do, so that what does not can be drawn again."""

import numpy as np

from duomotion.evaluation.metrics.physics import SOUND_LITRES, body_depths, body_litres
from duomotion.motion.interaction import Interaction
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22

# The medians of recordings are 37 m/s^2 and 0.1 l; see `physics.Limits` for more of their values.
ACCELERATION = 100.0  # m/s^2, the largest of a joint


def flaw(clip: Interaction, known_PT: np.ndarray | None = None) -> float:
    """How far a clip is from moving as bodies do, at most 1 where it does.

    Args:
        known_PT: bool, frames that were given and are not judged; of the clip's first people.
    """
    positions = clip.positions.astype(np.float64)
    _, accelerations = joint_motion(positions, clip.fps)
    largest_PT = accelerations.max(-1, initial=0)
    if known_PT is not None:
        given = known_PT[:, :-2] & known_PT[:, 1:-1] & known_PT[:, 2:]
        largest_PT[: len(given)][given] = 0
    found = float(largest_PT.max(initial=0)) / ACCELERATION
    if clip.num_people == 2 and clip.skeletons[0].same_tree(SMPL22):
        found = max(found, body_litres(clip, body_depths(positions)) / SOUND_LITRES)
    return found
