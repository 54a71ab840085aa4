"""Length of the motion that a text describes (text2length, Guo et al. 2022)."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.config import Length, Share, Size, Within


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """The length estimator; defaults are the released code's."""

    text_dim: Size = 512  # CLIP ViT-B/32
    num_classes: Size = 50  # class k stands for k times `frames_per_class` frames
    frames_per_class: Length = 4
    width: Annotated[int, Within(4, 2**20)] = 512  # of the first layer; then a half, a quarter
    dropout: Share = 0.2


class LengthEstimator(nn.Module):
    """Text vectors (B, C) to logits of lengths (B, num_classes)."""

    def __init__(self, config: LengthConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.text_dim, config.width, config.width // 2, config.width // 4)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.LeakyReLU(0.2)]
            if index < 2:
                layers.append(nn.Dropout(config.dropout))
        self.output = nn.Sequential(*layers, nn.Linear(widths[-1], config.num_classes))

    def forward(self, text_BC: Tensor) -> Tensor:
        return self.output(text_BC)

    def draw(self, text_BC: Tensor, rngs: list[torch.Generator]) -> list[int]:
        """Lengths in frames, each drawn from its text's distribution with its own generator.

        Each text is read alone: how products are rounded depends on how many rows they have.
        """
        frames = []
        for text_1C, rng in zip(text_BC.split(1), rngs, strict=True):
            chances = self(text_1C)[0].softmax(-1).cpu()
            drawn = int(torch.multinomial(chances, 1, generator=rng))
            frames.append(drawn * self.config.frames_per_class)
        return frames


def load_length_estimator(folder: Path) -> LengthEstimator:
    """Read the checkpoint of a length estimator.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder)
    return load_network(checkpoint, LengthEstimator, model_config(checkpoint, LengthConfig))
