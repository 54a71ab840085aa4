"""Reference implementation of ILD's sampling, which the fast one has to equal.

Of the paper's form: text and noise level are tokens, each frame is a place. Attention is
`torch.nn.MultiheadAttention`, in the decoder too, guidance takes two passes instead of
one over a doubled batch, and text and noise level are embedded in every step; steps are those of
DEIS (Zhang & Chen 2023), written out.

Axes: B batch, L latents, K their width, D width, T frames.
"""

import copy
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.ild.autoencoder import InteractionAutoencoder
from duomotion.models.ild.network import LatentDenoiser
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.skip_transformer import SkipTransformer
from duomotion.models.layers.transformer import PostNormBlock, PostNormDecoderBlock
from duomotion.models.pair_reference import multihead

Run = Callable[[nn.Module, Tensor], Tensor]
"""A block and what goes into it -> what comes out."""


class ReferenceSampler:
    """The same weights in evaluation mode and float32, without sharing them."""

    def __init__(self, denoiser: LatentDenoiser, autoencoder: InteractionAutoencoder) -> None:
        self.denoiser = copy.deepcopy(denoiser).float().eval()
        self.autoencoder = copy.deepcopy(autoencoder).float().eval()
        attentions = [
            module
            for network in (self.denoiser, self.autoencoder)
            for module in network.modules()
            if isinstance(module, Attention)
        ]
        self.attentions = {attention: multihead(attention) for attention in attentions}

    def sample(
        self, noise_BLK: Tensor, text_BC: Tensor, times: Sequence[int], guidance: float
    ) -> Tensor:
        """Clean latents from noise by second-order DEIS; the first and the last step are DDIM's."""
        kept = self.denoiser.config.noise.alphas_cumprod
        alpha, sigma = np.sqrt(kept), np.sqrt(1 - kept)
        rho = sigma / alpha
        z_BLK, before, clean_BLK = noise_BLK, None, noise_BLK
        for step, time in enumerate(times):
            noise = self.predict(z_BLK, text_BC, time)
            if guidance != 1:
                without = self.predict(z_BLK, torch.zeros_like(text_BC), time)
                noise = guidance * noise + (1 - guidance) * without
            clean_BLK = (z_BLK - sigma[time] * noise) / alpha[time]
            if step + 1 == len(times):
                break
            after = times[step + 1]
            if before is None:
                change = (rho[after] - rho[time]) * noise
            else:
                change = deis_change(rho[after], rho[time], rho[before[0]], noise, before[1])
            z_BLK = alpha[after] * (z_BLK / alpha[time] + change)
            before = (time, noise)
        return clean_BLK

    def predict(self, z_BLK: Tensor, text_BC: Tensor, time: int) -> Tensor:
        """One pass of the denoiser."""
        model = self.denoiser
        times_B = torch.full((len(z_BLK),), time)
        tokens = [model.embed_times(times_B), model.condition(text_BC)]
        x_BLD = torch.cat((model.input_projection(z_BLK), torch.stack(tokens, 1)), 1)
        made_BLD = self._skip(model.transformer, x_BLD + model.positions, self._block)
        return model.output_projection(made_BLD[:, : z_BLK.shape[1]])

    def decode(self, z_BLK: Tensor, frames: int) -> Tensor:
        """Normalised features (B, T, P F)."""
        model = self.autoencoder
        memory_BLD = model.from_latents(z_BLK)
        queries_BTD = model.decoder_positions[:frames].expand(len(z_BLK), -1, -1)
        made_BTD = self._skip(
            model.decoder, queries_BTD, lambda block, x: self._decoder_block(block, x, memory_BLD)
        )
        return model.output_projection(made_BTD)

    def _skip(self, model: SkipTransformer, x_BTD: Tensor, run: Run) -> Tensor:
        skips, half = [], len(model.blocks) // 2
        for block in model.blocks[:half]:
            x_BTD = run(block, x_BTD)
            skips.append(x_BTD)
        x_BTD = run(model.blocks[half], x_BTD)
        for block, join in zip(model.blocks[half + 1 :], model.joins, strict=True):
            x_BTD = run(block, join(torch.cat((x_BTD, skips.pop()), -1)))
        return model.norm(x_BTD)

    def _block(self, module: nn.Module, x_BLD: Tensor) -> Tensor:
        block = cast(PostNormBlock, module)
        x_BLD = block.norm1(x_BLD + self._attend(block.self_attn, x_BLD, x_BLD))
        return block.norm2(x_BLD + block.linear2(F.gelu(block.linear1(x_BLD))))

    def _decoder_block(self, module: nn.Module, x_BTD: Tensor, memory_BLD: Tensor) -> Tensor:
        block = cast(PostNormDecoderBlock, module)
        x_BTD = block.norm1(x_BTD + self._attend(block.self_attn, x_BTD, x_BTD))
        x_BTD = block.norm2(x_BTD + self._attend(block.multihead_attn, x_BTD, memory_BLD))
        return block.norm3(x_BTD + block.linear2(F.gelu(block.linear1(x_BTD))))

    def _attend(self, attention: Attention, x_BTD: Tensor, memory_BSD: Tensor) -> Tensor:
        return self.attentions[attention](x_BTD, memory_BSD, memory_BSD, need_weights=False)[0]


def deis_change(
    rho_after: float, rho: float, rho_before: float, noise_B: Tensor, noise_before_B: Tensor
) -> Tensor:
    """Change of z / alpha by a second-order step (equation 6, whose printed form is not exact).

    The noise is interpolated linearly in log rho between this time and the one before, and
    integrated over rho from here to the next time.

    Args:
        rho_after, rho, rho_before: sigma / alpha at the next time, at this one and the one before.
    """

    def share(end: float, start: float) -> float:
        """Integral over rho of (log rho - log start) / span."""
        antiderivative = [r * (np.log(r) - np.log(start) - 1) for r in (rho_after, rho)]
        return (antiderivative[0] - antiderivative[1]) / (np.log(end) - np.log(start))

    return share(rho, rho_before) * noise_B + share(rho_before, rho) * noise_before_B
