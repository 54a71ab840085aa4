"""Files of other programs, one module a format; the suffix of a path chooses."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from duomotion.motion.interaction import Interaction

WRITERS = {
    ".npz": "npz",
    ".bvh": "bvh",
    ".glb": "gltf",
    ".mp4": "video",
    ".gif": "video",
    ".png": "strip",
    ".html": "html",
}
READERS = {".npz": "npz", ".bvh": "bvh"}


def save(interaction: Interaction, path: str | Path) -> None:
    """Write in the format that the suffix names.

    Raises:
        ValueError: unknown suffix.
        OSError: the file can't be written.
    """
    _find(WRITERS, "write", path)(interaction, path)


def load(path: str | Path) -> Interaction:
    """Read the format that the suffix names.

    Raises:
        ValueError: unknown suffix, or the file does not hold what its suffix says.
        OSError: the file can't be read.
    """
    return _find(READERS, "read", path)(path)


def _find(table: dict[str, str], verb: str, path: str | Path) -> Callable:
    suffix = Path(path).suffix.lower()
    if suffix not in table:
        raise ValueError(
            f"{path}: can't {verb} {suffix or 'a file without a suffix'}; "
            f"the suffix must be one of {', '.join(table)}"
        )
    return getattr(import_module(f"duomotion.formats.{table[suffix]}"), verb)
