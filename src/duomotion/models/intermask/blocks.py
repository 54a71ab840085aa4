"""A linear encoder and decoder for the motion tokenizer, fitted in closed form.

With little data and time the convolutions of section 3.1 stay far behind what as many tokens can
hold. A block of frames is nearly a point of a linear space of few dimensions: the encoder gives its
principal components, the decoder makes of each block and its neighbours what least squares say.

Axes: B motions, T frames, N blocks, F frames of a block, J joints, D numbers a joint or channels,
P rows of the token map, K = D P components, X = F D J numbers of a block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.config import BlockTokenizerConfig
from duomotion.models.layers.quantize import VectorQuantizer

RIDGE = 1e-5


class BlockEncoder(nn.Module):
    """(B, joint_dim, J, T) -> (B, code_dim, P, N); component k is channel k // P of row k % P."""

    def __init__(self, config: BlockTokenizerConfig) -> None:
        super().__init__()
        self.code_dim = config.code_dim
        joints = config.joint_dim * config.num_joints
        components = config.code_dim * config.num_parts
        # Gradients that pass straight through the codes only lead away from the fit.
        self.analysis = nn.Conv1d(joints, components, config.frames, config.frames)
        self.analysis.requires_grad_(False)

    def forward(self, x_BDJT: Tensor) -> Tensor:
        return self.analysis(x_BDJT.flatten(1, 2)).unflatten(1, (self.code_dim, -1))


class BlockDecoder(nn.Module):
    """(B, code_dim, P, N) -> (B, joint_dim, J, T); the first and last block are repeated."""

    def __init__(self, config: BlockTokenizerConfig) -> None:
        super().__init__()
        self.joint_dim, self.reach = config.joint_dim, config.reach
        self.synthesis = nn.ConvTranspose1d(
            config.code_dim * config.num_parts,
            config.joint_dim * config.num_joints,
            (2 * config.reach + 1) * config.frames,
            config.frames,
            padding=2 * config.reach * config.frames,
        )

    def forward(self, x_BDPN: Tensor) -> Tensor:
        x_BKN = F.pad(x_BDPN.flatten(1, 2), (self.reach, self.reach), mode="replicate")
        return self.synthesis(x_BKN).unflatten(1, (self.joint_dim, -1))


@torch.no_grad()
def fit(
    encoder: BlockEncoder,
    quantizer: VectorQuantizer,
    decoder: BlockDecoder,
    motion_BTJD: Tensor,
    importance_JD: Tensor,
    generator: torch.Generator,
) -> None:
    """Fit encoder, codebook and decoder to motion, in this order and in place.

    Args:
        motion_BTJD: normalised; T a multiple of the frames of a block.
        importance_JD: of a number's error for the principal components.
        generator: chooses the vectors that the clusters of the codebook start from.
    """
    (frames,) = encoder.analysis.kernel_size
    x_BNX = motion_BTJD.transpose(-1, -2).unflatten(1, (-1, frames)).flatten(2)
    importance_X = importance_JD.T.flatten().repeat(frames)
    _fit_encoder(encoder, x_BNX, importance_X)
    latents_BDPN = encoder(motion_BTJD.permute(0, 3, 2, 1))
    latents_BNPD = latents_BDPN.permute(0, 3, 2, 1)
    quantizer.cluster(latents_BNPD.flatten(0, -2), generator)
    codes_BNPD = quantizer.lookup(quantizer.nearest(latents_BNPD))
    _fit_decoder(decoder, codes_BNPD.transpose(-1, -2).flatten(2), x_BNX)


def _fit_encoder(encoder: BlockEncoder, x_BNX: Tensor, importance_X: Tensor) -> None:
    """Principal components, scaled to a mean variance of 1."""
    weighted_MX = x_BNX.flatten(0, 1) * importance_X
    mean_X = weighted_MX.mean(0)
    centred_MX = (weighted_MX - mean_X).double()
    variance_X, axes_XX = torch.linalg.eigh(centred_MX.T @ centred_MX / len(centred_MX))
    components = encoder.analysis.out_channels
    axes_XK = axes_XX[:, -components:].flip(1)
    scale = variance_X[-components:].mean().rsqrt()
    axes_KX = (scale * axes_XK.T).to(x_BNX)
    weight_KX = axes_KX * importance_X
    (frames,) = encoder.analysis.kernel_size
    encoder.analysis.weight.copy_(weight_KX.unflatten(1, (frames, -1)).transpose(1, 2))
    assert encoder.analysis.bias is not None
    encoder.analysis.bias.copy_(-axes_KX @ mean_X)


def _fit_decoder(decoder: BlockDecoder, codes_BNK: Tensor, x_BNX: Tensor) -> None:
    """Least squares from the codes of a block and its neighbours to the block."""
    reach, (frames,) = decoder.reach, decoder.synthesis.stride
    padded_BKN = F.pad(codes_BNK.transpose(1, 2), (reach, reach), mode="replicate")
    seen_BNOK = padded_BKN.unfold(2, 2 * reach + 1, 1).permute(0, 2, 3, 1)
    inputs = F.pad(seen_BNOK.flatten(2), (0, 1), value=1.0).flatten(0, 1).double()
    gram = inputs.T @ inputs / len(inputs)
    gram.diagonal().add_(RIDGE)
    cross = inputs.T @ x_BNX.flatten(0, 1).double() / len(inputs)
    solution = torch.linalg.solve(gram, cross).to(x_BNX)
    # The code that is o blocks ahead of a block reaches back by o: taps are in reverse order.
    taps_OKX = solution[:-1].unflatten(0, (2 * reach + 1, -1)).flip(0)
    taps_KCOF = taps_OKX.unflatten(2, (frames, -1)).permute(1, 3, 0, 2)
    decoder.synthesis.weight.copy_(taps_KCOF.flatten(2))
    # One bias serves all frames of a block; what differs between them is in the taps.
    assert decoder.synthesis.bias is not None
    decoder.synthesis.bias.copy_(solution[-1].unflatten(0, (frames, -1)).mean(0))
