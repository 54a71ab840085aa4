"""InterMask: masked modelling of 2D motion tokens of two people (Javed et al. 2025)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch

    from duomotion.models.base import MotionModel
    from duomotion.models.intermask.codec import MotionCodec
    from duomotion.models.intermask.network import InterMTransformer
    from duomotion.models.intermask.training import GeneratorTask, TokenizerTask
    from duomotion.models.reconstructor import Reconstructor
    from duomotion.models.timing import Bench
    from duomotion.models.trainings import PaperTable
    from duomotion.precision import Precision


def _tokenizer_task(recipe: Any, device: "torch.device") -> "TokenizerTask":
    from duomotion.models.intermask.training import TokenizerTask

    return TokenizerTask(recipe, device)


def _generator_task(recipe: Any, device: "torch.device") -> "GeneratorTask":
    from duomotion.models.intermask.training import GeneratorTask

    return GeneratorTask(recipe, device)


def _load_tokenizer(folder: Path) -> "MotionCodec":
    from duomotion.models.intermask.codec import load_codec

    return load_codec(folder)


def _load_transformer(folder: Path) -> "InterMTransformer":
    from duomotion.checkpoint import read_checkpoint
    from duomotion.models.intermask.generate import transformer_from

    return transformer_from(read_checkpoint(folder))


def _model(folder: Path, *, device: str = "cpu", precision: "Precision" = "auto") -> "MotionModel":
    from duomotion.models.intermask.generate import InterMask

    return InterMask.load(folder, device=device, precision=precision)


def _reconstructor(folder: Path, *, device: str = "cpu") -> "Reconstructor":
    from duomotion.models.intermask.codec import load_codec
    from duomotion.models.reconstructor import Tokenizer

    return Tokenizer(folder.name, load_codec(folder).to(device).reconstruct)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.intermask.recipes import RECIPES

    return RECIPES


def _import_official(
    source: Path,
    /,
    *,
    out: Path,
    tokenizer: Path | None = None,
    statistics: Path | None = None,
    text_encoder: str = "clip",
) -> Mapping[str, int]:
    """Convert a released checkpoint of InterMask.

    Args:
        source: Folder of a run with its opt.txt, or a .tar file in it.
        out: Folder to write.
        tokenizer: Folder of the tokenizer's run, where it is not next to the generator's.
        statistics: Folder with global_mean.npy and global_std.npy, where it is not in their
            repository's data/stats.
        text_encoder: "clip", or clip:FOLDER as made with `import-official clip`.
    """
    from duomotion.models.intermask.official import import_official

    return import_official(
        source, out, tokenizer=tokenizer, statistics=statistics, text_encoder=text_encoder
    )


def _bench(*, precision: "Precision" = "auto", device: str = "cpu") -> "Bench":
    from duomotion.models.intermask.bench import InterMaskBench

    return InterMaskBench(precision=precision, device=device)


def _tables() -> "Mapping[str, PaperTable]":
    from duomotion.models.intermask.tables import TABLES

    return TABLES


SYSTEM = System(
    name="intermask",
    paper="Javed et al. 2025",
    parts={
        "tokenizer": Part(task=_tokenizer_task, load=_load_tokenizer, reconstructor=_reconstructor),
        "generator": Part(task=_generator_task, load=_load_transformer, model=_model),
    },
    recipes=_recipes,
    importers={"intermask": _import_official},
    benches={"intermask": _bench},
    tables=_tables,
)
