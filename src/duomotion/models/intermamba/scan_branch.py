"""A branch of InterMamba's modules: projection, convolution, scan, layer norm (equations 7, 8, 13).

Axes: B batch, L places, D width of the tokens, E width inside, H heads, P channels of a head,
N states, K taps of a convolution.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.selective_scan import selective_scan

STEPS = (1e-3, 1e-1)  # between which step sizes start (Gu & Dao 2023)
DECAYS = (1.0, 16.0)  # between which -A starts (Dao & Gu 2024)


class StateSpace(nn.Module):
    """SSM, and MSSM where B, C and the step sizes come from other features (figure 5).

    Args:
        width: of the scanned features, `num_heads` heads.
        source_width: of the features that decide.
    """

    def __init__(self, width: int, source_width: int, *, num_heads: int, state_size: int) -> None:
        super().__init__()
        self.num_heads, self.sizes = num_heads, (state_size, state_size, num_heads)
        self.projection = nn.Linear(source_width, sum(self.sizes), bias=False)
        low, high = map(math.log, STEPS)
        step_H = torch.empty(num_heads).uniform_(low, high).exp()
        self.step_bias = nn.Parameter(step_H + torch.log(-torch.expm1(-step_H)))
        self.log_decay = nn.Parameter(torch.empty(num_heads).uniform_(*DECAYS).log())

    def parameters_from(self, source_BLS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B and C (B, L, N) and step sizes (B, L, H) in float32: equation 6."""
        in_BLN, out_BLN, step_BLH = self.projection(source_BLS).float().split(self.sizes, -1)
        return in_BLN, out_BLN, F.softplus(step_BLH + self.step_bias.float())

    def forward(self, x_BLE: Tensor, source_BLS: Tensor) -> Tensor:
        """(B, L, E)."""
        in_BLN, out_BLN, step_BLH = self.parameters_from(source_BLS)
        x_BLHP = x_BLE.unflatten(-1, (self.num_heads, -1))
        decay_H = -self.log_decay.float().exp()
        return selective_scan(x_BLHP, step_BLH, decay_H, in_BLN, out_BLN).flatten(2)


class ScanBranch(nn.Module):
    """LayerNorm(SSM(Conv(Linear(x)))) and back to the width of the tokens.

    Args:
        width: of the tokens.
        expand, head_width, kernel, state_size, bidirectional: see `InterMambaConfig`.
        crossed: whether interaction features of the same width decide on B, C and the step sizes.
    """

    def __init__(
        self,
        width: int,
        *,
        expand: int,
        head_width: int,
        kernel: int,
        state_size: int,
        bidirectional: bool,
        crossed: bool,
    ) -> None:
        super().__init__()
        num_heads = -(-expand * width // head_width)
        inner = -(-expand * width // num_heads) * num_heads
        self.in_projection = nn.Linear(width, inner)
        self.taps = nn.Parameter(torch.empty(kernel, inner).uniform_(-1, 1) * kernel**-0.5)
        self.taps_bias = nn.Parameter(torch.zeros(inner))
        self.scans = nn.ModuleList(
            StateSpace(
                inner, width if crossed else inner, num_heads=num_heads, state_size=state_size
            )
            for _ in range(1 + bidirectional)
        )
        self.out_projection = nn.Linear(inner, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x_BLD: Tensor, interaction_BLD: Tensor | None, mask_BL1: Tensor | None
    ) -> Tensor:
        """(B, L, D).

        Args:
            interaction_BLD: where the branch is `crossed`.
            mask_BL1: bool, places that are no padding; None: all.
        """
        hidden_BLE = without_padding(self.in_projection(x_BLD), mask_BL1)
        hidden_BLE = F.silu(neighbours(hidden_BLE, self.taps, self.taps_bias))
        hidden_BLE = without_padding(hidden_BLE, mask_BL1)
        source = hidden_BLE if interaction_BLD is None else interaction_BLD
        forward, *backward = self.scans
        made_BLE = forward(hidden_BLE, source)
        for scan in backward:
            made_BLE = made_BLE + scan(hidden_BLE.flip(1), source.flip(1)).flip(1)
        return self.norm(self.out_projection(made_BLE))


def neighbours(x_BLE: Tensor, taps_KE: Tensor, bias_E: Tensor) -> Tensor:
    """A convolution of each channel for itself, zero-padded at the ends; K is odd."""
    length, radius = x_BLE.shape[1], len(taps_KE) // 2
    padded = F.pad(x_BLE, (0, 0, radius, radius))
    made = bias_E
    for place, tap_E in enumerate(taps_KE):
        made = torch.addcmul(made, padded[:, place : place + length], tap_E)
    return made


def without_padding(x_BLD: Tensor, mask_BL1: Tensor | None) -> Tensor:
    """Zeros where the mask is not set."""
    return x_BLD if mask_BL1 is None else x_BLD * mask_BL1
