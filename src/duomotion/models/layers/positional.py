"""Sinusoidal positions of sequences (Vaswani et al. 2017) and of grids (Wang & Liu 2021).

Sine and cosine of a frequency are adjacent channels.
"""

import torch
from torch import Tensor


def axis_frequencies(width: int) -> Tensor:
    """Angular frequencies per cell of one axis of a grid whose positions are `width` wide.

    An axis gets half of the width, rounded up to an even number; a frequency fills two channels.
    """
    channels = -(-width // 4) * 2
    return 1.0 / (10000 ** (torch.arange(0, channels, 2).float() / channels))


def sinusoid_sequence(length: int, width: int, *, device=None) -> Tensor:
    """Positions (length, width), float32; `width` is even."""
    return sinusoids_at(torch.arange(length, device=device), width)


def sinusoids_at(positions_T: Tensor, width: int) -> Tensor:
    """Those rows (T, width) of `sinusoid_sequence`."""
    return _waves(positions_T, axis_frequencies(2 * width).to(positions_T.device))


def sinusoid_grid(rows: int, columns: int, width: int, *, device=None) -> Tensor:
    """Positions (rows, columns, width), float32, as the positional-encodings package has them.

    The first half of the channels encodes the row, the second half the column.
    """
    frequencies = axis_frequencies(width).to(device)
    row = _waves(torch.arange(rows, device=device), frequencies)
    column = _waves(torch.arange(columns, device=device), frequencies)
    row, column = row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)
    return torch.cat((row, column), -1)[..., :width]


def _waves(positions_T: Tensor, frequencies: Tensor) -> Tensor:
    # In float64, so that how many positions there are does not show in how one is rounded.
    angles = positions_T[:, None] * frequencies.double()
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).float()
