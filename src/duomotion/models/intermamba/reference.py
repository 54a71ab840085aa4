"""Reference implementation of InterMamba's sampling, which the fast one has to equal.

The scan is the recurrence of equations 4 and 5, one place after the other, for each person, branch
and direction alone; convolutions are PyTorch's; guidance takes two passes instead of one over a
doubled batch, and modulation is computed in each of them; steps are DDIM's
(`models.pair_reference`). There is no padding.

Axes: B batch, T frames, D width, L places, H heads, P channels of a head, N states.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermamba.network import (
    BLOCK,
    AstmBlock,
    InteractionAggregation,
    InterMambaModule,
)
from duomotion.models.intermamba.scan_branch import ScanBranch, StateSpace
from duomotion.models.layers.attention import Attention
from duomotion.models.pair_reference import PairReference, layer_norm, multihead


def recurrence(
    x_BLHP: Tensor, step_BLH: Tensor, decay_H: Tensor, in_BLN: Tensor, out_BLN: Tensor
) -> Tensor:
    """(B, L, H, P): equations 4 and 5 in the inputs' type; arguments as of `selective_scan`."""
    kept_BLH = torch.exp(step_BLH * decay_H)
    taken_BLH = (kept_BLH - 1) / decay_H  # the step size cancels out
    state_BHPN = x_BLHP.new_zeros(*x_BLHP[:, 0].shape, in_BLN.shape[-1])
    made = []
    for place in range(x_BLHP.shape[1]):
        added = taken_BLH[:, place, :, None] * x_BLHP[:, place]
        state_BHPN = (
            kept_BLH[:, place, :, None, None] * state_BHPN
            + added[..., None] * in_BLN[:, place, None, None]
        )
        made.append((state_BHPN * out_BLN[:, place, None, None]).sum(-1))
    return torch.stack(made, 1)


class ReferenceDenoiser(PairReference):
    """InterMamba's."""

    def hidden(self, people: list[Tensor], embedding_BD: Tensor) -> list[Tensor]:
        people = [x_BTD + embedding_BD[:, None] for x_BTD in people]
        for module in self.model.blocks:
            people = self._module(module, embedding_BD, *people)
        return people

    def _module(
        self, module: InterMambaModule, embedding_BD: Tensor, first: Tensor, second: Tensor
    ) -> list[Tensor]:
        norms = module.modulation(embedding_BD)
        own, cross, both = norms[:BLOCK], norms[BLOCK : 2 * BLOCK], norms[2 * BLOCK :]
        people = [
            self._block(_of(module.own, person), x_BTD, own, None)
            for person, x_BTD in enumerate((first, second))
        ]
        if module.aggregation is None:
            interaction = people[::-1]
        else:
            interaction = _aggregated(module.aggregation, people, both)
        return [
            self._block(_of(module.cross, person), x_BTD, cross, interaction[person])
            for person, x_BTD in enumerate(people)
        ]

    def _block(
        self,
        block: nn.Module,
        x_BTD: Tensor,
        norm: tuple[Tensor, ...],
        interaction_BTD: Tensor | None,
    ) -> Tensor:
        shift, scale = norm
        normed = layer_norm(x_BTD) * (1 + scale) + shift
        if not isinstance(block, AstmBlock):
            memory = normed if interaction_BTD is None else layer_norm(interaction_BTD)
            attention = multihead(cast(Attention, block.attention))
            return x_BTD + attention(normed, memory, memory)[0]
        mixed = torch.zeros_like(x_BTD)
        alpha, beta = block.astm.fusion
        if block.astm.temporal is not None:
            mixed = mixed + alpha * reference_branch(block.astm.temporal, normed, interaction_BTD)
        if block.astm.spatial is not None:
            mixed = mixed + beta * self._spatial(block.astm.spatial, normed, interaction_BTD)
        return x_BTD + block.out_projection(mixed * F.silu(block.gate(normed)))

    def _spatial(self, branch: ScanBranch, x_BTD: Tensor, interaction_BTD: Tensor | None) -> Tensor:
        config, (_, frames, width) = self.model.config, x_BTD.shape
        if config.spatial_axis == "channels":
            longer = (0, 0, 0, config.window - frames)
            given = None if interaction_BTD is None else F.pad(interaction_BTD, longer).mT
            return reference_branch(branch, F.pad(x_BTD, longer).mT, given).mT[:, :frames]
        joints = config.num_joints
        wider = (0, -width % joints)
        made = []
        for frame in range(frames):
            x_BJD = F.pad(x_BTD[:, frame], wider).unflatten(1, (joints, -1))
            given = None
            if interaction_BTD is not None:
                given = F.pad(interaction_BTD[:, frame], wider).unflatten(1, (joints, -1))
            made.append(reference_branch(branch, x_BJD, given).flatten(1)[:, :width])
        return torch.stack(made, 1)


def _of(blocks: nn.ModuleList, person: int) -> nn.Module:
    """A person's block, or the one that both share."""
    return blocks[person % len(blocks)]


def _aggregated(
    aggregation: InteractionAggregation, people: list[Tensor], norm: tuple[Tensor, ...]
) -> list[Tensor]:
    """LIIA as convolutions of kernel sizes 1 and 3."""
    shift, scale = torch.cat(norm[:2], -1), torch.cat(norm[2:], -1)
    both = torch.cat(people, -1)
    hidden = layer_norm(both) * (1 + scale) + shift
    gather = aggregation.gather
    mixed = F.conv1d(hidden.mT, gather.mix.weight[..., None])
    gathered = (
        both + F.conv1d(mixed, gather.convolution.weight, gather.convolution.bias, padding=1).mT
    )
    return list(gathered.chunk(2, -1))


def reference_branch(branch: ScanBranch, x_BLD: Tensor, interaction_BLD: Tensor | None) -> Tensor:
    """Equations 7 and 8, and 13 where there are interaction features; arguments as of `branch`."""
    taps_E1K, inner = branch.taps.T[:, None], branch.taps.shape[1]
    hidden = branch.in_projection(x_BLD).mT
    radius = taps_E1K.shape[-1] // 2
    hidden = F.silu(F.conv1d(hidden, taps_E1K, branch.taps_bias, padding=radius, groups=inner)).mT
    source = hidden if interaction_BLD is None else interaction_BLD
    forward, *backward = (cast(StateSpace, scan) for scan in branch.scans)
    made = _scanned(forward, hidden, source)
    for scan in backward:
        made = made + _scanned(scan, hidden.flip(1), source.flip(1)).flip(1)
    return branch.norm(branch.out_projection(made))


def _scanned(scan: StateSpace, x_BLE: Tensor, source_BLS: Tensor) -> Tensor:
    in_BLN, out_BLN, step_BLH = scan.parameters_from(source_BLS)
    x_BLHP = x_BLE.unflatten(-1, (scan.num_heads, -1))
    return recurrence(x_BLHP, step_BLH, -scan.log_decay.exp(), in_BLN, out_BLN).flatten(2)
