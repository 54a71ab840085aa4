"""Reference implementation of InterMoE's sampling, which the fast one has to equal.

As in the released code: guidance takes two passes instead of one over a doubled batch, each
person's network runs alone, modulation is computed in each pass of each step, attention is
`torch.nn.MultiheadAttention`, experts are called one by one; the autoencoder goes through a clip
four frames, or one latent, at a time, joint by joint, and each convolution keeps its last frames.
Steps are DDIM's (`models.pair_reference`).

Axes: B batch, T places in time, F numbers of a person, D width, S tokens, E experts, J joints.
"""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermoe.autoencoder import (
    FRAMES,
    DecoderLevel,
    EncoderLevel,
    ResidualBlock,
    SkeletalAutoencoder,
    SkeletalConv,
)
from duomotion.models.intermoe.config import DenoiserConfig
from duomotion.models.intermoe.experts import SelectiveExperts
from duomotion.models.intermoe.network import InterMoEBlock, InterMoEDenoiser
from duomotion.models.pair_reference import PairBlocksReference


class ReferenceDenoiser(PairBlocksReference):
    """Of the paper's form: experts select dynamically, by both routers."""

    def __init__(self, model: InterMoEDenoiser) -> None:
        check(model.config)
        super().__init__(model)

    def after_attention(
        self, block: InterMoEBlock, x_BTD: Tensor, read_BTD: Tensor, embedding_BD: Tensor
    ) -> Tensor:
        assert block.experts is not None
        return _experts(block.experts, x_BTD, read_BTD, embedding_BD)


def check(config: DenoiserConfig) -> None:
    """Raises ValueError for a network of another form than the paper's."""
    routing = config.routing
    form = routing.router, routing.selection
    if not routing.num_experts or form != ("synergistic", "dynamic"):
        raise ValueError("the reference procedure has the paper's router and selection only")


def _experts(
    experts: SelectiveExperts, x_BTD: Tensor, read_BTD: Tensor, embedding_BD: Tensor
) -> Tensor:
    alpha = experts.config.alpha
    motion_BTE = x_BTD @ experts.motion_router.T
    text_B1E = (embedding_BD @ experts.text_router.T)[:, None]
    if alpha is None:
        logits_SE = (motion_BTE + text_B1E).flatten(0, 1)
    else:
        logits_SE = (alpha * motion_BTE + (1 - alpha) * text_B1E).flatten(0, 1)
    gates_SE = logits_SE.softmax(-1)
    read_SD = read_BTD.flatten(0, 1)
    made_SD = torch.zeros_like(read_SD)
    layers = zip(experts.gate_and_up.weight, experts.down.weight, experts.bias, strict=True)
    for expert, (gate_and_up, down, bias) in enumerate(layers):
        chosen = torch.where(torch.sigmoid(logits_SE[:, expert]) + bias > 0)[0]
        gate_weight, up_weight = gate_and_up.chunk(2)
        tokens = read_SD[chosen]
        hidden = F.silu(tokens @ gate_weight.T) * (tokens @ up_weight.T)
        made_SD[chosen] += gates_SE[chosen, expert, None] * (hidden @ down.T)
    return made_SD.view_as(read_BTD)


class ReferenceAutoencoder:
    """The same weights in evaluation mode and float32; latents or frames come in pieces.

    A convolution that sees a piece keeps its last two frames for the next one.
    """

    def __init__(self, model: SkeletalAutoencoder) -> None:
        self.model = copy.deepcopy(model).float().eval()

    def encode(self, x_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, N, L) of latents; frames behind whole ones are left out."""
        self.kept: dict[nn.Module, Tensor] = {}
        latents = [
            self._encode(x_BTF[:, start : start + FRAMES])
            for start in range(0, x_BTF.shape[1] // FRAMES * FRAMES, FRAMES)
        ]
        mean_BNJD, log_variance_BNJD = torch.cat(latents, 1).chunk(2, -1)
        return mean_BNJD.flatten(2), log_variance_BNJD.flatten(2)

    def decode(self, z_BNL: Tensor) -> Tensor:
        """Features (B, T, F)."""
        self.kept = {}
        pieces = [self._decode(z_BNL[:, index : index + 1]) for index in range(z_BNL.shape[1])]
        return torch.cat(pieces, 1)

    def _encode(self, x_BTF: Tensor) -> Tensor:
        model = self.model
        rows_BTJR, contacts = model.layout.to_joint_map(x_BTF), model.graph.contacts
        encoder, joints = model.joint_encoder, []
        for joint, row_BTR in enumerate(rows_BTJR.unbind(2)):
            hidden = row_BTR @ encoder.first.weight[joint] + encoder.first.bias[joint]
            if joint in contacts:
                number = contacts.index(joint)
                touching_BT1 = x_BTF[..., x_BTF.shape[-1] - len(contacts) + number, None]
                hidden = hidden + touching_BT1 * encoder.contact_weight[number]
            second = encoder.second
            joints.append(F.silu(hidden) @ second.weight[joint] + second.bias[joint])
        x_BTJD = torch.stack(joints, 2)
        for level in model.encoder:
            level = cast(EncoderLevel, level)
            for block in level.blocks:
                x_BTJD = self._residual(cast(ResidualBlock, block), x_BTJD)
            x_BTJD = level.pool.joints @ x_BTJD
            x_BTJD = (x_BTJD[:, ::2] + x_BTJD[:, 1::2]) / 2
        weights = zip(model.to_latents.weight, model.to_latents.bias, strict=True)
        parts = zip(x_BTJD.unbind(2), weights, strict=True)
        return torch.stack([x_BTD @ weight + bias for x_BTD, (weight, bias) in parts], 2)

    def _decode(self, z_BNL: Tensor) -> Tensor:
        model = self.model
        x_BTJD = z_BNL.unflatten(-1, (model.graph.latent_joints, -1))
        for level in model.decoder:
            level = cast(DecoderLevel, level)
            x_BTJD = level.unpool.joints @ x_BTJD
            frames = x_BTJD.shape[1]
            flat = x_BTJD.flatten(2).transpose(1, 2)
            flat = F.interpolate(flat, size=2 * frames, mode="linear").transpose(1, 2)
            x_BTJD = flat.unflatten(2, x_BTJD.shape[2:])
            for block in level.blocks:
                x_BTJD = self._residual(cast(ResidualBlock, block), x_BTJD)
        decoder, rows, touching = model.joint_decoder, [], []
        for joint, x_BTD in enumerate(x_BTJD.unbind(2)):
            hidden = F.silu(x_BTD @ decoder.first.weight[joint] + decoder.first.bias[joint])
            rows.append(hidden @ decoder.second.weight[joint] + decoder.second.bias[joint])
            if joint in model.graph.contacts:
                number = model.graph.contacts.index(joint)
                made = hidden @ decoder.contact_weight[number] + decoder.contact_bias[number]
                touching.append((number, made))
        made_BTF = model.layout.from_joint_map(torch.stack(rows, 2))
        for number, made in touching:
            made_BTF[..., made_BTF.shape[-1] - len(touching) + number] = made
        return made_BTF

    def _residual(self, block: ResidualBlock, x_BTJD: Tensor) -> Tensor:
        hidden = self._convolve(block.first, F.silu(x_BTJD))
        return x_BTJD + self._convolve(block.second, F.silu(hidden))

    def _convolve(self, layer: SkeletalConv, x_BTJD: Tensor) -> Tensor:
        before = self.kept.get(layer, torch.zeros_like(x_BTJD[:, :1]).repeat(1, 2, 1, 1))
        seen_BTJD = torch.cat((before, x_BTJD), 1)
        self.kept[layer] = seen_BTJD[:, -2:]
        weight, bias = layer.causal.weight, layer.causal.bias
        padded = F.pad(seen_BTJD.permute(0, 3, 1, 2), (1, 1))
        over_time = F.conv2d(padded, weight, bias).permute(0, 2, 3, 1)
        return layer.own(x_BTJD) + layer.mixing @ layer.neighbours(x_BTJD) + over_time
