"""Training of the open data sets' evaluators."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.data.layouts import CAPTIONED, Captioned
from duomotion.data.pairs import Example, PairConfig
from duomotion.models.evaluator.embedding import padded
from duomotion.models.evaluator.matching import MatchingTask, check_micro_batch
from duomotion.models.evaluator.open import OpenEvaluator, OpenEvaluatorConfig, matching_loss
from duomotion.motion.normaliser import MIN_STD
from duomotion.progress import track
from duomotion.text.cache import cached_encoder
from duomotion.training.batch import Part, on_device, whole
from duomotion.training.captions import CaptionVectors, draw_captions
from duomotion.training.config import LogConfig, OptimConfig


@dataclass(frozen=True, kw_only=True)
class EvaluatorData:
    """A data set and its layout, how captions become vectors, and how clips become examples."""

    clips: str = "data/open-pairs"
    layout: str = "interhuman"
    text_encoder: str = "sentence"
    views: int = 12  # random views of each clip that are made before training starts
    text_noise: float = 0.2  # of a vector, along the way from one random caption to another
    examples: PairConfig = field(
        default_factory=lambda: PairConfig(floor="keep", tempo=(0.85, 1.15), shortest=0.6)
    )


@dataclass(frozen=True, kw_only=True)
class EvaluatorRecipe:
    """One training of the open evaluator."""

    optim: OptimConfig
    system: str = "evaluator/open"
    model: OpenEvaluatorConfig = field(default_factory=OpenEvaluatorConfig)
    data: EvaluatorData = field(default_factory=EvaluatorData)
    log: LogConfig = field(default_factory=LogConfig)


class EvaluatorTask:
    """Motions and captions that have to find each other in a batch."""

    score_name = "loss"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: EvaluatorRecipe, device: torch.device) -> None:
        self.recipe = recipe
        data, seed = recipe.data, recipe.optim.seed
        layout = CAPTIONED[data.layout]
        clips, _ = layout.read_split(data.clips, "train")
        whole = PairConfig(floor=data.examples.floor, mirror=False)
        held_out, _ = layout.read_split(data.clips, "val")
        self.views = _drawn(layout, clips, data.examples, data.views, seed)
        self.held_out = _drawn(layout, held_out, whole, 1, seed)
        self.num_clips = len(clips)
        encoder = cached_encoder(recipe.data.text_encoder, dim=recipe.model.text_dim)
        views = (*self.views, *self.held_out)
        captions = sorted({text for view in views for text in view.captions})
        self.captions = CaptionVectors(encoder, captions, device)
        self.encoder_name = encoder.name
        torch.manual_seed(recipe.optim.seed)
        self.model = OpenEvaluator(recipe.model)
        width = recipe.model.num_features
        frames = np.concatenate([view.features.reshape(-1, width) for view in self.views])
        self.model.mean.copy_(torch.from_numpy(frames.mean(0)))
        self.model.std.copy_(torch.from_numpy(np.maximum(frames.std(0), MIN_STD)))

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(self.num_clips)
        chosen = order * self.recipe.data.views + rng.integers(
            self.recipe.data.views, size=len(order)
        )
        for index in range(skip, max(1, len(order) // size)):
            rows = chosen[index * size : (index + 1) * size]
            own = part(len(rows))
            check_micro_batch(own, MatchingTask.needs)
            rng = np.random.default_rng([seed, epoch, index, own.start])
            yield self._batch([self.views[row] for row in rows[own]], rng)

    def _batch(self, views: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        motion_BPTF, lengths_B = padded([view.features for view in views])
        texts = draw_captions([(view.captions, view.weights) for view in views], rng)
        return {
            "motion_BPTF": motion_BPTF,
            "lengths_B": lengths_B,
            "captions_B": self.captions.numbers(texts),
            "texts": texts,
            "captions": [view.captions for view in views],
            "names": [view.name for view in views],
        }

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        text_BC = self.captions.vectors_NC[batch["captions_B"]]
        if self.model.training:
            text_BC = self.captions.add_noise(text_BC, self.recipe.data.text_noise, rng)
        motion_BE = self.model.embed_motion(batch["motion_BPTF"], batch["lengths_B"])
        text_BE = self.model.embed_text(text_BC)
        logits_BB = self.model.log_scale.exp() * motion_BE @ text_BE.T
        belongs = [[text in captions for text in batch["texts"]] for captions in batch["captions"]]
        belongs_BB = torch.tensor(belongs, device=logits_BB.device).float()
        found_B = belongs_BB.gather(1, logits_BB.argmax(1, keepdim=True))
        return matching_loss(logits_BB, belongs_BB), {"found": found_B.mean()}

    def validate(self) -> dict[str, float]:
        rng = np.random.default_rng(self.recipe.optim.seed)
        batch = self._batch(self.held_out, rng)
        batch = on_device(batch, self.model.mean.device)
        loss, parts = self.loss(batch, torch.Generator(), 0)
        return {"loss": loss.item(), "found": parts["found"].item()}

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.recipe.data.clips], "text_encoder": self.encoder_name}


def _drawn(
    layout: Captioned, clips: list[Any], config: PairConfig, views: int, seed: int
) -> list[Example]:
    """`views` views of every clip, those of a clip next to each other."""
    rng = np.random.default_rng(seed)
    seen = track(clips, "views", unit="clip")
    return [layout.example(clip, config, rng) for clip in seen for _ in range(views)]
