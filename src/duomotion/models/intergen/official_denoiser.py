"""Official InterGen checkpoints <-> ours: a table of names; values and shapes stay as they are."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.official.pair_denoiser import (
    PARAMETERS,
    POSITIONS,
    pair_denoiser_names,
    tables,
)
from duomotion.official.states import count_layers, rename_tensors
from duomotion.official.text_head import CLIP

NET = "decoder.net."
TABLES = tables(NET)
LINEAR = {"linear1": "0", "linear2": "3"}

# Official name -> our name; * is the number of a block or of a layer of the text head.
NAMES = pair_denoiser_names(NET) | {
    f"{NET}blocks.*.ffn.{official}.{parameter}": f"blocks.*.feedforward.{ours}.{parameter}"
    for official, ours in LINEAR.items()
    for parameter in PARAMETERS
}


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of our `InterGenDenoiser` from an official one.

    Raises:
        ValueError: a name that official checkpoints don't have.
    """
    own = {
        name: tensor
        for name, tensor in state.items()
        if name not in TABLES and not name.startswith(CLIP)
    }
    return rename_tensors(own, NAMES, "InterGen checkpoint")


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state from ours, without the text tower; undoes `from_official` exactly.

    Raises:
        ValueError: a name that the official network doesn't have, such as low-rank modulation's.
    """
    names = {ours: official for official, ours in NAMES.items()}
    table = sinusoid_sequence(POSITIONS, len(state["input_projection.bias"]))
    return rename_tensors(state, names, "InterGen denoiser") | dict.fromkeys(TABLES, table)


def official_config(
    state: Mapping[str, Tensor], defaults: DenoiserConfig | None = None
) -> DenoiserConfig:
    """Sizes of an official state; what shapes don't tell, such as heads, is that of `defaults`.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    embedding = state[f"{NET}motion_embed.weight"]
    return replace(
        defaults or DenoiserConfig(),
        num_features=embedding.shape[1],
        width=embedding.shape[0],
        num_blocks=count_layers(state, f"{NET}blocks."),
        feedforward=state[f"{NET}blocks.0.ffn.linear1.bias"].shape[0],
        text_dim=state[f"{NET}text_embed.weight"].shape[1],
        text_layers=count_layers(state, "clipTransEncoder.layers."),
        text_feedforward=state["clipTransEncoder.layers.0.linear1.bias"].shape[0],
    )
