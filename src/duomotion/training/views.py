"""Views of captioned clips of two people: what generators are trained on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from duomotion.data.pairs import Example, PairConfig
from duomotion.progress import counter


@dataclass(frozen=True)
class View:
    """One view of a clip, captions that fit and the clip's name.

    Attributes:
        motion: features (2, T, F) in metres, T a multiple of what a token covers; or what was made
            of them before training, ids (2, parts, N) or latents (2, L, K).
        weights: how often each caption is drawn; empty where all are drawn alike.
        num_frames: T of the features.
    """

    motion: Tensor
    captions: tuple[str, ...]
    name: str
    weights: tuple[float, ...] = ()
    num_frames: int = 0


class Views(Protocol):
    """Views by number.

    Attributes:
        lengths: of each, give or take some, in frames or tokens.
    """

    lengths: Sequence[int]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]: ...


class FixedViews:
    """The same views every time."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = views
        self.lengths: Sequence[int] = [view.num_frames for view in views]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]:
        return [self.views[row] for row in rows]


class MixedViews:
    """Views of recorded clips, and behind them those of composed ones."""

    def __init__(self, recorded: Views, composed: Views, share: float) -> None:
        """Put them together.

        Args:
            share: of composed views in an epoch, 0 to below 1.
        """
        self.recorded, self.composed, self.share = recorded, composed, share
        self.lengths: Sequence[int] = [*recorded.lengths, *composed.lengths]

    def epoch(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the views of an epoch: all recorded ones, and a share of composed ones."""
        recorded, composed = len(self.recorded.lengths), len(self.composed.lengths)
        count = round(recorded * self.share / (1 - self.share)) if composed else 0
        whole, rest = divmod(count, max(composed, 1))
        more = [np.arange(composed)] * whole + [rng.permutation(composed)[:rest]] * bool(rest)
        return np.concatenate([np.arange(recorded), *(recorded + numbers for numbers in more)])

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]:
        recorded = len(self.recorded.lengths)
        return [
            view
            for row in rows
            for view in (
                self.recorded.draw([row], rng)
                if row < recorded
                else self.composed.draw([row - recorded], rng)
            )
        ]


class FreshViews:
    """Another view of a clip every time, each clip once for each side (released code)."""

    def __init__(self, draw: "DrawView", clips: Sequence[Any], config: PairConfig) -> None:
        self.draw_view, self.config = draw, config
        self.clips = [*clips] * (2 if config.mirror else 1)
        self.lengths: Sequence[int] = [
            min(clip.num_frames, config.max_frames) for clip in self.clips
        ]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]:
        return [self.draw_view(self.clips[row], self.config, rng) for row in rows]


@dataclass(frozen=True)
class DrawView:
    """Random views of clips as features.

    Attributes:
        example: of the clips' layout, see `data.layouts`.
        unit: frames, of which views have a whole number; those of a token.
    """

    example: Callable[[Any, PairConfig, np.random.Generator], Example]
    unit: int = 1

    def __call__(self, clip: Any, config: PairConfig, rng: np.random.Generator) -> View:
        example = self.example(clip, config, rng)
        frames = example.features.shape[1] // self.unit * self.unit
        motion = torch.from_numpy(np.ascontiguousarray(example.features[:, :frames]))
        return View(motion, example.captions, example.name, example.weights, frames)

    def several(
        self, clips: Sequence[Any], config: PairConfig, *, each: Sequence[int], seed: int
    ) -> Iterator[View]:
        """So many of each clip; the same for the same arguments."""
        for index, (clip, count) in enumerate(zip(clips, each, strict=True)):
            rng = np.random.default_rng([seed, index])
            for _ in range(count):
                yield self(clip, config, rng)


CONVERTED_AT_ONCE = 32  # views


def converted(
    views: Iterable[View], total: int, convert: Callable[[Tensor], Tensor], title: str
) -> list[View]:
    """Views with something else in the place of their features.

    Args:
        total: how many they are.
        convert: features (B, 2, T, F) -> what comes in their place, (B, ...); it gets views of one
            length together, some at a time.
        title: of the progress bar.
    """
    made: dict[int, View] = {}
    waiting: dict[int, dict[int, View]] = {}
    with counter(title, unit="view", total=total) as add:

        def convert_batch(batch: dict[int, View]) -> None:
            motion = torch.stack([view.motion for view in batch.values()])
            for (index, view), own in zip(batch.items(), convert(motion), strict=True):
                made[index] = replace(view, motion=own)
            add(len(batch))

        for index, view in enumerate(views):
            alike = waiting.setdefault(view.motion.shape[1], {})
            alike[index] = view
            if len(alike) == CONVERTED_AT_ONCE:
                convert_batch(waiting.pop(view.motion.shape[1]))
        for alike in waiting.values():
            convert_batch(alike)
    return [made[index] for index in range(len(made))]


def balanced(views: int | None, kinds: Sequence[str], balance: float) -> list[int]:
    """How many views clips of these kinds have, so that rare kinds are not drowned by common ones.

    Args:
        views: of a clip that is the only one of its kind; None for as many that a clip of the
            commonest kind has one.
        balance: a clip among n of its kind has n^-balance times as many, but at least one: 0, all
            clips have as many; 1, all kinds.
    """
    counts = Counter(kinds)
    most = max(counts.values(), default=1) ** balance if views is None else views
    return [max(1, round(most * counts[kind] ** -balance)) for kind in kinds]


def collate(views: Sequence[View], unit: int) -> dict[str, Any]:
    """Members of a batch of views that are all ids or all features, zeros behind their ends.

    Args:
        unit: frames of a token.

    Returns:
        `lengths_B` in tokens, `frames_B`, `names`, and `ids_BPN`, N = parts times tokens, or
        `motion_BPTF`.
    """
    is_motion = views[0].motion.is_floating_point()
    axis = 1 if is_motion else -1
    lengths_B = torch.tensor([view.motion.shape[axis] for view in views])
    shape = list(views[0].motion.shape)
    shape[axis] = int(lengths_B.max())
    padded = torch.zeros(len(views), *shape, dtype=views[0].motion.dtype)
    for row, view in zip(padded, views, strict=True):
        row.narrow(axis, 0, view.motion.shape[axis]).copy_(view.motion)
    members: dict[str, Any] = {
        "names": [view.name for view in views],
        "frames_B": torch.tensor([view.num_frames for view in views]),
    }
    if is_motion:
        return {**members, "motion_BPTF": padded, "lengths_B": lengths_B // unit}
    return {**members, "ids_BPN": padded.flatten(2), "lengths_B": lengths_B}
