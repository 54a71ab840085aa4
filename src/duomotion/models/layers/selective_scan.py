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
SMALL = 0.03  # exponents below are taken by their series
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
    """(B, L, H, P): outputs y, in the type of x.

    Products with x are in its type; step sizes, decays and what is carried from chunk to chunk are
    in float32 or what is finer.

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
    share_BLH = held_share(log_kept_BLH)
    if (kernel := _kernel_for(x_BLHP)) is not None:
        # It takes D for what a held input adds, so inputs make up for the difference.
        inputs = x_BLHP.to(dtype) * share_BLH[..., None]
        weights = in_BLN[:, :, None], out_BLN[:, :, None]
        return kernel(inputs.contiguous(), step_BLH, decay_H, *weights, KERNEL_CHUNK).to(
            x_BLHP.dtype
        )
    return _chunked(x_BLHP, log_kept_BLH, step_BLH * share_BLH, in_BLN, out_BLN, chunk)


def held_share(log_kept: Tensor) -> Tensor:
    """(exp(z) - 1) / z: what an input adds that is held for a step, over its product with the step.

    The series keeps its gradient exact where z is small.
    """
    small = log_kept.clamp_min(-SMALL)
    series = 1 + small / 2 * (1 + small / 3 * (1 + small / 4 * (1 + small / 5 * (1 + small / 6))))
    large = log_kept.clamp_max(-SMALL)
    return torch.where(log_kept > -SMALL, series, torch.expm1(large) / large)


def _chunked(
    x_BLHP: Tensor,
    log_kept_BLH: Tensor,
    held_BLH: Tensor,
    in_BLN: Tensor,
    out_BLN: Tensor,
    chunk: int,
) -> Tensor:
    """y of h_t = exp(log_kept_t) h_{t-1} + held_t B_t x_t."""
    length = x_BLHP.shape[1]
    chunks = -(-length // chunk)
    chunk = -(-length // chunks)  # as even as can be, so that little is padded
    x_BMHQP, log_kept_BMHQ, held_BMHQ = (
        _in_chunks(each, chunk).transpose(2, 3) for each in (x_BLHP, log_kept_BLH, held_BLH)
    )
    in_BMQN, out_BMQN = _in_chunks(in_BLN, chunk), _in_chunks(out_BLN, chunk)
    x_BMHQP, dtype = x_BMHQP.contiguous(), x_BLHP.dtype
    sums_BMHQ = log_kept_BMHQ.cumsum(3)  # from the chunk's beginning on
    lasting_BMHQQ = (sums_BMHQ[..., None] - sums_BMHQ[..., None, :]).clamp_max(0).exp()
    taken_BMQQ = (out_BMQN @ in_BMQN.mT).tril()
    weights_BMHQQ = (lasting_BMHQQ * taken_BMQQ[:, :, None] * held_BMHQ[..., None, :]).to(dtype)
    if chunks == 1:
        y_BMHQP = weights_BMHQQ @ x_BMHQP
    else:
        to_end_BMHQ = (sums_BMHQ[..., -1:] - sums_BMHQ).exp() * held_BMHQ
        added_BMHNP = (in_BMQN.mT[:, :, None] * to_end_BMHQ[..., None, :]).to(dtype) @ x_BMHQP
        before_BMHNP = _carried(added_BMHNP.to(in_BLN.dtype), sums_BMHQ[..., -1].exp()).to(dtype)
        given_BMHQN = (out_BMQN[:, :, None] * sums_BMHQ.exp()[..., None]).to(dtype)
        y_BMHQP = torch.baddbmm(
            given_BMHQN.flatten(0, 2) @ before_BMHNP.flatten(0, 2),
            weights_BMHQQ.flatten(0, 2),
            x_BMHQP.flatten(0, 2),
        ).view_as(x_BMHQP)
    return y_BMHQP.transpose(2, 3).flatten(1, 2)[:, :length]


def _in_chunks(x_BL: Tensor, chunk: int) -> Tensor:
    """(B, L, ...) -> (B, M, Q, ...), with zeros behind the end."""
    if missing := -x_BL.shape[1] % chunk:
        x_BL = F.pad(x_BL, (*[0] * (2 * (x_BL.ndim - 2)), 0, missing))
    return x_BL.unflatten(1, (-1, chunk))


def _carried(added_BMHNP: Tensor, kept_BMH: Tensor) -> Tensor:
    """The states before each chunk, from what each adds and what is kept over it."""
    state_BHNP = torch.zeros_like(added_BMHNP[:, 0])
    states = [state_BHNP]
    kept = kept_BMH[..., None, None].unbind(1)
    for added_BHNP, kept_BH11 in zip(added_BMHNP.unbind(1)[:-1], kept[:-1], strict=True):
        state_BHNP = torch.addcmul(added_BHNP, kept_BH11, state_BHNP)
        states.append(state_BHNP)
    return torch.stack(states, 1)


def _kernel_for(x: Tensor) -> Callable[..., Tensor] | None:
    """What scans x instead of `_chunked`: nothing on a CPU or in float64."""
    return _kernel() if x.is_cuda and x.dtype != torch.float64 else None


@cache
def _kernel() -> Callable[..., Tensor] | None:
    """mamba-ssm's scan (x, step, A, B, C, chunk), where it is installed."""
    if find_spec("mamba_ssm") is None:
        return None
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    return mamba_chunk_scan_combined
