"""The trainable end of a frozen text encoder (InterGen, Liang et al. 2024, released code)."""

import torch
from torch import Tensor, nn

from duomotion.models.layers.transformer import post_norm_transformer


class TextHead(nn.Module):
    """Hidden states pass a post-norm transformer and a layer norm; one position is read.

    Args:
        text_dim: width C of the hidden states.
        num_layers: of the transformer; with 0 the position that is read is only normalised to zero
            mean and unit variance, and there are no parameters.
        num_heads, feedforward, dropout: of each layer.
    """

    def __init__(
        self, text_dim: int, *, num_layers: int, num_heads: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.norm = nn.LayerNorm(text_dim, elementwise_affine=num_layers > 0)
        if num_layers:
            self.encoder = post_norm_transformer(
                text_dim,
                num_layers=num_layers,
                num_heads=num_heads,
                feedforward=feedforward,
                dropout=dropout,
            )

    def forward(self, hidden_BSC: Tensor, pool_index_B: Tensor) -> Tensor:
        """Hidden states of S text positions, position to read (CLIP: end of text) -> (B, C)."""
        encoded = self.encoder(hidden_BSC)
        return self.norm(encoded[torch.arange(len(encoded), device=encoded.device), pool_index_B])
