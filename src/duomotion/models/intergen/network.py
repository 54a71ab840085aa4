"""InterGen's denoiser (Liang et al. 2024, section 4.2, figure 4).

Two networks with the same weights, one a person, denoise the motion of two people. In each block a
person attends to their own motion and then to the partner's as it was before the block, so both are
updated at once. Text and noise level scale and shift every layer norm.

Axes: B batch, P the 2 people, T frames, D width, N blocks, K scales and shifts of a block.
"""

import torch
from torch import Tensor, nn

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.modulation import normalise
from duomotion.models.layers.pair_blocks import BlockModulation, PairAttention, adapt, key_mask
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.pair_denoiser import PairDenoiser, PairDiffusion


class InterGenBlock(PairAttention):
    """Self attention, attention to the partner and feedforward, of both people at once."""

    def __init__(self, config: DenoiserConfig) -> None:
        width = config.width
        super().__init__(width, config.num_heads, dropout=config.attention_dropout)
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward),
            nn.GELU(),
            Dropout(config.dropout),
            zero_linear(config.feedforward, width),
        )

    def forward(self, x_BPTD: Tensor, norms_BKD: Tensor, mask: Tensor | None) -> Tensor:
        """Update both people; `mask` is of the keys, as for `Attention`, for people one by one."""
        x_BPTD, norm = self.attend(x_BPTD, norms_BKD, mask)
        return x_BPTD + self.feedforward(adapt(normalise(x_BPTD), norm))


class InterGenDenoiser(PairDenoiser):
    """Noisy motion of two people, a noise level and a text -> the motion (or the noise) in it."""

    config: DenoiserConfig

    def add_blocks(self) -> None:
        config, numbers = self.config, range(self.config.num_blocks)
        width, rank = config.width, config.modulation_rank
        self.modulations = nn.ModuleList(BlockModulation(width, rank=rank) for _ in numbers)
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


class MotionDiffusion(PairDiffusion):
    """InterGen's denoiser with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    config: DenoiserConfig
    denoiser: InterGenDenoiser

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__(config, InterGenDenoiser)
