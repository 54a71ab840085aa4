"""Trained parts of other systems that a system takes along, named by their checkpoints."""

from pathlib import Path
from typing import Any

from duomotion.checkpoint import read_recipe, text_encoder_of
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.models import kinds, part_of


def check_child(folder: Path, system: str, text_encoder: str) -> None:
    """Make sure that a checkpoint is of a system and reads the generator's text vectors.

    Raises:
        ValueError: it is not, or does not.
    """
    recipe = read_recipe(folder, system)
    read = text_encoder_of(recipe, folder)
    if read != text_encoder:
        raise ValueError(
            f"{folder} reads the text vectors of {read!r}; the generator's data.text_encoder is "
            f"{text_encoder!r} and must be the same"
        )


def load_length_estimator(folder: Path, *, text_dim: int) -> Any | None:
    """The length estimator inside a checkpoint's folder; None where there is none.

    Raises:
        ValueError: it is no such checkpoint, tensors are missing, or it reads other text vectors.
    """
    child = folder / "length"
    if not child.exists():
        return None
    estimator: Any = part_of(read_recipe(child)["system"]).load(child)
    if estimator.config.text_dim != text_dim:
        raise ValueError(
            f"{child} reads text vectors of {estimator.config.text_dim} numbers; the model's text "
            f"encoder gives {text_dim}"
        )
    return estimator


def load_embedder(folder: Path, *, device: str = "cpu") -> Embedder:
    """An evaluator with what it reads texts with.

    Raises:
        ValueError: the folder is no checkpoint of an evaluator, or something is missing there.
    """
    kind = read_recipe(folder)["system"]
    known = kinds()
    embedder = known[kind].embedder if kind in known else None
    if embedder is None:
        names = ", ".join(name for name, part in known.items() if part.embedder is not None)
        raise ValueError(f"{folder} is a checkpoint of {kind!r}, not of an evaluator ({names})")
    return embedder(folder, device=device)
