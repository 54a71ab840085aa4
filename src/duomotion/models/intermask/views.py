"""Views of captioned clips of two people: what InterMask's transformer is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from duomotion.data.layouts import VIEWS
from duomotion.data.pairs import PairConfig
from duomotion.models.intermask.codec import MotionCodec
from duomotion.progress import counter

TOKENIZED_AT_ONCE = 32  # views


@dataclass(frozen=True)
class View:
    """One view of a clip, captions that fit and the clip's name.

    Attributes:
        motion: ids (2, parts, N), or features (2, T, F) in metres that are tokenized later, T a
            multiple of what a token covers.
        weights: how often each caption is drawn; empty where all are drawn alike.
    """

    motion: Tensor
    captions: tuple[str, ...]
    name: str
    weights: tuple[float, ...] = ()


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
        self.lengths: Sequence[int] = [view.motion.shape[-1] for view in views]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]:
        return [self.views[row] for row in rows]


class FreshViews:
    """Another view of a clip every time, each clip once for each side (released code)."""

    def __init__(self, codec: MotionCodec, clips: Sequence[Any], config: PairConfig) -> None:
        self.codec, self.config = codec, config
        self.clips = [*clips] * (2 if config.mirror else 1)
        self.lengths: Sequence[int] = [
            min(clip.num_frames, config.max_frames) for clip in self.clips
        ]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> list[View]:
        return [draw_view(self.codec, self.clips[row], self.config, rng) for row in rows]


def draw_view(codec: MotionCodec, clip: Any, config: PairConfig, rng: np.random.Generator) -> View:
    """A random view as features, cut to whole tokens."""
    example = VIEWS[codec.layout.name].example(clip, config, rng)
    unit = codec.tokenizer.downsampling
    frames = example.features.shape[1] // unit * unit
    motion = torch.from_numpy(np.ascontiguousarray(example.features[:, :frames]))
    return View(motion, example.captions, example.name, example.weights)


def draw_views(
    codec: MotionCodec, clips: Sequence[Any], config: PairConfig, *, each: int, seed: int
) -> list[View]:
    """`each` views of every clip, as features; the same for the same arguments."""
    return [
        draw_view(codec, clip, config, rng)
        for index, clip in enumerate(clips)
        for rng in [np.random.default_rng([seed, index])]
        for _ in range(each)
    ]


@torch.no_grad()
def tokenized(codec: MotionCodec, views: Sequence[View]) -> list[View]:
    """The views as ids; those of one length are tokenized together."""
    made: list[View | None] = [None] * len(views)
    alike: dict[int, list[int]] = {}
    for index, view in enumerate(views):
        alike.setdefault(view.motion.shape[1], []).append(index)
    parts = codec.tokenizer.num_parts
    with counter("tokens", unit="view", total=len(views)) as add:
        for indices in alike.values():
            for start in range(0, len(indices), TOKENIZED_AT_ONCE):
                chosen = indices[start : start + TOKENIZED_AT_ONCE]
                motion = torch.cat([views[index].motion for index in chosen])
                ids = codec.encode(motion).unflatten(1, (parts, -1)).unflatten(0, (-1, 2))
                for index, own in zip(chosen, ids, strict=True):
                    made[index] = replace(views[index], motion=own)
                add(len(chosen))
    return [view for view in made if view is not None]


def collate(views: Sequence[View], unit: int) -> dict[str, Any]:
    """Members of a batch of views that are all ids or all features, zeros behind their ends.

    Args:
        unit: frames of a token.

    Returns:
        `lengths_B` in tokens, `names`, and `ids_BPN`, N = parts times tokens, or `motion_BPTF`.
    """
    is_motion = views[0].motion.is_floating_point()
    axis = 1 if is_motion else -1
    lengths_B = torch.tensor([view.motion.shape[axis] for view in views])
    shape = list(views[0].motion.shape)
    shape[axis] = int(lengths_B.max())
    padded = torch.zeros(len(views), *shape, dtype=views[0].motion.dtype)
    for row, view in zip(padded, views, strict=True):
        row.narrow(axis, 0, view.motion.shape[axis]).copy_(view.motion)
    members: dict[str, Any] = {"names": [view.name for view in views]}
    if is_motion:
        return {**members, "motion_BPTF": padded, "lengths_B": lengths_B // unit}
    return {**members, "ids_BPN": padded.flatten(2), "lengths_B": lengths_B}
