"""Masks of the real, not padded, places of a batch.

Axes: B batch, P people, J body parts, T places of a sequence, N = J T tokens of a person's map
(index part T + place).
"""

import torch
from torch import Tensor


def length_mask(lengths_B: Tensor, num_places: int) -> Tensor:
    """(B, T) bool: the places before the end of each sample."""
    return torch.arange(num_places, device=lengths_B.device) < lengths_B[:, None]


def token_map_mask(
    lengths_B: Tensor, num_parts: int, num_places: int, *, num_people: int = 2
) -> Tensor:
    """(B, P, N) bool: the same for the token maps of people who move for equally long."""
    mask_BT = length_mask(lengths_B, num_places)
    return mask_BT.repeat(1, num_parts)[:, None].repeat(1, num_people, 1)
