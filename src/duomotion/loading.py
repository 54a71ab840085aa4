"""Models by name or folder."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np

from duomotion.distributed import find_device
from duomotion.precision import Precision
from duomotion.sampling.request import Generator


def load(model: str | Path, *, device: str = "cpu", precision: Precision = "auto") -> Generator:
    """A model that generates.

    Args:
        model: the name of a model that comes with the package (see `shipped`), or the folder of a
            checkpoint.
        device: "cpu", "cuda" or such.
        precision: of the network; "auto" takes the fastest that the device has, and float32 for
            networks so narrow that they gain little from bfloat16.

    Raises:
        ValueError: no such model or device, or the model's folder is damaged.
        OSError: a file of the model can't be read.
    """
    folder, system = _found(model)
    find_device(device)
    if system == "intermask/generator":
        from duomotion.models.intermask.generate import InterMask

        return InterMask.load(folder, device=device, precision=precision)
    if system == "momask/masked":
        from duomotion.models.momask.generate import MoMask

        return MoMask.load(folder, device=device, precision=precision)
    raise ValueError(f"{folder} is a checkpoint of {system!r}, which does not generate on its own")


def load_reconstructor(
    model: str | Path, *, device: str = "cpu", precision: Precision = "auto"
) -> "Reconstructor":
    """A model that brings motion into its tokens or latents and back: `load`'s, or a tokenizer.

    Args:
        model, device, precision: see `load`; tokenizers compute in float32.

    Raises:
        ValueError: no such model or device, or the model's folder is damaged.
        OSError: a file of the model can't be read.
    """
    folder, system = _found(model)
    find_device(device)
    if system == "intermask/tokenizer":
        from duomotion.models.intermask.generate import load_codec

        return Tokenizer(folder.name, load_codec(folder).to(device).reconstruct)
    if system == "momask/tokenizer":
        from duomotion.models.momask import codec

        return Tokenizer(folder.name, codec.load_codec(folder).to(device).reconstruct)
    return load(model, device=device, precision=precision)


class Reconstructor(Protocol):
    """What `load_reconstructor` gives."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def reconstruct(self, features: np.ndarray, /) -> np.ndarray:
        """Features (P, T, F) in metres and back, perhaps a few frames shorter."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer without a generator."""

    name: str
    reconstruct: Callable[[np.ndarray], np.ndarray]
    precision: str = "float32"


def _found(model: str | Path) -> tuple[Path, str]:
    """Folder and system of a model by name or folder."""
    folder = shipped().get(str(model), Path(model))
    if not (folder / "recipe.json").is_file():
        names = ", ".join(shipped()) or "none"
        raise ValueError(
            f"no model {str(model)!r}: it is neither a checkpoint folder nor one of those that "
            f"come with duomotion ({names})"
        )
    from duomotion.checkpoint import read_recipe

    return folder, read_recipe(folder)["system"]


def shipped() -> dict[str, Path]:
    """Folders of the models that come with the package, by name."""
    return {folder.parent.name: folder.parent for folder in sorted(_root().glob("*/recipe.json"))}


def shipped_evaluator(num_people: int = 2) -> Path:
    """Folder of the open benchmark's evaluator for one person or two."""
    return _root() / "evaluators" / {1: "solo", 2: "open"}[num_people]


def _root() -> Path:
    return Path(str(files("duomotion") / "checkpoints"))
