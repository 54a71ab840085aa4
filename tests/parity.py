"""Recorded outputs of the official implementations, with small random weights.

A fixture NAME is a pair of files: NAME.json (sizes and notes) and NAME.safetensors with tensors
`weights/KEY`, `in/NAME` and `out/NAME`. They are looked for in the folder that the environment
variable DUOMOTION_PARITY_DIR names, then beside the repository, then in tests/data/parity.

Another folder may hold fixtures of other sizes, seeds and inputs (`make_fixtures` writes one), so
tests take every number from the fixture: sizes from the shapes of weights, and from the json what
shapes do not tell.
"""

import json
import os
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
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


def weights(name: str) -> dict[str, Tensor]:
    """The state dict of a fixture, under the names of the authors' code."""
    return prefixed(load(name)[1], "weights")


def close(actual: Tensor, expected: Tensor) -> None:
    """Equal up to a ten thousandth of the largest number that was recorded."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * scale)


def guided_logits(tensors: dict[str, Tensor], scale: float) -> tuple[Tensor, float]:
    """The recorded logits with guidance, and their scale, which the name may tell: logits_cfg2."""
    (key,) = (key for key in tensors if key.startswith("out/logits_cfg"))
    return tensors[key], float(key.removeprefix("out/logits_cfg") or scale)


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix/`, without it."""
    return {
        key.removeprefix(f"{prefix}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{prefix}/")
    }
