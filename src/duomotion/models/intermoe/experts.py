"""InterMoE's experts, which choose the tokens that they work on.

Axes: B batch, P the 2 people, T places in time, D width, E experts, S = B P T tokens, M pairs of an
expert and a token that it has selected.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermoe.config import RoutingConfig
from duomotion.models.intermoe.routing import fuse, select
from duomotion.models.layers.grouped_linear import GroupedLinear


class Routing(NamedTuple):
    """Logits and what was selected by them, (B, P, T, E) each."""

    logits: Tensor
    selected: Tensor

    @property
    def gates(self) -> Tensor:
        """(B, P, T, E): weights of the experts' results, softmax over all experts."""
        return self.logits.softmax(-1)

    def detach(self) -> "Routing":
        return Routing(self.logits.detach(), self.selected)


class SelectiveExperts(nn.Module):
    """Synergistic router and experts (SwiGLU without biases).

    A token gets the sum of what the experts that took it make of it, weighted by the softmax over
    all experts; where none took it, zero. Routing is computed in float32.
    """

    bias: Tensor

    def __init__(self, width: int, config: RoutingConfig) -> None:
        super().__init__()
        self.config = config
        count, bound = config.num_experts, 1 / math.sqrt(width)
        self.motion_router = nn.Parameter(torch.empty(count, width))
        self.text_router = nn.Parameter(torch.empty(count, width))
        nn.init.uniform_(self.motion_router, -bound, bound)
        nn.init.uniform_(self.text_router, -bound, bound)
        self.gate_and_up = GroupedLinear(count, width, 2 * config.feedforward)
        self.down = GroupedLinear(count, config.feedforward, width)
        self.register_buffer("bias", torch.full((count,), config.bias_start))

    def route(
        self, hidden_BPTD: Tensor, read_BPTD: Tensor, embedding_BD: Tensor, valid_BT: Tensor
    ) -> Routing:
        """Choose tokens.

        Args:
            hidden_BPTD: motion before the layer norm.
            read_BPTD: what experts read, after it.
            embedding_BD: of text and noise level.
            valid_BT: bool, the places that are routed.
        """
        logits_BPTE = self._logits(hidden_BPTD, read_BPTD, embedding_BD)
        selected = select(logits_BPTE, self.bias, valid_BT, self.config, is_training=self.training)
        return Routing(logits_BPTE, selected)

    def _logits(self, hidden_BPTD: Tensor, read_BPTD: Tensor, embedding_BD: Tensor) -> Tensor:
        router, config = self.config.router, self.config
        if router == "plain":
            return in_float32(read_BPTD, self.motion_router)
        if router == "motion":
            return in_float32(hidden_BPTD, self.motion_router)
        text_BE = in_float32(embedding_BD, self.text_router)
        text_BPTE = text_BE[:, None, None].expand(*hidden_BPTD.shape[:3], -1)
        if router == "text":
            return text_BPTE
        return fuse(in_float32(hidden_BPTD, self.motion_router), text_BPTE, config.alpha)

    def forward(self, read_BPTD: Tensor, routing: Routing) -> Tensor:
        """(B, P, T, D): what experts make of the tokens that they took, added up."""
        read_SD, selected_SE = read_BPTD.flatten(0, 2), routing.selected.flatten(0, 2)
        expert_M, token_M = selected_SE.T.nonzero(as_tuple=True)
        counts_E = selected_SE.sum(0)
        gate, up = self.gate_and_up(read_SD[token_M], counts_E).chunk(2, -1)
        made_MD = self.down(F.silu(gate) * up, counts_E)
        weights_M = routing.gates.flatten(0, 2)[token_M, expert_M]
        made_MD = made_MD * weights_M[:, None].to(made_MD.dtype)
        summed_SD = made_MD.new_zeros(read_SD.shape).index_add(0, token_M, made_MD)
        return summed_SD.view(read_BPTD.shape)


def in_float32(x: Tensor, weight: Tensor) -> Tensor:
    """Products whose rounding should not decide on what is selected."""
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.float(), weight.float())
