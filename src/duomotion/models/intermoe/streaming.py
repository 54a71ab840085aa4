"""Motion that is encoded and decoded as it comes, with the same result as in one pass.

Axes: B samples, P the 2 people, T frames, F features of a person, L numbers of a latent.
"""

import torch
from torch import Tensor

from duomotion.models.intermoe.autoencoder import Memory, SkeletalCodec
from duomotion.models.layers.latents import Latents


class StreamingEncoder:
    """Takes frames one by one or some at a time, and gives a latent for each four."""

    def __init__(self, codec: SkeletalCodec) -> None:
        self.codec, self.memory = codec, Memory()

    @torch.no_grad()
    def __call__(self, x_BPTF: Tensor) -> Latents | None:
        """Latents (B, P, N, L) that end with these frames; None where there is none.

        Args:
            x_BPTF: normalised features, always of as many samples and people.
        """
        latents = self.codec.autoencoder.encode(x_BPTF.flatten(0, 1), self.memory)
        if latents is None:
            return None
        return Latents(*(part.unflatten(0, x_BPTF.shape[:2]) for part in latents))


class StreamingDecoder:
    """Takes latents one by one or some at a time, and gives four frames for each."""

    def __init__(self, codec: SkeletalCodec) -> None:
        self.codec, self.memory = codec, Memory()

    @torch.no_grad()
    def __call__(self, z_BPNL: Tensor) -> Tensor:
        """Normalised features (B, P, T, F)."""
        made_BTF = self.codec.autoencoder.decode(z_BPNL.flatten(0, 1), self.memory)
        return made_BTF.unflatten(0, z_BPNL.shape[:2])
