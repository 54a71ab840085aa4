"""Data sets by the layout in which networks see them: reading, and what is drawn from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from duomotion.data import humanml3d, humanml3d_views, interhuman, interx, interx_views
from duomotion.data.interhuman import Clip, Problem
from duomotion.data.interx import InterxClip
from duomotion.data.pairs import Example, PairConfig, draw_example
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.motion.humanml3d import SOLO_LAYOUTS
from duomotion.motion.interhuman import INTERHUMAN


class Sampler(Protocol):
    """Draws windows of motion, as joint maps."""

    @property
    def num_windows(self) -> int: ...

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray: ...


@dataclass(frozen=True)
class Captioned:
    """How to read a layout's clips and what networks see of them with their captions.

    Attributes:
        read_split: (folder, split) -> clips and stretches with captions of all that they show,
            and what is wrong with the others.
        captions: (clip) -> what its captions say.
        example: (clip, config, random numbers) -> features with captions.
    """

    read_split: Callable[[str | Path, str], tuple[list[Any], list[Problem]]]
    captions: Callable[[Any], tuple[str, ...]]
    example: Callable[[Any, PairConfig, np.random.Generator], Example]


@dataclass(frozen=True)
class Views(Captioned):
    """The same of a layout whose features make a map.

    Attributes:
        read_motions: (folder, split) -> whole clips, captioned or not, and what is wrong with the
            others.
        windows: (clips, config) -> windows for a tokenizer.
        whole: (clip, floor) -> features (P, T, F) of its first frames; `floor` is that of
            `motion.interhuman.on_floor`.
    """

    read_motions: Callable[[str | Path, str], tuple[list[Any], list[Problem]]]
    windows: Callable[[list[Any], WindowConfig], Sampler]
    whole: Callable[[Any, str], np.ndarray]


def _captions(clip: Clip | InterxClip) -> tuple[str, ...]:
    return clip.captions


def _whole_interhuman(clip: Clip, floor: str) -> np.ndarray:
    cut = slice(0, INTERHUMAN.max_frames + 1)
    return INTERHUMAN.encode_pair(clip.positions[:, cut], clip.sixd[:, cut], floor=floor)


def _whole_interx(clip: InterxClip, floor: str) -> np.ndarray:
    return interx_views.whole(clip)


VIEWS: Mapping[str, Views] = {
    "interhuman": Views(
        interhuman.read_captioned,
        _captions,
        draw_example,
        interhuman.read_motions,
        WindowSampler,
        _whole_interhuman,
    ),
    "interx": Views(
        interx.read_split,
        _captions,
        interx_views.draw_example,
        interx.read_split,
        interx_views.InterxWindows,
        _whole_interx,
    ),
}

CAPTIONED: Mapping[str, Captioned] = {
    **VIEWS,
    **{
        layout.name: Captioned(
            humanml3d.read_split, humanml3d_views.captions, humanml3d_views.draw_example
        )
        for layout in SOLO_LAYOUTS
    },
}
