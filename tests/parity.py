"""Recorded outputs of the official implementations, with small random weights.

A fixture NAME is a pair of files: NAME.json (sizes and notes) and NAME.safetensors with tensors
`weights/KEY`, `in/NAME` and `out/NAME`. They are looked for in the folder that the environment
variable DUOMOTION_PARITY_DIR names, then beside the repository, then in tests/data/parity.
"""

import json
import os
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

_REPOSITORY = Path(__file__).parents[1]


def folder() -> Path:
    """Where the fixtures are.

    Raises:
        FileNotFoundError: DUOMOTION_PARITY_DIR names no folder.
    """
    named = os.environ.get("DUOMOTION_PARITY_DIR")
    if named:
        if not Path(named).is_dir():
            raise FileNotFoundError(f"DUOMOTION_PARITY_DIR: there is no folder {named}")
        return Path(named)
    beside = _REPOSITORY.parent / "shared" / "reference" / "parity"
    return beside if beside.is_dir() else _REPOSITORY / "tests" / "data" / "parity"


def fixtures(pattern: str) -> list[str]:
    """Names that match a shell pattern, sorted."""
    names = sorted(path.stem for path in folder().glob("*.safetensors"))
    return [name for name in names if fnmatch(name, pattern)]


@cache
def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors of a fixture; tests must not write into them.

    A test that asks for one that is not at hand is skipped.
    """
    path = folder() / name
    if not path.with_suffix(".safetensors").is_file():
        pytest.skip(f"the fixture {name} is not at hand")
    description = json.loads(path.with_suffix(".json").read_text())
    return description, load_file(path.with_suffix(".safetensors"))


def one_of(pattern: str) -> str:
    """The first name that matches; a test that asks for one where there is none is skipped."""
    names = fixtures(pattern)
    if not names:
        pytest.skip(f"no fixture {pattern} is at hand")
    return names[0]


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix/`, without it."""
    return {
        key.removeprefix(f"{prefix}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{prefix}/")
    }
