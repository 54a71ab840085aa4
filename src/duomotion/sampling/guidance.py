"""Classifier-free guidance (Ho & Salimans 2021) with both predictions in one pass of the network.

Put the conditioned samples first and the same samples without a condition behind them
(`twice`), run the network once over the double batch, and combine its two halves (`guide`).
"""

import torch
from torch import Tensor


def twice(x_B: Tensor) -> Tensor:
    """The batch followed by itself."""
    return torch.cat((x_B, x_B))


def dropped_half(batch: int, *, device=None) -> Tensor:
    """(2 batch,) bool for a doubled batch: True where the condition is to be dropped."""
    return torch.arange(2 * batch, device=device) >= batch


def guide(prediction_2B: Tensor, scale: float) -> Tensor:
    """u + scale (c - u) of a doubled batch whose first half c is conditioned, second half u not."""
    conditioned, unconditioned = prediction_2B.chunk(2)
    return unconditioned + scale * (conditioned - unconditioned)
