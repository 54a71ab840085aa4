"""Examples of two people with a caption, what a generator trains on."""

from dataclasses import dataclass

import numpy as np

from duomotion.data.interhuman import Clip
from duomotion.motion.interhuman import INTERHUMAN, mirror_pair
from duomotion.text.augment import mirror_text

TEMPO_FRAMES = 30  # between which the tempo goes from one value to the next


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """How clips become examples.

    Attributes:
        max_frames: longer clips are cut to a random stretch of this length (InterGen: 300).
        floor: see `motion.interhuman.on_floor`.
        mirror: left and right are swapped, in motion and caption, in half of the examples.
        tempo: slowest and fastest replay speed; 1 is as recorded.
        tempo_change: by how much the logarithm of the speed varies within an example (standard
            deviation), changing about once a second; 0: the speed is constant.
        scale: smallest and largest factor of both people's size and of the distance between them.
        shortest: after slowing down and cutting, an example has at least this share of its frames.
    """

    max_frames: int = 300
    floor: str = "each"
    mirror: bool = True
    tempo: tuple[float, float] = (1.0, 1.0)
    tempo_change: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shortest: float = 1.0

    @property
    def as_recorded(self) -> "PairConfig":
        """The same with each clip as it is, cut only where it is too long."""
        return PairConfig(max_frames=self.max_frames, floor=self.floor, mirror=False)


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
    times_T = replay_times(positions.shape[1], config, rng)
    positions, sixd = at_times(positions, times_T), at_times(sixd, times_T)
    if config.scale != (1.0, 1.0):
        positions = positions * np.float32(np.exp(rng.uniform(*np.log(config.scale))))
    cut = stretch(positions.shape[1], config, rng)
    pair = INTERHUMAN.encode_pair(positions[:, cut], sixd[:, cut], floor=config.floor)
    return Example(pair, captions, clip.name, clip.weights)


def stretch(frames: int, config: PairConfig, rng: np.random.Generator) -> slice:
    """A random stretch of so many frames that is no longer and no shorter than it may be."""
    kept = round(frames * rng.uniform(config.shortest, 1.0))
    kept = min(kept, config.max_frames + 1)
    start = rng.integers(frames - kept + 1)
    return slice(start, start + kept)


def replay_times(frames: int, config: PairConfig, rng: np.random.Generator) -> np.ndarray:
    """Times (T,) in frames of a recording of so many, as it is replayed at another tempo."""
    speed = np.exp(rng.uniform(*np.log(config.tempo)))
    if config.tempo_change:
        knots = np.arange(0, frames + TEMPO_FRAMES, TEMPO_FRAMES)
        changes = np.interp(
            np.arange(frames), knots, rng.normal(0, config.tempo_change, size=len(knots))
        )
        recorded = np.concatenate([[0], np.cumsum(np.exp(-changes[:-1]) / speed)])
        return np.interp(np.arange(0, recorded[-1]), recorded, np.arange(frames))
    return np.arange(frames) if speed == 1 else np.arange(0, frames - 1, speed)


def at_times(x_PTJD: np.ndarray, times_T: np.ndarray) -> np.ndarray:
    """Positions or 6-D rotations at times in frames, linear in between.

    6-D rotations in between are not orthogonal; reading them by Gram-Schmidt makes them so.
    """
    if np.issubdtype(times_T.dtype, np.integer):
        return x_PTJD[:, times_T]
    low = times_T.astype(int)
    part = (times_T - low)[:, None, None].astype(np.float32)
    return x_PTJD[:, low] * (1 - part) + x_PTJD[:, low + 1] * part
