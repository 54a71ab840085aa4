"""Four numbers that say how sound a clip's motion is; every clip has them."""

from duomotion.evaluation.metrics import physics
from duomotion.motion.interaction import Interaction, Quality
from duomotion.motion.skeleton import SMPL22

MAX_FRAMES = 10_000  # of what is measured; the distances between all bones take memory
MIN_FPS = 10.0  # below, speeds and accelerations say little


def measured(interaction: Interaction) -> Quality | None:
    """The quality of a clip; None unless it is of one or two SMPL-22 people."""
    frames = interaction.num_frames
    is_known = interaction.skeletons[0].same_tree(SMPL22) and interaction.num_people <= 2
    if not is_known or not 3 <= frames <= MAX_FRAMES or interaction.fps < MIN_FPS:
        return None
    found = physics.report(interaction)
    limits = {1: physics.SOLO_LIMITS, 2: physics.PAIR_LIMITS}[interaction.num_people]
    floor_error = max(found["floor_depth"], found["hover"])
    return Quality(
        foot_sliding=found["foot_sliding"],
        overlap=found["body_litres"],
        top_acceleration=found["top_acceleration"],
        floor_error=floor_error,
        flaw=max(
            found["foot_sliding"] / limits.foot_sliding,
            found["body_litres"] / physics.SOUND_LITRES,
            found["top_acceleration"] / limits.top_acceleration,
            floor_error / limits.hover,
        ),
    )
