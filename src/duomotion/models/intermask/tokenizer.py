"""InterMask's 2D VQ-VAE: one person's motion <-> a map of discrete tokens (section 3.1).

Axes: B motions, T frames, J joints, D numbers a joint or channels, P body parts, N = P * T / 4
tokens, numbered part by part: token p * (T / 4) + t. The 4 is `downsampling`.

Inside, feature maps are (B, D, J, T) in channels-last memory, the fastest layout measured on CPU.

A tokenizer of both people (table 2) takes them as adjacent entries of the batch: 2 B motions become
B maps of tokens, and these become 2 B motions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.config import TokenizerConfig
from duomotion.models.layers.convolution import (
    ResidualBlock,
    UpsamplingConv,
    initialise_convolutions,
    scale_parameters,
)
from duomotion.models.layers.quantize import Quantized, VectorQuantizer


@dataclass(frozen=True)
class TokenizerOutput:
    """What `MotionTokenizer` returns.

    Attributes:
        reconstruction: (B, T, J, D).
        commitment: () mean squared distance between latents and codes.
        perplexity: () exp of the entropy of code use in this batch.
        ids: (B, N) int64.
    """

    reconstruction: Tensor
    commitment: Tensor
    perplexity: Tensor
    ids: Tensor


class MotionTokenizer(nn.Module):
    """Encoder, codebook and decoder of appendix B."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.quantizer = VectorQuantizer(
            config.num_codes,
            config.code_dim,
            decay=config.ema_decay,
            temperature=config.temperature,
            dead_below=config.dead_below,
        )
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        initialise_convolutions(self)
        last = self.decoder.project
        scale_parameters(last.second if isinstance(last, GraphLayers) else last)

    @property
    def num_parts(self) -> int:
        return self.config.num_parts

    @property
    def downsampling(self) -> int:
        """Frames a token covers."""
        return self.config.downsampling

    def forward(self, motion_BTJD: Tensor) -> TokenizerOutput:
        """Reconstruct normalised motion; in training mode the codebook learns from it too."""
        return self._output(self.quantizer(self.latents(motion_BTJD)))

    def unquantized(self, motion_BTJD: Tensor) -> TokenizerOutput:
        """The same without quantisation, for the start of a training; ids are -1."""
        latents = self.latents(motion_BTJD)
        zero = latents.new_zeros(())
        no_ids = torch.full(latents.shape[:-1], -1, device=latents.device)
        return self._output(Quantized(latents, no_ids, commitment=zero, perplexity=zero))

    def _output(self, quantized: Quantized) -> TokenizerOutput:
        return TokenizerOutput(
            reconstruction=self._decode(quantized.vectors),
            commitment=quantized.commitment,
            perplexity=quantized.perplexity,
            ids=quantized.ids.flatten(1),
        )

    def encode(self, motion_BTJD: Tensor) -> Tensor:
        """Token ids (B, N) of normalised motion.

        Raises:
            ValueError: the motion has another shape, or a length that is no multiple of 4, or it is
                not of as many people as a map of tokens is for.
        """
        return self.quantizer.nearest(self.latents(motion_BTJD)).flatten(1)

    def decode(self, ids_BN: Tensor) -> Tensor:
        """Normalised motion (B, T, J, D) of token ids; id -1 stands for a zero vector.

        Raises:
            ValueError: the number of tokens is no multiple of the number of parts.
        """
        batch, num_tokens = ids_BN.shape
        if num_tokens % self.num_parts:
            raise ValueError(
                f"{num_tokens} tokens do not make a map of {self.num_parts} parts: "
                f"the number must be a multiple of {self.num_parts}"
            )
        return self._decode(self.quantizer.lookup(ids_BN.view(batch, self.num_parts, -1)))

    def latents(self, motion_BTJD: Tensor) -> Tensor:
        """Encoder output (B, P, T / 4, code_dim) before quantisation; raises as `encode`."""
        _, frames, *joint_shape = motion_BTJD.shape
        expected = [self.config.num_joints, self.config.joint_dim]
        if joint_shape != expected or frames % self.downsampling or not frames:
            raise ValueError(
                f"motion of shape {tuple(motion_BTJD.shape)} can't be tokenized: it must be "
                f"(batch, frames, {expected[0]}, {expected[1]}), frames a multiple of "
                f"{self.downsampling}"
            )
        return self.encoder(motion_BTJD.permute(0, 3, 2, 1)).permute(0, 2, 3, 1)

    def _decode(self, codes_BPTD: Tensor) -> Tensor:
        return self.decoder(codes_BPTD.permute(0, 3, 1, 2)).permute(0, 3, 2, 1)


class Encoder(nn.Module):
    """(B, joint_dim, J, T) -> (B, code_dim, P, T / 4), figure 7."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = config.widths
        self.num_people, self.rows = config.num_people, (config.row_dim, config.num_rows)
        self.embed = _joint_layer(config, config.row_dim, widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(
                _downsampling(config, fine, coarse),
                *_residual_blocks(config, coarse),
            )
            for fine, coarse in pairwise(widths)
        )
        self.to_code = _conv(config, widths[-1], config.code_dim)

    def forward(self, x_BDJT: Tensor) -> Tensor:
        if len(x_BDJT) % self.num_people:
            raise ValueError(
                f"{len(x_BDJT)} motions can't be tokenized together: there must be "
                f"{self.num_people} people of every interaction"
            )
        x_BDJT = x_BDJT.reshape(-1, *self.rows, x_BDJT.shape[-1])
        x_BDJT = F.relu(self.embed(x_BDJT.contiguous(memory_format=torch.channels_last)))
        for level in self.levels:
            x_BDJT = level(x_BDJT)
        return self.to_code(x_BDJT)


class Decoder(nn.Module):
    """(B, code_dim, P, T / 4) -> (B, joint_dim, J, T)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.joints = (config.joint_dim, config.num_joints)
        self.from_code = _conv(config, config.code_dim, widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(
                *_residual_blocks(config, coarse),
                UpsamplingConv(coarse, fine, 1 if config.is_flat else num_joints, _rows(config)),
            )
            for (coarse, fine), num_joints in zip(
                pairwise(widths), config.decoder_joints, strict=True
            )
        )
        self.refine = _conv(config, widths[-1], widths[-1])
        self.project = _joint_layer(config, widths[-1], config.row_dim)

    def forward(self, x_BDPT: Tensor) -> Tensor:
        x_BDJT = x_BDPT.contiguous(memory_format=torch.channels_last)
        x_BDJT = F.relu(self.from_code(x_BDJT))
        for level in self.levels:
            x_BDJT = level(x_BDJT)
        x_BDJT = self.project(F.relu(self.refine(x_BDJT)))
        return x_BDJT.reshape(-1, *self.joints, x_BDJT.shape[-1])


class GraphLayers(nn.Module):
    """Two graph convolutions with a ReLU between them, in place of the convolution over joints."""

    def __init__(self, in_dim: int, width: int, out_dim: int, adjacency_JJ: Tensor) -> None:
        super().__init__()
        self.first = GraphLayer(in_dim, width, adjacency_JJ)
        self.second = GraphLayer(width, out_dim, adjacency_JJ)

    def forward(self, x_BDJT: Tensor) -> Tensor:
        x_BJTD = x_BDJT.permute(0, 2, 3, 1)
        return self.second(F.relu(self.first(x_BJTD))).permute(0, 3, 1, 2)


class GraphLayer(nn.Module):
    """GraphSAGE layer (Hamilton et al. 2017) whose joints exchange messages in frame 0 only.

    The released code passes messages in the first frame of a batch alone, and was evaluated with
    batches of one; here it is the first frame of every motion.
    """

    adjacency: Tensor

    def __init__(self, in_dim: int, out_dim: int, adjacency_JJ: Tensor) -> None:
        super().__init__()
        self.message = nn.Linear(in_dim, in_dim)
        self.neighbours = nn.Linear(in_dim, out_dim)
        self.own = nn.Linear(in_dim, out_dim, bias=False)
        self.register_buffer("adjacency", adjacency_JJ, persistent=False)

    def forward(self, x_BJTD: Tensor) -> Tensor:
        y_BJTD = F.linear(x_BJTD, self.own.weight, self.neighbours.bias)
        messages_BJD = self.adjacency @ F.relu(self.message(x_BJTD[:, :, 0]))
        y_BJTD[:, :, 0] += F.linear(messages_BJD, self.neighbours.weight)
        return y_BJTD


def _joint_layer(config: TokenizerConfig, in_dim: int, out_dim: int) -> nn.Module:
    if config.input_layer == "conv" or config.is_flat:
        return _conv(config, in_dim, out_dim)
    adjacency_JJ = mean_adjacency(config.bones, config.num_joints)
    return GraphLayers(in_dim, config.widths[0], out_dim, adjacency_JJ)


def _residual_blocks(config: TokenizerConfig, width: int) -> list[ResidualBlock]:
    return [ResidualBlock(width, d, config.dropout, _rows(config)) for d in config.dilations]


def _downsampling(config: TokenizerConfig, in_width: int, out_width: int) -> nn.Conv2d:
    if config.is_flat:
        kernel, stride = (1, config.kernel[1]), (1, config.stride[1])
        return nn.Conv2d(in_width, out_width, kernel, stride, padding=(0, 1))
    return nn.Conv2d(in_width, out_width, config.kernel, config.stride, padding=1)


def _conv(config: TokenizerConfig, in_width: int, out_width: int) -> nn.Conv2d:
    rows = _rows(config)
    return nn.Conv2d(in_width, out_width, (rows, 3), padding=(rows // 2, 1))


def _rows(config: TokenizerConfig) -> int:
    """Kernel size over rows of a convolution that keeps their number."""
    return 1 if config.is_flat else 3


def mean_adjacency(bones: Sequence[tuple[int, int]], num_joints: int) -> Tensor:
    """(J, J) matrix that averages over the joints at the other ends of a joint's bones."""
    adjacency_JJ = torch.zeros(num_joints, num_joints)
    for child, parent in bones:
        adjacency_JJ[child, parent] = adjacency_JJ[parent, child] = 1
    return adjacency_JJ / adjacency_JJ.sum(1, keepdim=True).clamp(min=1)
