"""Official InterGen checkpoints <-> ours: a table of names; values and shapes stay as they are."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.official.states import count_layers, rename_tensors
from duomotion.official.text_head import CLIP, text_head_names

TABLES = (
    "decoder.net.sequence_pos_encoder.pe",
    "decoder.net.embed_timestep.sequence_pos_encoder.pe",
)
"""Sinusoids that follow from the width; checkpoints hold them twice."""
POSITIONS = 5000  # rows of these

PARAMETERS = ("weight", "bias")
NORMS = {
    "sa_block.norm": "own",
    "ca_block.norm": "query",
    "ca_block.xf_norm": "partner",
    "ffn.norm": "feedforward",
}
BLOCK, MODULATION = "decoder.net.blocks.*", "modulations.*"

# Official name -> our name; * is the number of a block or of a layer of the text head.
NAMES = (
    {
        f"{official}.{parameter}": f"{ours}.{parameter}"
        for official, ours in {
            "decoder.net.motion_embed": "input_projection",
            "decoder.net.text_embed": "text_projection",
            "decoder.net.embed_timestep.time_embed.0": "time_embedding.0",
            "decoder.net.embed_timestep.time_embed.2": "time_embedding.2",
            "decoder.net.out.linear": "output_projection",
            f"{BLOCK}.ffn.linear1": "blocks.*.feedforward.0",
            f"{BLOCK}.ffn.linear2": "blocks.*.feedforward.3",
            **{
                f"{BLOCK}.{norm}.emb_layers.1": f"{MODULATION}.{ours}.expand"
                for norm, ours in NORMS.items()
            },
        }.items()
        for parameter in PARAMETERS
    }
    | {
        f"{BLOCK}.{official}.attention{joint}{parameter}": f"blocks.*.{ours}{dotted}{parameter}"
        for official, ours in {
            "sa_block": "self_attention",
            "ca_block": "cross_attention",
        }.items()
        for joint, dotted in {".in_proj_": ".in_proj.", ".out_proj.": ".out_proj."}.items()
        for parameter in PARAMETERS
    }
    | text_head_names("clipTransEncoder", "clip_ln")
)


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
    embedding = state["decoder.net.motion_embed.weight"]
    return replace(
        defaults or DenoiserConfig(),
        num_features=embedding.shape[1],
        width=embedding.shape[0],
        num_blocks=count_layers(state, "decoder.net.blocks."),
        feedforward=state["decoder.net.blocks.0.ffn.linear1.bias"].shape[0],
        text_dim=state["decoder.net.text_embed.weight"].shape[1],
        text_layers=count_layers(state, "clipTransEncoder.layers."),
        text_feedforward=state["clipTransEncoder.layers.0.linear1.bias"].shape[0],
    )
