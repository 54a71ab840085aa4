"""What generators of two people are trained on: views of pairs with their captions."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.data.kinds import describe, read_kinds
from duomotion.data.layouts import VIEWS
from duomotion.data.pairs import PairConfig
from duomotion.models.children import check_child, load_embedder
from duomotion.text.anchors import ANCHORS, save_anchors
from duomotion.text.augment import mirror_text
from duomotion.text.cache import cached_encoder
from duomotion.text.learned import Learned
from duomotion.training.batch import similar_lengths
from duomotion.training.captions import CaptionStates, draw_captions
from duomotion.training.validation import ValidationFID
from duomotion.training.views import (
    DrawView,
    FixedViews,
    FreshViews,
    MixedViews,
    View,
    Views,
    balanced,
    collate,
)

NUM_PEOPLE = 2

OPEN_VIEWS = PairConfig(
    floor="keep",
    mirror=False,
    tempo=(0.85, 1.2),
    tempo_change=0.1,
    scale=(0.95, 1.05),
    shortest=0.5,
)
"""Of the open data, where recordings are few: cut and replayed at other tempos and sizes."""


@dataclass(frozen=True, kw_only=True)
class PairData:
    """Data sets of pairs, how views of them are drawn, and how captions become vectors.

    Attributes:
        composed: further pairs to train on, which were composed (`duomotion data compose`).
        composed_share: how many of an epoch's views are of these; all the other views are in it.
        length: checkpoint of a length estimator, to be included in the generator's.
        views, composed_views: random views of each recorded or composed clip, drawn before
            training. None: a new view each time a clip is used (released codes); then
            `composed_views` says how often an epoch may have a composed clip.
        balance: of kinds of action among the views of recorded clips, see `views.balanced`.
        text_noise: amount of noise on text vectors, see `training.captions.add_caption_noise`.
        text_anchors: texts are mapped to training captions at generation, see `text.anchors`.
        evaluator: checkpoint of an evaluator. `best` is then the checkpoint with the lowest FID on
            the validation clips. None: with the lowest held-out loss, which rises long before the
            generated motion gets worse.
    """

    pairs: str = "data/interhuman"
    composed: str | None = None
    composed_share: float = 0.5
    length: str | None = None
    text_encoder: str = "clip"
    views: int | None = None
    composed_views: int = 1
    balance: float = 0.0
    text_noise: float = 0.0
    text_anchors: bool = False
    evaluator: str | None = None
    examples: PairConfig = field(default_factory=PairConfig)


class CaptionedPairs:
    """Batches of views with the states of their captions.

    Attributes:
        held_out: two views of each validation clip, as recorded.
        learned: the kinds of action, and their captions.
        children: checkpoints that belong into the generator's.
    """

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
        """Read the data.

        Args:
            layout: name of one of two people.
            unit: frames of which views have a whole number.
            prepare: what is done once and for all to views, and to how many, where views are drawn
                before training.
        """
        self.data, self.seed, self.unit = data, seed, unit
        self.layout, self.prepare = VIEWS[layout], prepare
        self.draw_view = DrawView(self.layout.example, unit)
        recorded, held_out_clips = (
            self.layout.read_split(data.pairs, split)[0] for split in ("train", "val")
        )
        composed = self.layout.read_split(data.composed, "train")[0] if data.composed else []
        twice = [2] * len(held_out_clips)
        whole = data.examples.as_recorded
        held_out = self.draw_view.several(held_out_clips, whole, each=twice, seed=seed)
        self.held_out_motion = list(held_out)
        self.encoder = cached_encoder(data.text_encoder, dim=text_dim)
        described = describe(data.pairs, recorded, self.layout.captions)
        if data.composed:
            described += describe(data.composed, composed, self.layout.captions)
        self.learned = Learned.of(described, NUM_PEOPLE)
        captions = {text for clip in (*recorded, *composed) for text in self.layout.captions(clip)}
        if data.examples.mirror:
            captions |= set(map(mirror_text, captions))
        others = [text for view in self.held_out_motion for text in view.captions]
        self.captions = CaptionStates(self.encoder, sorted(captions), others)
        self.children = self._children()
        self.views = MixedViews(
            self._views(recorded, self._views_of(recorded)),
            self._views(composed, [data.composed_views] * len(composed)),
            data.composed_share,
        )
        self.held_out = self.held_out_motion
        if data.views is not None:
            self.held_out = prepare(iter(self.held_out_motion), len(self.held_out_motion))

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

    def _views_of(self, clips: Sequence[Any]) -> list[int]:
        names = [str(clip.name) for clip in clips]
        kinds = read_kinds(self.data.pairs)
        return balanced(
            self.data.views, [kinds.get(name, name) for name in names], self.data.balance
        )

    def _views(self, clips: Sequence[Any], each: Sequence[int]) -> Views:
        if self.data.views is None:
            often = [clip for clip, count in zip(clips, each, strict=True) for _ in range(count)]
            return FreshViews(self.draw_view, often, self.data.examples)
        drawn = self.draw_view.several(clips, self.data.examples, each=each, seed=self.seed)
        return FixedViews(self.prepare(drawn, sum(each)))

    def train_batches(
        self, batch_size: int, *, seed: int, epoch: int, skip: int
    ) -> Iterator[dict[str, Any]]:
        """An epoch has every view of recorded clips once, and its share of composed ones."""
        rng = np.random.default_rng([seed, epoch])
        rows, lengths = self.views.epoch(rng), self.views.lengths
        batches = similar_lengths([lengths[row] for row in rows], batch_size, rng)
        for index, chosen in enumerate(batches[skip:], skip):
            rng = np.random.default_rng([seed, epoch, index])
            yield self.batch(self.views.draw(rows[chosen].tolist(), rng), rng)

    def batch(self, views: list[View], rng: np.random.Generator) -> dict[str, Any]:
        """Members as of `views.collate`, and the states of a caption of each view."""
        texts = self.captions.encode(
            draw_captions([(view.captions, view.weights) for view in views], rng)
        )
        return {
            **collate(views, self.unit),
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

    def selection(self) -> ValidationFID | None:
        """What chooses the best checkpoint if that is an evaluator."""
        if self.data.evaluator is None:
            return None
        shown = [(view.captions[0], view.motion.numpy()) for view in self.held_out_motion[::2]]
        return ValidationFID(load_embedder(Path(self.data.evaluator)), shown)

    def provenance(self) -> dict[str, Any]:
        composed = [self.data.composed] if self.data.composed else []
        return {"data": [self.data.pairs, *composed], "text_encoder": self.encoder.name}
