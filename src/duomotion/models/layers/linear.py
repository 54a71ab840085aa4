"""Linear layers whose products oneDNN computes on processors with AVX-512.

For float32, PyTorch itself calls MKL, which on AMD's processors keeps to AVX2 and reaches less than
half of their speed; for bfloat16 it brings weights into oneDNN's order anew in each call. Results
differ by rounding only. docs/performance.md has the numbers.
"""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.derived import Derived

Network = TypeVar("Network", bound=nn.Module)

HAS_AVX512 = (
    torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, faster on a CPU where no gradient is asked for."""
    return _by_onednn(x, weight, bias) if _is_for_onednn(x) else F.linear(x, weight, bias)


class Linear(nn.Linear):
    """`torch.nn.Linear`, faster on a CPU where no gradient is asked for.

    There it keeps a second copy of its weights, in the order that oneDNN works in.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self._packed = Derived()

    def forward(self, input: Tensor) -> Tensor:
        if not _is_for_onednn(input):
            return super().forward(input)
        return _by_onednn(input, self._packed.get(self.weight, self._pack), self.bias)

    def _pack(self) -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(self.weight, None)


def _is_for_onednn(x: Tensor) -> bool:
    return (
        HAS_AVX512
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def plain(network: Network) -> Network:
    """A copy of `network` with PyTorch's own layers in place of `Linear`."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Linear):
                layer = nn.Linear(child.in_features, child.out_features, device="meta")
                layer.weight, layer.bias = child.weight, child.bias
                setattr(module, name, layer)
    return network
