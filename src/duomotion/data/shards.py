"""The arrays of a data set in a few large files, of which each is read from disk when it is used.

ROOT/shards/00000.safetensors   NAME/FIELD, float32 arrays of many clips
ROOT/shards/index.json          the file of each clip, {"NAME": "00000.safetensors"}

They stand in the place of the arrays that a layout has in files of their own; all other files are
those of the layout. Arrays are parts of files that are mapped into memory: the operating system
keeps as much of them as there is room for, once for all processes of a machine.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duomotion.reading import brief, open_file, read_text
from duomotion.storage import atomic_file

FOLDER = "shards"
INDEX = "index.json"
BYTES = 256_000_000  # of a shard, give or take a clip
LARGEST_INDEX = 100_000_000  # bytes


class Shards:
    """The arrays of a data set.

    Attributes:
        files: that of each clip, by the clip's name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / INDEX
        try:
            self.files: dict[str, str] = json.loads(read_text(index, limit=LARGEST_INDEX))
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{index} is not JSON") from None
        if not isinstance(self.files, dict) or not all(map(_is_shard, self.files.values())):
            raise ValueError(f"{index} should name the shard of each clip")
        self.opened: dict[str, dict[str, np.ndarray]] = {}

    def read(
        self, name: str, shapes: Mapping[str, tuple[int | None, ...]]
    ) -> dict[str, np.ndarray]:
        """Arrays of a clip by field; several have the same people and frames, their first axes.

        Args:
            shapes: of each field; None stands for any size.

        Raises:
            ValueError: the clip is in no shard, its shard can't be read, or holds something else.
        """
        if name not in self.files:
            raise ValueError(f"{FOLDER}/{INDEX} does not name it")
        file = self.files[name]
        if file not in self.opened:
            try:
                self.opened[file] = _mapped(self.folder / file)
            except (SafetensorError, OSError, ValueError) as error:
                raise ValueError(f"{FOLDER}/{file} can't be read: {brief(error)}") from None
        arrays = {}
        for field, shape in shapes.items():
            array = self.opened[file].get(f"{name}/{field}")
            if array is None or not _fits(array.shape, shape):
                held = "no" if array is None else f"{array.shape} numbers as"
                raise ValueError(f"{FOLDER}/{file} holds {held} {field} of it")
            arrays[field] = array
        if len(arrays) > 1 and len({array.shape[:2] for array in arrays.values()}) > 1:
            raise ValueError(f"its {' and '.join(arrays)} have different numbers of frames")
        return arrays


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, none of which is read yet.

    safetensors reads the beginning of each tensor that it hands out, which here is most of a file.
    """
    open_file(path).close()  # a named pipe safetensors would wait for
    with safe_open(path, "np") as file:
        shapes = {}
        for name in file.offset_keys():  # in the order of the file, which has no gaps
            found = file.get_slice(name)
            if found.get_dtype() != "F32":
                raise ValueError(f"{name} is {found.get_dtype()}, not F32")
            shapes[name] = tuple(found.get_shape())
    numbers = np.memmap(path, mode="c", dtype=np.uint8)
    offset = len(numbers) - 4 * sum(math.prod(shape) for shape in shapes.values())
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = np.ndarray(shape, np.float32, numbers, offset)
        offset += 4 * math.prod(shape)
    return arrays


def refuse(root: Path) -> None:
    """Raises ValueError where the motion of a data set, whose files are needed, is in shards."""
    if find(root) is not None:
        raise ValueError(f"{root} has its motion in shards; name the data set they were made of")


def find(root: Path) -> Shards | None:
    """Those of a data set, if it has any.

    Raises:
        ValueError: its index can't be read.
    """
    index = root / FOLDER / INDEX
    return _read(index.parent, index.stat().st_mtime_ns) if index.is_file() else None


@lru_cache(maxsize=8)
def _read(folder: Path, _changed: int) -> Shards:
    return Shards(folder)


def write(root: Path, clips: Iterable[tuple[str, Mapping[str, np.ndarray]]]) -> None:
    """Write the arrays of clips by name; no more than a shard is held at a time.

    Raises:
        OSError: a file can't be written.
    """
    folder, files = root / FOLDER, {}
    waiting: dict[str, np.ndarray] = {}

    def flush() -> None:
        name = f"{len(set(files.values())):05d}.safetensors"
        with atomic_file(folder / name) as path:
            save_file(waiting, path)
        files.update({key.rpartition("/")[0]: name for key in waiting})
        waiting.clear()

    for name, arrays in clips:
        for field, array in arrays.items():
            waiting[f"{name}/{field}"] = np.ascontiguousarray(array, np.float32)
        if sum(array.nbytes for array in waiting.values()) >= BYTES:
            flush()
    if waiting:
        flush()
    with atomic_file(folder / INDEX) as path:
        path.write_text(json.dumps(files, indent=0), encoding="utf-8")


def _is_shard(file: object) -> bool:
    return isinstance(file, str) and re.fullmatch(r"\d{1,20}\.safetensors", file) is not None


def _fits(has: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(has) == len(wanted) and all(
        size in (None, own) for size, own in zip(wanted, has, strict=True)
    )
