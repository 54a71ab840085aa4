"""Inter-X's evaluator (Xu et al. 2024)."""

from torch import Tensor

from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.motion import interx

NUM_PEOPLE = 2

INTERX = BiGRUConfig(motion_dim=NUM_PEOPLE * interx.NUM_FEATURES)


class InterXEvaluator(BiGRUEvaluator):
    """Reads features (B, 2, T, 336), not normalised."""

    max_frames = interx.MAX_FRAMES
    max_words = 35

    def normalised(self, motion: Tensor) -> Tensor:
        """Numbers of both people side by side for each joint, and no velocities of the root."""
        joints_BPTJD = interx.to_joint_map(motion).clone()
        joints_BPTJD[..., -1, 3:] = 0
        return joints_BPTJD.permute(0, 2, 3, 1, 4).flatten(2)
