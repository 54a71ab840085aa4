"""Frames in patches: side by side, or lapped, each reaching half a patch into its neighbours.

What a network makes of patches that lie side by side jumps where they meet. Lapped ones fade into
each other, as in the transforms of audio coding: squared windows add up to 1.

Axes: B batch, P people, T frames, F features, N patches, C features of a patch, W frames of a
lapped one (2 patches).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.layers.masks import length_mask


def cut(x_BPTF: Tensor, patch: int) -> Tensor:
    """(B, P, N, C): T frames in whole patches, side by side."""
    return x_BPTF.unflatten(2, (-1, patch)).flatten(3)


def joined(x_BPNC: Tensor, patch: int) -> Tensor:
    """(B, P, T, F): what `cut` was given."""
    return x_BPNC.unflatten(3, (patch, -1)).flatten(2, 3)


def lapped(x_BPTF: Tensor, patch: int, lengths_B: Tensor | None) -> Tensor:
    """(B, P, N, C): lapped patches, with their windows; motion is held before and after its frames.

    Args:
        patch: frames, an even number.
        lengths_B: frames of each sample, whole patches; None: all.
    """
    half, frames = patch // 2, x_BPTF.shape[2]
    places = torch.arange(-half, frames + half, device=x_BPTF.device).clamp_min(0)
    if lengths_B is None:
        held = x_BPTF[:, :, places.clamp_max(frames - 1)]
    else:
        last_B111 = (lengths_B - 1).view(-1, 1, 1, 1)
        index = torch.minimum(places.view(1, 1, -1, 1), last_B111)
        held = x_BPTF.gather(2, index.expand(*x_BPTF.shape[:2], -1, x_BPTF.shape[3]))
    parts_BPNFW = held.unfold(2, 2 * patch, patch)
    return (parts_BPNFW * window(patch).to(x_BPTF)).transpose(3, 4).flatten(3)


def blended(x_BPNC: Tensor, patch: int, lengths_B: Tensor | None) -> Tensor:
    """(B, P, T, F): the motion that has these lapped patches; arguments as for `lapped`."""
    half, count = patch // 2, x_BPNC.shape[2]
    window_W1 = window(patch).to(x_BPNC)[:, None]
    x_BPNWF = x_BPNC.unflatten(3, (2 * patch, -1)) * window_W1
    weights = window_W1.square().expand(1, 1, count, -1, 1)
    if lengths_B is not None:
        present_B1N11 = length_mask(lengths_B // patch, count)[:, None, :, None, None]
        x_BPNWF, weights = x_BPNWF * present_B1N11, weights * present_B1N11
    # Frames of a sample have a weight of 1/2 or more; padding may have none.
    made_BPTF = _added(x_BPNWF, patch) / _added(weights, patch).clamp_min(0.5)
    return made_BPTF[:, :, half : half + patch * count]


def _added(x_BPNWF: Tensor, patch: int) -> Tensor:
    """(B, P, (N + 1) patch, F): the sum where lapped patches overlap."""
    first, second = x_BPNWF.split(patch, 3)
    return (F.pad(first, (0, 0, 0, 0, 0, 1)) + F.pad(second, (0, 0, 0, 0, 1, 0))).flatten(2, 3)


def window(patch: int) -> Tensor:
    """(W,) what the frames of a lapped patch are multiplied with, before and after the network."""
    return torch.sin(math.pi * (torch.arange(2 * patch) + 0.5) / (2 * patch))


def principal_code(
    x_NC: Tensor, weights_C: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The linear code of patches that loses the least, and its decoder, as two linear layers.

    Numbers are the principal components of the weighted patches, the largest `size` of them, over
    the fourth root of their variance: so that they are of more similar sizes.

    Args:
        weights_C: how much an error of each feature counts.

    Returns:
        Weight (size, C) and bias of the encoder, weight (C, size) and bias of the decoder.
    """
    mean_C = x_NC.mean(0)
    weighted_NC = (x_NC - mean_C) * weights_C
    variances, axes_CK = torch.linalg.eigh(weighted_NC.mT @ weighted_NC / len(x_NC))
    axes_CK, variances = axes_CK.flip(1)[:, :size], variances.flip(0)[:size]
    scale_K = variances.clamp_min(1e-8 * float(variances[0])) ** 0.25
    encoder_KC = (axes_CK / scale_K).mT * weights_C
    decoder_CK = axes_CK * scale_K / weights_C[:, None]
    return encoder_KC, -encoder_KC @ mean_C, decoder_CK, mean_C
