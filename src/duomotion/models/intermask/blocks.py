"""The Inter-M block (InterMask, figure 2c) and its adaptive layer norms (AdaLN-mod).

Axes: B batch, P people, J body parts, T latent frames, N = J T tokens of a person, L = P N + 1
tokens with [SEP], D width.

An attention that the configuration switches off (table 3) is left out with its shifts, scales and
gates; its input goes on as it is, and the feedforward networks stay. Neither the paper nor the
released code says more.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE


class KeyMasks(NamedTuple):
    """Which keys each attention may see, True for seen; None where all of them are."""

    joint: Tensor | None
    temporal: Tensor | None
    cross: Tensor | None


class Branch(NamedTuple):
    """Modulation of a residual branch x + gate f((1 + scale) norm(x) + shift), (B, 1, D) each."""

    shift: Tensor
    scale: Tensor
    gate: Tensor


class CrossBranch(NamedTuple):
    """The same of cross attention, which also modulates the partner's tokens."""

    shift: Tensor
    scale: Tensor
    partner_shift: Tensor
    partner_scale: Tensor
    gate: Tensor


class BlockCondition(NamedTuple):
    """What the text decides in one block; None for attentions that are switched off."""

    joint_attention: Branch | None
    joint_feedforward: Branch
    spatial_attention: Branch | None
    temporal_attention: Branch | None
    cross_attention: CrossBranch | None
    person_feedforward: Branch


class BlockModulation(nn.Module):
    """Shifts, scales and gates of one block: six for both people together, 14 for each person."""

    def __init__(self, config: InterMConfig):
        super().__init__()
        self.has_joint = config.self_attention
        self.has_spatio_temporal = config.spatio_temporal_attention
        self.has_cross = config.cross_attention
        branch, cross = len(Branch._fields), len(CrossBranch._fields)
        joint = branch * (self.has_joint + 1)
        person = branch * (2 * self.has_spatio_temporal + 1) + cross * self.has_cross
        self.joint = Modulation(config.width, joint, rank=config.modulation_rank)
        self.person = Modulation(config.width, person, rank=config.modulation_rank)

    def forward(self, condition_BD: Tensor) -> BlockCondition:
        joint, person = iter(self.joint(condition_BD)), iter(self.person(condition_BD))
        return BlockCondition(
            joint_attention=_next_branch(joint) if self.has_joint else None,
            joint_feedforward=_next_branch(joint),
            spatial_attention=_next_branch(person) if self.has_spatio_temporal else None,
            temporal_attention=_next_branch(person) if self.has_spatio_temporal else None,
            cross_attention=CrossBranch(*islice(person, 5)) if self.has_cross else None,
            person_feedforward=_next_branch(person),
        )


def _next_branch(chunks: Iterator[Tensor]) -> Branch:
    return Branch(*islice(chunks, 3))


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

    def forward(self, x_BLD: Tensor, condition: BlockCondition, masks: KeyMasks) -> Tensor:
        x_BLD = self._joint(x_BLD, condition, masks)
        people = x_BLD[:, :-1]
        normed = normalise(people)
        partners = normed.unflatten(1, (NUM_PEOPLE, -1)).flip(1).flatten(1, 2)
        people = self._each_person(people, normed, partners, condition, masks)
        return torch.cat((people, x_BLD[:, -1:]), 1)

    def forward_person(
        self, x_BND: Tensor, partner_BND: Tensor, condition: BlockCondition, masks: KeyMasks
    ) -> Tensor:
        """One person's tokens, given normalised ones of the partner (appendix G)."""
        x_BND = self._joint(x_BND, condition, masks)
        normed = normalise(x_BND)
        return self._each_person(x_BND, normed, partner_BND, condition, masks, num_people=1)

    def _joint(self, x: Tensor, condition: BlockCondition, masks: KeyMasks) -> Tensor:
        """Self attention among all tokens of a sample, and its feedforward network."""
        branch = condition.joint_attention
        if self.joint_attention is not None and branch is not None:
            attended = self.joint_attention(
                modulate(normalise(x), branch.shift, branch.scale), masks.joint
            )
            x = torch.addcmul(x, branch.gate, self.dropout(attended))
        return self._feed(x, self.joint_feedforward, condition.joint_feedforward)

    def _each_person(
        self,
        x: Tensor,
        normed: Tensor,
        partners: Tensor,
        condition: BlockCondition,
        masks: KeyMasks,
        *,
        num_people: int = NUM_PEOPLE,
    ) -> Tensor:
        """Tokens `x` (B, P N, D) of each person, the same normalised, those of the partners too."""
        y = self._spatio_temporal(x, normed, condition, masks, num_people)
        y = self._cross(y, partners, condition, masks, num_people)
        return self._feed(y, self.person_feedforward, condition.person_feedforward)

    def _spatio_temporal(
        self,
        x: Tensor,
        normed: Tensor,
        condition: BlockCondition,
        masks: KeyMasks,
        num_people: int,
    ) -> Tensor:
        """Spatial attention within each frame and temporal attention of each part, in parallel."""
        over_space, over_time = condition.spatial_attention, condition.temporal_attention
        if self.spatial_attention is None or over_space is None:
            return x
        assert self.temporal_attention is not None and over_time is not None
        batch, tokens, width = x.shape
        frames = tokens // (num_people * self.num_parts)
        grid_shape = (num_people * batch, self.num_parts, frames, width)
        grid = modulate(normed, over_space.shift, over_space.scale).view(grid_shape)
        spatial = self.spatial_attention.over_rows(grid).view_as(normed)
        rows = modulate(normed, over_time.shift, over_time.scale).view(-1, frames, width)
        temporal = self.temporal_attention(rows, masks.temporal).view_as(normed)
        # The released code adds two residual branches, so the input counts twice.
        y = torch.addcmul(2 * x, over_space.gate, self.dropout(spatial))
        return torch.addcmul(y, over_time.gate, self.dropout(temporal))

    def _cross(
        self,
        x: Tensor,
        partners: Tensor,
        condition: BlockCondition,
        masks: KeyMasks,
        num_people: int,
    ) -> Tensor:
        """Cross attention from each person's tokens to the partner's."""
        branch = condition.cross_attention
        if self.cross_attention is None or branch is None:
            return x
        batch, tokens, width = x.shape
        shape = (num_people * batch, tokens // num_people, width)
        query = modulate(normalise(x), branch.shift, branch.scale).view(shape)
        memory = modulate(partners, branch.partner_shift, branch.partner_scale).view(shape)
        attended = self.cross_attention.cross(query, memory, masks.cross).view_as(x)
        return torch.addcmul(x, branch.gate, self.dropout(attended))

    def _feed(self, x: Tensor, feedforward: nn.Module, branch: Branch) -> Tensor:
        hidden = feedforward(modulate(normalise(x), branch.shift, branch.scale))
        return torch.addcmul(x, branch.gate, self.dropout(hidden))
