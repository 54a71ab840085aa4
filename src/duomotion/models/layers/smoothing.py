"""Motion filtered over time."""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH_SMOOTHING = 1.2  # frames, standard deviation; errors are smallest from 1.2 to 1.75


def join_patches(x_BPTF: Tensor) -> Tensor:
    """Motion of two people without the steps between patches of frames that lie side by side."""
    return smooth(x_BPTF.flatten(0, 1), PATCH_SMOOTHING).view_as(x_BPTF)


def smooth(x_BTF: Tensor, deviation: float) -> Tensor:
    """Features filtered with a Gaussian of `deviation` frames; the ends are repeated."""
    radius = round(3 * deviation)
    times = torch.arange(-radius, radius + 1, device=x_BTF.device, dtype=x_BTF.dtype)
    weights = torch.softmax(-((times / deviation) ** 2) / 2, 0)
    held_BFT = F.pad(x_BTF.transpose(1, 2), (radius, radius), mode="replicate")
    return (held_BFT.unfold(-1, len(weights), 1) @ weights).transpose(1, 2)
