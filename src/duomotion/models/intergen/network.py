"""InterGen's denoiser (Liang et al. 2024, section 4.2, figure 4).

Two networks with the same weights, one a person, denoise the motion of two people. In each block a
person attends to their own motion and then to the partner's as it was before the block, so both are
updated at once. Text and noise level scale and shift every layer norm.

Axes: B batch, P the 2 people, T frames, F features, D width, C width of the text vector, N blocks,
K scales and shifts of a block.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE, PairFeatures
from duomotion.models.layers.positional import sinusoid_sequence, sinusoids_at
from duomotion.models.layers.text_head import TextHead

NORMS = ("own", "query", "partner", "feedforward")
"""Layer norms of a block: before self attention, of both sides of the attention to the partner."""


class BlockModulation(nn.Module):
    """Embedding of text and noise level (B, D) -> scale and shift of each norm, (B, K, D)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        for name in NORMS:
            setattr(self, name, Modulation(config.width, 2, rank=config.modulation_rank))

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return torch.cat([x for name in NORMS for x in getattr(self, name)(embedding_BD)], 1)


class InterGenBlock(nn.Module):
    """Self attention, attention to the partner and feedforward, of both people at once."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.num_heads, config.attention_dropout
        self.self_attention = Attention(width, heads, dropout=dropout, add_zero_attn=True)
        self.cross_attention = Attention(width, heads, dropout=dropout, add_zero_attn=True)
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward),
            nn.GELU(),
            Dropout(config.dropout),
            zero_linear(config.feedforward, width),
        )

    def forward(self, x_BPTD: Tensor, norms_BKD: Tensor, mask: Tensor | None) -> Tensor:
        """Update both people; `mask` is of the keys, as for `Attention`, for people one by one."""
        norms = norms_BKD.unflatten(1, (len(NORMS), 2))[..., None, None, :].unbind(1)
        own, query, partner, feedforward = norms
        normed = normalise(x_BPTD)
        attended = self.self_attention(adapt(normed, own).flatten(0, 1), mask)
        x_BPTD = x_BPTD + attended.view_as(x_BPTD)
        crossed = self.cross_attention.cross(
            adapt(normalise(x_BPTD), query).flatten(0, 1),
            adapt(normed.flip(1), partner).flatten(0, 1),
            mask,
        )
        x_BPTD = x_BPTD + crossed.view_as(x_BPTD)
        return x_BPTD + self.feedforward(adapt(normalise(x_BPTD), feedforward))


def adapt(normed_BPTD: Tensor, norm: Tensor) -> Tensor:
    """Scaled and shifted by a norm's two vectors, (B, 2, 1, 1, D)."""
    scale, shift = norm.unbind(1)
    return modulate(normed_BPTD, shift, scale)


class InterGenDenoiser(nn.Module):
    """Noisy motion of two people, a noise level and a text -> the motion (or the noise) in it."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.input_projection = nn.Linear(config.patch * config.num_features, width)
        self.time_embedding = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.text_projection = nn.Linear(config.text_dim, width)
        self.person_embedding = (
            nn.Parameter(0.02 * torch.randn(NUM_PEOPLE, 1, width))
            if config.person_embedding
            else None
        )
        numbers = range(config.num_blocks)
        self.modulations = nn.ModuleList(BlockModulation(config) for _ in numbers)
        self.blocks = nn.ModuleList(InterGenBlock(config) for _ in numbers)
        self.output_projection = zero_linear(width, config.patch * config.num_features)
        self.text_head = TextHead(
            config.text_dim,
            num_layers=config.text_layers,
            num_heads=config.text_heads,
            feedforward=config.text_feedforward,
            dropout=config.text_dropout,
        )

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Tensor:
        """(B, D): what the text decides at all noise levels.

        Args:
            text_BC: text vectors as `text_head` gives them.
            drop_B: bool, True where the sample is to be treated as one without a text.
        """
        if drop_B is not None:
            text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        return self.text_projection(text_BC)

    def embed(self, text_BD: Tensor, times_B: Tensor) -> Tensor:
        """(B, D): texts of `condition` at noise levels from 0 on."""
        waves_BD = sinusoids_at(times_B, text_BD.shape[-1])
        return self.time_embedding(waves_BD.to(text_BD)) + text_BD

    def modulate(self, embedding_BD: Tensor) -> Tensor:
        """(B, N, K, D): all that the blocks take from text and noise level."""
        return torch.stack([modulation(embedding_BD) for modulation in self.modulations], 1)

    def forward(
        self, x_BPTF: Tensor, norms_BNKD: Tensor, lengths_B: Tensor | None = None
    ) -> Tensor:
        """(B, P, T, F), normalised features as they come in.

        Args:
            norms_BNKD: of `modulate`.
            lengths_B: frames of each sample, whole patches as T is; None where all fill the T.
        """
        patch = self.config.patch
        x_BPTD = self.input_projection(x_BPTF.unflatten(2, (-1, patch)).flatten(3))
        x_BPTD = x_BPTD + sinusoid_sequence(x_BPTD.shape[2], self.config.width).to(x_BPTD)
        if self.person_embedding is not None:
            x_BPTD = x_BPTD + self.person_embedding
        mask = None if lengths_B is None else key_mask(lengths_B // patch, x_BPTD.shape[2])
        for block, norms_BKD in zip(self.blocks, norms_BNKD.unbind(1), strict=True):
            x_BPTD = block(x_BPTD, norms_BKD, mask)
        return self.output_projection(x_BPTD).unflatten(3, (patch, -1)).flatten(2, 3)


def key_mask(lengths_B: Tensor, places: int) -> Tensor | None:
    """(B P, 1, 1, T) bool; None where there is no padding."""
    if bool((lengths_B == places).all()):
        return None
    return length_mask(lengths_B, places)[:, None, None].repeat_interleave(NUM_PEOPLE, 0)


class MotionDiffusion(PairFeatures):
    """A denoiser with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__(config.layout, config.num_features)
        self.config = config
        self.denoiser = InterGenDenoiser(config)


def modulation_schedule(
    denoiser: InterGenDenoiser, text_BD: Tensor, times: Sequence[int]
) -> Callable[[int], Tensor]:
    """`denoiser.modulate` of texts at each of the times, by number; all are computed at once.

    Each text is read alone, since how products are rounded depends on how many rows they have;
    equal rows, such as those without a text, are read once.
    """
    times_S = torch.tensor(times)
    rows: dict[bytes, Tensor] = {}
    keys = [row_D.float().cpu().numpy().tobytes() for row_D in text_BD]
    for key, text_1D in zip(keys, text_BD.split(1), strict=True):
        if key not in rows:
            embedding_SD = denoiser.embed(text_1D.expand(len(times), -1), times_S)
            rows[key] = denoiser.modulate(embedding_SD)
    return lambda step: torch.stack([rows[key][step] for key in keys])
