"""Official InterMoE denoisers <-> ours: a table of names; experts' layers are stacked."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from duomotion.models.intermoe.config import DenoiserConfig
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.official.pair_denoiser import POSITIONS, pair_denoiser_names, tables
from duomotion.official.states import count_layers, rename_tensors

NET = "denoiser.net."
TABLES = tables(NET)
UNUSED = {"expert_threshold": (None,), "ema_decay": (1,)}
"""Buffers of each block that the released code never reads, and their shapes; None: the experts."""

# Official name -> our name; * is the number of a block or of a layer of the text head.
NAMES = pair_denoiser_names(NET) | {
    f"{NET}blocks.*.ffn.gate_weight": "blocks.*.experts.motion_router",
    f"{NET}blocks.*.ffn.text_gate_weight": "blocks.*.experts.text_router",
}


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of our `InterMoEDenoiser` from an official one, complete and of the right shapes.

    Raises:
        ValueError: a name that official checkpoints don't have.
    """
    renamed = {
        name: tensor
        for name, tensor in state.items()
        if name not in TABLES and not _is_of_experts(name)
    }
    ours = rename_tensors(renamed, NAMES, "InterMoE checkpoint")
    experts = count_layers(state, f"{NET}blocks.0.ffn.experts.")
    for block in range(count_layers(state, f"{NET}blocks.")):
        own, place = f"blocks.{block}.experts.", f"{NET}blocks.{block}.ffn."
        layers = [f"{place}experts.{expert}." for expert in range(experts)]
        gate, up, down = (
            torch.stack([state[f"{layer}{name}_proj.weight"] for layer in layers])
            for name in ("gate", "up", "down")
        )
        ours[f"{own}gate_and_up.weight"] = torch.cat((gate, up), 1)
        ours[f"{own}down.weight"] = down
        ours[f"{own}bias"] = state[f"{place}aux_bias"][:, 0]
    return {name: tensor.contiguous() for name, tensor in ours.items()}


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official state from ours, without the text tower; undoes `from_official`.

    What the released code does not read is zero.

    Raises:
        ValueError: a name that the official network doesn't have, such as low-rank modulation's.
    """
    names = {ours: official for official, ours in NAMES.items()}
    stacked = ("gate_and_up.weight", "down.weight", "experts.bias")
    renamed = {name: tensor for name, tensor in state.items() if not name.endswith(stacked)}
    official = rename_tensors(renamed, names, "InterMoE denoiser")
    for block in range(count_layers(state, "blocks.")):
        own, place = f"blocks.{block}.experts.", f"{NET}blocks.{block}.ffn."
        gate_and_up, down = state[f"{own}gate_and_up.weight"], state[f"{own}down.weight"]
        for expert in range(len(down)):
            layer = f"{place}experts.{expert}."
            gate, up = gate_and_up[expert].chunk(2)
            official[f"{layer}gate_proj.weight"], official[f"{layer}up_proj.weight"] = gate, up
            official[f"{layer}down_proj.weight"] = down[expert]
        bias = state[f"{own}bias"]
        official[f"{place}aux_bias"] = bias[:, None]
        for name, (size,) in UNUSED.items():
            official[f"{place}{name}"] = torch.zeros_like(bias if size is None else bias[:size])
    table = sinusoid_sequence(POSITIONS, len(state["input_projection.bias"]))
    return official | dict.fromkeys(TABLES, table)


def _is_of_experts(name: str) -> bool:
    return ".ffn.experts." in name or name.rsplit(".", 1)[-1] in ("aux_bias", *UNUSED)


def released(config: DenoiserConfig) -> DenoiserConfig:
    """The same with logits that are summed up and padding that is routed."""
    return replace(config, routing=replace(config.routing, alpha=None, route_padding=True))


def official_config(
    state: Mapping[str, Tensor], defaults: DenoiserConfig | None = None
) -> DenoiserConfig:
    """Sizes of an official state; what shapes don't tell, such as heads, is that of `defaults`.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    defaults = defaults or DenoiserConfig()
    embedding = state[f"{NET}motion_embed.weight"]
    first = f"{NET}blocks.0.ffn."
    return replace(
        defaults,
        num_features=embedding.shape[1],
        width=embedding.shape[0],
        num_blocks=count_layers(state, f"{NET}blocks."),
        routing=replace(
            released(defaults).routing,
            num_experts=state[f"{first}gate_weight"].shape[0],
            feedforward=state[f"{first}experts.0.up_proj.weight"].shape[0],
        ),
        text_dim=state[f"{NET}text_embed.weight"].shape[1],
        text_layers=count_layers(state, "clipTransEncoder.layers."),
        text_feedforward=(
            state["clipTransEncoder.layers.0.linear1.bias"].shape[0]
            if "clipTransEncoder.layers.0.linear1.bias" in state
            else defaults.text_feedforward
        ),
    )
