"""InterMamba: diffusion of two people's motion by denoisers that scan in time linear in length."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.intermamba.network import InterMambaDiffusion
    from duomotion.models.intermamba.training import InterMambaTask
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _task(recipe: Any, device: "torch.device") -> "InterMambaTask":
    from duomotion.models.intermamba.training import InterMambaTask

    return InterMambaTask(recipe, device)


def _load(folder: Path) -> "InterMambaDiffusion":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.intermamba.generate import diffusion_from

    return diffusion_from(read_checkpoint(folder))


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.intermamba.generate import InterMamba

    return InterMamba.load(folder, device=device, precision=precision)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.intermamba.recipes import RECIPES

    return RECIPES


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermamba.bench import InterMambaBench

    return InterMambaBench(precision=precision, device=device)


def _scan_bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermamba.bench import ScanBench

    return ScanBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.intermamba.tables import TABLES

    return TABLES


SYSTEM = System(
    name="intermamba",
    paper="Wu et al. 2025",
    parts={"denoiser": Part(task=_task, load=_load, model=_model)},
    recipes=_recipes,
    benches={"intermamba": _bench, "intermamba-scan": _scan_bench},
    tables=_tables,
)
