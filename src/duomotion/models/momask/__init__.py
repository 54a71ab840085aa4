"""MoMask: masked modelling of one person's residual motion tokens (Guo et al. 2024)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.momask.codec import ResidualCodec
    from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
    from duomotion.models.momask.tokenizer_training import ResidualTokenizerTask
    from duomotion.models.momask.training import MaskedTask, ResidualTask
    from duomotion.models.reconstructor import Reconstructor
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _tokenizer_task(recipe: Any, device: "torch.device") -> "ResidualTokenizerTask":
    from duomotion.models.momask.tokenizer_training import ResidualTokenizerTask

    return ResidualTokenizerTask(recipe, device)


def _masked_task(recipe: Any, device: "torch.device") -> "MaskedTask":
    from duomotion.models.momask.training import MaskedTask

    return MaskedTask(recipe, device)


def _residual_task(recipe: Any, device: "torch.device") -> "ResidualTask":
    from duomotion.models.momask.training import ResidualTask

    return ResidualTask(recipe, device)


def _load_tokenizer(folder: Path) -> "ResidualCodec":
    from duomotion.models.momask.codec import load_codec

    return load_codec(folder)


def _load_masked(folder: Path) -> "MaskedTransformer":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.momask.generate import masked_from

    return masked_from(read_checkpoint(folder))


def _load_residual(folder: Path) -> "ResidualTransformer":
    from duomotion.models.momask.generate import load_residual

    return load_residual(folder)


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.momask.generate import MoMask

    return MoMask.load(folder, device=device, precision=precision)


def _reconstructor(folder: Path, *, device: str = "cpu") -> "Reconstructor":
    from duomotion.models.momask.codec import load_codec
    from duomotion.models.reconstructor import Tokenizer

    return Tokenizer(folder.name, load_codec(folder).to(device).reconstruct)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.momask.recipes import RECIPES

    return RECIPES


def _import_official(
    source: Path, /, *, out: Path, text_encoder: str = "clip-vector"
) -> Mapping[str, int]:
    """Convert the released checkpoints of MoMask.

    Args:
        source: Folder of a data set (checkpoints/t2m), or of one run in it with its opt.txt.
        out: Folder to write.
        text_encoder: "clip-vector", or clip-vector:FOLDER as made with `import-official clip`.
    """
    from duomotion.models.momask.official import import_official

    return import_official(source, out, text_encoder=text_encoder)


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.momask.bench import MoMaskBench

    return MoMaskBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.momask.tables import TABLES

    return TABLES


SYSTEM = System(
    name="momask",
    paper="Guo et al. 2024",
    parts={
        "tokenizer": Part(task=_tokenizer_task, load=_load_tokenizer, reconstructor=_reconstructor),
        "masked": Part(task=_masked_task, load=_load_masked, model=_model),
        "residual": Part(task=_residual_task, load=_load_residual),
    },
    recipes=_recipes,
    importers={"momask": _import_official},
    benches={"momask": _bench},
    tables=_tables,
)
