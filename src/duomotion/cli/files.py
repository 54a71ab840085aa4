"""What several commands do with files, and checks before anything is computed."""

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from duomotion.names import slug


def writable_folder(folder: Path) -> None:
    """Make the folder, so that nothing is computed in vain.

    Raises:
        OSError: it can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "can't be written", str(folder))


def file_name(folder: Path, text: str, seed: int, settings: Sequence[str] = ()) -> str:
    """A short, safe file name without suffix that says what is in the file; none of the folder's.

    Args:
        text: what happens, and what it was made of.
        settings: what is not as usual, as in "4s" and "guidance3".
    """
    words = slug(text)
    tail = [re.sub(r"[^a-z0-9.]+", "-", each.lower()).strip("-.") for each in settings]
    end = "-".join([*filter(None, tail), str(seed)])
    names = (f"{words}{again}-{end}" for again in chain([""], (f"-{n}" for n in count(2))))
    return next(name for name in names if not any(folder.glob(f"{glob.escape(name)}[._]*")))


def say_replaced(file: Path) -> None:
    """Say that a file is about to be replaced, where there is one."""
    if file.exists():
        print(f"{file} was there already and is replaced")


def write_report(folder: Path, files: Mapping[str, str | dict[str, Any] | bytes]) -> None:
    """Write files by name, dicts as JSON, and print the first."""
    from duomotion.storage import atomic_file

    for name, content in files.items():
        text = json.dumps(content, indent=1) if isinstance(content, dict) else content
        with atomic_file(folder / name) as path:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    print(next(iter(files.values())))
