"""The number format in which networks compute."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16"]

WIDE = 256  # of a network; narrower ones gain little from bfloat16


def resolve(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What `precision` means on `device`.

    "auto" is bfloat16 where the hardware multiplies such matrices faster than float32 ones, and
    float32 elsewhere. Faster are CPUs with AMX, AMD's with AVX-512's products of bfloat16 (Intel's
    take as long for them as for float32), and CUDA devices with bfloat16 units.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    return "bfloat16" if has_amx() or _has_fast_avx512() else "float32"


def weight_type(precision: Precision, device: torch.device, width: int) -> torch.dtype:
    """The type of weights with which a network of this width generates in `precision`.

    With "auto", narrow networks stay in float32: they gain little, and bfloat16 rounds so much that
    other tokens are drawn.
    """
    import torch

    if precision == "auto" and width < WIDE:
        return torch.float32
    return getattr(torch, resolve(precision, device))


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which matrix products run in `precision`; weights keep their type."""
    import torch

    return torch.autocast(
        device.type,
        dtype=torch.bfloat16,
        enabled=resolve(precision, device) == "bfloat16",
    )


def has_amx() -> bool:
    """Whether the CPU multiplies bfloat16 matrices by AMX."""
    return bool(_cpu().get("amx_bf16", False))


def _has_fast_avx512() -> bool:
    return bool(_cpu().get("avx512_bf16", False)) and str(_cpu().get("cpu_name")).startswith("AMD")


@cache
def _cpu() -> Mapping[str, object]:
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.6 can't tell
