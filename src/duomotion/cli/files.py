"""What several commands do with files, and checks before anything is computed."""

import json
import os
import re
from collections.abc import Collection, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any


def writable_folder(folder: Path) -> None:
    """Make the folder, so that nothing is computed in vain.

    Raises:
        OSError: it can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "can't be written", str(folder))


def file_name(text: str, seed: int, taken: Collection[str] = ()) -> str:
    """A short, safe file name without suffix that says what is in the file; none of `taken`."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:50].rstrip("-") or "clip"
    names = (f"{words}{again}-{seed}" for again in chain([""], (f"-{n}" for n in count(2))))
    return next(name for name in names if name not in taken)


def size_mb(checkpoint: Path) -> float:
    """Of all weights in a folder."""
    return sum(file.stat().st_size for file in checkpoint.rglob("*.safetensors")) / 1e6


def write_report(folder: Path, files: Mapping[str, str | dict[str, Any] | bytes]) -> None:
    """Write files by name, dicts as JSON, and print the first."""
    from duomotion.storage import atomic_file

    for name, content in files.items():
        text = json.dumps(content, indent=1) if isinstance(content, dict) else content
        with atomic_file(folder / name) as path:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    print(next(iter(files.values())))
