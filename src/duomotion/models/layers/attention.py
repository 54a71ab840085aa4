"""Multi-head attention over a sequence, between two sequences, and over a short axis of a grid.

Axes: B batch, L queries, S keys, H heads, E width of a head, D width, J and T rows and columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.linear import linear
from duomotion.precision import has_amx

SCORES = 2**19  # that `attend_by_products` holds at once: as many as stay in a processor's cache


class Attention(nn.Module):
    """Scaled dot-product attention with the parameters of `torch.nn.MultiheadAttention`.

    Weights start as in `torch.nn.MultiheadAttention`. A width that the heads don't divide raises
    ValueError.
    """

    def __init__(
        self, width: int, num_heads: int, *, dropout: float = 0.0, add_zero_attn: bool = False
    ):
        """Make the layers.

        Args:
            add_zero_attn: one more key and value of zeros, so that a query may attend to nothing;
                not in `over_rows`.
        """
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"The width {width} can't be split among {num_heads} heads: "
                "choose a width that is a multiple of the heads."
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.add_zero_attn = add_zero_attn
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x_BLD: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from each of the L tokens to all of them, or to those that `mask` allows.

        `mask` is boolean, True where a key may be seen, and broadcasts to (B, H, L, S).
        """
        q, k, v = self._heads(self.in_proj(x_BLD), 3).permute(2, 0, 3, 1, 4)
        return self._attend(q, k, v, mask)

    def cross(self, x_BLD: Tensor, memory_BSD: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from `x_BLD` to `memory_BSD`; `mask` is as for the call."""
        width = x_BLD.shape[-1]
        w_q, w_kv = self.in_proj.weight.split((width, 2 * width))
        b_q, b_kv = self.in_proj.bias.split((width, 2 * width))
        q = self._heads(linear(x_BLD, w_q, b_q), 1)[:, :, 0].transpose(1, 2)
        k, v = self._heads(linear(memory_BSD, w_kv, b_kv), 2).permute(2, 0, 3, 1, 4)
        return self._attend(q, k, v, mask)

    def cross_to_few(self, x_BLD: Tensor, memory_BSD: Tensor) -> Tensor:
        """`cross` where the memory is so short that H S is below the width D.

        Keys are multiplied with the queries' projection first, and values with the output's, so
        that each of the L tokens meets two matrices of (D, H S) instead of (D, D).
        """
        width, heads = x_BLD.shape[-1], self.num_heads
        w_q, w_k, w_v = self.in_proj.weight.split(width)
        b_q, b_k, b_v = self.in_proj.bias.split(width)
        k_BSHE = linear(memory_BSD, w_k, b_k).unflatten(-1, (heads, -1))
        v_BSHE = linear(memory_BSD, w_v, b_v).unflatten(-1, (heads, -1))
        k_BSHE = k_BSHE * k_BSHE.shape[-1] ** -0.5
        keys = torch.einsum("hed,bshe->bdhs", w_q.unflatten(0, (heads, -1)), k_BSHE).flatten(2)
        shift = torch.einsum("he,bshe->bhs", b_q.unflatten(0, (heads, -1)), k_BSHE).flatten(1)
        scores = torch.baddbmm(shift[:, None], x_BLD, keys).unflatten(-1, (heads, -1))
        weights = F.dropout(softmax(scores, -1), self.dropout, self.training).to(x_BLD.dtype)
        w_out = self.out_proj.weight.unflatten(1, (heads, -1))
        values = torch.einsum("bshe,dhe->bhsd", v_BSHE, w_out).flatten(1, 2)
        return weights.flatten(2) @ values + self.out_proj.bias

    def over_rows(self, x_BJTD: Tensor) -> Tensor:
        """Attend from each token of a grid to the J tokens of its column.

        Meant for few rows: fused kernels are several times slower than plain products when there
        is a very large number of very short sequences, and the grid keeps its memory layout.
        """
        q, k, v = self._heads(self.in_proj(x_BJTD), 3).unbind(3)
        scores = torch.einsum("bjthe,bkthe->bjkth", q * q.shape[-1] ** -0.5, k)
        weights = F.dropout(softmax(scores, 2), self.dropout, self.training).to(v.dtype)
        mixed = torch.einsum("bjkth,bkthe->bjthe", weights, v)
        return self.out_proj(mixed.flatten(-2))

    def _heads(self, projected: Tensor, count: int) -> Tensor:
        return projected.unflatten(-1, (count, self.num_heads, -1))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            mask = None if mask is None else F.pad(mask, (0, 1), value=True)
        if is_slow_when_fused(q) and not dropout:
            mixed = attend_by_products(q, k, v, mask)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(-2))


def is_slow_when_fused(q: Tensor) -> bool:
    """Whether PyTorch's fused attention takes longer than products: in bfloat16 without AMX."""
    return (
        q.dtype == torch.bfloat16
        and q.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not has_amx()
    )


def attend_by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries (B, H, L, E) to S keys, a few heads at a time; softmax in float32.

    `mask` is boolean, True where a key may be seen, and broadcasts to (B, H, L, S).
    """
    shape, scale = q.shape[:-1], q.shape[-1] ** -0.5
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    k, heads = k.mT, max(1, SCORES // (q.shape[1] * k.shape[1]))
    if mask is not None:
        mask = mask.expand(*shape[:2], -1, -1).flatten(0, 1)
    mixed, nothing = torch.empty_like(q), q.new_empty(1)
    for first in range(0, len(q), heads):
        part = slice(first, first + heads)
        scores = torch.baddbmm(nothing, q[part], k[part], beta=0, alpha=scale)
        if mask is not None:
            scores.masked_fill_(~mask[part], -torch.inf)
        weights = softmax(scores, -1).to(v.dtype)
        torch.bmm(weights, v[part], out=mixed[part])
    return mixed.view(*shape, -1)


def softmax(scores: Tensor, dim: int) -> Tensor:
    """In float32 or what is finer."""
    return scores.softmax(dim, dtype=torch.promote_types(scores.dtype, torch.float32))
