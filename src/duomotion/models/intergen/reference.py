"""Reference implementation of InterGen's sampling, which the fast one has to equal.

Attention is `torch.nn.MultiheadAttention`, guidance takes two passes instead of one over a doubled
batch, each person's network runs alone, and modulation is computed in each pass of each step, all
as in the released code; steps are DDIM's (Song et al. 2021), written out.

Axes: B batch, P the 2 people, T frames, F features, D width.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from duomotion.models.intergen.network import InterGenBlock, InterGenDenoiser
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.pair_blocks import NORMS


class ReferenceDenoiser:
    """The same weights as `model`, in evaluation mode and float32, without sharing them."""

    def __init__(self, model: InterGenDenoiser) -> None:
        self.model = copy.deepcopy(model).float().eval()
        self.blocks = [cast(InterGenBlock, block) for block in self.model.blocks]
        self.attentions = [
            (_multihead(block.self_attention), _multihead(block.cross_attention))
            for block in self.blocks
        ]

    def sample(self, noise_BPTF: Tensor, text_BC: Tensor, steps: int, guidance: float) -> Tensor:
        """Clean features from noise."""
        schedule = self.model.config.noise
        kept = schedule.alphas_cumprod
        stride, x_BPTF, clean_BPTF = schedule.num_steps // steps, noise_BPTF, noise_BPTF
        for step in reversed(range(steps)):
            time = step * stride
            with_text = self.predict(x_BPTF, text_BC, time)
            without = self.predict(x_BPTF, torch.zeros_like(text_BC), time)
            clean_BPTF = guidance * with_text + (1 - guidance) * without
            here, after = float(kept[time]), float(kept[time - stride]) if step else 1.0
            noise = (x_BPTF - here**0.5 * clean_BPTF) / (1 - here) ** 0.5
            x_BPTF = after**0.5 * clean_BPTF + (1 - after) ** 0.5 * noise
        return clean_BPTF

    def predict(self, x_BPTF: Tensor, text_BC: Tensor, time: int) -> Tensor:
        """One pass of the network."""
        model = self.model
        times_B = torch.full((len(x_BPTF),), time)
        embedding_BD = model.embed(model.condition(text_BC), times_B)
        patch = model.config.patch
        x_BPTF = x_BPTF.unflatten(2, (-1, patch)).flatten(3)
        waves_TD = _waves(x_BPTF.shape[2], model.config.width).to(x_BPTF)
        people = [model.input_projection(x_BTF) + waves_TD for x_BTF in x_BPTF.unbind(1)]
        if model.person_embedding is not None:
            people = [x + mark for x, mark in zip(people, model.person_embedding, strict=True)]
        for index, block in enumerate(self.blocks):
            first, second = people
            people = [
                self._block(index, block, embedding_BD, first, second),
                self._block(index, block, embedding_BD, second, first),
            ]
        made_BPTF = torch.stack([model.output_projection(x_BTD) for x_BTD in people], 1)
        return made_BPTF.unflatten(3, (patch, -1)).flatten(2, 3)

    def _block(
        self, index: int, block: InterGenBlock, embedding_BD: Tensor, x_BTD: Tensor, partner: Tensor
    ) -> Tensor:
        modulation = self.model.modulations[index]
        width = x_BTD.shape[-1]

        def adapted(name: str, hidden_BTD: Tensor) -> Tensor:
            scale, shift = getattr(modulation, name)(embedding_BD)
            normed = nn.functional.layer_norm(hidden_BTD, (width,), eps=1e-6)
            return normed * (1 + scale) + shift

        own, query, other, feedforward = NORMS
        self_attention, cross_attention = self.attentions[index]
        hidden = adapted(own, x_BTD)
        x_BTD = x_BTD + self_attention(hidden, hidden, hidden)[0]
        memory = adapted(other, partner)
        x_BTD = x_BTD + cross_attention(adapted(query, x_BTD), memory, memory)[0]
        return x_BTD + block.feedforward(adapted(feedforward, x_BTD))


def _multihead(attention: Attention) -> nn.MultiheadAttention:
    width = attention.out_proj.in_features
    made = nn.MultiheadAttention(width, attention.num_heads, add_zero_attn=True, batch_first=True)
    made.load_state_dict(
        {
            "in_proj_weight": attention.in_proj.weight,
            "in_proj_bias": attention.in_proj.bias,
            "out_proj.weight": attention.out_proj.weight,
            "out_proj.bias": attention.out_proj.bias,
        }
    )
    return made.eval()


def _waves(frames: int, width: int) -> Tensor:
    """(T, D): sines and cosines next to each other (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(10000.0)) / width))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
