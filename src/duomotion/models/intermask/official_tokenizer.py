"""Official InterMask VQ-VAE weights <-> `MotionTokenizer`.

Three layouts were published: InterHuman with graph layers (since April 2025), InterHuman without
them (before), and Inter-X. The authors' files hold the state dict under "vq_model".
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from duomotion.models.intermask.config import INTERX_TOKENIZER, TokenizerConfig
from duomotion.official.states import count_layers

CODEBOOK = "quantizer.layers.0.codebook"
DILATION_GROWTH = 3  # default of the authors' code
_RESIDUAL_LAYERS = {"conv1": "dilated", "conv2": "mix"}
_GRAPH_LAYERS = {
    "encoder.gcn_layer1": "encoder.embed.first",
    "encoder.gcn_layer2": "encoder.embed.second",
    "decoder.gcn_layer1": "decoder.project.first",
    "decoder.gcn_layer2": "decoder.project.second",
}
_GRAPH_PARAMETERS = {
    "lin.weight": "message.weight",
    "lin.bias": "message.bias",
    "lin_l.weight": "neighbours.weight",
    "lin_l.bias": "neighbours.bias",
    "lin_r.weight": "own.weight",
}


def official_config(
    official: Mapping[str, Tensor], dilation_growth: int = DILATION_GROWTH
) -> TokenizerConfig:
    """The sizes of an official state dict.

    Args:
        dilation_growth: from a residual block to the one before it, which no shape tells; option
            dilation_growth_rate.

    Raises:
        ValueError: it is not a state dict of this system.
        KeyError, IndexError: a tensor that tells a size is missing or has too few axes.
    """
    if CODEBOOK not in official:
        raise ValueError(
            f"this is no InterMask tokenizer: its state dict has no {CODEBOOK!r} "
            '(the authors\' files hold the state dict under "vq_model")'
        )
    graph = "encoder.gcn_layer1.lin.weight" in official
    num_codes, code_dim = official[CODEBOOK].shape[0], official[CODEBOOK].shape[1]
    if graph:
        base = TokenizerConfig()
    else:
        joint_dim = official["encoder.model.0.weight"].shape[1]
        interx = joint_dim == INTERX_TOKENIZER.joint_dim
        base = INTERX_TOKENIZER if interx else TokenizerConfig(input_layer="conv")
    width = official["decoder.model.0.weight"].shape[0]
    depth = max(1, count_layers(official, "decoder.model.2.0.model."))
    return replace(
        base,
        widths=(width,) * len(base.widths),
        code_dim=code_dim,
        num_codes=num_codes,
        dilations=tuple(dilation_growth**block for block in reversed(range(depth))),
    )


def key_map(config: TokenizerConfig) -> dict[str, str]:
    """Official key -> our key, for every tensor of an official state dict."""
    levels, blocks = range(config.num_levels), range(len(config.dilations))
    first = 0 if config.input_layer == "graph" else 2
    layers = {
        f"encoder.model.{first + len(levels)}": "encoder.to_code",
        "decoder.model.0": "decoder.from_code",
        f"decoder.model.{2 + len(levels)}": "decoder.refine",
    }
    if config.input_layer == "conv":
        layers["encoder.model.0"] = "encoder.embed"
        layers[f"decoder.model.{4 + len(levels)}"] = "decoder.project"
    for level in levels:
        down, up = f"encoder.model.{first + level}", f"decoder.model.{2 + level}"
        layers[f"{down}.0"] = f"encoder.levels.{level}.0"
        layers[f"{up}.2"] = f"decoder.levels.{level}.{len(blocks)}"
        for block in blocks:
            for theirs, ours in _RESIDUAL_LAYERS.items():
                path = f"model.{block}.{theirs}"
                layers[f"{down}.1.{path}"] = f"encoder.levels.{level}.{1 + block}.{ours}"
                layers[f"{up}.0.{path}"] = f"decoder.levels.{level}.{block}.{ours}"
    keys = {CODEBOOK: "quantizer.codebook"}
    for theirs, ours in layers.items():
        keys |= {f"{theirs}.{name}": f"{ours}.{name}" for name in ("weight", "bias")}
    if config.input_layer == "graph":
        for theirs, ours in _GRAPH_LAYERS.items():
            keys |= {f"{theirs}.{a}": f"{ours}.{b}" for a, b in _GRAPH_PARAMETERS.items()}
    return keys


def from_official(official: Mapping[str, Tensor], config: TokenizerConfig) -> dict[str, Tensor]:
    """A complete state dict for `MotionTokenizer(config)`.

    The official files do not hold the codebook's moving averages; they begin at one vector a code,
    as they do when the authors' training is resumed.

    Raises:
        ValueError: keys are missing or unknown.
    """
    keys = key_map(config)
    if keys.keys() != official.keys():
        missing = sorted(keys.keys() - official.keys())
        unknown = sorted(official.keys() - keys.keys())
        raise ValueError(
            f"this state dict does not fit the tokenizer: missing {missing}, unknown {unknown}"
        )
    state = {ours: official[theirs] for theirs, ours in keys.items()}
    codebook_KD = state["quantizer.codebook"]
    state["quantizer.code_sums"] = codebook_KD.clone()
    state["quantizer.code_counts"] = torch.ones(len(codebook_KD), dtype=codebook_KD.dtype)
    return state


def to_official(state: Mapping[str, Tensor], config: TokenizerConfig) -> dict[str, Tensor]:
    """The inverse of `from_official`: what the authors' code loads."""
    return {theirs: state[ours] for theirs, ours in key_map(config).items()}
