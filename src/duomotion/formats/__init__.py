"""Files of other programs, one module a format; the suffix of a path chooses."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from duomotion.formats import limits
from duomotion.motion.interaction import Interaction

WRITERS = {
    ".smpl.npz": "smpl",
    ".npz": "npz",
    ".bvh": "bvh",
    ".glb": "gltf",
    ".mp4": "video",
    ".gif": "video",
    ".png": "strip",
    ".html": "html",
}
READERS = {".smpl.npz": "smpl", ".npz": "npz", ".bvh": "bvh", ".amc": "asf"}


def save(interaction: Interaction, path: str | Path) -> None:
    """Write in the format that the suffix names.

    Raises:
        ValueError: unknown suffix, the format can't hold the motion, or it is not finite.
        OSError: the file can't be written.
    """
    write = _find(WRITERS, "write", path)
    limits.check_numbers(path, "the motion", interaction.positions)
    write(interaction, path)


def load(path: str | Path) -> Interaction:
    """Read the format that the suffix names; .npz files of AMASS are known by what they hold.

    Raises:
        ValueError: unknown suffix, or the file does not hold what its suffix says.
        OSError: the file can't be read.
    """
    if Path(path).suffix.lower() == ".npz":
        from duomotion.formats import smpl

        if smpl.is_smpl(path):
            return smpl.read(path)
    return _find(READERS, "read", path)(path)


def _find(table: dict[str, str], verb: str, path: str | Path) -> Callable:
    name = Path(path).name.lower()
    for suffix, module in table.items():
        if name.endswith(suffix):
            return getattr(import_module(f"duomotion.formats.{module}"), verb)
    raise ValueError(
        f"{path}: can't {verb} {Path(name).suffix or 'a file without a suffix'}; "
        f"the suffix must be one of {', '.join(table)}"
    )
