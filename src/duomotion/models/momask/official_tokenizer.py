"""Official residual VQ-VAE weights <-> `ResidualTokenizer`.

Names change as a table says. The authors' convolutions are over sequences (out, in, frames), ours
over maps of one row (out, in, 1, frames), with the same numbers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.official.states import count_layers

_RESIDUAL_LAYERS = {"conv1": "dilated", "conv2": "mix"}


def official_sizes(official: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of `ResidualTokenizerConfig` that the shapes of an official state tell.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    codebook = official["quantizer.layers.0.codebook"]
    return {
        "num_features": official["encoder.model.0.weight"].shape[1],
        "width": official["encoder.model.0.weight"].shape[0],
        "depth": count_layers(official, "encoder.model.2.1.model."),
        "num_levels": count_layers(official, "encoder.model.") - 2,
        "num_layers": count_layers(official, "quantizer.layers."),
        "num_codes": codebook.shape[0],
        "code_dim": codebook.shape[1],
    }


def official_config(
    official: Mapping[str, Tensor], defaults: ResidualTokenizerConfig | None = None
) -> ResidualTokenizerConfig:
    """Sizes of an official state; what shapes don't tell is that of `defaults`."""
    return replace(defaults or ResidualTokenizerConfig(), **official_sizes(official))


def key_map(config: ResidualTokenizerConfig) -> dict[str, str]:
    """Official key -> our key, for every tensor of an official state dict."""
    levels, blocks = range(config.num_levels), range(config.depth)
    layers = {
        "encoder.model.0": "encoder.embed",
        f"encoder.model.{2 + len(levels)}": "encoder.to_code",
        "decoder.model.0": "decoder.from_code",
        f"decoder.model.{2 + len(levels)}": "decoder.refine",
        f"decoder.model.{4 + len(levels)}": "decoder.project",
    }
    for level in levels:
        down, up = f"encoder.model.{2 + level}", f"decoder.model.{2 + level}"
        layers[f"{down}.0"] = f"encoder.levels.{level}.0"
        layers[f"{up}.2"] = f"decoder.levels.{level}.{len(blocks)}"
        for block in blocks:
            for theirs, ours in _RESIDUAL_LAYERS.items():
                path = f"model.{block}.{theirs}"
                layers[f"{down}.1.{path}"] = f"encoder.levels.{level}.{1 + block}.{ours}"
                layers[f"{up}.0.{path}"] = f"decoder.levels.{level}.{block}.{ours}"
    keys = {
        f"{theirs}.{name}": f"{ours}.{name}"
        for theirs, ours in layers.items()
        for name in ("weight", "bias")
    }
    codebooks = (f"quantizer.layers.{layer}.codebook" for layer in range(config.num_layers))
    return keys | {name: name for name in codebooks}


def from_official(
    official: Mapping[str, Tensor], config: ResidualTokenizerConfig
) -> dict[str, Tensor]:
    """A complete state dict for `ResidualTokenizer(config)` from one that has all keys.

    The official files do not hold the codebooks' moving averages; they begin at one vector a code,
    as they do when the authors' training is resumed.
    """
    state = {}
    for theirs, ours in key_map(config).items():
        tensor = official[theirs]
        state[ours] = tensor.unsqueeze(2) if tensor.ndim == 3 else tensor
        if ours.endswith(".codebook"):
            layer = ours.removesuffix("codebook")
            state[f"{layer}code_sums"] = tensor.clone()
            state[f"{layer}code_counts"] = torch.ones(len(tensor), dtype=tensor.dtype)
    return state


def to_official(state: Mapping[str, Tensor], config: ResidualTokenizerConfig) -> dict[str, Tensor]:
    """The inverse of `from_official`: what the authors' code loads."""
    official = {theirs: state[ours] for theirs, ours in key_map(config).items()}
    return {
        name: tensor.squeeze(2) if tensor.ndim == 4 else tensor for name, tensor in official.items()
    }
