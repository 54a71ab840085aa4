"""Latents of an autoencoder: distributions (Kingma & Welling 2014), and statistics."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Latents(NamedTuple):
    """Mean and log variance of latents, (B, ...) each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, rng: torch.Generator) -> Tensor:
        """(B, ...)."""
        noise = torch.randn(self.mean.shape, generator=rng, device=rng.device)
        return self.mean + (0.5 * self.log_variance).exp() * noise.to(self.mean)


def kl_divergence(latents: Latents) -> Tensor:
    """Divergence of latents' distributions from the standard normal, number by number."""
    mean, log_variance = latents.mean.float(), latents.log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class LatentStatistics(nn.Module):
    """Mean and deviation of latents, by which a network's input gets about the noise's size.

    Rombach et al. (2022) scale latents so.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def normalise(self, z_B: Tensor) -> Tensor:
        return (z_B - self.mean) / self.std

    def denormalise(self, z_B: Tensor) -> Tensor:
        return z_B * self.std + self.mean
