"""MoMask's residual VQ-VAE: features of motion <-> layers of discrete tokens (section 3.1).

Axes: B motions, T frames, F features, D channels, N = T / 4 tokens, Q quantisation layers. The 4 is
`downsampling`.

A tokenizer of both people of an interaction takes them as adjacent entries of the batch: 2 B
motions become B sequences of tokens, and these become 2 B motions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.convolution import (
    ResidualBlock,
    UpsamplingConv,
    initialise_convolutions,
    scale_parameters,
)
from duomotion.models.layers.residual_quantize import ResidualQuantizer
from duomotion.models.momask.config import ResidualTokenizerConfig


@dataclass(frozen=True)
class ResidualTokenizerOutput:
    """What `ResidualTokenizer` returns.

    Attributes:
        reconstruction: (B, T, F).
        ids: (B, N, Q) int64, -1 in layers that quantisation dropout has left out.
        commitment: () mean squared distance between residuals and codes over the layers used.
        perplexity: () mean over these layers of exp of the entropy of code use in this batch.
    """

    reconstruction: Tensor
    ids: Tensor
    commitment: Tensor
    perplexity: Tensor


class ResidualTokenizer(nn.Module):
    """Encoder, layers of codes and decoder (figure 2a)."""

    def __init__(self, config: ResidualTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.quantizer = ResidualQuantizer(
            config.num_layers,
            config.num_codes,
            config.code_dim,
            dropout=config.quantize_dropout,
            decay=config.ema_decay,
            temperature=config.temperature,
            dead_below=config.dead_below,
        )
        self.encoder = PCAEncoder(config) if config.pca_encoder else Encoder(config)
        self.decoder = Decoder(config)
        initialise_convolutions(self)
        scale_parameters(self.decoder.project)

    @property
    def downsampling(self) -> int:
        """Frames a token covers."""
        return self.config.downsampling

    def forward(self, x_BTF: Tensor) -> ResidualTokenizerOutput:
        """Reconstruct normalised features; in training mode the codebooks learn from them too.

        Raises:
            ValueError: as `encode`.
        """
        latents_BND = self.latents(x_BTF)
        layers = self.quantizer.draw_layers() if self.training else None
        quantized = self.quantizer(latents_BND, layers=layers)
        return ResidualTokenizerOutput(
            reconstruction=self._decode(quantized.vectors),
            ids=quantized.ids,
            commitment=quantized.commitment,
            perplexity=quantized.perplexity,
        )

    def encode(self, x_BTF: Tensor) -> Tensor:
        """Token ids (B, N, Q) of normalised features.

        Raises:
            ValueError: the features have another shape, or a length that is no multiple of 4, or
                they are not of as many people as a sequence of tokens is for.
        """
        return self.quantizer.nearest(self.latents(x_BTF))

    def decode(self, ids_BNQ: Tensor, layers: int | None = None) -> Tensor:
        """Normalised features (B, T, F) of token ids; id -1 stands for a zero vector.

        Args:
            ids_BNQ: of all layers, or of the first ones.
            layers: number of layers to decode, from the first; None: all.

        Raises:
            ValueError: there are no layers, or more than the tokenizer has.
        """
        given = ids_BNQ.shape[-1]
        layers = given if layers is None else layers
        if not 1 <= layers <= given <= self.config.num_layers:
            raise ValueError(
                f"{layers} of {given} layers of tokens can't be decoded: the tokenizer has "
                f"{self.config.num_layers}, of which 1 or more are needed"
            )
        return self._decode(self.quantizer.lookup(ids_BNQ[..., :layers]))

    def latents(self, x_BTF: Tensor) -> Tensor:
        """Encoder output (B, N, D) before quantisation; raises as `encode`."""
        batch, frames, features = x_BTF.shape
        config = self.config
        if features != config.num_features or frames % self.downsampling or not frames:
            raise ValueError(
                f"motion of shape {tuple(x_BTF.shape)} can't be tokenized: it must be (batch, "
                f"frames, {config.num_features}), frames a multiple of {self.downsampling}"
            )
        if batch % config.num_people:
            raise ValueError(
                f"{batch} motions can't be tokenized together: there must be "
                f"{config.num_people} people of every interaction"
            )
        return self.encoder(self._side_by_side(x_BTF))

    def train(self, mode: bool = True) -> "ResidualTokenizer":
        """Codebooks that were fitted are not updated."""
        super().train(mode)
        if self.config.pca_encoder:
            self.quantizer.eval()
        return self

    @torch.no_grad()
    def fit(self, x_BTF: Tensor, importance_F: Tensor, rng: torch.Generator) -> None:
        """Fit the encoder to principal components and the codebooks to clusters of what is left.

        Args:
            x_BTF: normalised windows, as for `encode`.
            importance_F: weight of each feature's error.
        """
        assert isinstance(self.encoder, PCAEncoder) and self.decoder.linear_decoder is not None
        side_by_side = self._side_by_side(x_BTF)
        self.encoder.fit(
            side_by_side, importance_F.repeat(self.config.num_people), self.decoder.linear_decoder
        )
        residual_ND = self.encoder(side_by_side).flatten(0, 1)
        for layer in self.quantizer.layers:
            layer.cluster(residual_ND, rng)
            residual_ND = residual_ND - layer.lookup(layer.nearest(residual_ND))

    def _side_by_side(self, x_BTF: Tensor) -> Tensor:
        people = x_BTF.unflatten(0, (-1, self.config.num_people))
        return people.transpose(1, 2).flatten(2).contiguous()

    def _decode(self, codes_BND: Tensor) -> Tensor:
        people = self.decoder(codes_BND).unflatten(2, (self.config.num_people, -1))
        return people.transpose(1, 2).flatten(0, 1)


class PCAEncoder(nn.Module):
    """Principal components of the frames of a token (ours), in place of `Encoder`.

    For little data: the fit to a thousand clips takes a minute, and only the decoder is trained.
    """

    def __init__(self, config: ResidualTokenizerConfig) -> None:
        super().__init__()
        self.frames = config.downsampling
        self.project = nn.Linear(_token_width(config), config.code_dim).requires_grad_(False)

    def forward(self, x_BTF: Tensor) -> Tensor:
        return self.project(x_BTF.unflatten(1, (-1, self.frames)).flatten(2))

    def fit(self, x_BTF: Tensor, importance_F: Tensor, inverse: nn.Linear) -> None:
        """Fit the components of the weighted features, and `inverse` to undo the projection."""
        scale_W = importance_F.repeat(self.frames)
        tokens_NW = x_BTF.unflatten(1, (-1, self.frames)).flatten(0, 1).flatten(1) * scale_W
        mean_W = tokens_NW.mean(0)
        _, vectors_WW = torch.linalg.eigh(torch.cov(tokens_NW.T))
        components_WD = vectors_WW[:, -self.project.out_features :].flip(1)
        self.project.weight.copy_((components_WD * scale_W[:, None]).T)
        self.project.bias.copy_(-mean_W @ components_WD)
        inverse.weight.copy_(components_WD / scale_W[:, None])
        inverse.bias.copy_(mean_W / scale_W)


class Encoder(nn.Module):
    """(B, T, F) -> (B, T / 4, D)."""

    def __init__(self, config: ResidualTokenizerConfig) -> None:
        super().__init__()
        width = config.width
        self.embed = _conv(config.num_people * config.num_features, width)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, (1, 4), (1, 2), padding=(0, 1)), *_residual_blocks(config)
            )
            for _ in range(config.num_levels)
        )
        self.to_code = _conv(width, config.code_dim)

    def forward(self, x_BTF: Tensor) -> Tensor:
        x_BD1T = F.relu(self.embed(_row(x_BTF)))
        for level in self.levels:
            x_BD1T = level(x_BD1T)
        return _sequence(self.to_code(x_BD1T))


class Decoder(nn.Module):
    """(B, T / 4, D) -> (B, T, F); with a `PCAEncoder` it adds to the linear reconstruction."""

    def __init__(self, config: ResidualTokenizerConfig) -> None:
        super().__init__()
        width = config.width
        self.from_code = _conv(config.code_dim, width)
        self.levels = nn.ModuleList(
            nn.Sequential(*_residual_blocks(config), UpsamplingConv(width, width, 1, rows=1))
            for _ in range(config.num_levels)
        )
        self.refine = _conv(width, width)
        self.project = _conv(width, config.num_people * config.num_features)
        self.linear_decoder = (
            nn.Linear(config.code_dim, _token_width(config)) if config.pca_encoder else None
        )

    def forward(self, x_BND: Tensor) -> Tensor:
        x_BD1T = F.relu(self.from_code(_row(x_BND)))
        for level in self.levels:
            x_BD1T = level(x_BD1T)
        motion_BTF = _sequence(self.project(F.relu(self.refine(x_BD1T))))
        if self.linear_decoder is None:
            return motion_BTF
        return motion_BTF + self.linear_decoder(x_BND).view_as(motion_BTF)


def _token_width(config: ResidualTokenizerConfig) -> int:
    """Number of features in the frames of a token."""
    return config.downsampling * config.num_people * config.num_features


def _residual_blocks(config: ResidualTokenizerConfig) -> list[ResidualBlock]:
    return [ResidualBlock(config.width, d, config.dropout, rows=1) for d in config.dilations]


def _conv(in_width: int, out_width: int) -> nn.Conv2d:
    return nn.Conv2d(in_width, out_width, (1, 3), padding=(0, 1))


def _row(x_BTD: Tensor) -> Tensor:
    """A sequence as a map (B, D, 1, T) of one row, not copied: it is in channels-last memory."""
    return x_BTD.transpose(1, 2).unsqueeze(2)


def _sequence(x_BD1T: Tensor) -> Tensor:
    return x_BD1T.squeeze(2).transpose(1, 2)
