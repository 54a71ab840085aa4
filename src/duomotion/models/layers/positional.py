"""Sinusoidal positions of grids (Wang & Liu 2021; the positional-encodings package)."""

import torch
from torch import Tensor


def axis_frequencies(width: int) -> Tensor:
    """Angular frequencies per cell of one axis of a grid whose positions are `width` wide.

    An axis gets half of the width, rounded up to an even number; a frequency fills two channels.
    """
    channels = -(-width // 4) * 2
    return 1.0 / (10000 ** (torch.arange(0, channels, 2).float() / channels))


def sinusoid_grid(rows: int, columns: int, width: int, *, device=None) -> Tensor:
    """Positions (rows, columns, width), float32.

    The first half of the channels encodes the row, the second half the column; in each half sine
    and cosine of one frequency stand side by side.
    """
    frequencies = axis_frequencies(width).to(device)

    def axis(count: int) -> Tensor:
        angles = torch.arange(count, device=device).float()[:, None] * frequencies
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)

    row = axis(rows)[:, None].expand(-1, columns, -1)
    column = axis(columns)[None].expand(rows, -1, -1)
    return torch.cat((row, column), -1)[..., :width]
