"""Networks that only generate: what their layers derive from the weights is computed once.

Networks are written with plain layers, and are trained and validated with them. `accelerate` is
called after loading, where a network is only to generate from then on.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.convolution import UpsamplingConv
from duomotion.models.layers.grouped_linear import GroupedLinear, group_by_group
from duomotion.models.layers.linear import by_onednn, is_for_onednn, packed
from duomotion.models.layers.local_conv import MixedConv, side_by_side

Network = TypeVar("Network", bound=nn.Module)
Kept = TypeVar("Kept")


class WeightCache(nn.Module):
    """A layer that keeps what it has computed from its weight.

    It is computed again where the weight was loaded, moved or changed in place. A fused optimiser
    changes weights unseen, so training is refused.
    """

    weight: Tensor
    cache: tuple[Hashable, list[Tensor], Any] | None = None

    def cached(self, compute: Callable[[], Kept], *more: Tensor, key: Hashable = None) -> Kept:
        """What `compute` makes of the weight and of `more` weights; `key` tells ways to do so."""
        weights = self.weight, *more
        state = (key, *((each.data_ptr(), each._version, each.dtype) for each in weights))
        if self.cache is None or self.cache[0] != state:
            # Weights are held as well, so that no others come to lie where they were.
            self.cache = (state, [each.detach() for each in weights], compute())
        return self.cache[-1]

    def train(self, mode: bool = True) -> "WeightCache":
        assert not mode, "an accelerated network only generates; train one that is not"
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cache": None}


class PackedLinear(WeightCache, nn.Linear):
    """`torch.nn.Linear` with a second copy of its weights, in the order that oneDNN works in."""

    def forward(self, input: Tensor) -> Tensor:
        if not is_for_onednn(input):
            return super().forward(input)
        weight = self.cached(lambda: packed(self.weight))
        return by_onednn(input, weight, self.bias)


class PackedGroupedLinear(WeightCache, GroupedLinear):
    """`GroupedLinear` with such a copy of each group's weights."""

    def forward(self, x_MI: Tensor, counts_G: Tensor) -> Tensor:
        if not is_for_onednn(x_MI):
            return super().forward(x_MI, counts_G)
        weights = self.cached(lambda: [packed(weight) for weight in self.weight])
        return group_by_group(x_MI, weights, counts_G)


class PreparedUpsampling(WeightCache, UpsamplingConv):
    """`UpsamplingConv` whose taps are computed once."""

    def taps(self, *, double_joints: bool) -> Tensor:
        def compute() -> Tensor:
            taps = super(PreparedUpsampling, self).taps(double_joints=double_joints)
            return taps.contiguous(memory_format=torch.channels_last)

        return self.cached(compute, key=double_joints)


class JoinedConv(WeightCache, MixedConv):
    """`MixedConv` as one product with a matrix that is computed once."""

    def forward(self, x_BNC: Tensor) -> Tensor:
        x, bias = side_by_side(x_BNC), self.convolution.bias
        is_packed = is_for_onednn(x)
        weight = self.cached(
            lambda: packed(self.joined()) if is_packed else self.joined(),
            self.mix.weight,
            key=is_packed,
        )
        return by_onednn(x, weight, bias) if is_packed else F.linear(x, weight, bias)


FAST_LAYERS: dict[type[nn.Module], type[WeightCache]] = {
    nn.Linear: PackedLinear,
    GroupedLinear: PackedGroupedLinear,
    UpsamplingConv: PreparedUpsampling,
    MixedConv: JoinedConv,
}


@torch.no_grad()
def accelerate(network: Network) -> Network:
    """`network` itself, in evaluation mode, with faster layers in the place of plain ones.

    Its names and weights stay; convolutions' weights are in the layout of the maps, which saves a
    copy a call.
    """
    network.eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    for module in network.modules():
        if fast := FAST_LAYERS.get(type(module)):
            module.__class__ = fast
    return network
