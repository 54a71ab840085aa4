"""What generators of two people are trained on: views of pairs with their captions."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.data.kinds import describe
from duomotion.models.children import check_child, load_embedder
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_views import OPEN_PAIRS, OPEN_VIEWS, PairViews, ViewData
from duomotion.text.anchors import ANCHORS, save_anchors
from duomotion.text.augment import mirror_text
from duomotion.text.cache import cached_encoder
from duomotion.text.learned import Learned
from duomotion.training.batch import Part, whole
from duomotion.training.captions import CaptionStates, draw_captions
from duomotion.training.validation import FeatureSource, ValidationFID, held_out_scores
from duomotion.training.views import View


@dataclass(frozen=True, kw_only=True)
class PairData(ViewData):
    """The same with captions, and how these become vectors.

    Attributes:
        length: checkpoint of a length estimator, to be included in the generator's.
        text_noise: amount of noise on text vectors, see `training.captions.add_caption_noise`.
        text_anchors: texts are mapped to training captions at generation, see `text.anchors`.
        evaluator: checkpoint of an evaluator. `best` is then the checkpoint with the lowest FID on
            the validation clips. None: with the lowest held-out loss, which rises long before the
            generated motion gets worse.
    """

    length: str | None = None
    text_encoder: str = "clip"
    text_noise: float = 0.0
    text_anchors: bool = False
    evaluator: str | None = None


OPEN_CAPTIONS: dict[str, Any] = {
    **OPEN_PAIRS,
    "composed_share": 0.25,
    "examples": replace(OPEN_VIEWS, shortest=0.9),
    "length": "runs/length/open/last",
    "text_encoder": "sentence",
    "text_noise": 0.15,
}
"""`PairData` of the open models.

Clips are hardly cut, since captions say what happens in all of a clip; noise on the text vectors
stands for other wordings.
"""
MOSTLY_RECORDED: dict[str, Any] = {
    **OPEN_CAPTIONS,
    "composed_share": 0.15,
    "examples": replace(OPEN_VIEWS, shortest=0.95),
    "balance": 0.5,
}
"""`PairData` of the open denoisers of features, which have few steps for all they have to learn."""


class CaptionedPairs(PairViews):
    """Batches of views with the states of their captions.

    Attributes:
        learned: the kinds of action, and their captions.
        children: checkpoints that belong into the generator's.
        selection: what chooses the best checkpoint; None where that is the loss.
    """

    data: PairData

    def __init__(
        self,
        data: PairData,
        *,
        layout: str,
        text_dim: int,
        seed: int,
        unit: int = 1,
        prepare: Callable[[Iterator[View], int], list[View]] = lambda views, _: list(views),
    ) -> None:
        """Read the data; arguments are those of `PairViews`."""
        self.encoder = cached_encoder(data.text_encoder, dim=text_dim)
        super().__init__(data, layout=layout, seed=seed, unit=unit, prepare=prepare)
        described, composed = (
            describe(root, clips, self.layout.captions) if root else []
            for root, clips in ((data.pairs, self.recorded), (data.composed, self.composed))
        )
        self.learned = Learned.of(described, NUM_PEOPLE, composed=composed)
        clips = (*self.recorded, *self.composed)
        captions = {text for clip in clips for text in self.layout.captions(clip)}
        if data.examples.mirror:
            captions |= set(map(mirror_text, captions))
        others = [text for view in self.held_out_motion for text in view.captions]
        self.captions = CaptionStates(self.encoder, sorted(captions), others)
        self.children = self._children()
        self.selection = self._selection()

    def _children(self) -> Mapping[str, Path]:
        data, children = self.data, {}
        if data.length is not None:
            children["length"] = Path(data.length)
            check_child(children["length"], "length/estimator", data.text_encoder)
        if data.text_anchors:
            self.kept = tempfile.TemporaryDirectory()
            children[ANCHORS] = Path(self.kept.name) / ANCHORS
            save_anchors(children[ANCHORS], self.encoder, self.captions.captions)
        return children

    def batch(self, views: list[View], rng: np.random.Generator) -> dict[str, Any]:
        """The same, and the states of a caption of each view."""
        texts = self.captions.encode(
            draw_captions([(view.captions, view.weights) for view in views], rng)
        )
        return {
            **super().batch(views, rng),
            "hidden_BLC": texts.hidden_BLC,
            "pool_index_B": texts.pool_index_B,
        }

    def text_vectors(
        self,
        batch: Mapping[str, Any],
        rng: torch.Generator,
        *,
        text_head: Callable[[Tensor, Tensor], Tensor],
        is_training: bool,
    ) -> Tensor:
        """(B, C): what `text_head` makes of the captions' states, in training with noise."""
        text_BC = text_head(batch["hidden_BLC"], batch["pool_index_B"])
        if is_training and self.data.text_noise:
            noise = self.data.text_noise
            text_BC = self.captions.add_noise(text_BC, noise, rng, text_head=text_head)
        return text_BC

    @property
    def score_name(self) -> str:
        """Of the score that decides on the best checkpoint."""
        return "loss" if self.selection is None else "fid"

    def scores(
        self,
        loss: Callable[[Any, torch.Generator, int], tuple[Tensor, dict[str, Tensor]]],
        model: Callable[[], FeatureSource],
        *,
        size: int,
        device: torch.device,
        names: Sequence[str],
    ) -> dict[str, float]:
        """Loss and some of its parts on held-out views, and FID where an evaluator selects.

        Args:
            loss: a task's.
            model: makes what generates, of copies: what only generates can't be trained.
            size: views at once.
            names: of the parts.
        """
        found = held_out_scores(
            loss, self.batch, self.held_out, size=size, seed=self.seed, device=device, names=names
        )
        return found if self.selection is None else {**found, "fid": self.selection.score(model())}

    def _selection(self) -> ValidationFID | None:
        """What chooses the best checkpoint if that is an evaluator."""
        if self.data.evaluator is None:
            return None
        shown = [(view.captions[0], view.motion.numpy()) for view in self.held_out_motion[::2]]
        return ValidationFID(load_embedder(Path(self.data.evaluator)), shown)

    def provenance(self) -> dict[str, Any]:
        return {"data": self.sources(), "text_encoder": self.encoder.name}


class CaptionedTask(ABC):
    """The training of a network that makes two people's motion of a text.

    Attributes:
        reported: parts of the loss that validation tells too.
    """

    model: Any
    reported: tuple[str, ...] = ()

    def __init__(
        self,
        recipe: Any,
        device: torch.device,
        pairs: CaptionedPairs,
        children: Mapping[str, Path] | None = None,
    ) -> None:
        """Set what all such tasks have.

        Args:
            children: checkpoints that belong into the network's, beside those of `pairs`.
        """
        self.recipe, self.device, self.pairs = recipe, device, pairs
        self.learned, self.score_name = pairs.learned, pairs.score_name
        self.children: Mapping[str, Path] = {**(children or {}), **pairs.children}

    @abstractmethod
    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `training.trainer.Task`."""

    @abstractmethod
    def generator(self) -> FeatureSource:
        """What generates, of copies: what only generates can't be trained."""

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        return self.pairs.train_batches(size, seed=seed, epoch=epoch, skip=skip, part=part)

    def validate(self) -> dict[str, float]:
        return self.pairs.scores(
            self.loss,
            self.generator,
            size=self.recipe.optim.batch_size,
            device=self.device,
            names=self.reported,
        )

    def provenance(self) -> dict[str, Any]:
        return self.pairs.provenance()
