"""What networks see of Inter-X clips: windows for tokenizers, examples for generators."""

import numpy as np

from duomotion.data.interx import InterxClip
from duomotion.data.pairs import Example, PairConfig, replayed, stretch
from duomotion.data.windows import WindowConfig
from duomotion.motion import interx
from duomotion.text.augment import mirror_text


class InterxWindows:
    """Draws windows as maps (B, frames, 56, 6), each of one person where they are in the clip.

    `WindowConfig.reach` has no effect: every clip has its own origin.
    """

    def __init__(self, clips: list[InterxClip], config: WindowConfig) -> None:
        self.config = config
        self.clips = [_held(maps(clip), config.frames) for clip in clips]
        frames = np.array([clip.shape[1] for clip in self.clips], float)
        self.weights = frames / frames.sum()

    @property
    def num_windows(self) -> int:
        """How many windows lie side by side in the clips: the size of an epoch."""
        return sum(clip.shape[0] * clip.shape[1] for clip in self.clips) // self.config.frames

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, frames, 56, 6) float32; `count` is a multiple of the people of a window."""
        length, together = self.config.frames, self.config.people
        windows = []
        for index in rng.choice(len(self.clips), size=count // together, p=self.weights):
            clip = self.clips[index]
            start, person = rng.integers(clip.shape[1] - length + 1), rng.integers(len(clip))
            window = clip[[person, 1 - person][:together], start : start + length]
            if self.config.mirror and rng.random() < 0.5:
                window = interx.mirror(window)
            windows.append(window)
        return np.concatenate(windows)


def draw_example(clip: InterxClip, config: PairConfig, rng: np.random.Generator) -> Example:
    """A random view of a clip: person order, side, tempo and stretch.

    The first person's first translation is zero. `config.floor` has no effect: heights are those
    of the prepared data.
    """
    joints, captions = maps(clip), clip.captions
    if rng.random() < 0.5:
        joints = joints[::-1]
    if config.mirror and rng.random() < 0.5:
        joints, captions = interx.mirror(joints), tuple(map(mirror_text, captions))
    speed = np.exp(rng.uniform(*np.log(config.tempo)))
    pace = np.ones_like(joints[0, 0])
    pace[-1, 3:] = speed
    joints = replayed(joints, speed) * pace
    return Example(_placed(joints[:, stretch(joints.shape[1], config, rng)]), captions, clip.name)


def whole(clip: InterxClip) -> np.ndarray:
    """Features (2, T, 336) of a clip's first frames."""
    return _placed(maps(clip)[:, : interx.MAX_FRAMES])


def maps(clip: InterxClip) -> np.ndarray:
    """(2, T - 1, 56, 6) float32."""
    return interx.to_joint_map(interx.join(clip.rotations, clip.translations))


def _placed(joints: np.ndarray) -> np.ndarray:
    joints = joints.copy()
    joints[..., -1, :3] -= joints[0, 0, -1, :3].copy()
    return interx.from_joint_map(joints)


def _held(joints: np.ndarray, frames: int) -> np.ndarray:
    """The clip, its last pose held until it has at least `frames` frames."""
    missing = frames - joints.shape[1]
    if missing <= 0:
        return joints
    last = joints[:, -1:].copy()
    last[..., -1, 3:] = 0
    return np.concatenate([joints, np.repeat(last, missing, 1)], 1)
