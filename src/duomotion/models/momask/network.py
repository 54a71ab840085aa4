"""MoMask's two transformers (sections 3.2 and 3.3, figures 2b and 2c).

Both read a sequence of tokens with positions, preceded by a token of the text without a position,
and in the residual transformer also by one of the quantisation layer.

Axes: B batch, N tokens, F prefix tokens, L = F + N, D width, C width of the token embedding or
the text vector, V codes, Q quantisation layers.

Table 2, "w/o RRemask", is `random_id_prob=0` and `mask_token_prob=1` in training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.linear import linear
from duomotion.models.layers.local_conv import LocalConv
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.layers.transformer import PostNormBlock
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, TransformerConfig

INITIAL_SCALE = 0.03
"""Of output weights that start as codes with entries around 1, so that the logits of an untrained
network differ little."""


class TextTransformer(nn.Module):
    """What both transformers share: text token, positions, blocks and output layers."""

    positions: Tensor

    def __init__(self, config: TransformerConfig, output_dim: int) -> None:
        super().__init__()
        width = config.width
        self.scale_text = config.scale_text
        self.input_projection = nn.Linear(config.token_dim, width)
        self.local_conv = (
            LocalConv(config.token_dim, width, config.local_conv_radius)
            if config.local_conv_radius
            else None
        )
        self.text_projection = nn.Linear(config.text_dim, width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(
                width,
                num_heads=config.num_heads,
                feedforward=config.feedforward,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
            )
            for _ in range(config.num_blocks)
        )
        self.output_dense = nn.Linear(width, width)
        self.output_norm = nn.LayerNorm(width, eps=1e-12)
        self.output_projection = nn.Linear(width, output_dim)
        positions = sinusoid_sequence(config.max_tokens, width)
        self.register_buffer("positions", positions, persistent=False)

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Tensor:
        """The token of the text (B, 1, D), computed once and used in every decoding step.

        Args:
            drop_B: bool, True where the sample is to be treated as one without a text.
        """
        if self.scale_text:
            text_BC = F.layer_norm(text_BC, text_BC.shape[-1:])
        if drop_B is not None:
            text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        return self.text_projection(text_BC).unsqueeze(1)

    def encode(self, x_BNC: Tensor, prefix_BFD: Tensor, lengths_B: Tensor | None) -> Tensor:
        """Token embeddings and the prefix tokens -> (B, N, output_dim)."""
        tokens, prefix = x_BNC.shape[1], prefix_BFD.shape[1]
        assert tokens <= len(self.positions)
        length_mask_BN = None
        if lengths_B is not None and not bool((lengths_B == tokens).all()):
            length_mask_BN = length_mask(lengths_B, tokens)
        x_BND = self.input_projection(x_BNC) + self.positions[:tokens]
        if self.local_conv is not None:
            context_BNC = x_BNC if length_mask_BN is None else x_BNC * length_mask_BN.unsqueeze(-1)
            x_BND = x_BND + self.local_conv(context_BNC)
        x_BLD = torch.cat((prefix_BFD, self.dropout(x_BND)), 1)
        mask = None
        if length_mask_BN is not None:
            mask = F.pad(length_mask_BN, (prefix, 0), value=True)[:, None, None]
        for block in self.blocks:
            x_BLD = block(x_BLD, mask)
        hidden = F.gelu(self.output_dense(x_BLD[:, prefix:]))
        return self.output_projection(self.output_norm(hidden))

    def _initialise(self) -> None:
        """N(0, 0.02) except in attention's input, no bias (released code)."""
        for name, parameter in self.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif not name.endswith("in_proj.weight"):
                nn.init.normal_(parameter, std=0.02)


class MaskedTransformer(TextTransformer):
    """Tokens of the base layer, some of them [MASK], and a text -> logits over the codes."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__(config, config.num_codes)
        self.config = config
        self.token_embedding = nn.Embedding(config.num_codes + 2, config.token_dim)
        self._initialise()

    @torch.no_grad()
    def init_from_codebooks(self, codes_QVC: Tensor) -> None:
        """Start token embeddings and output weights from the tokenizer's codes (Q, V, C) (ours)."""
        codes_VC = codes_QVC[0]
        self.token_embedding.weight[: len(codes_VC)] = codes_VC
        table = self.output_projection.weight.zero_()
        width = min(codes_VC.shape[1], table.shape[1])
        table[:, :width] = INITIAL_SCALE * codes_VC[:, :width]

    def forward(self, ids_BN: Tensor, text_B1D: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Logits (B, N, V).

        Args:
            ids_BN: codes and `mask_id`, with `pad_id` as padding.
            text_B1D: of `condition`.
            lengths_B: tokens of each sample; None where all fill the N places.
        """
        return self.encode(self.token_embedding(ids_BN), text_B1D, lengths_B)


class ResidualTransformer(TextTransformer):
    """Tokens of all layers below one, and a text -> logits over that layer's codes.

    Every layer but the last has an embedding table, every layer but the base layer an output table;
    with `share_weights` a layer in between has one table for both.
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__(config, config.token_dim)
        self.config = config
        table = (config.num_codes + 1, config.token_dim)
        residual_layers = config.num_layers - 1
        if config.share_weights:
            self.first_input = nn.Parameter(torch.empty(1, *table))
            self.shared = nn.Parameter(torch.empty(residual_layers - 1, *table))
            self.last_output = nn.Parameter(torch.empty(1, *table))
        else:
            self.inputs = nn.Parameter(torch.empty(residual_layers, *table))
            self.outputs = nn.Parameter(torch.empty(residual_layers, *table))
            self.output_bias = nn.Parameter(torch.empty(residual_layers, config.num_codes + 1))
        self.layer_embedding = nn.Linear(config.num_layers, config.width)
        self._initialise()

    def forward(
        self,
        history_BNC: Tensor,
        text_B1D: Tensor,
        lengths_B: Tensor | None = None,
        *,
        layer: int | Tensor,
    ) -> Tensor:
        """Logits (B, N, V + 1) of the codes and, last, of padding.

        Args:
            history_BNC: of `history`.
            text_B1D: of `condition`.
            lengths_B: tokens of each sample; None where all fill the N places.
            layer: the layer to be predicted, from 1; one of all samples, or (B,) of each.
        """
        layer_B = torch.as_tensor(layer, device=history_BNC.device).expand(len(history_BNC))
        layer_B1D = F.embedding(layer_B, self.layer_embedding.weight.T).unsqueeze(1)
        prefix_BFD = torch.cat((text_B1D, layer_B1D + self.layer_embedding.bias), 1)
        hidden_BNC = self.encode(history_BNC, prefix_BFD, lengths_B)
        if isinstance(layer, int):
            return linear(hidden_BNC, *self.scoring(layer))
        tables = [self.scoring(number) for number in range(1, self.config.num_layers)]
        weights = torch.stack([weight for weight, _ in tables])[layer_B - 1]
        logits = hidden_BNC @ weights.mT
        if self.config.share_weights:
            return logits
        return logits + self.output_bias[layer_B - 1].unsqueeze(1)

    @torch.no_grad()
    def init_from_codebooks(self, codes_QVC: Tensor) -> None:
        """Start the tables from the tokenizer's codes (Q, V, C) (ours)."""
        codes = codes_QVC.shape[1]
        for layer, codes_VC in enumerate(codes_QVC):
            if layer < len(codes_QVC) - 1:
                self._table(layer)[:codes] = codes_VC
            if layer > 0:
                self.scoring(layer)[0][:codes] = codes_VC

    def embed(self, ids_BN: Tensor, layer: int) -> Tensor:
        """Embeddings (B, N, C) of ids of one layer, from 0; `pad_id` has one too."""
        return F.embedding(ids_BN, self._table(layer))

    def history(self, ids_BNQ: Tensor, layer_B: Tensor) -> Tensor:
        """(B, N, C) sums of the embeddings of all layers below `layer` of each sample."""
        total = self.embed(ids_BNQ[..., 0], 0)
        for layer in range(1, self.config.num_layers - 1):
            is_below = (layer < layer_B)[:, None, None]
            total = total + self.embed(ids_BNQ[..., layer], layer) * is_below
        return total

    def scoring(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """Output weights (V + 1, C) and bias of a layer, from 1."""
        if not self.config.share_weights:
            return self.outputs[layer - 1], self.output_bias[layer - 1]
        is_last = layer == self.config.num_layers - 1
        return self.last_output[0] if is_last else self.shared[layer - 1], None

    def _table(self, layer: int) -> Tensor:
        if not self.config.share_weights:
            return self.inputs[layer]
        return self.first_input[0] if layer == 0 else self.shared[layer - 1]
