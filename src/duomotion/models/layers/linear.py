"""Products of linear layers, which oneDNN computes on processors with AVX-512.

For float32, PyTorch itself calls MKL, which on AMD's processors keeps to AVX2 and reaches less than
half of their speed; for bfloat16 it brings weights into oneDNN's order in each call. Results differ
by rounding only. docs/performance.md has the numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def has_onednn() -> bool:
    """Whether the CPU gains from oneDNN and PyTorch has the operators, which are private to it."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


HAS_ONEDNN = has_onednn()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, faster on a CPU where no gradient is asked for."""
    return by_onednn(x, weight, bias) if is_for_onednn(x) else F.linear(x, weight, bias)


def is_for_onednn(x: Tensor) -> bool:
    return (
        HAS_ONEDNN
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product by oneDNN; `weight` may be one of `packed`."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def packed(weight: Tensor) -> Tensor:
    """A copy of `weight` in the order that oneDNN works in."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, None)


def zero_linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer that starts with zeros."""
    layer = nn.Linear(in_features, out_features)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
