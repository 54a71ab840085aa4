"""Released length estimators into ordinary checkpoint folders."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.official.reading import read_official
from duomotion.official.runs import Run, count_parameters, provenance
from duomotion.official.states import check_state_dict, get_state_dict
from duomotion.storage import check_replaceable

KEYS = ("estimator",)  # where the authors' code looks for the state dict


def import_official(source: Path, target: Path) -> dict[str, int]:
    """Make a checkpoint folder of a released length estimator, a .tar file.

    Returns:
        The number of parameters.

    Raises:
        ValueError: the file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    check_replaceable(target, RECIPE)
    content = read_official(source)
    state = get_state_dict(content, KEYS, source)
    config = _config(state, str(source))
    with torch.device("meta"):
        expected = LengthEstimator(config).state_dict()
    check_state_dict(state, expected, str(source))
    recipe = {"system": "length/estimator", "model": to_dict(config)}
    save_checkpoint(target, state, recipe, provenance(Run(source, {}), content))
    return {"length": count_parameters(state)}


def _config(state: Mapping[str, Tensor], where: str) -> LengthConfig:
    try:
        width, text_dim = state["output.0.weight"].shape
        num_classes = len(state["output.11.bias"])
    except (KeyError, TypeError, ValueError):  # check_state_dict names what is missing
        return LengthConfig()
    sizes = {"width": width, "text_dim": text_dim, "num_classes": num_classes}
    return from_dict(LengthConfig, sizes, where)
