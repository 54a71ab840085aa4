"""ILD's denoiser of latents (section 3.2, figure 2, stage 2).

Axes: B samples, L latents, K their width, D width of the transformer, C of the text vector.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.ild.autoencoder import projection, stack
from duomotion.models.ild.config import LatentDenoiserConfig, SkipTransformerConfig
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.latents import LatentStatistics
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.positional import sinusoids_at
from duomotion.models.layers.skip_transformer import SkipTransformer
from duomotion.models.layers.text_head import TextHead
from duomotion.models.layers.transformer import PostNormBlock

GUIDANCE_WAVES = 1000.0
"""Scales of guidance are as far apart as so many noise levels (Luo et al. 2023)."""


class LatentDenoiser(nn.Module):
    """Noisy latents, a noise level and a text -> the noise in them."""

    def __init__(self, config: LatentDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.input_projection = projection(config.latent_dim, width)
        self.output_projection = projection(width, config.latent_dim)
        self.time_embedding = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.guidance_projection = (
            None if config.guidance_dim is None else zero_linear(config.guidance_dim, width)
        )
        self.text_projection = nn.Linear(config.text_dim, width)
        self.length_embedding = nn.Linear(width, width) if config.length_token else None
        self.text_head = TextHead(
            config.text_dim,
            num_layers=config.text_layers,
            num_heads=config.text_heads,
            feedforward=config.text_feedforward,
            dropout=config.text_dropout,
        )
        more = 2 + config.length_token if config.conditioning == "tokens" else 0
        self.positions = nn.Parameter(torch.rand(config.num_latents + more, width))
        self.transformer = (
            stack(config.transformer, PostNormBlock)
            if config.conditioning == "tokens"
            else SkipTransformer(
                lambda: AdaptiveBlock(config.transformer, rank=config.modulation_rank),
                num_layers=config.transformer.num_layers,
                width=width,
            )
        )

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Tensor:
        """(B, D): the text at all noise levels.

        Args:
            text_BC: text vectors as `text_head` gives them.
            drop_B: bool, True where the sample is to be treated as one without a text.
        """
        if drop_B is not None:
            text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        return self.text_projection(text_BC)

    def embed_times(self, times_B: Tensor, guidance_B: Tensor | None = None) -> Tensor:
        """(B, D) of noise levels from 0 on, and of the scale of guidance for who is told it."""
        weight = self.text_projection.weight
        waves_BD = sinusoids_at(times_B, self.config.transformer.width).to(weight)
        if self.guidance_projection is not None:
            assert guidance_B is not None
            told_BC = sinusoids_at(
                GUIDANCE_WAVES * guidance_B, self.guidance_projection.in_features
            )
            waves_BD = waves_BD + self.guidance_projection(told_BC.to(weight))
        return self.time_embedding(waves_BD)

    def embed_lengths(self, frames_B: Tensor) -> Tensor | None:
        """(B, D) of lengths; None where the network is not told them."""
        if self.length_embedding is None:
            return None
        waves_BD = sinusoids_at(frames_B, self.config.transformer.width)
        return self.length_embedding(waves_BD.to(self.text_projection.weight))

    def forward(
        self, z_BLK: Tensor, time_BD: Tensor, text_BD: Tensor, length_BD: Tensor | None = None
    ) -> Tensor:
        """(B, L, K): what the schedule asks for, as a rule the noise.

        Args:
            time_BD: of `embed_times`.
            text_BD: of `condition`.
            length_BD: of `embed_lengths`.
        """
        x_BLD, latents = self.input_projection(z_BLK), z_BLK.shape[1]
        conditions = [time_BD, text_BD, *([] if length_BD is None else [length_BD])]
        if self.config.conditioning == "adaptive":
            condition_BD = torch.stack(conditions).sum(0)
            made_BLD = self.transformer(x_BLD + self.positions, condition_BD)
        else:
            x_BLD = torch.cat((x_BLD, torch.stack(conditions, 1)), 1)
            made_BLD = self.transformer(x_BLD + self.positions, None)[:, :latents]
        return self.output_projection(made_BLD)


class AdaptiveBlock(nn.Module):
    """Attention and feedforward whose layer norms and gates a condition decides (DiT)."""

    def __init__(self, config: SkipTransformerConfig, *, rank: int | None) -> None:
        super().__init__()
        width = config.width
        self.attention = Attention(width, config.num_heads, dropout=config.attention_dropout)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.dropout = Dropout(config.dropout)
        self.modulation = Modulation(width, 6, rank=rank)

    def forward(self, x_BLD: Tensor, condition_BD: Tensor) -> Tensor:
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.modulation(condition_BD)
        x_BLD = x_BLD + gate * self.attention(modulate(normalise(x_BLD), shift, scale))
        hidden = F.gelu(self.linear1(modulate(normalise(x_BLD), ff_shift, ff_scale)))
        return x_BLD + ff_gate * self.dropout(self.linear2(self.dropout(hidden)))


class LatentDiffusion(LatentStatistics):
    """A denoiser with the statistics of its latents, by place and channel."""

    def __init__(self, config: LatentDenoiserConfig) -> None:
        super().__init__(config.num_latents, config.latent_dim)
        self.config = config
        self.denoiser = LatentDenoiser(config)


TRAINING_ONLY = ("target.", "fake.")
"""How names of tensors begin which a student needs in training alone."""


def without_training(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A student's state as a `LatentDiffusion` has it."""
    return {name: each for name, each in tensors.items() if not name.startswith(TRAINING_ONLY)}
