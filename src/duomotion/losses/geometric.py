"""Geometric losses of reconstructed motion (InterGen, Liang et al. 2024).

Axes: B samples, T frames, J joints, E bones. `penalty` is any of torch.nn.functional's elementwise
losses.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.losses.reconstruction import Penalty
from duomotion.motion.contacts import CONTACT_HEIGHTS, CONTACT_SPEED


def velocity_loss(
    prediction_BTJ3: Tensor, target_BTJ3: Tensor, penalty: Penalty = F.smooth_l1_loss
) -> Tensor:
    """Mean penalty between the steps from each frame to the next."""
    return penalty(prediction_BTJ3.diff(dim=1), target_BTJ3.diff(dim=1))


def bone_lengths(positions_BTJ3: Tensor, bones: tuple[tuple[int, int], ...]) -> Tensor:
    """(B, T, E) distance of the two joints of each bone."""
    ends, starts = zip(*bones, strict=True)
    return torch.linalg.vector_norm(
        positions_BTJ3[..., list(ends), :] - positions_BTJ3[..., list(starts), :], dim=-1
    )


def bone_length_loss(
    prediction_BTJ3: Tensor,
    target_BTJ3: Tensor,
    bones: tuple[tuple[int, int], ...],
    penalty: Penalty = F.smooth_l1_loss,
) -> Tensor:
    """Mean penalty between bone lengths."""
    return penalty(bone_lengths(prediction_BTJ3, bones), bone_lengths(target_BTJ3, bones))


def foot_contact_loss(
    prediction_BT43: Tensor, target_BT43: Tensor, penalty: Penalty = F.smooth_l1_loss
) -> Tensor:
    """Mean penalty on the predicted steps of feet that stand still in the target.

    Args:
        prediction_BT43, target_BT43: metres at 30 fps, floor at height 0: left ankle, left foot,
            right ankle, right foot.

    Returns:
        (), zero where no foot has contact.
    """
    heights_4 = target_BT43.new_tensor(CONTACT_HEIGHTS)
    still = target_BT43.diff(dim=1).square().sum(-1) < CONTACT_SPEED
    low = target_BT43[:, :-1, :, 1] < heights_4
    contact_BT41 = (still & low).unsqueeze(-1)
    slide_BT43 = prediction_BT43.diff(dim=1) * contact_BT41
    total = penalty(slide_BT43, torch.zeros_like(slide_BT43), reduction="sum")
    return total / (3 * contact_BT41.sum()).clamp(min=1)


def geodesic_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean angle in radians between rotation matrices (..., 3, 3).

    The cosine is kept 1e-7 away from -1 and 1, where the gradient of the angle is infinite.
    """
    cosine = ((prediction * target).sum((-2, -1)) - 1) / 2
    return cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos().mean()
