"""Inter-M transformer (InterMask, section 3.2.2 and figure 2c).

Axes: B batch, P the 2 people, J body parts, T latent frames, N = J T tokens of a person (index
part T + frame), L = P N + 1 tokens with [SEP], D width, V codes, C width of the text vector.

[SEP] stands behind both people instead of between them: it has no position, and attention does
not see the order, so this is the paper's network with two cheap slices. Nothing tells the people
apart, unless there is a `person_embedding`; swapping them swaps the output.

An attention that the configuration switches off (table 3) is left out with its shifts, scales and
gates; its input goes on as it is, and the feedforward networks stay. Neither the paper nor the
released code says more.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.local_conv import LocalConv
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.positional import sinusoid_grid
from duomotion.models.layers.transformer import post_norm_transformer

NUM_PEOPLE = 2
BRANCH_CHUNKS = 3  # shift, scale and gate of a residual branch
PARTNER_CHUNKS = 2  # shift and scale of what cross attention attends to
OUTPUT_CHUNKS = 2
EMBEDDING_SIZE, OUTPUT_SIZE = 8.0, 1.0  # of the vectors that come from codes


class Condition(NamedTuple):
    """Everything that the network takes from the text: shifts, scales and gates of (B, 1, D)."""

    blocks: list[tuple[Tensor, ...]]
    output: tuple[Tensor, ...]


class KeyMasks(NamedTuple):
    """Which keys each attention may see, True for seen; None where all of them are."""

    joint: Tensor | None
    temporal: Tensor | None
    cross: Tensor | None


class TextHead(nn.Module):
    """The trainable end of the text encoder (released code; InterGen's design).

    Hidden states of a frozen encoder pass a post-norm transformer and a layer norm, and one
    position of each sample is read. With `text_layers=0` that position is only brought to unit
    variance.
    """

    def __init__(self, config: InterMConfig):
        super().__init__()
        self.encoder = nn.Identity()
        self.norm = nn.LayerNorm(config.text_dim, elementwise_affine=config.text_layers > 0)
        if config.text_layers:
            self.encoder = post_norm_transformer(
                config.text_dim,
                num_layers=config.text_layers,
                num_heads=config.text_heads,
                feedforward=config.text_feedforward,
                dropout=config.text_dropout,
            )

    def forward(self, hidden_BSC: Tensor, pool_index_B: Tensor) -> Tensor:
        """Hidden states of S text positions, position to read (CLIP: end of text) -> (B, C)."""
        encoded = self.encoder(hidden_BSC)
        return self.norm(encoded[torch.arange(len(encoded), device=encoded.device), pool_index_B])


class BlockModulation(nn.Module):
    """Shifts, scales and gates of one block: six for both people together, 14 for each person.

    They come in the order in which the block takes them; those of attentions that are switched off
    are missing.
    """

    def __init__(self, config: InterMConfig):
        super().__init__()
        joint_branches = config.self_attention + 1
        person_branches = 2 * config.spatio_temporal_attention + config.cross_attention + 1
        joint = BRANCH_CHUNKS * joint_branches
        person = BRANCH_CHUNKS * person_branches + PARTNER_CHUNKS * config.cross_attention
        self.joint = Modulation(config.width, joint, rank=config.modulation_rank)
        self.person = Modulation(config.width, person, rank=config.modulation_rank)

    def forward(self, condition_BD: Tensor) -> tuple[Tensor, ...]:
        return self.joint(condition_BD) + self.person(condition_BD)


class InterMBlock(nn.Module):
    """Self attention over both people, then spatio-temporal and cross attention of each person."""

    def __init__(self, config: InterMConfig):
        super().__init__()

        def attention() -> Attention:
            return Attention(config.width, config.num_heads, dropout=config.attention_dropout)

        def feedforward() -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(config.width, config.feedforward),
                nn.GELU(),
                Dropout(config.dropout),
                nn.Linear(config.feedforward, config.width),
            )

        self.num_parts = config.num_parts
        self.joint_attention = attention() if config.self_attention else None
        self.joint_feedforward = feedforward()
        self.spatial_attention = attention() if config.spatio_temporal_attention else None
        self.temporal_attention = attention() if config.spatio_temporal_attention else None
        self.cross_attention = attention() if config.cross_attention else None
        self.person_feedforward = feedforward()
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BLD: Tensor, modulation: tuple[Tensor, ...], masks: KeyMasks) -> Tensor:
        chunks = iter(modulation)
        x_BLD = self._together(x_BLD, chunks, masks)
        people = x_BLD[:, :-1]
        normed = normalise(people)
        partners = normed.unflatten(1, (NUM_PEOPLE, -1)).flip(1).flatten(1, 2)
        people = self._each(people, normed, partners, chunks, masks)
        return torch.cat((people, x_BLD[:, -1:]), 1)

    def follow(
        self,
        x_BND: Tensor,
        partner_BND: Tensor,
        modulation: tuple[Tensor, ...],
        masks: KeyMasks,
    ) -> Tensor:
        """One person's tokens, beside given normalised ones of the partner (appendix G)."""
        chunks = iter(modulation)
        x_BND = self._together(x_BND, chunks, masks)
        return self._each(x_BND, normalise(x_BND), partner_BND, chunks, masks, num_people=1)

    def _together(self, x: Tensor, chunks: Iterator[Tensor], masks: KeyMasks) -> Tensor:
        """Self attention among all tokens of a sample."""
        if self.joint_attention is not None:
            shift, scale, gate = islice(chunks, BRANCH_CHUNKS)
            mixed = self.joint_attention(modulate(normalise(x), shift, scale), masks.joint)
            x = torch.addcmul(x, gate, self.dropout(mixed))
        return self._feed(x, self.joint_feedforward, chunks)

    def _each(
        self,
        x: Tensor,
        normed: Tensor,
        partners: Tensor,
        chunks: Iterator[Tensor],
        masks: KeyMasks,
        *,
        num_people: int = NUM_PEOPLE,
    ) -> Tensor:
        """Tokens `x` (B, P N, D) of each person, the same normalised, those of the partners too."""
        batch, tokens, width = x.shape
        people = num_people * batch
        frames = tokens // (num_people * self.num_parts)
        y = x
        if self.spatial_attention is not None and self.temporal_attention is not None:
            shift_s, scale_s, gate_s = islice(chunks, BRANCH_CHUNKS)
            grid = modulate(normed, shift_s, scale_s).view(people, self.num_parts, frames, width)
            spatial = self.spatial_attention.over_rows(grid).view_as(normed)

            shift_t, scale_t, gate_t = islice(chunks, BRANCH_CHUNKS)
            rows = modulate(normed, shift_t, scale_t).view(-1, frames, width)
            temporal = self.temporal_attention(rows, masks.temporal).view_as(normed)

            # The released code adds two residual branches, so the input counts twice.
            y = torch.addcmul(2 * x, gate_s, self.dropout(spatial))
            y = torch.addcmul(y, gate_t, self.dropout(temporal))

        if self.cross_attention is not None:
            person = (people, tokens // num_people, width)
            shift_q, scale_q = islice(chunks, 2)
            shift_kv, scale_kv = islice(chunks, PARTNER_CHUNKS)
            query = modulate(normalise(y), shift_q, scale_q).view(person)
            context = modulate(partners, shift_kv, scale_kv).view(person)
            crossed = self.cross_attention.cross(query, context, masks.cross).view_as(normed)
            y = torch.addcmul(y, next(chunks), self.dropout(crossed))
        return self._feed(y, self.person_feedforward, chunks)

    def _feed(self, x: Tensor, feedforward: nn.Module, chunks: Iterator[Tensor]) -> Tensor:
        shift, scale, gate = islice(chunks, BRANCH_CHUNKS)
        hidden = feedforward(modulate(normalise(x), shift, scale))
        return torch.addcmul(x, gate, self.dropout(hidden))


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
        self.output_modulation = Modulation(width, OUTPUT_CHUNKS, rank=config.modulation_rank)
        self.output_projection = (
            PartLinear(config.num_parts, width, config.num_codes)
            if config.per_part_codebooks
            else nn.Linear(width, config.num_codes)
        )
        self._initialise()
        self.text_head = TextHead(config)

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
        """Take over what a tokenizer knows about its codes: which of them are alike.

        Codes become embeddings; at the output a code scores higher the nearer it is to a vector
        that the network can point to. Training changes all of this.

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
            self.token_embedding.weight[rows, :width] = EMBEDDING_SIZE * unit_KC
            pointing_CD = torch.randn(width, config.width) / config.width**0.5
            projection.weight[part] = OUTPUT_SIZE * unit_KC @ pointing_CD
            projection.bias[part] = -OUTPUT_SIZE / 2 * unit_KC.square().sum(1)

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Condition:
        """What the text changes in the network; computed once and used in every decoding step.

        Args:
            text_BC: text vectors as `text_head` gives them, entries of about unit variance.
            drop_B: bool, True where the sample is to be treated as one without a text.
        """
        if drop_B is not None:
            text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        condition_BD = self.text_projection(text_BC)
        blocks = [modulation(condition_BD) for modulation in self.modulations]
        return Condition(blocks, self.output_modulation(condition_BD))

    def forward(
        self, ids_BPN: Tensor, condition: Condition, lengths_B: Tensor | None = None
    ) -> Tensor:
        """Logits (B, P, N, V) of the codes.

        Args:
            ids_BPN: codes, `mask_id` and, behind the end of a sample, `pad_id`.
            condition: of `condition`.
            lengths_B: latent frames of each sample; None where all fill the T frames.
        """
        x_BLD = self.embed(ids_BPN, lengths_B)
        masks = self.key_masks(ids_BPN, lengths_B)
        for block, modulation in zip(self.blocks, condition.blocks, strict=True):
            x_BLD = block(x_BLD, modulation, masks)
        return self.logits(x_BLD[:, :-1].unflatten(1, ids_BPN.shape[1:]), condition)

    def embed(self, ids_BPN: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """(B, L, D): tokens with their positions in the grid of parts and frames, then [SEP].

        Nothing lies beyond the first and the last frame of a sample, whatever the batch pads it to.
        """
        batch, people, tokens = ids_BPN.shape
        parts, width = self.config.num_parts, self.config.width
        separator = ids_BPN.new_full((batch, 1), self.config.vocabulary - 1)
        entries = torch.cat((self._entries(ids_BPN).flatten(1), separator), 1)
        embedded = self.token_embedding(entries)
        grid = sinusoid_grid(parts, tokens // parts, width, device=ids_BPN.device).flatten(0, 1)
        grid_PND = grid.expand(people, -1, -1)
        if self.person_embedding is not None:
            grid_PND = grid_PND + self.person_embedding[:, None]
        positions = torch.cat((grid_PND.flatten(0, 1), grid.new_zeros(1, width)))
        x_BLD = self.input_projection(embedded) + positions.to(embedded.dtype)
        if self.local_conv is not None:
            rows = embedded[:, :-1].unflatten(1, (people * parts, -1))
            if lengths_B is not None:
                inside_BT = inside_frames(lengths_B, tokens // parts)
                rows = rows * inside_BT[:, None, :, None]
            context = self.local_conv(rows.flatten(0, 1))
            x_BLD[:, :-1] += context.reshape(batch, -1, width)
        return self.dropout(x_BLD)

    def _entries(self, ids_BPN: Tensor) -> Tensor:
        """Rows of the embedding: codes, row by row of the map, then the special tokens."""
        config = self.config
        if not config.per_part_codebooks:
            return ids_BPN
        rows = torch.arange(config.num_parts, device=ids_BPN.device)
        row_N = rows.repeat_interleave(ids_BPN.shape[-1] // config.num_parts)
        before = torch.where(ids_BPN < config.num_codes, row_N, config.num_parts - 1)
        return ids_BPN + config.num_codes * before

    def logits(self, x_BPND: Tensor, condition: Condition) -> Tensor:
        """What the last block gives, (B, P, N, D) -> (B, P, N, V)."""
        hidden = F.gelu(self.output_dense(x_BPND))
        shift, scale = (chunk[:, None] for chunk in condition.output)
        return self.output_projection(modulate(normalise(hidden), shift, scale))

    def key_masks(self, ids_BPN: Tensor, lengths_B: Tensor | None) -> KeyMasks:
        tokens, parts = ids_BPN.shape[-1], self.config.num_parts
        frames = tokens // parts
        if lengths_B is None or bool((lengths_B == frames).all()):
            return KeyMasks(None, None, None)
        length_mask_BPN = length_mask(lengths_B, parts, frames)
        return KeyMasks(
            F.pad(length_mask_BPN.flatten(1), (0, 1), value=True)[:, None, None],
            length_mask_BPN.view(-1, 1, 1, frames),
            length_mask_BPN.view(-1, 1, 1, tokens),
        )


def length_mask(lengths_B: Tensor, num_parts: int, num_frames: int) -> Tensor:
    """(B, P, N) bool: the tokens before the end of each sample, of `num_frames` latent frames."""
    inside_BT = inside_frames(lengths_B, num_frames)
    return inside_BT.repeat(1, num_parts)[:, None].repeat(1, NUM_PEOPLE, 1)


def inside_frames(lengths_B: Tensor, num_frames: int) -> Tensor:
    """(B, T) bool: the latent frames before the end of each sample."""
    return torch.arange(num_frames, device=lengths_B.device) < lengths_B[:, None]
