"""Context of a token from its neighbours in the sequence."""

from torch import Tensor, nn


class LocalConv(nn.Conv1d):
    """A convolution over sequences, (B, N, C) -> (B, N, D), zero-padded at the ends (ours).

    Args:
        radius: tokens before and after that it covers.
    """

    def __init__(self, in_width: int, out_width: int, radius: int) -> None:
        super().__init__(in_width, out_width, 2 * radius + 1, padding=radius, bias=False)

    def forward(self, x_BNC: Tensor) -> Tensor:
        return super().forward(x_BNC.transpose(1, 2)).transpose(1, 2)
