"""Models by name or folder."""

from importlib.resources import files
from pathlib import Path

from duomotion.precision import Precision
from duomotion.sampling.request import Generator


def load(model: str | Path, *, device: str = "cpu", precision: Precision = "auto") -> Generator:
    """A model that generates.

    Args:
        model: the name of a model that comes with the package (see `shipped`), or the folder of a
            checkpoint.
        device: "cpu", "cuda" or such.
        precision: of the network's matrix products; "auto" takes the fastest that the device has.

    Raises:
        ValueError: no such model, or its folder is damaged.
    """
    folder = shipped().get(str(model), Path(model))
    if not (folder / "recipe.json").is_file():
        names = ", ".join(shipped()) or "none"
        raise ValueError(
            f"no model {str(model)!r}: it is neither a checkpoint folder nor one of those that "
            f"come with duomotion ({names})"
        )
    from duomotion.checkpoint import read_recipe

    system = read_recipe(folder)["system"]
    if system == "intermask/generator":
        from duomotion.models.intermask.generate import InterMask

        return InterMask.load(folder, device=device, precision=precision)
    raise ValueError(f"{folder} is a checkpoint of {system!r}, which does not generate on its own")


def shipped() -> dict[str, Path]:
    """Folders of the models that come with the package, by name."""
    return {folder.parent.name: folder.parent for folder in sorted(_root().glob("*/recipe.json"))}


def shipped_evaluator() -> Path:
    """Folder of the open benchmark's evaluator."""
    return _root() / "evaluators" / "open"


def _root() -> Path:
    return Path(str(files("duomotion") / "checkpoints"))
