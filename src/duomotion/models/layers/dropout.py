"""Dropout whose random mask is cheap to draw on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """`torch.nn.Dropout`, with the share rounded to a multiple of 1/256 on a CPU.

    There, PyTorch draws one number for each entry on a single thread, which can cost more than the
    layer before it; here one draw of 64 bits serves eight entries.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.dropout(x, self.share, self.training)
        dropped = round(256 * self.share)
        if not self.training or not dropped:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))
