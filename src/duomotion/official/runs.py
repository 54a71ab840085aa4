"""A training as the authors' code leaves it: opt.txt, and below it model/ with the weights."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import environment
from duomotion.names import check_name
from duomotion.official.reading import read_options, sha256
from duomotion.official.states import join_names

OPTIONS = "opt.txt"


@dataclass(frozen=True)
class Run:
    """One training of the authors' code: its weights and the options beside them."""

    weights: Path
    options: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return training_folder(self.weights)

    @property
    def options_file(self) -> Path:
        return self.folder / OPTIONS


def training_folder(weights: Path) -> Path:
    """The folder of the training that a file of weights belongs to."""
    return weights.parent.parent if weights.parent.name == "model" else weights.parent


def training_options(folder: Path) -> dict[str, Any]:
    """The options of a training.

    Raises:
        ValueError: there is no opt.txt, or it is no list of options.
        OSError: it can't be read.
    """
    path = folder / OPTIONS
    if not path.is_file():
        raise ValueError(
            f"{path} is missing; the authors' download has it beside the folder model that holds "
            "the .tar files"
        )
    return read_options(path)


def find_training(path: Path, is_meant: Callable[[Path], bool]) -> Path:
    """The folder of a training: `path`, or the one folder in it that `is_meant`.

    Raises:
        ValueError: there is none, or several and it is not clear which is meant.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: no folder of an official checkpoint is there")
    if (path / OPTIONS).is_file():
        return path
    inside = sorted(file.parent for file in path.glob(f"*/{OPTIONS}"))
    chosen = [folder for folder in inside if is_meant(folder)] or inside
    if len(chosen) != 1:
        raise ValueError(
            f"{path} holds no {OPTIONS}"
            + (f"; name one of {join_names(chosen)}" if chosen else " of an official training")
        )
    return chosen[0]


def tokenizer_beside(folder: Path) -> Path:
    """The folder of the tokenizer that the options of a training name, beside that training.

    Raises:
        ValueError: the name is none of a folder, or there is no such folder.
    """
    name = str(training_options(folder).get("vq_name"))
    check_name(name, f"{folder / OPTIONS}: vq_name")
    beside = folder.resolve().parent / name
    if not beside.is_dir():
        raise ValueError(
            f"{folder / OPTIONS} names the tokenizer {name!r}, but there is no folder {beside}"
        )
    return beside


def check_options(options: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Make sure that the options that are there have the expected values.

    Raises:
        ValueError: those that have not, in one sentence.
    """
    differing = [
        f"{option} {options[option]!r} and not {value!r}"
        for option, value in expected.items()
        if option in options and options[option] != value
    ]
    if differing:
        raise ValueError(f"{where} does not fit its opt.txt, which says {', '.join(differing)}")


def options_of(config: object, names: Mapping[str, str]) -> dict[str, Any]:
    """What the options must be if a config is right; `names` is option -> field."""
    return {option: getattr(config, field) for option, field in names.items()}


def fields_from(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The options that are there, by our names; `names` is option -> field."""
    return {field: options[option] for option, field in names.items() if option in options}


def numbers_from(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    """Those of `fields_from` that are finite numbers."""
    found = {field: number_from(options, option) for option, field in names.items()}
    return {field: value for field, value in found.items() if value is not None}


def number_from(options: Mapping[str, Any], name: str) -> float | None:
    """An option that is a finite number."""
    value = options.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return value


def provenance(run: Run, content: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says about where it is from; `content` is that of the file of weights."""
    folder = run.folder.resolve()
    dataset = str(run.options.get("dataset_name", folder.parent.name))
    return {
        **environment(torch.device("cpu")),
        "step": int(number_from(content, "total_it") or 0),
        "epoch": int(number_from(content, "ep") or 0),
        "data": [dataset],
        "official": f"{dataset}/{folder.name}/{run.weights.name}",
        "sha256": sha256(run.weights),
    }


def count_parameters(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())
