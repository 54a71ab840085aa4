"""Training of the length estimator: captions, and how long the motion they describe is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from duomotion.config import Within
from duomotion.data.layouts import CAPTIONED
from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.text.cache import cached_encoder
from duomotion.training.batch import Part, whole
from duomotion.training.captions import CaptionVectors, encode_vectors
from duomotion.training.config import LogConfig, OptimConfig


@dataclass(frozen=True, kw_only=True)
class LengthData:
    """A data set with captions and its layout, and how captions become vectors.

    Attributes:
        composed: further pairs to train on, which were composed (`duomotion data compose`).
        composed_share: how many of an epoch's captions are of these; all the others are in it.
    """

    clips: str = "data/interhuman"
    composed: str | None = None
    composed_share: Annotated[float, Within(0, 0.99)] = 0.5
    layout: str = "interhuman"
    text_encoder: str = "clip"
    text_noise: float = 0.0  # of a vector, along the way from one random caption to another


@dataclass(frozen=True, kw_only=True)
class LengthRecipe:
    """One training of a length estimator."""

    optim: OptimConfig
    system: str = "length/estimator"
    model: LengthConfig = field(default_factory=LengthConfig)
    data: LengthData = field(default_factory=LengthData)
    log: LogConfig = field(default_factory=LogConfig)


class Examples(NamedTuple):
    """Captions, and the classes of their clips' lengths."""

    captions: list[str]
    classes: list[int]


class LengthTask:
    """Every caption with the length of its clip."""

    score_name = "frames_off"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: LengthRecipe, device: torch.device) -> None:
        self.recipe = recipe
        encoder = cached_encoder(recipe.data.text_encoder, dim=recipe.model.text_dim)
        self.encoder_name = encoder.name
        data = recipe.data
        self.training_data = [data.clips, *([data.composed] if data.composed else [])]
        recorded, held_out = (self._examples(data.clips, split) for split in ("train", "val"))
        composed = self._examples(data.composed, "train") if data.composed else Examples([], [])
        self.captions = CaptionVectors(encoder, [*recorded.captions, *composed.captions], device)
        self.classes_N = torch.tensor([*recorded.classes, *composed.classes])
        self.num_recorded = len(recorded.captions)
        self.held_out = (
            encode_vectors(encoder, held_out.captions).to(device),
            torch.tensor(held_out.classes, device=device),
        )
        torch.manual_seed(recipe.optim.seed)
        self.model = LengthEstimator(recipe.model)

    def _examples(self, root: str, split: str) -> Examples:
        layout, sizes = CAPTIONED[self.recipe.data.layout], self.recipe.model
        longest = sizes.num_classes - 1
        found = Examples([], [])
        for clip in layout.read_split(root, split)[0]:
            captions = list(layout.captions(clip))
            kind = min(clip.num_frames // sizes.frames_per_class, longest)  # released code
            found.captions.extend(captions)
            found.classes.extend([kind] * len(captions))
        return found

    def _epoch(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers of captions: all of recorded clips, and a share of composed ones."""
        composed = len(self.classes_N) - self.num_recorded
        share = self.recipe.data.composed_share
        count = min(composed, round(self.num_recorded * share / (1 - share)))
        chosen = self.num_recorded + rng.permutation(composed)[:count]
        return rng.permutation(np.concatenate([np.arange(self.num_recorded), chosen]))

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        order = self._epoch(np.random.default_rng([seed, epoch]))
        for start in range(skip * size, len(order), size):
            chosen = order[start : start + size]
            chosen = torch.from_numpy(chosen[part(len(chosen))])
            yield {"captions_B": chosen, "classes_B": self.classes_N[chosen]}

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        text_BC = self.captions.vectors_NC[batch["captions_B"]]
        if self.model.training:
            text_BC = self.captions.add_noise(text_BC, self.recipe.data.text_noise, rng)
        return F.cross_entropy(self.model(text_BC), batch["classes_B"]), {}

    def validate(self) -> dict[str, float]:
        """How far the most likely length is from the true one, the median over the captions."""
        texts_NC, classes_N = self.held_out
        off_N = (self.model(texts_NC).argmax(-1) - classes_N).abs().float()
        return {"frames_off": off_N.median().item() * self.recipe.model.frames_per_class}

    def provenance(self) -> dict[str, Any]:
        return {"data": self.training_data, "text_encoder": self.encoder_name}
