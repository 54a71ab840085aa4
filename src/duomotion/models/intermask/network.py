"""Inter-M transformer (InterMask, section 3.2.2 and figure 2c); its blocks are in `blocks`.

Axes: B batch, P the 2 people, J body parts, T latent frames, N = J T tokens of a person (index
part T + frame), L = P N + 1 tokens with [SEP], D width, V codes, C width of the text vector.

[SEP] follows both people instead of standing between them: it has no position, and attention does
not see the order, so this is the paper's network with two cheap slices. Nothing tells the people
apart unless there is a `person_embedding`; swapping them swaps the output.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.blocks import (
    BlockCondition,
    BlockModulation,
    InterMBlock,
    KeyMasks,
)
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.local_conv import LocalConv
from duomotion.models.layers.masks import length_mask, token_map_mask
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.layers.positional import sinusoid_grid
from duomotion.models.layers.text_head import TextHead

INITIAL_NORM = 8.0
"""RMS norm of the embeddings that start as codes: that of 64 entries of unit variance."""


class OutputCondition(NamedTuple):
    """Modulation before the output projection, (B, 1, D) each."""

    shift: Tensor
    scale: Tensor


class Condition(NamedTuple):
    """Everything that the network takes from the text."""

    blocks: list[BlockCondition]
    output: OutputCondition


class PartLinear(nn.Module):
    """A linear layer for each body part: (..., N, D) -> (..., N, V), N the tokens of a person."""

    def __init__(self, num_parts: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_parts, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(num_parts, out_features))

    def forward(self, x_ND: Tensor) -> Tensor:
        x_JTD = x_ND.unflatten(-2, (len(self.weight), -1))
        return (
            torch.einsum("...jtd,jvd->...jtv", x_JTD, self.weight)
            .add(self.bias[:, None])
            .flatten(-3, -2)
        )


class InterMTransformer(nn.Module):
    """Tokens of two people, some of them [MASK], and a text -> logits over the codes."""

    def __init__(self, config: InterMConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.token_embedding = nn.Embedding(config.vocabulary, config.token_dim)
        self.input_projection = nn.Linear(config.token_dim, width)
        self.local_conv = (
            LocalConv(config.token_dim, width, config.local_conv_radius)
            if config.local_conv_radius
            else None
        )
        self.text_projection = nn.Linear(config.text_dim, width)
        self.person_embedding = (
            nn.Parameter(torch.empty(NUM_PEOPLE, width)) if config.person_embedding else None
        )
        self.dropout = Dropout(config.dropout)
        numbers = range(config.num_blocks)
        self.modulations = nn.ModuleList(BlockModulation(config) for _ in numbers)
        self.blocks = nn.ModuleList(InterMBlock(config) for _ in numbers)
        self.output_dense = nn.Linear(width, width)
        self.output_modulation = Modulation(
            width, len(OutputCondition._fields), rank=config.modulation_rank
        )
        self.output_projection = (
            PartLinear(config.num_parts, width, config.num_codes)
            if config.per_part_codebooks
            else nn.Linear(width, config.num_codes)
        )
        self._initialise()
        self.text_head = TextHead(
            config.text_dim,
            num_layers=config.text_layers,
            num_heads=config.text_heads,
            feedforward=config.text_feedforward,
            dropout=config.text_dropout,
        )

    def _initialise(self) -> None:
        """N(0, 0.02) except in attention's input, no bias, modulation zero (released code)."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif not name.endswith("in_proj.weight"):
                nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, Modulation):
                module.reset_parameters()

    @torch.no_grad()
    def init_from_codebooks(self, codebooks: Sequence[Tensor]) -> None:
        """Start the token embeddings and the output layer from a tokenizer's codebooks (ours).

        Embeddings become the codes, centred and scaled. The output layer projects hidden states at
        random into the codes' space, where the logit of a code is minus half its squared distance.

        Args:
            codebooks: (K, C) of each row of the token map, C at most `token_dim`.
        """
        config, projection = self.config, self.output_projection
        assert isinstance(projection, PartLinear)
        for part, codebook_KC in enumerate(codebooks):
            unit_KC = codebook_KC - codebook_KC.mean(0)
            unit_KC = unit_KC / unit_KC.square().sum(1).mean().sqrt()
            width = unit_KC.shape[1]
            rows = slice(part * config.num_codes, (part + 1) * config.num_codes)
            self.token_embedding.weight[rows, :width] = INITIAL_NORM * unit_KC
            projection_CD = torch.randn(width, config.width) / config.width**0.5
            projection.weight[part] = unit_KC @ projection_CD
            projection.bias[part] = -unit_KC.square().sum(1) / 2

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Condition:
        """What the text decides in the network; computed once and used in every decoding step.

        Args:
            text_BC: text vectors as `text_head` gives them, entries of about unit variance.
            drop_B: bool, True where the sample is to be treated as one without a text.
        """
        if drop_B is not None:
            text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        condition_BD = self.text_projection(text_BC)
        blocks = [modulation(condition_BD) for modulation in self.modulations]
        return Condition(blocks, OutputCondition(*self.output_modulation(condition_BD)))

    def forward(
        self, ids_BPN: Tensor, condition: Condition, lengths_B: Tensor | None = None
    ) -> Tensor:
        """Logits (B, P, N, V) of the codes.

        Args:
            ids_BPN: codes and `mask_id`, with `pad_id` as padding.
            condition: of `condition`.
            lengths_B: latent frames of each sample; None where all fill the T frames.
        """
        x_BLD = self.embed(ids_BPN, lengths_B)
        masks = self.key_masks(ids_BPN, lengths_B)
        for block, block_condition in zip(self.blocks, condition.blocks, strict=True):
            x_BLD = block(x_BLD, block_condition, masks)
        return self.logits(x_BLD[:, :-1].unflatten(1, ids_BPN.shape[1:]), condition)

    def embed(self, ids_BPN: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """(B, L, D): tokens with their positions in the grid of parts and frames, then [SEP].

        The local convolution sees zeros outside a sample's frames, however far the batch pads it.
        """
        batch, people, tokens = ids_BPN.shape
        parts, width = self.config.num_parts, self.config.width
        separator = ids_BPN.new_full((batch, 1), self.config.vocabulary - 1)
        rows = torch.cat((self._embedding_rows(ids_BPN).flatten(1), separator), 1)
        embedded = self.token_embedding(rows)
        grid = sinusoid_grid(parts, tokens // parts, width, device=ids_BPN.device).flatten(0, 1)
        grid_PND = grid.expand(people, -1, -1)
        if self.person_embedding is not None:
            grid_PND = grid_PND + self.person_embedding[:, None]
        positions = torch.cat((grid_PND.flatten(0, 1), grid.new_zeros(1, width)))
        x_BLD = self.input_projection(embedded) + positions.to(embedded.dtype)
        if self.local_conv is not None:
            context = embedded[:, :-1].unflatten(1, (people * parts, -1))
            if lengths_B is not None:
                context = context * length_mask(lengths_B, tokens // parts)[:, None, :, None]
            local = self.local_conv(context.flatten(0, 1))
            x_BLD[:, :-1] += local.reshape(batch, -1, width)
        return self.dropout(x_BLD)

    def _embedding_rows(self, ids_BPN: Tensor) -> Tensor:
        """Rows of the embedding table: codes, part by part, then the special tokens."""
        config = self.config
        if not config.per_part_codebooks:
            return ids_BPN
        parts = torch.arange(config.num_parts, device=ids_BPN.device)
        part_N = parts.repeat_interleave(ids_BPN.shape[-1] // config.num_parts)
        codebook = torch.where(ids_BPN < config.num_codes, part_N, config.num_parts - 1)
        return ids_BPN + config.num_codes * codebook

    def logits(self, x_BPND: Tensor, condition: Condition) -> Tensor:
        """Output of the last block (B, P, N, D) -> (B, P, N, V)."""
        hidden = F.gelu(self.output_dense(x_BPND))
        shift, scale = (chunk[:, None] for chunk in condition.output)
        return self.output_projection(modulate(normalise(hidden), shift, scale))

    def key_masks(self, ids_BPN: Tensor, lengths_B: Tensor | None) -> KeyMasks:
        tokens, parts = ids_BPN.shape[-1], self.config.num_parts
        frames = tokens // parts
        if lengths_B is None or bool((lengths_B == frames).all()):
            return KeyMasks(None, None, None)
        mask_BPN = token_map_mask(lengths_B, parts, frames)
        return KeyMasks(
            F.pad(mask_BPN.flatten(1), (0, 1), value=True)[:, None, None],
            mask_BPN.view(-1, 1, 1, frames),
            mask_BPN.view(-1, 1, 1, tokens),
        )
