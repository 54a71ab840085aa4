"""A linear code of whole clips (ours): principal components of frames, cosines over time.

For little data. A transformer that learns latents from a few hundred clips replays these; a linear
code of the same size, fitted in closed form, holds new motion as well as known. The transformers
then learn what it misses.

Axes: B samples, T frames, W features of both people, C components, H cosines, L K latents.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from duomotion.models.ild.config import LinearCodeConfig
from duomotion.models.layers.masks import length_mask

TINY = 1e-4  # deviation of coefficients that hardly vary, in what errors are weighed in


class LinearCode(nn.Module):
    """Normalised features of a clip of any length <-> its largest coefficients, of unit variance.

    Latents are ranked: the first ones matter most.
    """

    importance: Tensor
    components: Tensor
    chosen: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, config: LinearCodeConfig, *, features: int, num_latents: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.config = config
        size = num_latents * latent_dim
        if size > config.harmonics * config.components:
            raise ValueError(
                f"{size} numbers of latents are more than the {config.harmonics} x "
                f"{config.components} coefficients of the linear code"
            )
        self.shape = num_latents, latent_dim
        self.register_buffer("importance", torch.ones(features))
        self.register_buffer("components", torch.zeros(features, config.components))
        self.register_buffer("chosen", torch.arange(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def encode(self, x_BTW: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """(B, L, K) of normalised features."""
        found = self._coefficients(x_BTW, lengths_B)[:, self.chosen]
        return ((found - self.mean) / self.std).unflatten(1, self.shape)

    def decode(self, z_BLK: Tensor, frames: int, lengths_B: Tensor | None = None) -> Tensor:
        """Normalised features (B, T, W), T = frames."""
        values = z_BLK.flatten(1) * self.std + self.mean
        sizes = self.config.harmonics, self.config.components
        all_BHC = values.new_zeros(len(values), math.prod(sizes))
        all_BHC = all_BHC.index_copy(1, self.chosen, values).unflatten(1, sizes)
        cosines_BTH = cosines(frames, sizes[0], lengths_B, like=values)
        return cosines_BTH @ all_BHC @ self.components.mT / self.importance

    def _coefficients(self, x_BTW: Tensor, lengths_B: Tensor | None) -> Tensor:
        """(B, H C): orthonormal, so that their squares add up to the mean square of a frame."""
        frames_BTC = (x_BTW * self.importance) @ self.components
        cosines_BTH = cosines(x_BTW.shape[1], self.config.harmonics, lengths_B, like=x_BTW)
        counts = x_BTW.shape[1] if lengths_B is None else lengths_B[:, None, None]
        return (cosines_BTH.mT @ frames_BTC / counts).flatten(1)

    @torch.no_grad()
    def fit(self, clips: Sequence[np.ndarray], importance_W: np.ndarray) -> None:
        """Fit components, and choose the coefficients with most of the variance.

        Args:
            clips: normalised features (T, W) each.
            importance_W: how much an error of each feature counts.
        """
        self.importance.copy_(torch.from_numpy(importance_W))
        width = len(importance_W)
        squares, count = np.zeros((width, width)), 0
        for clip in clips:
            weighed = clip.astype(np.float64) * importance_W
            squares += weighed.T @ weighed
            count += len(clip)
        _, vectors = np.linalg.eigh(squares / count)
        self.components.copy_(
            torch.from_numpy(vectors[:, ::-1][:, : self.config.components].copy())
        )
        like = self.importance
        found = torch.cat(
            [self._coefficients(torch.from_numpy(clip)[None].to(like), None) for clip in clips]
        )
        variance = found.var(0, correction=0)
        self.chosen.copy_(variance.sort(descending=True, stable=True).indices[: len(self.chosen)])
        self.mean.copy_(found.mean(0)[self.chosen])
        self.std.copy_(variance[self.chosen].sqrt().clamp_min(TINY))


def cosines(frames: int, harmonics: int, lengths_B: Tensor | None, *, like: Tensor) -> Tensor:
    """(B or 1, T, H) cosines over each sample's length, of mean square 1; none beyond its frames.

    Args:
        lengths_B: frames of each sample; None where all are `frames` long.
        like: gives type and device.
    """
    if lengths_B is None:
        lengths_B = torch.tensor([frames], device=like.device)
    times_T = torch.arange(frames, device=like.device) + 0.5
    waves_H = torch.arange(harmonics, device=like.device)
    angles_BTH = torch.pi * times_T[:, None] * waves_H / lengths_B[:, None, None]
    scale_H = torch.where(waves_H > 0, 2**0.5, 1.0)
    inside_BTH = (
        length_mask(lengths_B, frames)[..., None] & length_mask(lengths_B, harmonics)[:, None]
    )
    return (angles_BTH.cos() * scale_H * inside_BTH).to(like)
