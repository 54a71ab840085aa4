"""Length of the motion that a text describes (Guo et al. 2022), used by several systems."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.length.network import LengthEstimator
    from duomotion.models.length.training import LengthTask


def _task(recipe: Any, device: "torch.device") -> "LengthTask":
    from duomotion.models.length.training import LengthTask

    return LengthTask(recipe, device)


def _load(folder: Path) -> "LengthEstimator":
    from duomotion.models.length.network import load_length_estimator

    return load_length_estimator(folder)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.length.recipes import RECIPES

    return RECIPES


def _import_official(source: Path, /, *, out: Path) -> Mapping[str, int]:
    """Convert a released length estimator.

    Args:
        source: Its finest.tar.
        out: Folder to write.
    """
    from duomotion.models.length.official import import_official

    return import_official(source, out)


SYSTEM = System(
    name="length",
    paper="Guo et al. 2022",
    parts={"estimator": Part(task=_task, load=_load)},
    recipes=_recipes,
    importers={"length": _import_official},
)
