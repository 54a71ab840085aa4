"""Made-up motion of one person, and a small data set of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from motions import point, standing

from duomotion.data.interhuman import SPLITS, write_clip, write_splits
from duomotion.motion.canonical import transform
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw


def walking(
    speed: float, seconds: float = 4.0, turn: float = 0.0, swing: float = 0.0
) -> Interaction:
    """Somebody who goes straight ahead in m/s, waving one arm up and down, seen turned about Y."""
    frames = round(30 * seconds)
    time = np.arange(frames) / 30
    person = standing(1, frames)
    arm = np.stack([0 * time, np.sin(swing * time) - 1, np.cos(swing * time)], -1)
    for side in ("left", "right"):
        person = point(person, 0, f"{side}_shoulder", arm)
    roots = person.root_positions + np.stack([0 * time, 0 * time, speed * time], -1)
    return transform(replace(person, root_positions=roots), yaw(turn), np.array([3.0, 0, -2.0]))


CLIPS = {
    "01_01": (walking(1.2, 5.0, 0.3, 3.0), "A person walks forward."),
    "01_02": (walking(1.1, 4.0, -2.0, 2.0), "A human walks straight ahead"),
    "01_03": (walking(2.5, 3.0, 1.0, 5.0), "a person runs"),
    "02_01": (walking(0.0, 6.0, 0.0, 8.0), "A person waves with the right hand."),
    "02_02": (walking(0.0, 5.0, 2.0, 4.0), "someone is clapping"),
    "02_03": (walking(0.05, 4.5, -1.0, 6.0), "A person dances."),
    "03_01": (walking(0.0, 3.0), "calibration"),
}


def solo_data(root: Path) -> Path:
    """A data set of one person whose clips are all to train on but for one of each other split."""
    for name, (motion, caption) in CLIPS.items():
        write_clip(root, name, motion, [caption])
    write_clip(root, "04_01", walking(0.0, 3.0), ["A person kicks."])
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    write_splits(root, {**splits, "train": list(CLIPS), "val": ["04_01"], "test": ["04_01"]})
    return root
