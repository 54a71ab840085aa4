"""Reading files of strangers: only regular files, and sizes before memory.

A folder, a device or a pipe may stand where a file should, and a few kilobytes can unpack to
gigabytes. Here every size that a file states is compared with what the file really holds and with a
limit before anything of that size is read, and nothing is ever unpickled.
"""

import lzma
import math
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, TextIO

import numpy as np

LARGEST_TEXT = 100_000_000  # bytes; ten minutes of 75 joints at 100 frames a second
LARGEST_ARRAYS = 256_000_000  # bytes
LARGEST_ARCHIVE = 2_000_000_000  # bytes, unpacked
LONGEST_REASON = 500  # characters of what a library says
LONGEST_HEADER = 11_000  # bytes of an .npy file; NumPy evaluates ten thousand of them at most

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def open_file(path: str | Path, *, limit: int | None = None) -> IO[bytes]:
    """A regular file of at most `limit` bytes for reading; nothing else is opened, nor waited for.

    Raises:
        ValueError: there is something else than a file, or the file is larger.
        OSError: the file can't be read.
    """
    path = Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is {_KINDS[stat.S_IFMT(status.st_mode)]}, not a file")
    if limit is not None:
        _check_size(status.st_size, limit, str(path))
    return path.open("rb")


def open_text(path: str | Path, *, limit: int = LARGEST_TEXT, errors: str = "replace") -> TextIO:
    """A UTF-8 text of at most `limit` bytes for reading line by line; raises as `open_file`.

    Args:
        errors: what is done about bytes that are not UTF-8, as for `open`; "strict" raises
            UnicodeDecodeError where they are read.
    """
    return TextIOWrapper(open_file(path, limit=limit), encoding="utf-8", errors=errors)


def read_text(path: str | Path, *, limit: int = LARGEST_TEXT, errors: str = "strict") -> str:
    """A whole UTF-8 text of at most `limit` bytes.

    Args:
        errors: what is done about bytes that are not UTF-8, as for `open`.

    Raises:
        ValueError: there is something else than a file, it is larger, or it is not UTF-8.
        OSError: the file can't be read.
    """
    try:
        with open_text(path, limit=limit, errors=errors) as file:
            return file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8") from None


def array_names(path: str | Path, *, what: str = "an .npz file") -> frozenset[str]:
    """Names of the arrays in an .npz file; raises as `read_arrays`."""
    with open_file(path) as file, _naming(path, what), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    return frozenset(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def read_arrays(
    path: str | Path,
    names: Iterable[str],
    *,
    limit: int = LARGEST_ARRAYS,
    what: str = "an .npz file",
) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz file holds.

    Args:
        limit: bytes that they may take in all, unpacked.
        what: what the file should be, for the sentence that says it is not.

    Raises:
        ValueError: it is no such file or is damaged, the arrays are too large or hold Python
            objects.
        OSError: the file can't be read.
    """
    with open_file(path) as file, _naming(path, what), zipfile.ZipFile(file) as archive:
        held = {info.filename: info for info in archive.infolist()}
        members = {name: held[f"{name}.npy"] for name in names if f"{name}.npy" in held}
        _check_size(sum(info.file_size for info in members.values()), limit, "what it holds")
        arrays = {}
        for name, info in members.items():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is packed in a way that NumPy does not use")
            with archive.open(info) as member:
                arrays[name] = _array(member, info.file_size, name)
        return arrays


def read_array(
    path: str | Path, *, limit: int = LARGEST_ARRAYS, what: str = "an .npy file"
) -> np.ndarray:
    """The array of an .npy file; arguments and errors as for `read_arrays`."""
    with open_file(path, limit=limit) as file, _naming(path, what):
        return _array(file, os.fstat(file.fileno()).st_size, "it")


def array_of(content: bytes, name: str) -> np.ndarray:
    """The array of an .npy file that has been read.

    Args:
        name: of the file, for the sentence that says what is wrong with it.

    Raises:
        ValueError: it is no such file or is damaged, or the array holds Python objects.
    """
    with _naming(name, "an .npy file"):
        return _array(BytesIO(content), len(content), "it")


def array_shape(path: str | Path, *, what: str = "an .npy file") -> tuple[int, ...]:
    """The shape of an .npy file's array, whose numbers are not read; raises as `read_array`."""
    with open_file(path, limit=LARGEST_ARRAYS) as file, _naming(path, what):
        return _shape(file, os.fstat(file.fileno()).st_size, "it")


def unpacked(
    path: str | Path, *, largest: int = LARGEST_TEXT, limit: int = LARGEST_ARCHIVE
) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a .tar.xz archive, in its order; folders are passed over.

    Args:
        largest: bytes of one file at most.
        limit: bytes of all that is unpacked at most.

    Raises:
        ValueError: it is no such archive or is damaged, is or holds something too large, or holds
            links, devices or pipes.
        OSError: the archive can't be read.
    """
    with (
        open_file(path) as packed,
        _naming(path, "a .tar.xz archive"),
        _BoundedXz(packed, largest, limit) as stream,
        tarfile.open(fileobj=stream, mode="r:") as archive,
    ):
        while (member := archive.next()) is not None:
            # Else it would remember all of them.
            archive.members.clear()  # pyrefly: ignore[missing-attribute]
            _check_size(member.size, largest, repr(member.name))
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ValueError(f"{member.name!r} in it is a link, a device or a pipe")
            yield member.name.removeprefix("./"), file.read()


class _BoundedXz(lzma.LZMAFile):
    """Reads no piece larger than `piece` and nothing behind `limit`, whatever sizes are stated."""

    def __init__(self, file: IO[bytes], piece: int, limit: int) -> None:
        super().__init__(file)
        self.piece, self.limit = piece, limit

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        _check_size(size, self.piece, "a piece of it")
        _check_size(self.tell() + size, self.limit, "what it holds")
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        _check_size(offset, self.limit, "what it holds")
        return super().seek(offset, whence)


def _array(file: IO[bytes], size: int, name: str) -> np.ndarray:
    """The array of an .npy file of `size` bytes."""
    _shape(file, size, name)
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    file.read(1)  # at the end of a zip's member its check sum is compared
    return array


def _shape(file: IO[bytes], size: int, name: str) -> tuple[int, ...]:
    """The shape that the header of an .npy file states, once it is known to be true."""
    start = BytesIO(file.read(LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    if version not in _HEADERS:
        raise ValueError(f"{name} has format {version} of .npy files; 1.0 and 2.0 are read")
    shape, _, dtype = _HEADERS[version](start)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not read")
    held = size - start.tell()
    stated = math.prod(shape) * dtype.itemsize
    if stated != held or min(shape, default=0) < 0 or not dtype.itemsize:
        raise ValueError(
            f"the header of {name} states {shape} of {dtype}, and {held} bytes follow, not {stated}"
        )
    return shape


def brief(problem: Exception) -> str:
    """What a library says of a file, which it may quote: on one line, and not all of it."""
    line = " ".join(str(problem).split()) or type(problem).__name__
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def _check_size(size: int, limit: int, name: str) -> None:
    if not 0 <= size <= limit:
        raise ValueError(f"{name} takes {size:,} bytes; 0 to {limit:,} are read")


@contextmanager
def _naming(path: str | Path, what: str) -> Iterator[None]:
    """Problems say which file can't be read as what."""
    try:
        yield
    except OSError:
        raise
    except Exception as problem:  # damaged archives raise a dozen unrelated types
        raise ValueError(f"{path} can't be read as {what}: {brief(problem)}") from None
