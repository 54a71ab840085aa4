"""Context of a token from its neighbours in the sequence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalConv(nn.Conv1d):
    """A convolution over sequences, (B, N, C) -> (B, N, D), zero-padded at the ends (ours).

    Args:
        radius: tokens before and after that it covers.
    """

    def __init__(self, in_width: int, out_width: int, radius: int) -> None:
        super().__init__(in_width, out_width, 2 * radius + 1, padding=radius, bias=False)

    def forward(self, x_BNC: Tensor) -> Tensor:
        return super().forward(x_BNC.transpose(1, 2)).transpose(1, 2)


class MixedConv(nn.Module):
    """A linear layer and a convolution over a place and its two neighbours, (B, N, C) -> (B, N, C).

    Zero-padded at the ends. There is nothing between the two, so they are one convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width, bias=False)
        self.convolution = nn.Conv1d(width, width, 3, padding=1)

    @property
    def weight(self) -> Tensor:
        """(C, C, 3), of the convolution."""
        return self.convolution.weight

    def forward(self, x_BNC: Tensor) -> Tensor:
        return self.convolution(self.mix(x_BNC).mT).mT

    def joined(self) -> Tensor:
        """(C, 3 C): both as one matrix on what `side_by_side` gives."""
        taps = torch.einsum("ock,ci->oki", self.weight.float(), self.mix.weight.float())
        return taps.flatten(1).to(self.weight)


def side_by_side(x_BNC: Tensor) -> Tensor:
    """(B, N, 3 C): the place before, the place itself, the one behind; zeros at the ends."""
    return F.pad(x_BNC, (0, 0, 1, 1)).unfold(1, 3, 1).mT.flatten(2)
