"""Examples of two people with a caption, what a generator trains on."""

from dataclasses import dataclass

import numpy as np

from duomotion.data.interhuman import Clip
from duomotion.motion.interhuman import INTERHUMAN, mirror_pair
from duomotion.text.augment import mirror_text


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """How clips become examples.

    Attributes:
        max_frames: longer clips are cut to a random stretch of this length (InterGen: 300).
        floor: see `motion.interhuman.on_floor`.
        mirror: left and right are swapped, in motion and caption, in half of the examples.
        tempo: slowest and fastest replay speed; 1 is as recorded.
        shortest: after slowing down and cutting, an example has at least this share of its frames.
    """

    max_frames: int = 300
    floor: str = "each"
    mirror: bool = True
    tempo: tuple[float, float] = (1.0, 1.0)
    shortest: float = 1.0


@dataclass(frozen=True)
class Example:
    """Features (2, T, F) in metres, captions that fit, and the clip's name.

    `weights` say how often each caption is drawn; empty where all are drawn alike.
    """

    features: np.ndarray
    captions: tuple[str, ...]
    name: str
    weights: tuple[float, ...] = ()


def draw_example(clip: Clip, config: PairConfig, rng: np.random.Generator) -> Example:
    """A random view of a clip: person order, side, tempo and stretch."""
    positions, sixd, captions = clip.positions, clip.sixd, clip.captions
    if rng.random() < 0.5:
        positions, sixd = positions[::-1], sixd[::-1]
    if config.mirror and rng.random() < 0.5:
        positions, sixd = mirror_pair(positions, sixd)
        captions = tuple(map(mirror_text, captions))
    speed = np.exp(rng.uniform(*np.log(config.tempo)))
    positions, sixd = replayed(positions, speed), replayed(sixd, speed)
    cut = stretch(positions.shape[1], config, rng)
    pair = INTERHUMAN.encode_pair(positions[:, cut], sixd[:, cut], floor=config.floor)
    return Example(pair, captions, clip.name, clip.weights)


def stretch(frames: int, config: PairConfig, rng: np.random.Generator) -> slice:
    """A random stretch of so many frames that is no longer and no shorter than it may be."""
    kept = round(frames * rng.uniform(config.shortest, 1.0))
    kept = min(kept, config.max_frames + 1)
    start = rng.integers(frames - kept + 1)
    return slice(start, start + kept)


def replayed(x_PTJD: np.ndarray, speed: float) -> np.ndarray:
    """Positions or 6-D rotations at another speed, linear in between.

    6-D rotations in between are not orthogonal; reading them by Gram-Schmidt makes them so.
    """
    if speed == 1:
        return x_PTJD
    times = np.arange(0, x_PTJD.shape[1] - 1, speed)
    low = times.astype(int)
    part = (times - low)[:, None, None].astype(np.float32)
    return x_PTJD[:, low] * (1 - part) + x_PTJD[:, low + 1] * part
