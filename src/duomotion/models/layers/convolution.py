"""Convolutions over (channels, joints, frames) maps, as motion tokenizers stack them.

Maps are (B, D, J, T) in channels-last memory, the fastest layout measured on CPU. Sequences are
maps of one row, with `rows=1`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + dropout(1x1 conv(relu(dilated 3x3 conv(relu(x))))) (T2M-GPT)."""

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

    The convolution is over `rows` joints, 3 or 1, and 3 frames.
    """

    doubled: Tensor
    kept: Tensor

    def __init__(self, in_width: int, out_width: int, num_joints: int, rows: int = 3) -> None:
        super().__init__(in_width, out_width, (rows, 3), padding=(rows // 2, 1))
        self.num_joints = num_joints
        doubled = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("doubled", doubled, persistent=False)
        self.register_buffer("kept", torch.eye(rows).flip(0), persistent=False)

    def forward(self, x_BDJT: Tensor) -> Tensor:
        _, _, joints, frames = x_BDJT.shape
        double_joints = self.num_joints == 2 * joints
        if not double_joints and self.num_joints != joints:
            x_BDJT = F.interpolate(x_BDJT, size=(self.num_joints, frames))
        taps = self.taps(double_joints=double_joints)
        return F.conv_transpose2d(
            x_BDJT,
            taps,
            self.bias,
            stride=(2 if double_joints else 1, 2),
            padding=((taps.shape[2] - 1) // 2, 1),
        )

    def taps(self, *, double_joints: bool) -> Tensor:
        """The kernel of the transposed convolution (in, out, rows, 4)."""
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
def scale_parameters(last: nn.Module) -> None:
    """Let the output of a network's last layer start near zero."""
    for parameter in last.parameters():
        parameter.mul_(0.1)
