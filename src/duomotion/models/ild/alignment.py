"""Alignment of latents with the codes of a frozen residual tokenizer (equation 3, appendix B).

Axes: B samples, L latents, K their width, N codes of a clip, C their width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.losses.interaction import mean_over
from duomotion.models.ild.config import AutoencoderConfig
from duomotion.models.layers.masks import length_mask


class Alignment(nn.Module):
    """Brings latents and codes to one shape; it is trained with the autoencoder."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.kind = config.alignment
        self.channels = (
            nn.Identity()
            if config.latent_dim == config.code_dim
            else nn.Linear(config.latent_dim, config.code_dim)
        )
        self.tokens = (
            nn.Linear(config.num_latents, config.max_codes) if self.kind == "linear" else None
        )

    def loss(self, z_BLK: Tensor, codes_BNC: Tensor, counts_B: Tensor, margin: float) -> Tensor:
        """Mean over places of how much more than `margin` cosines fall short of 1.

        Args:
            counts_B: codes of each sample; what is behind them does not count.
        """
        mask_BN = length_mask(counts_B, codes_BNC.shape[1])
        z_BLC = self.channels(z_BLK)
        if self.tokens is not None:
            z_BNC = self.tokens(z_BLC.mT).mT[:, : codes_BNC.shape[1]]
        elif self.kind == "interpolation":
            z_BNC = interpolation(counts_B, codes_BNC.shape[1], z_BLC.shape[1]).to(z_BLC) @ z_BLC
        else:
            codes_BNC = pooling(counts_B, codes_BNC.shape[1], z_BLC.shape[1]).to(z_BLC) @ codes_BNC
            z_BNC, mask_BN = z_BLC, torch.ones_like(codes_BNC[..., 0], dtype=torch.bool)
        cosine_BN = F.cosine_similarity(z_BNC.float(), codes_BNC.float(), -1)
        return mean_over((1 - margin - cosine_BN).relu(), mask_BN)


def interpolation(counts_B: Tensor, places: int, latents: int) -> Tensor:
    """(B, N, L) weights of latents, evenly spread over a sample's codes, at each of these."""
    places_N = torch.arange(places, device=counts_B.device) + 0.5
    where_BN = (places_N / counts_B[:, None] * latents - 0.5).clamp(0, latents - 1)
    return (
        1 - (where_BN[..., None] - torch.arange(latents, device=counts_B.device)).abs()
    ).clamp_min(0)


def pooling(counts_B: Tensor, places: int, latents: int) -> Tensor:
    """(B, L, N) weights of the codes in the part of a sample that each latent stands for."""
    places_N = torch.arange(places, device=counts_B.device)
    edges_L = torch.arange(latents + 1, device=counts_B.device)
    edges_BL = edges_L * counts_B[:, None] / latents
    first, last = edges_BL[:, :-1, None].floor(), edges_BL[:, 1:, None].ceil()
    inside = ((places_N >= first) & (places_N < last)).float()
    return inside / inside.sum(-1, keepdim=True).clamp_min(1)
