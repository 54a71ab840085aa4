"""Transformer encoders with layer norm after each residual sum (post-norm)."""

import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout


def post_norm_transformer(
    width: int, *, num_layers: int, num_heads: int, feedforward: int, dropout: float
) -> nn.TransformerEncoder:
    """PyTorch's own, with GELU; takes (batch, position, width)."""
    layer = nn.TransformerEncoderLayer(
        width, num_heads, feedforward, dropout, activation=F.gelu, batch_first=True
    )
    return nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)


class PostNormBlock(nn.Module):
    """One layer of `post_norm_transformer`, for masks that are the same in all layers.

    Parameters have PyTorch's names, but for the dot in `self_attn.in_proj.weight`.
    """

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        feedforward: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.self_attn = Attention(width, num_heads, dropout=attention_dropout)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is as for `Attention`."""
        x_BLD = self.norm1(x_BLD + self.dropout(self.self_attn(x_BLD, mask)))
        hidden = self.linear2(self.dropout(F.gelu(self.linear1(x_BLD))))
        return self.norm2(x_BLD + self.dropout(hidden))


class PostNormDecoderBlock(PostNormBlock):
    """The same with attention to a short memory between the two; names are PyTorch's."""

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        feedforward: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__(
            width,
            num_heads=num_heads,
            feedforward=feedforward,
            dropout=dropout,
            attention_dropout=attention_dropout,
        )
        self.multihead_attn = Attention(width, num_heads, dropout=attention_dropout)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is that of the attention of the T tokens to each other."""
        x_BTD = self.norm1(x_BTD + self.dropout(self.self_attn(x_BTD, mask)))
        attended = self.multihead_attn.cross_to_few(x_BTD, memory_BSD)
        x_BTD = self.norm2(x_BTD + self.dropout(attended))
        hidden = self.linear2(self.dropout(F.gelu(self.linear1(x_BTD))))
        return self.norm3(x_BTD + self.dropout(hidden))
