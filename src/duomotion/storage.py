"""Writing files so that a reader sees either the whole file or none of it."""

import errno
import fcntl
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

LOCK = "lock"
"""The file in a folder that `locked` holds."""


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
        with errors_about(path, temporary):
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Delete what writers of the file `path` left behind that were killed; nobody may write now."""
    path = Path(path)
    for leftover in path.parent.glob(f".{path.stem}-*{path.suffix}"):
        leftover.unlink()


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
        with errors_about(path, temporary):
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


def check_replaceable(folder: str | Path, mark: str) -> None:
    """Make sure that nothing else is lost where `atomic_folder` replaces a folder.

    Args:
        mark: the name of a file or folder that is in all that may be replaced.

    Raises:
        ValueError: there is a file, or a folder that holds something, but not `mark`.
    """
    folder = Path(folder)
    if not folder.exists() or (folder / mark).exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a new folder")
    if held := sorted(each.name for each in folder.iterdir()):
        raise ValueError(
            f"{folder} holds something else ({held[0]}), which would be lost; name a new folder"
        )


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


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Be the only one who works in `folder`, which is made if it is missing.

    The system takes the lock back when the process ends, however it ends; the file that carries it
    stays and means nothing by itself. A file system without locks costs a warning.

    Raises:
        ValueError: another process holds the lock; the sentence names it.
        OSError: the folder can't be made or written.
    """
    folder, path = Path(folder), Path(folder) / LOCK
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).decode(errors="replace") or "another process"
            raise ValueError(
                f"{folder} is in use by {holder}: wait until it has ended, stop it, or choose "
                "another folder"
            ) from None
        except OSError as error:
            warnings.warn(
                f"{folder} can't be locked ({error.strerror}): let nothing else write there",
                stacklevel=3,
            )
        with errors_about(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


@contextmanager
def errors_about(path: str | Path, temporary: str | Path | None = None) -> Iterator[None]:
    """What libraries raise when they can't write `path`, or `temporary` for it, as one OSError.

    Raises:
        OSError: with `errno`, `strerror` and `filename`, which is `path`.
    """
    try:
        yield
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error
    except OSError as error:
        if error.filename is None or Path(error.filename).is_relative_to(temporary or path):
            # numpy's has no number when the disk is full
            reason = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, reason, str(path)) from error
        raise


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
