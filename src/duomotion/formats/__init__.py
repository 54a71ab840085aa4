"""Files of other programs, one module a format; the suffix of a path chooses."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np

from duomotion.formats import conventions, limits, shard
from duomotion.motion import canonical
from duomotion.motion.interaction import Interaction, together

WRITERS = {
    ".smpl.npz": "smpl",
    ".npz": "npz",
    ".bvh": "bvh",
    ".glb": "gltf",
    ".fbx": "fbx",
    ".mp4": "video",
    ".gif": "video",
    ".png": "strip",
    ".html": "html",
}
READERS = {
    ".smpl.npz": "smpl",
    ".npz": "npz",
    ".bvh": "bvh",
    ".glb": "gltf_reading",
    ".fbx": "fbx",
    ".amc": "asf",
}
# Those whose files don't state unit and axis; their readers take both, or find them.
GUESSING = ("bvh", "gltf_reading", "fbx")

Axis = Literal["auto", "y", "z"]


def save(interaction: Interaction, path: str | Path) -> None:
    """Write in the format that the suffix names.

    Raises:
        ValueError: unknown suffix, the format can't hold the motion, or it is not finite.
        OSError: the file can't be written.
    """
    module = _import(_find(WRITERS, "write", path))
    limits.check_numbers(path, "the motion", interaction.positions)
    module.write(interaction, path)


def load(
    path: str | Path,
    second: str | Path | None = None,
    *,
    scale: float | None = None,
    up: Axis = "auto",
    start: float = 0.0,
    end: float | None = None,
) -> Interaction:
    """Read the format that the suffix names; .npz files of AMASS are known by what they hold.

    Args:
        path: the file, or a clip of a shard (`formats.shard`): SHARD:ID or FOLDER:ID.
        second: the file of the partner, who was recorded in the same world.
        scale: metres per unit of the file. By default what the format states; where it states
            nothing, the unit in which bodies have the height of people.
        up: the vertical axis; "auto": what the format states, or the way in which bodies stand.
        start: seconds into the motion from which on it is taken.
        end: seconds into the motion up to which it is taken; None: all of it.

    Raises:
        ValueError: unknown suffix, a file does not hold what its suffix says, two people don't fit
            together, or scale or seconds are out of range.
        OSError: a file can't be read.
    """
    if scale is not None:
        conventions.check_scale(scale)
    files = [Path(file) for file in (path, second) if file is not None]
    clip = _joined(files, scale, up)
    if second is not None and clip.num_people != 2:
        raise ValueError(f"{path} and {second} hold {clip.num_people} people; two are needed")
    return _between(path, clip, start, end)


def _joined(files: list[Path], scale: float | None, up: Axis) -> Interaction:
    modules = [_reader(file) for file in files]
    if len(set(modules)) == 1 and modules[0] in GUESSING:
        # Who lies on the floor does not say which axis is up, but the partner may.
        return _import(modules[0]).read(files, scale=scale, up=up)
    people = []
    for module, file in zip(modules, files, strict=True):
        if module in GUESSING:
            people.append(_import(module).read(file, scale=scale, up=up))
            continue
        person = canonical.scaled(_import(module).read(file), scale or 1.0)
        turn = canonical.Z_UP_TO_Y_UP if up == "z" else np.eye(3)
        people.append(canonical.transform(person, turn, np.zeros(3)))
    if len(people) == 1:
        return people[0]
    try:
        return together(people)
    except ValueError as problem:
        raise ValueError(f"{' and '.join(map(str, files))}: {problem}") from None


def _between(path: str | Path, clip: Interaction, start: float, end: float | None) -> Interaction:
    stop = clip.seconds if end is None else end
    if not 0 <= start < stop <= clip.seconds + 0.5 / clip.fps:
        raise ValueError(
            f"{path} holds {clip.seconds:.2f} s of motion; {start:g} to {stop:g} s is no part of it"
        )
    first = min(round(start * clip.fps), clip.num_frames - 1)
    return clip.frames(first, max(round(stop * clip.fps), first + 1))


def _reader(path: Path) -> str:
    if shard.is_member(path):
        return "shard"
    if path.suffix.lower() == ".npz":
        from duomotion.formats import smpl

        if smpl.is_smpl(path):
            return "smpl"
    return _find(READERS, "read", path)


def _find(table: dict[str, str], verb: str, path: str | Path) -> str:
    """The module that reads or writes what the suffix names."""
    name = Path(path).name.lower()
    for suffix, module in table.items():
        if name.endswith(suffix):
            return module
    if verb == "read":
        shard.check_named(path)
    raise ValueError(
        f"{path}: can't {verb} {Path(name).suffix or 'a file without a suffix'}; "
        f"the suffix must be one of {', '.join(table)}"
    )


def _import(module: str) -> ModuleType:
    return import_module(f"duomotion.formats.{module}")
