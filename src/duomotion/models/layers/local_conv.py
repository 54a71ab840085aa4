"""What the input of a token takes from the tokens around it."""

from torch import Tensor, nn


class LocalConv(nn.Conv1d):
    """A convolution over sequences, (B, N, C) -> (B, N, D); beyond the ends is nothing (ours).

    Args:
        reach: tokens before and after that are seen too.
    """

    def __init__(self, in_width: int, out_width: int, reach: int) -> None:
        super().__init__(in_width, out_width, 2 * reach + 1, padding=reach, bias=False)

    def forward(self, x_BNC: Tensor) -> Tensor:
        return super().forward(x_BNC.transpose(1, 2)).transpose(1, 2)
