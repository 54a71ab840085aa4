"""What reference procedures share: guidance in two passes, DDIM written out, PyTorch's attention.

Axes: B batch, P the 2 people, T places in time, F numbers of a person, D width.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.attention import Attention
from duomotion.models.layers.pair_blocks import NORMS
from duomotion.models.pair_denoiser import PairDenoiser


class PairReference(ABC):
    """The same weights as `model`, in evaluation mode and float32, without sharing them."""

    def __init__(self, model: PairDenoiser) -> None:
        assert model.config.noise.prediction == "sample"
        self.model: Any = copy.deepcopy(model).float().eval()

    @abstractmethod
    def hidden(self, people: list[Tensor], embedding_BD: Tensor) -> list[Tensor]:
        """Both people (B, T, D) through the blocks."""

    @torch.no_grad()
    def sample(self, noise_BPTF: Tensor, text_BC: Tensor, steps: int, guidance: float) -> Tensor:
        """What noise becomes by steps of DDIM (Song et al. 2021), guided by two passes each."""
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
        people = list(model.input_projection(x_BPTF).unbind(1))
        if model.person_embedding is not None:
            people = [x + mark for x, mark in zip(people, model.person_embedding, strict=True)]
        people = self.hidden(people, embedding_BD)
        return model.output_projection(torch.stack(people, 1))


class PairBlocksReference(PairReference):
    """Blocks of `layers.pair_blocks`: each person's network runs alone, modulated in each pass."""

    def __init__(self, model: PairDenoiser) -> None:
        super().__init__(model)
        self.attentions = [
            (multihead(block.self_attention), multihead(block.cross_attention))
            for block in self.model.blocks
        ]

    @abstractmethod
    def after_attention(
        self, block: Any, x_BTD: Tensor, read_BTD: Tensor, embedding_BD: Tensor
    ) -> Tensor:
        """What a block adds to `x_BTD` in the end; `read_BTD` is its layer norm."""

    def hidden(self, people: list[Tensor], embedding_BD: Tensor) -> list[Tensor]:
        waves_TD = sinusoids(people[0].shape[1], self.model.config.width).to(people[0])
        first, second = (x_BTD + waves_TD for x_BTD in people)
        for index in range(len(self.attentions)):
            first, second = (
                self._block(index, embedding_BD, first, second),
                self._block(index, embedding_BD, second, first),
            )
        return [first, second]

    def _block(self, index: int, embedding_BD: Tensor, x_BTD: Tensor, partner: Tensor) -> Tensor:
        block, modulation = self.model.blocks[index], self.model.modulations[index]

        def adapted(name: str, hidden_BTD: Tensor) -> Tensor:
            scale, shift = getattr(modulation, name)(embedding_BD)
            return layer_norm(hidden_BTD) * (1 + scale) + shift

        own, query, other, last = NORMS
        self_attention, cross_attention = self.attentions[index]
        hidden = adapted(own, x_BTD)
        x_BTD = x_BTD + self_attention(hidden, hidden, hidden)[0]
        memory = adapted(other, partner)
        x_BTD = x_BTD + cross_attention(adapted(query, x_BTD), memory, memory)[0]
        return x_BTD + self.after_attention(block, x_BTD, adapted(last, x_BTD), embedding_BD)


def multihead(attention: Attention) -> nn.MultiheadAttention:
    """PyTorch's layer with the same weights."""
    made = nn.MultiheadAttention(
        attention.out_proj.in_features,
        attention.num_heads,
        add_zero_attn=attention.add_zero_attn,
        batch_first=True,
    )
    made.load_state_dict(
        {
            "in_proj_weight": attention.in_proj.weight,
            "in_proj_bias": attention.in_proj.bias,
            "out_proj.weight": attention.out_proj.weight,
            "out_proj.bias": attention.out_proj.bias,
        }
    )
    return made.eval()


def layer_norm(x_BTD: Tensor) -> Tensor:
    return F.layer_norm(x_BTD, x_BTD.shape[-1:], eps=1e-6)


def sinusoids(frames: int, width: int) -> Tensor:
    """(T, D): sines and cosines next to each other (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-torch.log(torch.tensor(10000.0)) / width))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
