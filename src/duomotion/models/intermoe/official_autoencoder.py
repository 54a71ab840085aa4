"""Official InterMoE autoencoders <-> ours: joints' layers are stacked, rows reordered.

A released row is position, rotation, velocity and, for some joints, contact; ours is position,
velocity and rotation, as the layout has it. The matrices of the skeleton, which the released code
stores, follow from `graphs`.

Axes: J joints, R numbers of a row, D width.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from duomotion.models.intermoe.config import AutoencoderConfig
from duomotion.models.intermoe.graphs import (
    SMPL,
    adjacency,
    pooling_matrix,
    unpooling_matrix,
)
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.official.states import rename_tensors

ROW = INTERHUMAN.joint_dim
OUR_ORDER = (0, 1, 2, 9, 10, 11, 3, 4, 5, 6, 7, 8)  # of the numbers of a released row
OFFICIAL_ORDER = tuple(OUR_ORDER.index(number) for number in range(ROW))
PARAMETERS = ("weight", "bias")
CONVOLUTIONS = {"2": "first", "5": "second"}  # in a residual block
SUMMANDS = {"graph_conv.linear1": "own", "graph_conv.linear2": "neighbours", "temp_conv": "causal"}
JOINTS = tuple(range(SMPL.num_joints))


def _names(num_blocks: int) -> dict[str, str]:
    """Official name -> our name, of what has the same values in both."""
    found = {}
    for level in range(len(SMPL.groups)):
        for block in range(num_blocks):
            places = {
                f"conv_enc.layers.{level}.{block}": f"encoder.{level}.blocks.{block}",
                f"conv_dec.layers.{level}.{block + 1}": f"decoder.{level}.blocks.{block}",
            }
            for official, ours in places.items():
                for number, which in CONVOLUTIONS.items():
                    for summand, name in SUMMANDS.items():
                        for parameter in PARAMETERS:
                            place = f"{official}.layers.{number}.{summand}.{parameter}"
                            found[place] = f"{ours}.{which}.{name}.{parameter}"
    return found | {f"dist.{each}": f"to_latents.{each}" for each in PARAMETERS}


def matrices(num_blocks: int) -> dict[str, Tensor]:
    """What follows from the skeleton, under its official names."""
    found, last = {}, len(SMPL.groups) - 1
    for level, (parents, groups) in enumerate(zip(SMPL.parents, SMPL.groups, strict=True)):
        edges, up, joints = adjacency(parents), last - level, len(parents)
        for block in range(num_blocks):
            for number in CONVOLUTIONS:
                found[f"conv_enc.layers.{level}.{block}.layers.{number}.adj_matrix"] = edges
                found[f"conv_dec.layers.{up}.{block + 1}.layers.{number}.adj_matrix"] = edges
        pooled = f"conv_enc.layers.{level}.{num_blocks}.skeleton_pool"
        found[pooled] = pooling_matrix(groups, joints)
        found[f"conv_dec.layers.{up}.0.skeleton_unpool"] = unpooling_matrix(groups, joints)
    return found


def from_official(state: Mapping[str, Tensor], num_blocks: int) -> dict[str, Tensor]:
    """State of our `SkeletalAutoencoder` from an official one, complete and of the right shapes."""
    names = _names(num_blocks)
    ours = rename_tensors(
        {name: state[name] for name in names if name in state}, names, "InterMoE autoencoder"
    )

    def stacked(place: str, parameter: str, rows: int | None = None) -> Tensor:
        tensors = [state[place.format(joint) + f".{parameter}"] for joint in JOINTS]
        cut = [x if rows is None else x[:rows] for x in tensors]
        return torch.stack([x if parameter == "bias" else x.T for x in cut])

    first, second = "motion_enc.layers.{}.0", "motion_enc.layers.{}.2"
    weights = [state[f"{first.format(joint)}.weight"] for joint in JOINTS]
    ours["joint_encoder.first.weight"] = torch.stack([x[:, list(OUR_ORDER)].T for x in weights])
    ours["joint_encoder.first.bias"] = stacked(first, "bias")
    ours["joint_encoder.contact_weight"] = torch.stack([weights[j][:, ROW] for j in SMPL.contacts])
    for parameter in PARAMETERS:
        ours[f"joint_encoder.second.{parameter}"] = stacked(second, parameter)

    first, second = "motion_dec.layers.{}.0", "motion_dec.layers.{}.2"
    order = list(OUR_ORDER)
    for parameter in PARAMETERS:
        ours[f"joint_decoder.first.{parameter}"] = stacked(first, parameter)
        rows = [state[f"{second.format(joint)}.{parameter}"] for joint in JOINTS]
        own = torch.stack([x[order] for x in rows])
        ours[f"joint_decoder.second.{parameter}"] = own.mT if parameter == "weight" else own
        contact = torch.stack([rows[joint][ROW] for joint in SMPL.contacts])
        ours[f"joint_decoder.contact_{parameter}"] = contact
    return {name: tensor.contiguous() for name, tensor in ours.items()}


def to_official(state: Mapping[str, Tensor], num_blocks: int) -> dict[str, Tensor]:
    """Official state from ours; undoes `from_official` exactly."""
    names = {ours: official for official, ours in _names(num_blocks).items()}
    official = rename_tensors(
        {name: state[name] for name in names}, names, "InterMoE autoencoder"
    ) | matrices(num_blocks)
    order, contacts = list(OFFICIAL_ORDER), {joint: row for row, joint in enumerate(SMPL.contacts)}
    for joint in JOINTS:
        place = f"motion_enc.layers.{joint}"
        weight = state["joint_encoder.first.weight"][joint].T[:, order]
        if joint in contacts:
            own = state["joint_encoder.contact_weight"][contacts[joint]]
            weight = torch.cat((weight, own[:, None]), 1)
        official[f"{place}.0.weight"] = weight
        official[f"{place}.0.bias"] = state["joint_encoder.first.bias"][joint]
        official[f"{place}.2.weight"] = state["joint_encoder.second.weight"][joint].T
        official[f"{place}.2.bias"] = state["joint_encoder.second.bias"][joint]

        place = f"motion_dec.layers.{joint}"
        official[f"{place}.0.weight"] = state["joint_decoder.first.weight"][joint].T
        official[f"{place}.0.bias"] = state["joint_decoder.first.bias"][joint]
        for parameter in PARAMETERS:
            rows = state[f"joint_decoder.second.{parameter}"][joint]
            rows = (rows.T if parameter == "weight" else rows)[order]
            if joint in contacts:
                own = state[f"joint_decoder.contact_{parameter}"][contacts[joint]]
                rows = torch.cat((rows, own[None]))
            official[f"{place}.2.{parameter}"] = rows
    return {name: tensor.contiguous() for name, tensor in official.items()}


def official_config(state: Mapping[str, Tensor]) -> AutoencoderConfig:
    """Sizes of an official state.

    Raises:
        KeyError, IndexError: a tensor that tells one is missing or has too few axes.
    """
    stack = "conv_enc.layers.0."
    parts = {name[len(stack) :].split(".")[0] for name in state if name.startswith(stack)}
    return replace(
        AutoencoderConfig(),
        width=state["motion_dec.layers.0.0.bias"].shape[0],
        num_blocks=len(parts) - 1,
    )
