"""Motion filtered over time."""

import torch
import torch.nn.functional as F
from torch import Tensor


def smooth(x_BTF: Tensor, deviation: float) -> Tensor:
    """Features filtered with a Gaussian of `deviation` frames; the ends are repeated."""
    radius = round(3 * deviation)
    times = torch.arange(-radius, radius + 1, device=x_BTF.device, dtype=x_BTF.dtype)
    weights = torch.softmax(-((times / deviation) ** 2) / 2, 0)
    held_BFT = F.pad(x_BTF.transpose(1, 2), (radius, radius), mode="replicate")
    return (held_BFT.unfold(-1, len(weights), 1) @ weights).transpose(1, 2)
