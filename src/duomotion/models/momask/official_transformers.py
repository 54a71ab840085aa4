"""Official masked and residual transformers <-> ours: tables of names; values stay as they are.

The table of positions follows from the width. The frozen text tower, which the authors' files
leave out, is no part of the transformers.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.official.states import count_layers, rename_tensors

Config = TypeVar("Config", MaskedConfig, ResidualConfig)

POSITIONS = "position_enc.pe"
NUM_POSITIONS = 5000
FROZEN_CLIP = "clip_"
"""Start of the names of the frozen text tower."""

PARAMETERS = ("weight", "bias")

# Official name -> our name; * is the number of a block.
_COMMON = {
    f"{official}.{parameter}": f"{ours}.{parameter}"
    for official, ours in {
        "input_process.poseEmbedding": "input_projection",
        "cond_emb": "text_projection",
        "output_process.dense": "output_dense",
        "output_process.LayerNorm": "output_norm",
        "output_process.poseFinal": "output_projection",
        **{
            f"seqTransEncoder.layers.*.{same}": f"blocks.*.{same}"
            for same in ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")
        },
    }.items()
    for parameter in PARAMETERS
} | {
    f"seqTransEncoder.layers.*.self_attn.in_proj_{parameter}": (
        f"blocks.*.self_attn.in_proj.{parameter}"
    )
    for parameter in PARAMETERS
}
MASKED = _COMMON | {"token_emb.weight": "token_embedding.weight"}
RESIDUAL = _COMMON | {
    "token_embed_weight_": "first_input",
    "embed_proj_shared_weight": "shared",
    "output_proj_weight_": "last_output",
    "quant_emb.weight": "layer_embedding.weight",
    "quant_emb.bias": "layer_embedding.bias",
}


def from_official(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """State of ours from an official one; `names` is `MASKED` or `RESIDUAL`.

    Raises:
        ValueError: a name that official checkpoints don't have.
    """
    own = {
        name: tensor
        for name, tensor in state.items()
        if name != POSITIONS and not name.startswith(FROZEN_CLIP)
    }
    return rename_tensors(own, names, "MoMask checkpoint")


def to_official(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Official state from ours; undoes `from_official` exactly.

    Raises:
        ValueError: a name that the official network doesn't have, such as unshared tables'.
    """
    inverse = {ours: official for official, ours in names.items()}
    table = {POSITIONS: positions(len(state["input_projection.bias"]))}
    return rename_tensors(state, inverse, "MoMask transformer") | table


def positions(width: int) -> Tensor:
    """The buffer of official checkpoints."""
    return sinusoid_sequence(NUM_POSITIONS, width)[:, None]


def official_sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The fields of a config that the shapes of an official state tell.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    embedding = state["input_process.poseEmbedding.weight"]
    sizes = {
        "token_dim": embedding.shape[1],
        "width": embedding.shape[0],
        "num_blocks": count_layers(state, "seqTransEncoder.layers."),
        "feedforward": state["seqTransEncoder.layers.0.linear1.bias"].shape[0],
        "text_dim": state["cond_emb.weight"].shape[1],
    }
    if "quant_emb.weight" not in state:
        return sizes | {"num_codes": state["output_process.poseFinal.bias"].shape[0]}
    return sizes | {
        "num_codes": state["token_embed_weight_"].shape[1] - 1,
        "num_layers": state["quant_emb.weight"].shape[1],
    }


def official_config(state: Mapping[str, Tensor], defaults: Config) -> Config:
    """Sizes of an official state; what shapes don't tell, such as heads, is that of `defaults`."""
    return replace(defaults, **official_sizes(state))
