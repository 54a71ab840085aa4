"""Linear layers of several groups of rows, each group with its own weights.

Axes: G groups, M rows of all groups together, I and O widths.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.linear import linear


class GroupedLinear(nn.Module):
    """Rows (M, I) that lie group by group, and how many each group has -> (M, O), without a bias.

    The work is that of the rows there are. On a GPU one kernel serves all groups, which are told
    apart there; the processor goes through them one by one.
    """

    def __init__(self, groups: int, in_width: int, out_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, out_width, in_width))
        nn.init.uniform_(self.weight, -1 / math.sqrt(in_width), 1 / math.sqrt(in_width))

    def forward(self, x_MI: Tensor, counts_G: Tensor) -> Tensor:
        """`counts_G` are whole numbers whose sum is M."""
        if x_MI.device.type == "cuda":
            return in_one_kernel(x_MI, self.weight, counts_G)
        return group_by_group(x_MI, self.weight.unbind(), counts_G)


def in_one_kernel(x_MI: Tensor, weight_GOI: Tensor, counts_G: Tensor) -> Tensor:
    """The products without the host knowing the counts."""
    device = x_MI.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x_MI, weight_GOI = x_MI.to(dtype), weight_GOI.to(dtype)
    ends_G = counts_G.cumsum(0, dtype=torch.int32)
    return F.grouped_mm(x_MI, weight_GOI.mT, offs=ends_G)


def group_by_group(x_MI: Tensor, weights: Iterable[Tensor], counts_G: Tensor) -> Tensor:
    """The same; a weight may be one of `layers.linear.packed`."""
    parts = x_MI.split(counts_G.tolist())
    return torch.cat([linear(rows, weight) for rows, weight in zip(parts, weights, strict=True)])
