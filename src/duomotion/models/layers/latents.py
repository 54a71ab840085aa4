"""Distributions of an autoencoder's latents (Kingma & Welling 2014)."""

from typing import NamedTuple

import torch
from torch import Tensor


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
