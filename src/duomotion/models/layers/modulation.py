"""Adaptive layer norm: scales, shifts and gates that a condition vector decides (Peebles & Xie)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Modulation(nn.Module):
    """Condition (B, D) -> `num_chunks` vectors of (B, 1, D), all zero at the start of training.

    `rank` makes the D x (num_chunks D) matrix a product of two thin ones; None keeps it whole.
    """

    def __init__(self, width: int, num_chunks: int, *, rank: int | None = None):
        super().__init__()
        self.num_chunks = num_chunks
        self.reduce = nn.Identity() if rank is None else nn.Linear(width, rank, bias=False)
        self.expand = nn.Linear(rank or width, num_chunks * width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make every scale, shift and gate zero."""
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, condition_BD: Tensor) -> tuple[Tensor, ...]:
        chunks = self.expand(self.reduce(F.silu(condition_BD)))
        return chunks.unsqueeze(1).chunk(self.num_chunks, -1)


def normalise(x: Tensor) -> Tensor:
    """Layer norm over the last axis without learnt scale and shift (epsilon 1e-6)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulate(normed: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """normed (1 + scale) + shift."""
    return torch.addcmul(shift, normed, 1 + scale)
