"""Windows of one person's motion, what a tokenizer trains on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from duomotion.data.interhuman import Clip
from duomotion.motion.canonical import facing
from duomotion.motion.interhuman import floors, mirror_pair
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22

SOLO_RADIUS = 2.0


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Which windows are drawn.

    Attributes:
        frames: frames a window (64: released code). Shorter clips are left out.
        stride: an epoch counts a window every so many frames (10: released code), for each person
            and, where windows are mirrored, each side. Windows themselves begin anywhere.
        floor: see `motion.interhuman.on_floor`; a person's floor is that of the whole clip.
        reach: a window lies at most this many frames after the frame whose first person defines
            origin and facing; 300 is the longest motion that is ever generated at once.
        mirror: left and right are swapped in half of the windows.
        people: 2 draws both people of a clip, one after the other, in a window's world.
    """

    frames: int = 64
    stride: int = 10
    floor: Literal["each", "keep"] = "each"
    reach: int = 300
    mirror: bool = True
    people: int = 1

    def window_counts(self, lengths: np.ndarray) -> np.ndarray:
        """How many windows an epoch counts in a person of each of the lengths (C,), in frames."""
        sides = 2 if self.mirror else 1
        windows = (lengths - self.frames) // self.stride + 1
        return sides * windows.clip(min=0)


def with_window(lengths: np.ndarray, config: WindowConfig) -> np.ndarray:
    """Indices of the clips that are as long as a window, of lengths (C,) in frames.

    Raises:
        ValueError: there is none.
    """
    usable = np.flatnonzero(lengths >= config.frames)
    if not len(usable):
        raise ValueError(f"no clip is as long as a window of {config.frames} frames")
    return usable


class WindowSampler:
    """Draws windows as joint maps (B, frames, 22, 12), in metres.

    Each window belongs to a person of a clip, seen in the world that a network meets at generation:
    origin and facing are those of one of the people at an earlier frame of the clip. A person who
    was recorded alone is placed around the origin as a partner would be.

    Raises:
        ValueError: a clip has fewer people than a window, or none is as long as one.
    """

    def __init__(self, clips: list[Clip], config: WindowConfig) -> None:
        for clip in clips:
            if len(clip.positions) < config.people:
                raise ValueError(
                    f"{clip.name} shows {len(clip.positions)} person; "
                    f"windows of {config.people} people need clips of both"
                )
        self.config = config
        lengths = np.array([clip.num_frames - 1 for clip in clips])  # velocities need a next frame
        usable = with_window(lengths, config)
        self.clips = [clips[index] for index in usable]
        self.floors = [floors(clip.positions, config.floor) for clip in self.clips]
        people = np.array([len(clip.positions) for clip in self.clips])
        self.num_windows = int((people * config.window_counts(lengths[usable])).sum())
        """Windows of an epoch."""
        places = people * (lengths[usable] - config.frames + 1)
        self.weights = places / places.sum()

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, frames, 22, 12) float32; `count` is a multiple of the people of a window."""
        length, together = self.config.frames + 1, self.config.people
        count //= together
        chosen = rng.choice(len(self.clips), size=count, p=self.weights)
        positions = np.empty((count, together, length, 22, 3))
        sixd = np.empty((count, together, length, 21, 6))
        origin, angle = np.empty((count, 3)), np.empty(count)
        for row, index in enumerate(chosen):
            clip = self.clips[index]
            start = rng.integers(clip.num_frames - length + 1)
            first = rng.integers(max(0, start + length - 1 - self.config.reach), start + 1)
            person, reference = rng.integers(len(clip.positions), size=2)
            shown = [person, 1 - person][:together]
            positions[row] = clip.positions[shown, start : start + length]
            positions[row, ..., 1] -= self.floors[index][shown, None, None]
            sixd[row] = clip.sixd[shown, start : start + length]
            leader = clip.positions[reference, first]
            origin[row] = leader[0] * [1, 0, 1]
            angle[row] = facing(leader, SMPL22)
            if len(clip.positions) == 1 and rng.random() < 0.5:
                angle[row] += rng.uniform(-np.pi, np.pi)
                origin[row] += SOLO_RADIUS * rng.uniform(-1, 1, size=3) * [1, 0, 1]
        turn = yaw(-angle)[:, None, None]
        positions = (positions - origin[:, None, None, None]) @ np.swapaxes(turn, -1, -2)
        if self.config.mirror:
            flip = rng.random(count) < 0.5
            positions[flip], sixd[flip] = mirror_pair(positions[flip], sixd[flip])
        return np.concatenate(joint_map(positions, sixd))


def joint_map(positions: np.ndarray, sixd: np.ndarray) -> np.ndarray:
    """(..., T, 22, 3) and (..., T, 21, 6) -> (..., T - 1, 22, 12) float32."""
    velocities = np.diff(positions, axis=-3)
    rotations = np.concatenate([np.zeros_like(sixd[..., :1, :]), sixd], axis=-2)
    return np.concatenate(
        [positions[..., :-1, :, :], velocities, rotations[..., :-1, :, :]], -1, dtype=np.float32
    )
