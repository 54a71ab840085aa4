"""Inter-X's evaluator (Xu et al. 2024)."""

from torch import Tensor

from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.motion import layouts
from duomotion.motion.interx import ROOT, VELOCITY

NUM_PEOPLE = 2

INTERX = BiGRUConfig(motion_dim=NUM_PEOPLE * layouts.INTERX.num_features)


class InterXEvaluator(BiGRUEvaluator):
    """Reads features (B, 2, T, 336), not normalised."""

    max_frames = layouts.INTERX.max_frames
    max_words = 35

    def normalised(self, motion: Tensor) -> Tensor:
        """Numbers of both people side by side for each joint, and no velocities of the root."""
        joints_BPTJD = layouts.INTERX.to_joint_map(motion).clone()
        joints_BPTJD[..., ROOT, VELOCITY] = 0
        return joints_BPTJD.permute(0, 2, 3, 1, 4).flatten(2)
