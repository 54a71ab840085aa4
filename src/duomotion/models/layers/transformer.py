"""PyTorch's transformer encoder as the papers' text heads and evaluators use it."""

import torch.nn.functional as F
from torch import nn


def post_norm_transformer(
    width: int, *, num_layers: int, num_heads: int, feedforward: int, dropout: float
) -> nn.TransformerEncoder:
    """Layer norms behind the residual sums and GELU; takes (batch, position, width)."""
    layer = nn.TransformerEncoderLayer(
        width, num_heads, feedforward, dropout, activation=F.gelu, batch_first=True
    )
    return nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
