"""Evaluators: networks that put texts and motions in one space, released and ours."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duomotion.models.system import Part, System

if TYPE_CHECKING:
    import torch
    from torch import nn

    from duomotion.models.evaluator.embedding import AnyEmbedder
    from duomotion.models.evaluator.official import Kind
    from duomotion.training.trainer import Task


def _task(name: str) -> "Callable[[Any, torch.device], Task]":
    def task(recipe: Any, device: "torch.device") -> "Task":
        from duomotion.models.evaluator import matching, training

        tasks = {
            "open": training.EvaluatorTask,
            "interclip": matching.InterCLIPTask,
            "interx": matching.WordsTask,
            "t2m": matching.WordsTask,
            "movement": matching.MovementTask,
        }
        return tasks[name](recipe, device)

    return task


def _embedder(folder: Path, *, device: str = "cpu") -> "AnyEmbedder":
    from duomotion.models.evaluator.embedding import read_embedder

    return read_embedder(folder, device=device)


def _load(folder: Path) -> "nn.Module":
    return _embedder(folder).evaluator


def _load_movement(folder: Path) -> "nn.Module":
    from duomotion.models.evaluator.matching import load_movement

    return load_movement(folder)


def _recipes() -> "Mapping[str, Any]":
    from duomotion.models.evaluator.recipes import RECIPES

    return RECIPES


def _imported(
    kind: "Kind", source: Path, out: Path, *, vocabulary: Path, statistics: Path | None = None
) -> Mapping[str, int]:
    from duomotion.models.evaluator.official import import_evaluator

    count = import_evaluator(kind, source, out, vocabulary=vocabulary, statistics=statistics)
    return {"evaluator": count}


def _import_interclip(source: Path, /, *, out: Path, vocabulary: Path) -> Mapping[str, int]:
    """Convert InterHuman's released evaluator, InterCLIP.

    Args:
        source: The .ckpt file that came with InterGen.
        out: Folder to write.
        vocabulary: CLIP's own bpe_simple_vocab_16e6.txt.gz, or a tokenizer's folder.
    """
    return _imported("interclip", source, out, vocabulary=vocabulary)


def _import_interx(source: Path, /, *, out: Path, vocabulary: Path) -> Mapping[str, int]:
    """Convert Inter-X's released evaluator.

    Args:
        source: Its finest.tar.
        out: Folder to write.
        vocabulary: The folder glove/ of its code.
    """
    return _imported("interx-evaluator", source, out, vocabulary=vocabulary)


def _import_t2m(
    source: Path, /, *, out: Path, vocabulary: Path, statistics: Path
) -> Mapping[str, int]:
    """Convert the released evaluator of HumanML3D or KIT-ML.

    Args:
        source: Its finest.tar.
        out: Folder to write.
        vocabulary: The folder glove/ of its code.
        statistics: The folder meta/ beside it, with mean.npy and std.npy.
    """
    return _imported("t2m-evaluator", source, out, vocabulary=vocabulary, statistics=statistics)


SYSTEM = System(
    name="evaluator",
    paper="Guo et al. 2022; Liang et al. 2024; Xu et al. 2024",
    parts={
        **{
            name: Part(task=_task(name), load=_load, embedder=_embedder)
            for name in ("open", "interclip", "interx", "t2m")
        },
        "movement": Part(task=_task("movement"), load=_load_movement),
    },
    recipes=_recipes,
    importers={
        "interclip": _import_interclip,
        "interx-evaluator": _import_interx,
        "t2m-evaluator": _import_t2m,
    },
)
