"""The number format in which networks compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16"]


def resolve(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What `precision` means on `device`.

    "auto" is bfloat16 where the hardware multiplies such matrices faster than float32 ones (CPUs
    with AMX, CUDA devices with bfloat16 units) and float32 elsewhere.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has_amx = device.type == "cpu" and torch.cpu.get_capabilities().get("amx_bf16", False)
    return "bfloat16" if has_amx else "float32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which matrix products run in `precision`; weights keep their type."""
    import torch

    return torch.autocast(
        device.type,
        dtype=torch.bfloat16,
        enabled=resolve(precision, device) == "bfloat16",
    )
