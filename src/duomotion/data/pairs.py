"""Examples of two people with a caption, what a generator trains on."""

from dataclasses import dataclass

import numpy as np

from duomotion.data.interhuman import Clip
from duomotion.motion.features import encode_pair, mirror_pair
from duomotion.text.augment import mirror_text


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """How clips become examples.

    Attributes:
        max_frames: longer clips are cut to a random stretch of this length (InterGen: 300).
        floor: see `features.encode_pair`.
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
    """Features (2, T, 262) in metres, a caption that fits, and the clip's name."""

    features: np.ndarray
    caption: str
    name: str


def draw_example(clip: Clip, config: PairConfig, rng: np.random.Generator) -> Example:
    """A random view of a clip: person order, side, tempo, stretch and caption."""
    positions, sixd = clip.positions, clip.sixd
    caption = clip.captions[rng.integers(len(clip.captions))]
    if rng.random() < 0.5:
        positions, sixd = positions[::-1], sixd[::-1]
    if config.mirror and rng.random() < 0.5:
        positions, sixd = mirror_pair(positions, sixd)
        caption = mirror_text(caption)
    positions, sixd = _replayed(positions, sixd, np.exp(rng.uniform(*np.log(config.tempo))))
    frames = positions.shape[1]
    kept = round(frames * rng.uniform(config.shortest, 1.0))
    kept = min(kept, config.max_frames + 1)
    start = rng.integers(frames - kept + 1)
    cut = slice(start, start + kept)
    pair = encode_pair(positions[:, cut], sixd[:, cut], floor=config.floor)
    return Example(pair, caption, clip.name)


def _replayed(
    positions: np.ndarray, sixd: np.ndarray, speed: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (P, T, J, 3) and rotations (P, T, J, 6) at another speed, linear in between.

    6-D rotations in between are not orthogonal; reading them by Gram-Schmidt makes them so.
    """
    frames = positions.shape[1]
    if speed == 1:
        return positions, sixd
    times = np.arange(0, frames - 1, speed)
    low = times.astype(int)
    part = (times - low)[:, None, None].astype(np.float32)
    positions, sixd = (x[:, low] * (1 - part) + x[:, low + 1] * part for x in (positions, sixd))
    return positions, sixd
