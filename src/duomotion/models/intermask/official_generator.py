"""Released Inter-M checkpoints <-> ours: a table of names; values and shapes stay as they are."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.layers.positional import axis_frequencies

FREQUENCIES = "position_enc.positional_encoding.inv_freq"
"""Buffer of released checkpoints that follows from the width."""

FROZEN_CLIP = "clip_"
"""Start of the names of the frozen text tower, which is no part of the transformer."""

PARAMETERS = ("weight", "bias")

# Released name -> our name; * is the number of a block or of a layer of the text head.
NAMES = (
    {"token_emb.weight": "token_embedding.weight"}
    | {
        f"{released}.{parameter}": f"{ours}.{parameter}"
        for released, ours in {
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
            "clipln": "text_head.norm",
        }.items()
        for parameter in PARAMETERS
    }
    | {
        f"Transformer.blocks.*.{released}{joint}{parameter}": f"blocks.*.{ours}{dotted}{parameter}"
        for released, ours in {
            "self_attn.attention": "joint_attention",
            "spa_temp_attn.spatial_attention": "spatial_attention",
            "spa_temp_attn.temporal_attention": "temporal_attention",
            "local_inter_attn.interaction_attention": "cross_attention",
        }.items()
        for joint, dotted in {".in_proj_": ".in_proj.", ".out_proj.": ".out_proj."}.items()
        for parameter in PARAMETERS
    }
    | {
        f"clipTrans.layers.*.{same}{parameter}": f"text_head.encoder.layers.*.{same}{parameter}"
        for same in (
            *("self_attn.in_proj_", "self_attn.out_proj.", "linear1.", "linear2."),
            *("norm1.", "norm2."),
        )
        for parameter in PARAMETERS
    }
)


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of our `InterMTransformer` from a released one.

    Raises:
        ValueError: a name that released checkpoints don't have.
    """
    return {
        _translate(name, NAMES): tensor
        for name, tensor in state.items()
        if name != FREQUENCIES and not name.startswith(FROZEN_CLIP)
    }


def to_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Released state from ours; undoes `from_official` exactly.

    Raises:
        ValueError: a name that the released network doesn't have, such as low-rank modulation's.
    """
    names = {ours: released for released, ours in NAMES.items()}
    released = {_translate(name, names): tensor for name, tensor in state.items()}
    width = len(state["input_projection.bias"])
    return released | {FREQUENCIES: axis_frequencies(width)}


def config_of_released(
    state: dict[str, Tensor], defaults: InterMConfig | None = None
) -> InterMConfig:
    """Sizes of a released state; what shapes don't tell, such as heads, is that of `defaults`."""
    return replace(defaults or InterMConfig(), **official_sizes(state))


def official_sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The fields of `InterMConfig` that the shapes of a released state tell.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    embedding = state["input_process.poseEmbedding.weight"]
    return {
        "num_codes": state["output_process.poseFinal.bias"].shape[0],
        "token_dim": embedding.shape[1],
        "width": embedding.shape[0],
        "num_blocks": _count(state, "Transformer.blocks"),
        "feedforward": state["Transformer.blocks.0.ffn_combined.model.0.bias"].shape[0],
        "text_dim": state["cond_emb.weight"].shape[1],
        "text_layers": _count(state, "clipTrans.layers"),
        "text_feedforward": state["clipTrans.layers.0.linear1.bias"].shape[0],
    }


def _count(state: Mapping[str, Tensor], stack: str) -> int:
    return len({name.split(".")[2] for name in state if name.startswith(f"{stack}.")})


def _translate(name: str, names: dict[str, str]) -> str:
    index = re.search(r"(?<=(?:blocks|layers)\.)\d+|(?<=modulations\.)\d+", name)
    template = name if index is None else f"{name[: index.start()]}*{name[index.end() :]}"
    if template not in names:
        raise ValueError(f"Inter-M checkpoint: there is no place for the tensor {name!r}.")
    return names[template].replace("*", index.group() if index else "")
