"""ILD: diffusion of a few latents of both people's motion; FILD, its student of one step."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.ild.autoencoder import InteractionCodec
    from duomotion.models.ild.network import LatentDiffusion
    from duomotion.models.ild.student import StudentTask
    from duomotion.models.ild.training import AutoencoderTask, LatentDenoiserTask
    from duomotion.models.reconstructor import Reconstructor
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _autoencoder_task(recipe: Any, device: "torch.device") -> "AutoencoderTask":
    from duomotion.models.ild.training import AutoencoderTask

    return AutoencoderTask(recipe, device)


def _denoiser_task(recipe: Any, device: "torch.device") -> "LatentDenoiserTask":
    from duomotion.models.ild.training import LatentDenoiserTask

    return LatentDenoiserTask(recipe, device)


def _student_task(recipe: Any, device: "torch.device") -> "StudentTask":
    from duomotion.models.ild.student import StudentTask

    return StudentTask(recipe, device)


def _load_autoencoder(folder: Path) -> "InteractionCodec":
    from duomotion.models.ild.codec import load_codec

    return load_codec(folder)


def _load_denoiser(folder: Path) -> "LatentDiffusion":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.ild.generate import diffusion_from

    return diffusion_from(read_checkpoint(folder))


def _load_student(folder: Path) -> "LatentDiffusion":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.ild.generate import student_from

    return student_from(read_checkpoint(folder))


def _reconstructor(folder: Path, *, device: str = "cpu") -> "Reconstructor":
    from duomotion.models.ild.codec import load_reconstructor

    return load_reconstructor(folder, device=device)


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.ild.generate import Ild

    return Ild.load(folder, device=device, precision=precision)


def _student(
    folder: Path, *, device: str = "cpu", precision: "Precision" = "auto"
) -> "MotionModel":
    from duomotion.models.ild.generate import Fild

    return Fild.load(folder, device=device, precision=precision)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.ild.recipes import RECIPES

    return RECIPES


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.ild.bench import IldBench

    return IldBench(precision=precision, device=device)


def _student_bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.ild.bench import FildBench

    return FildBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.ild.tables import TABLES

    return TABLES


SYSTEM = System(
    name="ild",
    paper="anonymous, under review at ICLR 2026",
    parts={
        "autoencoder": Part(
            task=_autoencoder_task, load=_load_autoencoder, reconstructor=_reconstructor
        ),
        "denoiser": Part(task=_denoiser_task, load=_load_denoiser, model=_model),
        "student": Part(task=_student_task, load=_load_student, model=_student),
    },
    recipes=_recipes,
    benches={"ild": _bench, "fild": _student_bench},
    tables=_tables,
)
