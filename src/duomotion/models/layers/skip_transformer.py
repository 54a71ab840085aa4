"""Transformers whose first half of blocks is joined to the second by long skips (MLD, MotionLCM).

With 2 n + 1 blocks, the output of the first meets that of the last but one, and so on: a linear
layer brings both together before each block of the second half.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SkipTransformer(nn.Module):
    """An odd number of blocks of one kind, and a layer norm behind them."""

    def __init__(self, make: Callable[[], nn.Module], *, num_layers: int, width: int) -> None:
        """Make the blocks.

        Args:
            make: a block; it is called with (B, T, D) and what all blocks are given.

        Raises:
            ValueError: the number of layers is even.
        """
        super().__init__()
        if num_layers % 2 == 0:
            raise ValueError(f"num_layers must be odd, so that skips pair up, not {num_layers}")
        self.middle = num_layers // 2
        self.blocks = nn.ModuleList(make() for _ in range(num_layers))
        self.joins = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(self.middle))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, *inputs: Tensor | None) -> Tensor:
        skips: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            if number > self.middle:
                join = self.joins[number - self.middle - 1]
                x_BTD = join(torch.cat((x_BTD, skips.pop()), -1))
            x_BTD = block(x_BTD, *inputs)
            if number < self.middle:
                skips.append(x_BTD)
        return self.norm(x_BTD)
