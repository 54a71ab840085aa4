"""Reference implementation of the Inter-M transformer, which the fast one has to equal.

`ReferenceTransformer` stands in for an `InterMTransformer` in `decode_tokens`. Its attentions are
`torch.nn.MultiheadAttention`, guidance takes two passes instead of one over a doubled batch, and
modulation is computed in each of them, all as in the released code.

Axes: B batch, P people, L tokens, J parts, T frames, D width.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.attention import Attention


class ReferenceTransformer(nn.Module):
    """The same weights as `model`, in evaluation mode and without sharing them."""

    def __init__(self, model: InterMTransformer) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        for module in list(self.model.modules()):
            for name, child in module.named_children():
                if isinstance(child, Attention):
                    setattr(module, name, ReferenceAttention(child))
        self.config = model.config
        self.text_projection = self.model.text_projection

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> "Text":
        return Text(text_BC, drop_B)

    def forward(self, ids_BPN: Tensor, text: "Text", lengths_B: Tensor) -> Tensor:
        passes = 1 if text.drop_B is None else 2
        rows = torch.arange(len(ids_BPN), device=ids_BPN.device).chunk(passes)
        return torch.cat([self._one_pass(ids_BPN[r], text.rows(r), lengths_B[r]) for r in rows])

    def _one_pass(self, ids_BPN: Tensor, text: "Text", lengths_B: Tensor) -> Tensor:
        condition = self.model.condition(text.text_BC, text.drop_B)
        return self.model(ids_BPN, condition, lengths_B)


class Text(NamedTuple):
    """Text vectors, and which samples are to be treated as without one."""

    text_BC: Tensor
    drop_B: Tensor | None

    def rows(self, rows: Tensor) -> "Text":
        return Text(self.text_BC[rows], None if self.drop_B is None else self.drop_B[rows])


class ReferenceAttention(nn.Module):
    """`Attention` by `torch.nn.MultiheadAttention`."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        width = attention.out_proj.in_features
        self.attention = nn.MultiheadAttention(width, attention.num_heads, batch_first=True)
        self.attention.load_state_dict(
            {
                "in_proj_weight": attention.in_proj.weight,
                "in_proj_bias": attention.in_proj.bias,
                "out_proj.weight": attention.out_proj.weight,
                "out_proj.bias": attention.out_proj.bias,
            }
        )
        self.eval()

    def forward(self, x_BLD: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.cross(x_BLD, x_BLD, mask)

    def cross(self, x_BLD: Tensor, memory_BSD: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden_BS = None if mask is None else ~mask.flatten(1)
        mixed, _ = self.attention(x_BLD, memory_BSD, memory_BSD, key_padding_mask=hidden_BS)
        return mixed.contiguous()  # the network's views expect it

    def over_rows(self, x_BJTD: Tensor) -> Tensor:
        columns = x_BJTD.transpose(1, 2)
        mixed = self.forward(columns.flatten(0, 1))
        return mixed.unflatten(0, columns.shape[:2]).transpose(1, 2).contiguous()
