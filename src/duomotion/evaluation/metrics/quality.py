"""Four numbers that say how sound a clip's motion is; every clip has them."""

from dataclasses import dataclass

from duomotion.evaluation.metrics import physics
from duomotion.motion.interaction import Interaction
from duomotion.motion.skeleton import SMPL22

MAX_FRAMES = 10_000  # of what is measured; the distances between all bones take memory
MIN_FPS = 10.0  # below, speeds and accelerations say little
OVERLAP = 0.8  # litres; the most that is sound, as in models.soundness


@dataclass(frozen=True)
class Quality:
    """What is measured of a clip, as in `physics.report`.

    Attributes:
        foot_sliding: m/s, of feet near the floor, the worst of the people.
        overlap: litres of one body inside the other, at worst; 0 of one person.
        top_acceleration: m/s^2, the largest of a joint.
        floor_error: metres under the floor, or over it for longer than a jump.
        flaw: the worst of them over what sound motion has at most: 1 and less is sound, and of two
            clips the one with less is better.
    """

    foot_sliding: float
    overlap: float
    top_acceleration: float
    floor_error: float
    flaw: float

    def __str__(self) -> str:
        return (
            f"foot sliding {self.foot_sliding:.3f} m/s, overlap {self.overlap:.2f} l, largest "
            f"acceleration {self.top_acceleration:.0f} m/s², off the floor "
            f"{self.floor_error:.3f} m, flaw {self.flaw:.2f}"
        )


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
            found["body_litres"] / OVERLAP,
            found["top_acceleration"] / limits.top_acceleration,
            floor_error / limits.hover,
        ),
    )
