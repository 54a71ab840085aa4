"""Data sets by the layout in which networks see them: reading, and what is drawn from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from duomotion.data import interhuman, interx, interx_views
from duomotion.data.interhuman import Clip, Problem
from duomotion.data.interx import InterxClip
from duomotion.data.pairs import Example, PairConfig, draw_example
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.motion import features


class Sampler(Protocol):
    """Draws windows of motion, as joint maps."""

    @property
    def num_windows(self) -> int: ...

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray: ...


@dataclass(frozen=True)
class Views:
    """How to read a layout's clips and what networks see of them.

    Attributes:
        read_split: (folder, split) -> clips that can be used, and what is wrong with the others.
        windows: (clips, config) -> windows for a tokenizer.
        example: (clip, config, random numbers) -> features with a caption, for a generator.
        whole: (clip, floor) -> features (P, T, F) of its first frames; `floor` is that of
            `features.encode_pair`.
    """

    read_split: Callable[[str | Path, str], tuple[list[Any], list[Problem]]]
    windows: Callable[[list[Any], WindowConfig], Sampler]
    example: Callable[[Any, PairConfig, np.random.Generator], Example]
    whole: Callable[[Any, str], np.ndarray]


def _whole_interhuman(clip: Clip, floor: str) -> np.ndarray:
    cut = slice(0, features.MAX_FRAMES + 1)
    return features.encode_pair(clip.positions[:, cut], clip.sixd[:, cut], floor=floor)


def _whole_interx(clip: InterxClip, floor: str) -> np.ndarray:
    return interx_views.whole(clip)


VIEWS: Mapping[str, Views] = {
    "interhuman": Views(interhuman.read_split, WindowSampler, draw_example, _whole_interhuman),
    "interx": Views(
        interx.read_split, interx_views.InterxWindows, interx_views.draw_example, _whole_interx
    ),
}
