"""InterMoE: diffusion of latents by denoisers whose experts choose the frames they work on."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.intermoe.autoencoder import SkeletalCodec
    from duomotion.models.intermoe.network import LatentDiffusion
    from duomotion.models.intermoe.training import AutoencoderTask, DenoiserTask
    from duomotion.models.reconstructor import Reconstructor
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _autoencoder_task(recipe: Any, device: "torch.device") -> "AutoencoderTask":
    from duomotion.models.intermoe.training import AutoencoderTask

    return AutoencoderTask(recipe, device)


def _denoiser_task(recipe: Any, device: "torch.device") -> "DenoiserTask":
    from duomotion.models.intermoe.training import DenoiserTask

    return DenoiserTask(recipe, device)


def _load_autoencoder(folder: Path) -> "SkeletalCodec":
    from duomotion.models.intermoe.codec import load_codec

    return load_codec(folder)


def _load_denoiser(folder: Path) -> "LatentDiffusion":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.intermoe.generate import diffusion_from

    return diffusion_from(read_checkpoint(folder))


def _reconstructor(folder: Path, *, device: str = "cpu") -> "Reconstructor":
    from duomotion.models.intermoe.codec import load_reconstructor

    return load_reconstructor(folder, device=device)


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.intermoe.generate import InterMoE

    return InterMoE.load(folder, device=device, precision=precision)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.intermoe.recipes import RECIPES

    return RECIPES


def _import_official(
    source: Path,
    /,
    *,
    out: Path,
    autoencoder: Path | None = None,
    statistics: Path | None = None,
    text_encoder: str = "clip",
) -> Mapping[str, int]:
    """Convert the released checkpoint of InterMoE.

    Its CLIP text tower is converted by `import-official clip`.

    Args:
        source: The checkpoint of the denoiser (.ckpt or .tar).
        out: Folder to write.
        autoencoder: vae.ckpt, where another autoencoder is to be taken than the checkpoint's own.
        statistics: Folder with global_mean.npy and global_std.npy, where they are not beside it.
        text_encoder: "clip", or clip:FOLDER as made with `import-official clip`.
    """
    from duomotion.models.intermoe.official import import_official

    return import_official(
        source, out, autoencoder=autoencoder, statistics=statistics, text_encoder=text_encoder
    )


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermoe.bench import InterMoEBench

    return InterMoEBench(precision=precision, device=device)


def _autoencoder_bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermoe.bench import AutoencoderBench

    return AutoencoderBench(device=device)


def _experts_bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermoe.bench import ExpertsBench

    return ExpertsBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.intermoe.tables import TABLES

    return TABLES


SYSTEM = System(
    name="intermoe",
    paper="AAAI 2026",
    parts={
        "autoencoder": Part(
            task=_autoencoder_task, load=_load_autoencoder, reconstructor=_reconstructor
        ),
        "denoiser": Part(task=_denoiser_task, load=_load_denoiser, model=_model),
    },
    recipes=_recipes,
    importers={"intermoe": _import_official},
    benches={
        "intermoe": _bench,
        "intermoe-autoencoder": _autoencoder_bench,
        "intermoe-experts": _experts_bench,
    },
    tables=_tables,
)
