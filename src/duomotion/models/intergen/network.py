"""InterGen's denoiser (Liang et al. 2024, section 4.2, figure 4).

Two networks with the same weights, one a person, denoise the motion of two people. In each block a
person attends to their own motion and then to the partner's as it was before the block, so both are
updated at once. Text and noise level scale and shift every layer norm.

Axes: B batch, P the 2 people, T frames, D width, N blocks, K scales and shifts of a block.
"""

import torch
from torch import Tensor, nn

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.pair_denoiser import PairDenoiser, PairDiffusion

NORMS = ("own", "query", "partner", "feedforward")
"""Layer norms of a block: before self attention, of both sides of the attention to the partner."""


class BlockModulation(nn.Module):
    """Embedding of text and noise level (B, D) -> scale and shift of each norm, (B, K, D)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        for name in NORMS:
            setattr(self, name, Modulation(config.width, 2, rank=config.modulation_rank))

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return torch.cat([x for name in NORMS for x in getattr(self, name)(embedding_BD)], 1)


class InterGenBlock(nn.Module):
    """Self attention, attention to the partner and feedforward, of both people at once."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.num_heads, config.attention_dropout
        self.self_attention = Attention(width, heads, dropout=dropout, add_zero_attn=True)
        self.cross_attention = Attention(width, heads, dropout=dropout, add_zero_attn=True)
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward),
            nn.GELU(),
            Dropout(config.dropout),
            zero_linear(config.feedforward, width),
        )

    def forward(self, x_BPTD: Tensor, norms_BKD: Tensor, mask: Tensor | None) -> Tensor:
        """Update both people; `mask` is of the keys, as for `Attention`, for people one by one."""
        norms = norms_BKD.unflatten(1, (len(NORMS), 2))[..., None, None, :].unbind(1)
        own, query, partner, feedforward = norms
        normed = normalise(x_BPTD)
        attended = self.self_attention(adapt(normed, own).flatten(0, 1), mask)
        x_BPTD = x_BPTD + attended.view_as(x_BPTD)
        crossed = self.cross_attention.cross(
            adapt(normalise(x_BPTD), query).flatten(0, 1),
            adapt(normed.flip(1), partner).flatten(0, 1),
            mask,
        )
        x_BPTD = x_BPTD + crossed.view_as(x_BPTD)
        return x_BPTD + self.feedforward(adapt(normalise(x_BPTD), feedforward))


def adapt(normed_BPTD: Tensor, norm: Tensor) -> Tensor:
    """Scaled and shifted by a norm's two vectors, (B, 2, 1, 1, D)."""
    scale, shift = norm.unbind(1)
    return modulate(normed_BPTD, shift, scale)


class InterGenDenoiser(PairDenoiser):
    """Noisy motion of two people, a noise level and a text -> the motion (or the noise) in it."""

    config: DenoiserConfig

    def add_blocks(self) -> None:
        config, numbers = self.config, range(self.config.num_blocks)
        self.modulations = nn.ModuleList(BlockModulation(config) for _ in numbers)
        self.blocks = nn.ModuleList(InterGenBlock(config) for _ in numbers)

    def modulate(self, embedding_BD: Tensor) -> Tensor:
        """(B, N, K, D)."""
        return torch.stack([modulation(embedding_BD) for modulation in self.modulations], 1)

    def hidden(self, x_BPTD: Tensor, norms_B: Tensor, lengths_B: Tensor | None) -> Tensor:
        places = x_BPTD.shape[2]
        x_BPTD = x_BPTD + sinusoid_sequence(places, self.config.width).to(x_BPTD)
        mask = None if lengths_B is None else key_mask(lengths_B, places)
        for block, norms_BKD in zip(self.blocks, norms_B.unbind(1), strict=True):
            x_BPTD = block(x_BPTD, norms_BKD, mask)
        return x_BPTD


def key_mask(lengths_B: Tensor, places: int) -> Tensor | None:
    """(B P, 1, 1, T) bool; None where there is no padding."""
    if bool((lengths_B == places).all()):
        return None
    return length_mask(lengths_B, places)[:, None, None].repeat_interleave(NUM_PEOPLE, 0)


class MotionDiffusion(PairDiffusion):
    """InterGen's denoiser with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    config: DenoiserConfig
    denoiser: InterGenDenoiser

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__(config, InterGenDenoiser)
