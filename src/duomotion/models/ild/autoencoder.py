"""ILD's interaction-aware autoencoder (section 3.1, figure 2, stage 1).

One transformer reads both people at once beside tokens whose outputs are the distribution of a few
latents; another makes motion of any length of them.

Axes: B samples, P the 2 people, T frames, F features of a person, L latents, K their width, W
features of both people.
"""

import math

import torch
from torch import Tensor, nn

from duomotion.models.ild.alignment import Alignment
from duomotion.models.ild.config import AutoencoderConfig, SkipTransformerConfig
from duomotion.models.ild.linear_code import LinearCode
from duomotion.models.layers.latents import Latents
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.pair_features import NUM_PEOPLE, PairFeatures
from duomotion.models.layers.skip_transformer import SkipTransformer
from duomotion.models.layers.smoothing import join_patches
from duomotion.models.layers.transformer import PostNormBlock, PostNormDecoderBlock


class InteractionAutoencoder(nn.Module):
    """Normalised features of two people <-> latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        frame = config.patch * NUM_PEOPLE * config.num_features
        tokens = 2 * config.num_latents
        self.input_projection = nn.Linear(frame, width)
        self.latent_tokens = nn.Parameter(torch.randn(tokens, width))
        self.encoder_positions = nn.Parameter(torch.rand(tokens + config.max_places, width))
        self.encoder = stack(config.transformer, PostNormBlock)
        self.to_latents = projection(width, config.latent_dim)
        self.from_latents = projection(config.latent_dim, width)
        self.decoder_positions = nn.Parameter(torch.rand(config.max_places, width))
        self.decoder = stack(config.transformer, PostNormDecoderBlock)
        self.output_projection = nn.Linear(width, frame)
        self.linear_code: LinearCode | None = None
        if config.linear_code is not None:
            self.linear_code = LinearCode(
                config.linear_code,
                features=NUM_PEOPLE * config.num_features,
                num_latents=config.num_latents,
                latent_dim=config.latent_dim,
            )
            # What the transformers add starts with nothing.
            self.to_latents = zero_linear(width, config.latent_dim)
            self.output_projection = zero_linear(width, frame)

    def encode(self, x_BPTF: Tensor, lengths_B: Tensor | None = None) -> Latents:
        """Latents of motion.

        Args:
            lengths_B: frames of each sample, whole patches as T is; None where all fill the T.

        Raises:
            ValueError: the motion is longer than the autoencoder was made for, or no whole patches.
        """
        batch, _, frames, _ = x_BPTF.shape
        places, tokens = self._places(frames), len(self.latent_tokens)
        x_BTD = self.input_projection(side_by_side(x_BPTF).unflatten(1, (places, -1)).flatten(2))
        x_BTD = torch.cat((self.latent_tokens.to(x_BTD).expand(batch, -1, -1), x_BTD), 1)
        x_BTD = x_BTD + self.encoder_positions[: tokens + places].to(x_BTD)
        mask = None if lengths_B is None else self._mask(lengths_B, places, tokens)
        made_BLK = self.to_latents(self.encoder(x_BTD, mask)[:, :tokens])
        mean_BLK, log_variance_BLK = made_BLK.chunk(2, 1)
        if self.linear_code is not None:
            assert self.config.linear_code is not None
            mean_BLK = mean_BLK + self.linear_code.encode(side_by_side(x_BPTF), lengths_B)
            log_variance_BLK = log_variance_BLK + 2 * math.log(self.config.linear_code.noise)
        return Latents(mean_BLK, log_variance_BLK)

    def decode(
        self, z_BLK: Tensor, frames: int, lengths_B: Tensor | None = None, *, every: int = 1
    ) -> Tensor:
        """Features (B, P, T, F), T = frames; arguments and errors as of `encode`.

        Args:
            every: n: every nth patch alone, about as it would be among all; without lengths.
        """
        assert every == 1 or lengths_B is None
        places, patch = self._places(frames), self.config.patch
        queries_TD = self.decoder_positions[:places:every].to(z_BLK)
        mask = None if lengths_B is None else self._mask(lengths_B, places, 0)
        x_BTD = self.decoder(queries_TD.expand(len(z_BLK), -1, -1), self.from_latents(z_BLK), mask)
        made_BTW = self.output_projection(x_BTD).unflatten(2, (patch, -1)).flatten(1, 2)
        if self.linear_code is not None:
            linear_BTW = self.linear_code.decode(z_BLK, frames, lengths_B)
            if every > 1:
                linear_BTW = linear_BTW.unflatten(1, (places, patch))[:, ::every].flatten(1, 2)
            made_BTW = made_BTW + linear_BTW
        return made_BTW.unflatten(2, (NUM_PEOPLE, -1)).transpose(1, 2)

    def _places(self, frames: int) -> int:
        config = self.config
        if not 0 < frames <= config.max_places * config.patch or frames % config.patch:
            raise ValueError(
                f"motion of {frames} frames can't be encoded: it must be 1 to {config.max_frames} "
                f"of them, in whole patches of {config.patch}"
            )
        return frames // config.patch

    def _mask(self, lengths_B: Tensor, places: int, tokens: int) -> Tensor | None:
        """(B, 1, 1, S) bool of the keys that may be seen; None where there is no padding."""
        lengths_B = lengths_B // self.config.patch
        if bool((lengths_B == places).all()):
            return None
        return length_mask(lengths_B + tokens, places + tokens)[:, None, None]


class InteractionCodec(PairFeatures):
    """The autoencoder with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config.layout, config.num_features)
        self.config = config
        self.autoencoder = InteractionAutoencoder(config)
        self.alignment = Alignment(config) if config.alignment is not None else None

    @property
    def unit(self) -> int:
        """Frames of which motion has a whole number."""
        return self.config.patch

    def encode(self, features_BPTF: Tensor, lengths_B: Tensor | None = None) -> Latents:
        """Latents of features in the layout's units; see `InteractionAutoencoder.encode`."""
        return self.autoencoder.encode(self.normaliser.normalise(features_BPTF), lengths_B)

    def decode(self, z_BLK: Tensor, frames: int) -> Tensor:
        """Features (B, P, T, F) in the layout's units; patches are joined smoothly (ours)."""
        made_BPTF = self.autoencoder.decode(z_BLK, frames).float()
        if self.config.patch > 1:
            made_BPTF = join_patches(made_BPTF)
        return self.normaliser.denormalise(made_BPTF)


def side_by_side(x_BPTF: Tensor) -> Tensor:
    """(B, T, P F)."""
    return x_BPTF.transpose(1, 2).flatten(2)


def stack(
    config: SkipTransformerConfig, block: type[PostNormBlock] | type[PostNormDecoderBlock]
) -> SkipTransformer:
    def make() -> nn.Module:
        return block(
            config.width,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )

    return SkipTransformer(make, num_layers=config.num_layers, width=config.width)


def projection(in_width: int, out_width: int) -> nn.Module:
    """A linear layer; nothing where widths are equal."""
    return nn.Identity() if in_width == out_width else nn.Linear(in_width, out_width)
