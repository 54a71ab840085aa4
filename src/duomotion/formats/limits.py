"""How much a motion file may hold, so that none takes all of a machine's memory or time."""

from pathlib import Path

import numpy as np

from duomotion.body import MAX_PEOPLE

MAX_JOINTS = 500
# Rotations in all, people x frames x joints: an hour of two people of 22 joints at 30 a second.
MAX_ROTATIONS = 5_000_000
LONGEST_NAME = 200
LONGEST_CAPTION = 10_000
LARGEST = 1e6  # metres; no bone and no place in any unit that is taken for metres
FPS = (0.1, 1e4)


def check_people(path: str | Path, people: int) -> None:
    """Raises ValueError when there are more people than names and colours for them."""
    if people > MAX_PEOPLE:
        raise ValueError(f"{path}: {people} people; at most {MAX_PEOPLE} are read")


def check_joints(path: str | Path, joints: int) -> None:
    """Raises ValueError when a person has more joints than are read."""
    if joints > MAX_JOINTS:
        raise ValueError(f"{path}: {joints} joints; at most {MAX_JOINTS} are read")


def check_rotations(path: str | Path, frames: int, joints: int) -> None:
    """Raises ValueError when all joints of all people have more frames than are read."""
    if frames * joints > MAX_ROTATIONS:
        raise ValueError(
            f"{path}: {frames} frames of {joints} joints; at most {MAX_ROTATIONS // joints} such "
            "frames are read"
        )


def check_fps(path: str | Path, name: str, fps: float) -> float:
    """The frame rate as it is; raises ValueError when it is none that the formats have."""
    if not FPS[0] <= fps <= FPS[1]:
        raise ValueError(f"{path}: {name} is {fps:g}, not a frame rate from {FPS[0]} to {FPS[1]:g}")
    return float(fps)


def check_numbers(path: str | Path, name: str, values: np.ndarray) -> None:
    """Raises ValueError when lengths, places or angles (...) are not finite or far too large."""
    with np.errstate(over="ignore"):  # half precision has no number as large
        fitting = (np.abs(values) < LARGEST).all()
    if not fitting:
        raise ValueError(f"{path}: {name} holds values that are not finite or far too large")


def check_names(path: str | Path, names: tuple[str, ...]) -> None:
    """Raises ValueError when a joint's name is too long to be one."""
    if max(map(len, names)) > LONGEST_NAME:
        raise ValueError(f"{path}: a joint's name has more than {LONGEST_NAME} characters")


def texts(path: str | Path, name: str, array: np.ndarray, longest: int) -> list[str]:
    """What an array of text (...) holds, in one list; some programs store texts as bytes.

    Raises:
        ValueError: the array holds something else, or texts of more than `longest` characters.
    """
    if array.dtype.kind not in "US":
        raise ValueError(f"{path}: {name} has the wrong type, {array.dtype}")
    if array.dtype.itemsize > 4 * longest:
        raise ValueError(f"{path}: {name} has room for more than {longest} characters")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    array = array.reshape(-1).astype(array.dtype.newbyteorder("="))
    codes = array.view(np.uint32) if array.size else np.zeros(0, np.uint32)
    if ((codes > 0x10FFFF) | (codes >> 11 == 0xD800 >> 11)).any():
        raise ValueError(f"{path}: {name} holds numbers that stand for no character")
    return array.tolist()
