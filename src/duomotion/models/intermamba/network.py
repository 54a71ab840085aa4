"""InterMamba's denoiser (Wu et al. 2025, section 4, figures 3 to 6).

In each module both people are scanned over time and over the body, what they do together is
gathered from both, and decides in a second pair of scans what is taken in and given out. Text and
noise level are added to the input, and scale and shift the layer norms.

Axes: B batch, P the 2 people, T frames (or patches of them), D width, J tokens of a frame, W frames
of the window, N modules, K vectors that text and noise level decide.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.scan_branch import ScanBranch, without_padding
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.local_conv import MixedConv
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.modulation import Modulation, modulate, normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_denoiser import PairDenoiser, PairDiffusion

START = 0.5  # of both fusion weights: the mean of the branches
BLOCK = 2  # shift and scale of the layer norm of Self-ASTM, and of that of Cross-ASTM
BOTH = 2 * NUM_PEOPLE  # the same of LIIA's, which is over both people's channels


class Astm(nn.Module):
    """Adaptive spatio-temporal Mamba: two branches and the weights of their sum (equations 7 to 9).

    Crossed, it is ASTM_cross (equation 13). `fusion` holds alpha, of the temporal branch, and beta.
    """

    def __init__(self, config: InterMambaConfig, *, crossed: bool) -> None:
        super().__init__()
        self.config, sizes = config, config.branch_sizes
        self.temporal = (
            ScanBranch(config.width, crossed=crossed, **sizes) if config.temporal else None
        )
        self.spatial = (
            ScanBranch(_token_width(config), crossed=crossed, **sizes) if config.spatial else None
        )
        self.fusion = nn.Parameter(torch.full((2,), START), requires_grad=config.adaptive)

    def forward(
        self, x_BTD: Tensor, interaction_BTD: Tensor | None, mask_BT1: Tensor | None
    ) -> Tensor:
        """(B, T, D); padding of both inputs is zero."""
        alpha, beta = self.fusion
        made_BTD = x_BTD.new_zeros(())
        if self.temporal is not None:
            made_BTD = alpha * self.temporal(x_BTD, interaction_BTD, mask_BT1)
        if self.spatial is not None:
            body_BTD = self._over_body(self.spatial, x_BTD, interaction_BTD)
            made_BTD = torch.addcmul(made_BTD, beta, body_BTD)
        return made_BTD

    def _over_body(
        self, branch: ScanBranch, x_BTD: Tensor, interaction_BTD: Tensor | None
    ) -> Tensor:
        batch, frames, width = x_BTD.shape
        if self.config.spatial_axis == "channels":
            x_BDW, interaction_BDW = (
                None if x is None else F.pad(x.mT, (0, self.config.window - frames))
                for x in (x_BTD, interaction_BTD)
            )
            return branch(x_BDW, interaction_BDW, None)[..., :frames].mT
        joints, token = self.config.num_joints, _token_width(self.config)
        x_BJD, interaction_BJD = (
            None
            if x is None
            else F.pad(x, (0, joints * token - width)).view(batch * frames, joints, token)
            for x in (x_BTD, interaction_BTD)
        )
        return branch(x_BJD, interaction_BJD, None).view(batch, frames, -1)[..., :width]


def _token_width(config: InterMambaConfig) -> int:
    """Of what the spatial branch scans: a channel over time, or a joint's share of the channels."""
    if config.spatial_axis == "channels":
        return config.window
    return -(-config.width // config.num_joints)


class AstmBlock(nn.Module):
    """Self-ASTM (equation 10), or Cross-ASTM (equation 12), of one person."""

    def __init__(self, config: InterMambaConfig, *, crossed: bool) -> None:
        super().__init__()
        width = config.width
        self.astm = Astm(config, crossed=crossed)
        self.gate = nn.Linear(width, width)
        self.out_projection = nn.Linear(width, width)

    def forward(
        self,
        x_BTD: Tensor,
        norm_BKD: Tensor,
        interaction_BTD: Tensor | None,
        mask_BT1: Tensor | None,
    ) -> Tensor:
        """(B, T, D).

        Args:
            norm_BKD: shift and scale of the layer norm.
            interaction_BTD: where the block is `crossed`; zero in the padding.
            mask_BT1: bool, frames that are no padding; None: all.
        """
        normed = without_padding(adapted(x_BTD, norm_BKD), mask_BT1)
        mixed = self.astm(normed, interaction_BTD, mask_BT1)
        return x_BTD + self.out_projection(mixed * F.silu(self.gate(normed)))


class AttentionBlock(nn.Module):
    """InterGen's attention in the place of Self-ASTM, or of Cross-ASTM (table 5)."""

    def __init__(self, config: InterMambaConfig, *, crossed: bool) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.num_heads, add_zero_attn=True)

    def forward(
        self,
        x_BTD: Tensor,
        norm_BKD: Tensor,
        interaction_BTD: Tensor | None,
        mask_BT1: Tensor | None,
    ) -> Tensor:
        """As `AstmBlock`."""
        mask = None if mask_BT1 is None else mask_BT1.mT[:, None]
        normed = adapted(x_BTD, norm_BKD)
        if interaction_BTD is None:
            return x_BTD + self.attention(normed, mask)
        return x_BTD + self.attention.cross(normed, normalise(interaction_BTD), mask)


def adapted(x_BTD: Tensor, norm_BKD: Tensor) -> Tensor:
    """The layer norm with a shift and a scale, (B, 2, D)."""
    shift, scale = norm_BKD.split(1, 1)
    return modulate(normalise(x_BTD), shift, scale)


class InteractionAggregation(nn.Module):
    """LIIA: features of both people, gathered (equation 11, figure 6).

    Both people's channels stand next to each other in all layers, and the sum's halves go to one
    person each.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gather = MixedConv(NUM_PEOPLE * width)

    def forward(self, x_BPTD: Tensor, norm_BKD: Tensor, mask_BT1: Tensor | None) -> Tensor:
        """(B, P, T, D); `norm_BKD` has shifts and then scales of both people's channels."""
        both = x_BPTD.transpose(1, 2).flatten(2)
        normed = adapted(both, norm_BKD.unflatten(1, (2, NUM_PEOPLE)).flatten(2))
        gathered = both + self.gather(without_padding(normed, mask_BT1))
        return gathered.unflatten(2, (NUM_PEOPLE, -1)).transpose(1, 2)


class InterMambaModule(nn.Module):
    """Self-ASTM of each person, LIIA, Cross-ASTM of each person (figure 4)."""

    def __init__(self, config: InterMambaConfig) -> None:
        super().__init__()
        people = range(1 if config.share_weights else NUM_PEOPLE)
        own = AstmBlock if config.self_astm else AttentionBlock
        cross = AstmBlock if config.cross_astm else AttentionBlock
        self.modulation = Modulation(config.width, num_chunks(config), rank=config.modulation_rank)
        self.own = nn.ModuleList(own(config, crossed=False) for _ in people)
        self.aggregation = InteractionAggregation(config.width) if config.liia else None
        self.cross = nn.ModuleList(cross(config, crossed=True) for _ in people)

    def forward(self, x_BPTD: Tensor, norms_BKD: Tensor, mask_BT1: Tensor | None) -> Tensor:
        """(B, P, T, D); `norms_BKD` is what `modulation` gives."""
        own, cross, both = norms_BKD.tensor_split((BLOCK, 2 * BLOCK), 1)
        x_BPTD = _each_person(self.own, x_BPTD, own, None, mask_BT1)
        if self.aggregation is None:
            interaction_BPTD = x_BPTD.flip(1)
        else:
            interaction_BPTD = self.aggregation(x_BPTD, both, mask_BT1)
        mask_B1T1 = None if mask_BT1 is None else mask_BT1[:, None]
        interaction_BPTD = without_padding(interaction_BPTD, mask_B1T1)
        return _each_person(self.cross, x_BPTD, cross, interaction_BPTD, mask_BT1)


def num_chunks(config: InterMambaConfig) -> int:
    """K: vectors that text and noise level decide in a module."""
    return 2 * BLOCK + (BOTH if config.liia else 0)


def _each_person(
    blocks: nn.ModuleList,
    x_BPTD: Tensor,
    norm_BKD: Tensor,
    interaction_BPTD: Tensor | None,
    mask_BT1: Tensor | None,
) -> Tensor:
    """Both people through their blocks, or through the one that they share."""
    if len(blocks) == 1:
        given = None if interaction_BPTD is None else interaction_BPTD.flatten(0, 1)
        norm, mask = (
            None if each is None else each.repeat_interleave(NUM_PEOPLE, 0)
            for each in (norm_BKD, mask_BT1)
        )
        return blocks[0](x_BPTD.flatten(0, 1), norm, given, mask).view_as(x_BPTD)
    given = (None,) * NUM_PEOPLE if interaction_BPTD is None else interaction_BPTD.unbind(1)
    people = zip(blocks, x_BPTD.unbind(1), given, strict=True)
    return torch.stack([block(x, norm_BKD, other, mask_BT1) for block, x, other in people], 1)


class InterMambaDenoiser(PairDenoiser):
    """Noisy motion of two people, a noise level and a text -> the motion (or the noise) in it."""

    config: InterMambaConfig

    def add_blocks(self) -> None:
        self.blocks = nn.ModuleList(
            InterMambaModule(self.config) for _ in range(self.config.num_modules)
        )

    def modulate(self, embedding_BD: Tensor) -> Tensor:
        """(B, 1 + N K, D): what is added to the input, and each module's K shifts and scales."""
        chunks = [
            x
            for block in self.blocks
            for x in cast(InterMambaModule, block).modulation(embedding_BD)
        ]
        return torch.cat([embedding_BD[:, None], *chunks], 1)

    def hidden(self, x_BPTD: Tensor, norms_B: Tensor, lengths_B: Tensor | None) -> Tensor:
        frames, config = x_BPTD.shape[2], self.config
        assert config.spatial_axis == "joints" or frames <= config.window
        mask_BT1 = None
        if lengths_B is not None and not bool((lengths_B == frames).all()):
            mask_BT1 = length_mask(lengths_B, frames)[..., None]
        embedding_B1D, *norms = norms_B.split([1, *[num_chunks(config)] * len(self.blocks)], 1)
        x_BPTD = x_BPTD + embedding_B1D[:, None]
        for block, norms_BKD in zip(self.blocks, norms, strict=True):
            x_BPTD = block(x_BPTD, norms_BKD, mask_BT1)
        return x_BPTD


class InterMambaDiffusion(PairDiffusion):
    """InterMamba's denoiser with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    config: InterMambaConfig
    denoiser: InterMambaDenoiser

    def __init__(self, config: InterMambaConfig) -> None:
        super().__init__(config, InterMambaDenoiser)
