"""Blocks of two denoisers with the same weights that attend to each other (InterGen, figure 4).

In each block a person attends to their own motion and then to the partner's as it was before the
block, so both are updated at once. Text and noise level scale and shift every layer norm. What
comes after the attention is each system's own.

Axes: B batch, P the 2 people, T frames, D width, K scales and shifts of a block.
"""

import torch
from torch import Tensor, nn

from duomotion.models.layers.attention import Attention
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE

NORMS = ("own", "query", "partner", "feedforward")
"""Layer norms of a block: before self attention, of both sides of the attention to the partner."""


class BlockModulation(nn.Module):
    """Embedding of text and noise level (B, D) -> scale and shift of each norm, (B, K, D)."""

    def __init__(self, width: int, *, rank: int | None = None) -> None:
        """Make the layers; `rank` is as for `Modulation`."""
        super().__init__()
        for name in NORMS:
            setattr(self, name, Modulation(width, 2, rank=rank))

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return torch.cat([x for name in NORMS for x in getattr(self, name)(embedding_BD)], 1)


class PairAttention(nn.Module):
    """Self attention and attention to the partner, of both people at once."""

    def __init__(self, width: int, num_heads: int, *, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, num_heads, dropout=dropout, add_zero_attn=True)
        self.cross_attention = Attention(width, num_heads, dropout=dropout, add_zero_attn=True)

    def attend(
        self, x_BPTD: Tensor, norms_BKD: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both people after the attention, and what `adapt` takes for the layer norm after it.

        `mask` is of the keys, as for `Attention`, for people one by one.
        """
        norms = norms_BKD.unflatten(1, (len(NORMS), 2))[..., None, None, :].unbind(1)
        own, query, partner, after = norms
        normed = normalise(x_BPTD)
        attended = self.self_attention(adapt(normed, own).flatten(0, 1), mask)
        x_BPTD = x_BPTD + attended.view_as(x_BPTD)
        crossed = self.cross_attention.cross(
            adapt(normalise(x_BPTD), query).flatten(0, 1),
            adapt(normed.flip(1), partner).flatten(0, 1),
            mask,
        )
        return x_BPTD + crossed.view_as(x_BPTD), after


def adapt(normed_BPTD: Tensor, norm: Tensor) -> Tensor:
    """Scaled and shifted by a norm's two vectors, (B, 2, 1, 1, D)."""
    scale, shift = norm.unbind(1)
    return modulate(normed_BPTD, shift, scale)


def key_mask(lengths_B: Tensor, places: int) -> Tensor | None:
    """(B P, 1, 1, T) bool; None where there is no padding."""
    if bool((lengths_B == places).all()):
        return None
    return length_mask(lengths_B, places)[:, None, None].repeat_interleave(NUM_PEOPLE, 0)
