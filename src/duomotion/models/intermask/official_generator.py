"""Official Inter-M checkpoints <-> ours: a table of names; values and shapes stay as they are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.layers.positional import axis_frequencies
from duomotion.official.states import count_layers, rename_tensors
from duomotion.official.text_head import text_head_names

FREQUENCIES = "position_enc.positional_encoding.inv_freq"
"""Buffer of official checkpoints that follows from the width."""

FROZEN_CLIP = "clip_"
"""Start of the names of the frozen text tower, which is no part of the transformer."""

PARAMETERS = ("weight", "bias")

# Official name -> our name; * is the number of a block or of a layer of the text head.
NAMES = (
    {"token_emb.weight": "token_embedding.weight"}
    | {
        f"{official}.{parameter}": f"{ours}.{parameter}"
        for official, ours in {
            "input_process.poseEmbedding": "input_projection",
            "cond_emb": "text_projection",
            "Transformer.blocks.*.adaLN_mod_combined.model.1": "modulations.*.joint.expand",
            "Transformer.blocks.*.ffn_combined.model.0": "blocks.*.joint_feedforward.0",
            "Transformer.blocks.*.ffn_combined.model.3": "blocks.*.joint_feedforward.3",
            "Transformer.blocks.*.adaLN_mod_split.model.1": "modulations.*.person.expand",
            "Transformer.blocks.*.ffn_split.model.0": "blocks.*.person_feedforward.0",
            "Transformer.blocks.*.ffn_split.model.3": "blocks.*.person_feedforward.3",
            "output_process.dense": "output_dense",
            "output_process.adaLN_mod.model.1": "output_modulation.expand",
            "output_process.poseFinal": "output_projection",
        }.items()
        for parameter in PARAMETERS
    }
    | {
        f"Transformer.blocks.*.{official}{joint}{parameter}": f"blocks.*.{ours}{dotted}{parameter}"
        for official, ours in {
            "self_attn.attention": "joint_attention",
            "spa_temp_attn.spatial_attention": "spatial_attention",
            "spa_temp_attn.temporal_attention": "temporal_attention",
            "local_inter_attn.interaction_attention": "cross_attention",
        }.items()
        for joint, dotted in {".in_proj_": ".in_proj.", ".out_proj.": ".out_proj."}.items()
        for parameter in PARAMETERS
    }
    | text_head_names("clipTrans", "clipln")
)


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of our `InterMTransformer` from an official one.

    Raises:
        ValueError: a name that official checkpoints don't have.
    """
    own = {
        name: tensor
        for name, tensor in state.items()
        if name != FREQUENCIES and not name.startswith(FROZEN_CLIP)
    }
    return rename_tensors(own, NAMES, "Inter-M checkpoint")


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state from ours; undoes `from_official` exactly.

    Raises:
        ValueError: a name that the official network doesn't have, such as low-rank modulation's.
    """
    names = {ours: official for official, ours in NAMES.items()}
    width = len(state["input_projection.bias"])
    table = {FREQUENCIES: axis_frequencies(width)}
    return rename_tensors(state, names, "Inter-M transformer") | table


def official_config(
    state: Mapping[str, Tensor], defaults: InterMConfig | None = None
) -> InterMConfig:
    """Sizes of an official state; what shapes don't tell, such as heads, is that of `defaults`."""
    return replace(defaults or InterMConfig(), **official_sizes(state))


def official_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of `InterMConfig` that the shapes of an official state tell.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    embedding = state["input_process.poseEmbedding.weight"]
    return {
        "num_codes": state["output_process.poseFinal.bias"].shape[0],
        "token_dim": embedding.shape[1],
        "width": embedding.shape[0],
        "num_blocks": count_layers(state, "Transformer.blocks."),
        "feedforward": state["Transformer.blocks.0.ffn_combined.model.0.bias"].shape[0],
        "text_dim": state["cond_emb.weight"].shape[1],
        "text_layers": count_layers(state, "clipTrans.layers."),
        "text_feedforward": state["clipTrans.layers.0.linear1.bias"].shape[0],
    }
