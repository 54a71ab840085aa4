"""What networks see of Inter-X clips: windows for tokenizers, examples for generators."""

import numpy as np

from duomotion.data.interx import PEOPLE, InterxClip
from duomotion.data.pairs import Example, PairConfig, at_times, replay_times, stretch
from duomotion.data.windows import WindowConfig, with_window
from duomotion.motion.interx import INTERX, ROOT, TRANSLATION, VELOCITY
from duomotion.text.augment import mirror_text


class InterxWindows:
    """Draws windows as maps (B, frames, 56, 6), each of one person.

    The origin is where one of the people is at an earlier frame, as that of a motion that is
    generated is where the first one starts. `WindowConfig.floor` has no effect: heights are those
    of the prepared data.

    Raises:
        ValueError: no clip is as long as a window.
    """

    def __init__(self, clips: list[InterxClip], config: WindowConfig) -> None:
        self.config = config
        lengths = np.array([clip.num_frames - 1 for clip in clips])  # velocities need a next frame
        usable = with_window(lengths, config)
        self.clips = [clips[index] for index in usable]
        self.num_windows = int((2 * config.window_counts(lengths[usable])).sum())
        """Windows of an epoch."""
        places = lengths[usable] - config.frames + 1
        self.weights = places / places.sum()

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, frames, 56, 6) float32; `count` is a multiple of the people of a window."""
        length, together = self.config.frames, self.config.people
        windows = []
        for index in rng.choice(len(self.clips), size=count // together, p=self.weights):
            clip = self.clips[index]
            start, person = rng.integers(clip.num_frames - length), rng.integers(len(PEOPLE))
            first = rng.integers(max(0, start + length - self.config.reach), start + 1)
            origin = clip.translations[rng.integers(len(PEOPLE)), first]
            shown, cut = [person, 1 - person][:together], slice(start, start + length + 1)
            window = _maps(clip.rotations[shown, cut], clip.translations[shown, cut])
            window[..., ROOT, TRANSLATION] -= origin
            if self.config.mirror and rng.random() < 0.5:
                window = INTERX.mirror(window)
            windows.append(window)
        return np.concatenate(windows)


def draw_example(clip: InterxClip, config: PairConfig, rng: np.random.Generator) -> Example:
    """A random view of a clip: person order, side, tempo and stretch.

    The first person's first translation is zero. `config.floor` and `config.scale` have no effect:
    heights and sizes are those of the prepared data.
    """
    joints, captions = maps(clip), clip.captions
    if rng.random() < 0.5:
        joints = joints[::-1]
    if config.mirror and rng.random() < 0.5:
        joints, captions = INTERX.mirror(joints), tuple(map(mirror_text, captions))
    times_T = replay_times(joints.shape[1], config, rng)
    joints = at_times(joints, times_T)
    joints[..., ROOT, VELOCITY] *= np.gradient(times_T)[:, None]
    return Example(_placed(joints[:, stretch(joints.shape[1], config, rng)]), captions, clip.name)


def whole(clip: InterxClip) -> np.ndarray:
    """Features (2, T, 336) of a clip's first frames."""
    return _placed(maps(clip)[:, : INTERX.max_frames])


def maps(clip: InterxClip) -> np.ndarray:
    """(2, T - 1, 56, 6) float32."""
    return _maps(clip.rotations, clip.translations)


def _maps(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    return INTERX.to_joint_map(INTERX.encode_smplx(rotations, translations))


def _placed(joints: np.ndarray) -> np.ndarray:
    joints = joints.copy()
    joints[..., ROOT, TRANSLATION] -= joints[0, 0, ROOT, TRANSLATION].copy()
    return INTERX.from_joint_map(joints)
