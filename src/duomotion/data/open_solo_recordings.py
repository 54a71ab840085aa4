"""The recordings of the open solo clips, read from their archives one after the other.

motions.tar.xz holds BVH files. more_motions.tar.xz (second edition) holds index.json and of each
clip NAME.npy, an int16 array (channels, frames) of differences along time: the root's position in
millimetres, then rotations in hundredths of a degree; sums wrap around at 16 bits. index.json has
under "headers" the hierarchies of BVH files by name, and under "clips" of each clip the name of its
hierarchy, the number of its frames and the seconds of one.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from duomotion.names import check_name
from duomotion.reading import array_of, unpacked

FIRST, MORE, INDEX = "motions.tar.xz", "more_motions.tar.xz", "index.json"
LARGEST_MEMBER = 10_000_000  # bytes; forty minutes of a clip


@dataclass(frozen=True)
class Entry:
    """What index.json has about a clip."""

    hierarchy: str
    frames: int
    seconds: float


def read_recordings(
    source: Path, index: Mapping[str, Entry]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of each BVH file, and what reads it, which raises ValueError where it is damaged.

    Args:
        source: the folder of the archives.
        index: of more_motions.tar.xz; empty: the first archive alone.

    Raises:
        ValueError: an archive holds something else or is damaged.
        OSError: an archive can't be read.
    """
    for name, content in unpacked(source / FIRST):
        yield name, partial(bytes, content)
    if not index:
        return
    for name, content in unpacked(source / MORE, largest=LARGEST_MEMBER):
        if (clip := name.removesuffix(".npy")) in index:
            yield f"{clip}.bvh", partial(_bvh_file, content, name, index[clip])


def read_index(source: Path) -> dict[str, Entry]:
    """By clip of more_motions.tar.xz, which has its index at the end and so is read twice.

    Raises:
        ValueError: the archive is damaged, or its index is missing or holds something else.
        OSError: the archive can't be read.
    """
    path = source / MORE
    members = unpacked(path, largest=LARGEST_MEMBER)
    content = next((content for name, content in members if name == INDEX), None)
    if content is None:
        raise ValueError(f"{path} has no {INDEX}")
    try:
        found = json.loads(content)
        index = {
            name: Entry(str(found["headers"][header]), int(frames), float(seconds))
            for name, (header, frames, seconds) in found["clips"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ValueError(
            f"{INDEX} in {path} should have headers, and clips with header, frames and seconds"
        ) from None
    for name in index:
        check_name(PurePosixPath(name).name, f"{INDEX} in {path}")
    return index


def _bvh_file(content: bytes, name: str, entry: Entry) -> bytes:
    differences = array_of(content, name)
    if differences.dtype != np.int16 or differences.ndim != 2:
        raise ValueError(f"{name} is {differences.dtype} {differences.shape}, not int16 (C, T)")
    if differences.shape[1] != entry.frames:
        raise ValueError(
            f"{name} has {differences.shape[1]} frames, and {INDEX} says {entry.frames}"
        )
    values = differences.cumsum(axis=1, dtype=np.int16).T.astype(float)
    values[:, :3] /= 1000
    values[:, 3:] /= 100
    text = io.StringIO()
    text.write(f"{entry.hierarchy}MOTION\nFrames: {entry.frames}\nFrame Time: {entry.seconds}\n")
    np.savetxt(text, values, fmt="%g")
    return text.getvalue().encode()
