"""Convolutions over (channels, joints, frames) maps, as motion tokenizers stack them.

Maps are (B, D, J, T) in channels-last memory, the fastest layout measured on CPU. Sequences are
maps of one row, with `rows=1`.
"""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.derived import Derived

Network = TypeVar("Network", bound=nn.Module)


class ResidualBlock(nn.Module):
    """x + dropout(1x1 conv(relu(dilated 3x3 conv(relu(x))))) (released InterMask and MoMask)."""

    def __init__(self, width: int, dilation: int, dropout: float, rows: int = 3) -> None:
        super().__init__()
        padding = (dilation * (rows // 2), dilation)
        self.dilated = nn.Conv2d(width, width, (rows, 3), padding=padding, dilation=dilation)
        self.mix = nn.Conv2d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BDJT: Tensor) -> Tensor:
        return x_BDJT + self.dropout(self.mix(F.relu(self.dilated(F.relu(x_BDJT)))))


class UpsamplingConv(nn.Conv2d):
    """Nearest-neighbour upsampling to `num_joints` and twice the frames, then a convolution.

    Doubling x and then convolving with taps (a, b, c) gives a x[i-1] + (b + c) x[i] at place 2i and
    (a + b) x[i] + c x[i+1] at 2i + 1. That is a transposed convolution of stride 2 with the taps
    (c, b + c, a + b, a), which needs 2 multiplications a value where the plain way needs 3.

    The convolution is over `rows` joints, 3 or 1, and 3 frames. Without gradients the taps are
    computed once for all calls, until weights change.
    """

    doubled: Tensor
    kept: Tensor

    def __init__(self, in_width: int, out_width: int, num_joints: int, rows: int = 3) -> None:
        super().__init__(in_width, out_width, (rows, 3), padding=(rows // 2, 1))
        self.num_joints = num_joints
        doubled = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("doubled", doubled, persistent=False)
        self.register_buffer("kept", torch.eye(rows).flip(0), persistent=False)
        self._derived = Derived()

    def forward(self, x_BDJT: Tensor) -> Tensor:
        _, _, joints, frames = x_BDJT.shape
        double_joints = self.num_joints == 2 * joints
        if not double_joints and self.num_joints != joints:
            x_BDJT = F.interpolate(x_BDJT, size=(self.num_joints, frames))
        if torch.is_grad_enabled():
            taps = self._taps(double_joints)
        else:
            taps = self._derived.get(
                self.weight,
                lambda: self._taps(double_joints).contiguous(memory_format=torch.channels_last),
                key=double_joints,
            )
        return F.conv_transpose2d(
            x_BDJT,
            taps,
            self.bias,
            stride=(2 if double_joints else 1, 2),
            padding=((taps.shape[2] - 1) // 2, 1),
        )

    def _taps(self, double_joints: bool) -> Tensor:
        joint_taps = self.doubled if double_joints else self.kept
        return torch.einsum("aj,bt,oijt->ioab", joint_taps, self.doubled, self.weight)


def initialise_convolutions(network: nn.Module) -> None:
    """He et al. 2015 for convolutions and linear layers, residual branches starting at zero.

    The released code keeps PyTorch's defaults, under which the signal shrinks at every layer.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.mix.weight)


@torch.no_grad()
def in_channels_last(network: Network) -> Network:
    """`network`, its convolutions' weights in the layout of the maps, which saves a copy a call."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


@torch.no_grad()
def make_small(last: nn.Module) -> None:
    """Let the output of a network's last layer start near zero."""
    for parameter in last.parameters():
        parameter.mul_(0.1)
