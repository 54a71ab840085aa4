"""The selective state-space scan (Gu & Dao 2023), in time linear in the length.

    h_t = exp(D_t A) h_{t-1} + (D_t A)^-1 (exp(D_t A) - 1) D_t B_t x_t,    y_t = C_t h_t

(InterMamba, equations 4 and 5), with step sizes D, inputs' weights B and outputs' weights C of each
place. Here A is one number for each head of channels, times the identity, and a head shares its
step size (Dao & Gu 2024, state-space duality). Within a chunk of places the outputs are then masked
products of matrices, as in attention, and from chunk to chunk only the states are carried: nothing
of the size of length times states is ever held, in either direction.

Axes: B batch, L places, H heads, P channels of a head, N states, M chunks, Q places of a chunk.
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 32  # about the fastest on CPUs
TINY = 1e-30  # no step size is smaller that adds anything
KERNEL_CHUNK = 128  # of mamba-ssm, on GPUs


def selective_scan(
    x_BLHP: Tensor,
    step_BLH: Tensor,
    decay_H: Tensor,
    in_BLN: Tensor,
    out_BLN: Tensor,
    *,
    chunk: int = CHUNK,
) -> Tensor:
    """(B, L, H, P): outputs y, in the type of x; inside, float32 or what is finer.

    On a GPU mamba-ssm's kernel does it where that is installed.

    Args:
        step_BLH: step sizes D, positive.
        decay_H: A, negative.
        in_BLN, out_BLN: B and C.
        chunk: Q; time grows with it and the number of steps one after the other falls.
    """
    dtype = torch.promote_types(x_BLHP.dtype, torch.float32)
    step_BLH, decay_H, in_BLN, out_BLN = (
        each.to(dtype) for each in (step_BLH, decay_H, in_BLN, out_BLN)
    )
    log_kept_BLH = step_BLH * decay_H
    held_BLH = torch.expm1(log_kept_BLH) / decay_H  # what a held input of 1 adds (zero-order hold)
    if (kernel := _kernel_for(x_BLHP)) is not None:
        # It takes D for what a held input adds, so inputs make up for the difference.
        inputs = x_BLHP.to(dtype) * (held_BLH / step_BLH.clamp_min(TINY))[..., None]
        weights = in_BLN[:, :, None], out_BLN[:, :, None]
        return kernel(inputs.contiguous(), step_BLH, decay_H, *weights, KERNEL_CHUNK).to(
            x_BLHP.dtype
        )
    inputs = x_BLHP.to(dtype) * held_BLH[..., None]
    return _chunked(inputs, log_kept_BLH, in_BLN, out_BLN, chunk).to(x_BLHP.dtype)


def _chunked(
    x_BLHP: Tensor, log_kept_BLH: Tensor, in_BLN: Tensor, out_BLN: Tensor, chunk: int
) -> Tensor:
    """y of h_t = exp(log_kept_t) h_{t-1} + B_t x_t."""
    length, heads = x_BLHP.shape[1:3]
    chunk = min(chunk, length)
    x_BMQE, log_kept_BMQH, in_BMQN, out_BMQN = (
        F.pad(each, (0, 0, 0, -length % chunk)).unflatten(1, (-1, chunk))
        for each in (x_BLHP.flatten(2), log_kept_BLH, in_BLN, out_BLN)
    )
    sums_BMQH = log_kept_BMQH.cumsum(2)  # from the chunk's beginning on
    x_BMQHP = x_BMQE.unflatten(3, (heads, -1))
    sums_BMHQ = sums_BMQH.transpose(2, 3)
    ahead = torch.ones(chunk, chunk, dtype=torch.bool, device=x_BLHP.device).triu(1)
    lasting = (sums_BMHQ[..., None] - sums_BMHQ[..., None, :]).masked_fill(ahead, -torch.inf).exp()
    weights_BMHQQ = lasting * (out_BMQN @ in_BMQN.mT)[:, :, None]
    y_BMQHP = (weights_BMHQQ @ x_BMQHP.transpose(2, 3)).transpose(2, 3)
    if x_BMQHP.shape[1] > 1:
        to_end_BMQH = (sums_BMQH[:, :, -1:] - sums_BMQH).exp()
        made_BMNE = in_BMQN.mT @ (x_BMQHP * to_end_BMQH[..., None]).flatten(3)
        kept_BMHP = sums_BMQH[:, :, -1, :, None].exp().expand(-1, -1, -1, x_BMQHP.shape[-1])
        before_BMNE = _carried(made_BMNE, kept_BMHP.flatten(2))
        from_before = (out_BMQN @ before_BMNE).unflatten(3, (heads, -1))
        y_BMQHP = y_BMQHP + sums_BMQH.exp()[..., None] * from_before
    return y_BMQHP.flatten(1, 2)[:, :length]


def _carried(made_BMNE: Tensor, kept_BME: Tensor) -> Tensor:
    """(B, M, N, E): the states before each chunk, from what each adds and what is kept over it."""
    state_BNE = torch.zeros_like(made_BMNE[:, 0])
    states = [state_BNE]
    for made, kept in zip(made_BMNE.unbind(1)[:-1], kept_BME.unbind(1)[:-1], strict=True):
        state_BNE = torch.addcmul(made, kept[:, None], state_BNE)
        states.append(state_BNE)
    return torch.stack(states, 1)


def _kernel_for(x: Tensor) -> Callable[..., Tensor] | None:
    """What scans x instead of `_chunked`: nothing on a CPU or in float64."""
    return _kernel() if x.is_cuda and x.dtype != torch.float64 else None


@cache
def _kernel() -> Callable[..., Tensor] | None:
    """mamba-ssm's scan (x, step, A, B, C, chunk), where it is installed."""
    if find_spec("mamba_ssm") is None:
        return None
    from mamba_ssm.ops.triton.ssd_combined import (  # pyright: ignore[reportMissingImports]
        mamba_chunk_scan_combined,
    )

    return mamba_chunk_scan_combined
