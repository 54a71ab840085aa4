"""InterGen: diffusion of two people's motion by denoisers that attend to each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.intergen.network import MotionDiffusion
    from duomotion.models.intergen.training import InterGenTask
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _task(recipe: Any, device: "torch.device") -> "InterGenTask":
    from duomotion.models.intergen.training import InterGenTask

    return InterGenTask(recipe, device)


def _load(folder: Path) -> "MotionDiffusion":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.intergen.generate import diffusion_from

    return diffusion_from(read_checkpoint(folder))


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.intergen.generate import InterGen

    return InterGen.load(folder, device=device, precision=precision)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.intergen.recipes import RECIPES

    return RECIPES


def _import_official(
    source: Path,
    /,
    *,
    out: Path,
    statistics: Path | None = None,
    text_encoder: str = "clip",
) -> Mapping[str, int]:
    """Convert the released checkpoint of InterGen.

    Its CLIP text tower is converted by `import-official clip`.

    Args:
        source: intergen.ckpt.
        out: Folder to write.
        statistics: Folder with global_mean.npy and global_std.npy, where they are not beside it.
        text_encoder: "clip", or clip:FOLDER as made with `import-official clip`.
    """
    from duomotion.models.intergen.official import import_official

    return import_official(source, out, statistics=statistics, text_encoder=text_encoder)


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intergen.bench import InterGenBench

    return InterGenBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.intergen.tables import TABLES

    return TABLES


SYSTEM = System(
    name="intergen",
    paper="Liang et al. 2024",
    parts={"denoiser": Part(task=_task, load=_load, model=_model)},
    recipes=_recipes,
    importers={"intergen": _import_official},
    benches={"intergen": _bench},
    tables=_tables,
)
