"""How far a reconstruction is from its target, number by number."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from duomotion.motion.interhuman import INTERHUMAN


class Penalty(Protocol):
    """An elementwise distance of torch.nn.functional: `l1_loss`, `smooth_l1_loss`, `mse_loss`."""

    def __call__(self, input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor: ...


def joint_map_loss(
    prediction_BTJD: Tensor, target_BTJD: Tensor, penalty: Penalty = F.smooth_l1_loss
) -> Tensor:
    """Mean penalty over positions, velocities and rotations of a joint map (B, T, 22, 12).

    The root's rotation is not a feature and does not count, nor do contacts.
    """
    without_contacts = slice(INTERHUMAN.blocks.contacts.start)
    prediction, target = (
        INTERHUMAN.from_joint_map(x)[..., without_contacts] for x in (prediction_BTJD, target_BTJD)
    )
    return penalty(prediction, target)
