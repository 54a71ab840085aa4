"""Writing files so that a reader sees either the whole file or none of it."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    The parent folder is made if it is missing. When the body raises, nothing is left behind and an
    older file at `path` stays as it was.

    Raises:
        OSError: the folder can't be made or written, or the disk is full; `filename` is `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.errno is None:  # as numpy's when the disk is full
            raise OSError(errno.EIO, str(error), str(path)) from error
        if error.filename in (None, name):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`.

    A folder can't be replaced in one step, so the old one is moved aside first and deleted last; a
    reader that comes between the two renames finds no folder, never a mixture of old and new.

    Raises:
        OSError: as for `atomic_file`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    retired = temporary.with_name(temporary.name + "-old")
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
                file.chmod(0o666 & ~_umask())
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            path.rename(retired)
        temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
        elif retired.exists():
            retired.rename(path)


def recover(folder: str | Path) -> None:
    """Tidy up after a writer of `folder` that was killed: bring back the last whole one.

    `atomic_folder` moves the old folder aside for an instant; a kill right then leaves nothing at
    `folder`. Unfinished temporary folders are deleted.
    """
    folder = Path(folder)
    for retired in folder.parent.glob(f".{folder.name}-*-old"):
        if not folder.exists():
            retired.rename(folder)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
