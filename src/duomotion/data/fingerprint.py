"""What a training reads of a data set, in a few numbers: whether it is the one of before.

Names and order of the clips to train and to validate on, what stands beside the layout, and of the
files of each of these clips the size and the end. Not where the data set lies, nor when it was
written: a copy has the same fingerprint. A file that was changed before its end alone, and kept its
size, is not noticed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from duomotion.config import Within
from duomotion.data import interhuman, interx, kinds, shards, sources
from duomotion.data.sharding import READERS
from duomotion.reading import open_file

SPLITS = ("train", "val")
FOLDERS = (*READERS, "annots", *interx.TEXTS, sources.FOLDER)  # files are named as clips are
BESIDE = (kinds.FILE, sources.WEIGHTS, interx.ACTORS, "Mean.npy", "Std.npy")
END = 4096  # bytes of a clip's file
LARGEST_BESIDE = 10_000_000  # bytes

Number = Annotated[int, Within(0, 2**63)]


@dataclass(frozen=True)
class Fingerprint:
    """Of a data set.

    Attributes:
        clips: how many the lists name.
        files, bytes: of these clips.
        digest: of all that is looked at, in hexadecimal digits.
    """

    clips: Number
    files: Number
    bytes: Number
    digest: str

    def __str__(self) -> str:
        return f"{self.clips:,} clips in {self.files:,} files of {self.bytes:,} bytes"


def fingerprint(root: str | Path) -> Fingerprint:
    """The fingerprint of a data set in any of the layouts that are read.

    Raises:
        ValueError: a list of clips holds something else.
        OSError: a list of clips can't be read.
    """
    root, found = Path(root), blake2b(digest_size=16)
    lists = [split for split in SPLITS if interhuman.find_list(root, f"{split}.txt") is not None]
    names = [interhuman.split_names(root, split) for split in lists]
    found.update(repr(names).encode())
    sizes = []
    for path in _of_clips(root, {name for listed in names for name in listed}):
        size, end = _end(path, END)
        found.update(repr((path.relative_to(root).as_posix(), size, end)).encode())
        sizes.append(size)
    for name in BESIDE:
        found.update(repr(_end(root / name, LARGEST_BESIDE)).encode())
    return Fingerprint(sum(map(len, names)), len(sizes), sum(sizes), found.hexdigest())


def _of_clips(root: Path, names: set[str]) -> Iterator[Path]:
    """Files of these clips, and shards, always in the same order."""
    for folder in FOLDERS:
        for place, inside, files in os.walk(root / folder, followlinks=True):
            inside.sort()
            yield from (Path(place, file) for file in sorted(files) if Path(file).stem in names)
    yield from sorted((root / shards.FOLDER).glob("[!.]*"))


def _end(path: Path, most: int) -> tuple[int, bytes]:
    """Size and last bytes of a file; one that can't be read counts as empty."""
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            return size, file.read(most)
    except (OSError, ValueError):
        return 0, b""
