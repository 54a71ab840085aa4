"""Views of pairs: what networks of two people's motion are trained on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from duomotion.data.kinds import read_kinds
from duomotion.data.layouts import VIEWS
from duomotion.data.pairs import PairConfig
from duomotion.motion.layout import Layout
from duomotion.motion.normaliser import Normaliser
from duomotion.training.batch import Part, similar_lengths, whole
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

STATISTICS_VIEWS = 2000
OPEN_VIEWS = PairConfig(
    floor="keep",
    mirror=False,
    tempo=(0.85, 1.2),
    tempo_change=0.1,
    scale=(0.95, 1.05),
    shortest=0.5,
)
"""Of the open data, where recordings are few: cut and replayed at other tempos and sizes."""
OPEN_PAIRS: dict[str, Any] = {
    "pairs": "data/open-pairs",
    "composed": "data/composed-pairs",
    "examples": OPEN_VIEWS,
}
"""`ViewData` of the open models."""


@dataclass(frozen=True, kw_only=True)
class ViewData:
    """Data sets of pairs, and how views of them are drawn.

    Attributes:
        composed: further pairs to train on, which were composed (`duomotion data compose`).
        composed_share: how many of an epoch's views are of these; all the other views are in it.
        views, composed_views: random views of each recorded or composed clip, drawn before
            training. None: a new view each time a clip is used (released codes); then
            `composed_views` says how often an epoch may have a composed clip.
        balance: of kinds of action among the views of recorded clips, see `views.balanced`.
    """

    pairs: str = "data/interhuman"
    composed: str | None = None
    composed_share: float = 0.5
    views: int | None = None
    composed_views: int = 1
    balance: float = 0.0
    examples: PairConfig = field(default_factory=PairConfig)


class PairViews:
    """Batches of views.

    Attributes:
        recorded, composed: clips to train on.
        held_out_motion: two views of each validation clip, as recorded.
        held_out: the same, prepared as those to train on are.
        views: of the recorded and the composed clips.
    """

    def __init__(
        self,
        data: ViewData,
        *,
        layout: str,
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
        self.recorded, held_out_clips = (
            self.layout.read_split(data.pairs, split)[0] for split in ("train", "val")
        )
        self.composed = self.layout.read_split(data.composed, "train")[0] if data.composed else []
        twice = [2] * len(held_out_clips)
        whole = data.examples.as_recorded
        self.held_out_motion = list(
            self.draw_view.several(held_out_clips, whole, each=twice, seed=seed)
        )
        self.views = MixedViews(
            self._views(self.recorded, self._views_of(self.recorded)),
            self._views(self.composed, [data.composed_views] * len(self.composed)),
            data.composed_share,
        )
        self.held_out = self.held_out_motion
        if data.views is not None:
            self.held_out = prepare(iter(self.held_out_motion), len(self.held_out_motion))

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
        self, batch_size: int, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        """An epoch has every view of recorded clips once, and its share of composed ones."""
        rng = np.random.default_rng([seed, epoch])
        rows, lengths = self.views.epoch(rng), self.views.lengths
        batches = similar_lengths([lengths[row] for row in rows], batch_size, rng)
        for index, chosen in enumerate(batches[skip:], skip):
            own = part(len(chosen))
            rng = np.random.default_rng([seed, epoch, index, own.start])
            yield self.batch(self.views.draw(rows[chosen[own]].tolist(), rng), rng)

    def batch(self, views: list[View], rng: np.random.Generator) -> dict[str, Any]:
        """Members as of `views.collate`; `rng` is for what is drawn in it."""
        return collate(views, self.unit)

    def random_views(self) -> list[View]:
        """Of which statistics are taken; the same each time."""
        rng = np.random.default_rng(self.seed)
        rows = rng.integers(len(self.views.lengths), size=STATISTICS_VIEWS)
        return self.views.draw(rows.tolist(), rng)

    def sources(self) -> list[str]:
        """Folders of the data sets."""
        return [self.data.pairs, *([self.data.composed] if self.data.composed else [])]


def statistics(views: Sequence[View], layout: Layout) -> Normaliser:
    """Mean and deviation of the features of views."""
    return layout.fit_normaliser(np.concatenate([view.motion.flatten(0, 1) for view in views]))
