"""InterMoE's causal-skeletal autoencoder.

Each joint has its own first and last layers. In between, convolutions over time, which look back
alone, and over the skeleton; the skeleton is pooled to limbs and to parts, time by 2 each. A latent
depends on its 4 frames and those before, so that motion can be encoded and decoded as it comes.

The released code goes through a clip latent by latent. Its convolutions keep the frames before, so
that one pass over the whole clip is the same; only the decoder's upsampling looks at the frames of
one latent alone, which is done here for all latents at once.

Axes: B samples, P the 2 people, T frames, F features of a person, J joints, R numbers of a joint's
row, D width, C joints with contacts, N latents in time, L numbers of a latent; I, O widths.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermoe.config import AutoencoderConfig
from duomotion.models.intermoe.graphs import (
    GRAPHS,
    Groups,
    Joints,
    adjacency,
    pooling_matrix,
    unpooling_matrix,
)
from duomotion.models.intermoe.part_code import NOISE, PartCode
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.latents import Latents
from duomotion.models.layers.pair_features import PairFeatures
from duomotion.models.layers.smoothing import smooth
from duomotion.motion.layout import MapLayout

LEVELS = 2
FRAMES = 2**LEVELS  # that a latent stands for
LOOK_BACK = 2  # frames that a convolution sees beside the present one


class Memory:
    """What layers have seen of motion that comes piece by piece: the last frames of each."""

    def __init__(self) -> None:
        self.frames: dict[nn.Module, Tensor] = {}

    def with_last(self, layer: nn.Module, x_BTJD: Tensor, count: int) -> Tensor:
        """What comes behind the last `count` frames, which are zeros in the beginning."""
        before = self.frames.get(layer)
        seen_BTJD = pad(x_BTJD, count) if before is None else torch.cat((before, x_BTJD), 1)
        self.frames[layer] = seen_BTJD[:, -count:]
        return seen_BTJD

    def with_rest(self, layer: nn.Module, x_BTJD: Tensor, unit: int) -> Tensor:
        """What comes behind the frames that were left over, in whole units; the rest is left."""
        before = self.frames.get(layer)
        seen_BTJD = x_BTJD if before is None else torch.cat((before, x_BTJD), 1)
        whole = seen_BTJD.shape[1] // unit * unit
        self.frames[layer] = seen_BTJD[:, whole:]
        return seen_BTJD[:, :whole]


def pad(x_BTJD: Tensor, count: int) -> Tensor:
    """Frames of zeros in front."""
    batch, _, joints, width = x_BTJD.shape
    return torch.cat((x_BTJD.new_zeros(batch, count, joints, width), x_BTJD), 1)


class JointLinear(nn.Module):
    """A linear layer of each joint's own, (..., J, in) -> (..., J, out)."""

    def __init__(self, joints: int, in_width: int, out_width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_width)
        self.weight = nn.Parameter(torch.empty(joints, in_width, out_width))
        self.bias = nn.Parameter(torch.empty(joints, out_width))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x_BTJI: Tensor) -> Tensor:
        """(B, T, J, O), which lies joint by joint in memory."""
        return joint_linear(x_BTJI, self.weight, self.bias)


def joint_linear(x_BTJI: Tensor, weight_JIO: Tensor, bias_JO: Tensor) -> Tensor:
    """Each joint's numbers through its own matrix."""
    x_JMI = x_BTJI.flatten(0, 1).transpose(0, 1)
    made_JMO = torch.baddbmm(bias_JO[:, None], x_JMI, weight_JIO)
    return made_JMO.transpose(0, 1).unflatten(0, x_BTJI.shape[:2])


class JointEncoder(nn.Module):
    """Rows of joints, and contacts of some -> (B, T, J, D)."""

    places: Tensor

    def __init__(self, joints: int, row: int, width: int, contacts: Joints) -> None:
        super().__init__()
        self.first = JointLinear(joints, row, width)
        self.contact_weight = nn.Parameter(torch.empty(len(contacts), width))
        self.second = JointLinear(joints, width, width)
        nn.init.uniform_(self.contact_weight, -(row**-0.5), row**-0.5)
        places_CJ = torch.eye(joints)[list(contacts)]
        self.register_buffer("places", places_CJ, persistent=False)

    def forward(self, rows_BTJR: Tensor, contacts_BTC: Tensor) -> Tensor:
        rows_BTJI = torch.cat((rows_BTJR, (contacts_BTC @ self.places)[..., None]), -1)
        touching_J1D = (self.places.T @ self.contact_weight)[:, None]
        weight_JID = torch.cat((self.first.weight, touching_J1D), 1)
        hidden = F.silu(joint_linear(rows_BTJI, weight_JID, self.first.bias))
        return self.second(hidden).contiguous()


class JointDecoder(nn.Module):
    """(B, T, J, D) -> rows of joints, and contacts of some."""

    def __init__(self, joints: int, row: int, width: int, contacts: Joints) -> None:
        super().__init__()
        self.contacts = list(contacts)
        self.first = JointLinear(joints, width, width)
        self.second = JointLinear(joints, width, row)
        self.contact_weight = nn.Parameter(torch.empty(len(contacts), width))
        self.contact_bias = nn.Parameter(torch.empty(len(contacts)))
        for parameter in (self.contact_weight, self.contact_bias):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, x_BTJD: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.silu(self.first(x_BTJD))
        touching = (hidden[:, :, self.contacts] * self.contact_weight).sum(-1) + self.contact_bias
        return self.second(hidden), touching


class SkeletalConv(nn.Module):
    """Sum of a graph convolution and of a causal one over time and neighbouring numbers of joints.

    It is 3 frames long and 3 joints wide, by their numbers, as released.
    """

    mixing: Tensor

    def __init__(self, width: int, parents: Joints) -> None:
        super().__init__()
        self.own, self.neighbours = nn.Linear(width, width), nn.Linear(width, width)
        self.causal = nn.Conv2d(width, width, (LOOK_BACK + 1, 3))
        edges = adjacency(parents)
        mixing = edges / (edges.sum(1, keepdim=True) + 1e-6)
        self.register_buffer("mixing", mixing, persistent=False)

    def forward(self, x_BTJD: Tensor, memory: Memory | None) -> Tensor:
        if memory is None:
            seen_BTJD = pad(x_BTJD, LOOK_BACK)
        else:
            seen_BTJD = memory.with_last(self, x_BTJD, LOOK_BACK)
        # What a joint gives itself is the convolution's last frame and middle joint.
        weight = self.causal.weight + F.pad(self.own.weight[..., None, None], (1, 1, LOOK_BACK, 0))
        assert self.causal.bias is not None
        bias = self.own.bias + self.causal.bias
        summed = F.conv2d(seen_BTJD.permute(0, 3, 1, 2), weight, bias, padding=(0, 1))
        summed_MJD = summed.permute(0, 2, 3, 1).flatten(0, 1)
        mixing = self.mixing.to(summed.dtype).expand(len(summed_MJD), -1, -1)
        made_MJD = summed_MJD.baddbmm_(mixing, self.neighbours(x_BTJD).flatten(0, 1))
        return made_MJD.view(x_BTJD.shape)


class ResidualBlock(nn.Module):
    """x + dropout(conv(silu(conv(silu(x)))))."""

    def __init__(self, width: int, parents: Joints, dropout: float) -> None:
        super().__init__()
        self.first, self.second = SkeletalConv(width, parents), SkeletalConv(width, parents)
        self.dropout = Dropout(dropout)

    def forward(self, x_BTJD: Tensor, memory: Memory | None) -> Tensor:
        hidden = self.first(F.silu(x_BTJD), memory)
        return x_BTJD + self.dropout(self.second(F.silu(hidden), memory))


class Pool(nn.Module):
    """Means of groups of joints and of two frames each."""

    joints: Tensor

    def __init__(self, groups: Groups, joints: int) -> None:
        super().__init__()
        self.register_buffer("joints", pooling_matrix(groups, joints), persistent=False)

    def forward(self, x_BTJD: Tensor, memory: Memory | None) -> Tensor:
        if memory is not None:
            x_BTJD = memory.with_rest(self, x_BTJD, 2)
        return (self.joints @ x_BTJD).unflatten(1, (-1, 2)).mean(2)


class Unpool(nn.Module):
    """Sums of the groups of each joint; twice the frames, linearly between those of one latent."""

    joints: Tensor
    frames: Tensor

    def __init__(self, groups: Groups, joints: int, frames: int) -> None:
        """Make the matrices; `frames` is how many a latent has."""
        super().__init__()
        self.register_buffer("joints", unpooling_matrix(groups, joints), persistent=False)
        between = F.interpolate(torch.eye(frames)[None], scale_factor=2.0, mode="linear")[0].T
        self.register_buffer("frames", between.contiguous(), persistent=False)

    def forward(self, x_BTJD: Tensor) -> Tensor:
        pieces = (self.joints @ x_BTJD).unflatten(1, (-1, self.frames.shape[1]))
        return torch.einsum("sf,bnfjd->bnsjd", self.frames, pieces).flatten(1, 2)


class EncoderLevel(nn.Module):
    """Residual blocks, and pooling."""

    def __init__(self, config: AutoencoderConfig, parents: Joints, groups: Groups) -> None:
        super().__init__()
        self.blocks = _blocks(config, parents)
        self.pool = Pool(groups, len(parents))

    def forward(self, x_BTJD: Tensor, memory: Memory | None) -> Tensor:
        for block in self.blocks:
            x_BTJD = block(x_BTJD, memory)
        return self.pool(x_BTJD, memory)


class DecoderLevel(nn.Module):
    """Unpooling, and residual blocks."""

    def __init__(
        self, config: AutoencoderConfig, parents: Joints, groups: Groups, frames: int
    ) -> None:
        super().__init__()
        self.unpool = Unpool(groups, len(parents), frames)
        self.blocks = _blocks(config, parents)

    def forward(self, x_BTJD: Tensor, memory: Memory | None) -> Tensor:
        x_BTJD = self.unpool(x_BTJD)
        for block in self.blocks:
            x_BTJD = block(x_BTJD, memory)
        return x_BTJD


def _blocks(config: AutoencoderConfig, parents: Joints) -> nn.ModuleList:
    numbers = range(config.num_blocks)
    return nn.ModuleList(ResidualBlock(config.width, parents, config.dropout) for _ in numbers)


class SkeletalAutoencoder(nn.Module):
    """Normalised features of a person <-> latents."""

    def __init__(self, config: AutoencoderConfig, layout: MapLayout) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        self.graph = GRAPHS[layout.name]
        joints, row, width = self.graph.num_joints, layout.joint_dim, config.width
        levels = list(zip(self.graph.parents, self.graph.groups, strict=True))
        self.joint_encoder = JointEncoder(joints, row, width, self.graph.contacts)
        self.encoder = nn.ModuleList(EncoderLevel(config, *level) for level in levels)
        self.to_latents = JointLinear(self.graph.latent_joints, width, 2 * width)
        self.decoder = nn.ModuleList(
            DecoderLevel(config, *level, 2**number) for number, level in enumerate(reversed(levels))
        )
        self.joint_decoder = JointDecoder(joints, row, width, self.graph.contacts)
        self.part_code: PartCode | None = None
        if config.linear_code:
            self.part_code = PartCode(self.graph, layout, FRAMES, width)
            # What the convolutions add starts with nothing.
            last = self.to_latents, self.joint_decoder.second
            contacts = self.joint_decoder.contact_weight, self.joint_decoder.contact_bias
            for parameter in (*(each for layer in last for each in layer.parameters()), *contacts):
                nn.init.zeros_(parameter)

    def encode(self, x_BTF: Tensor, memory: Memory | None = None) -> Latents | None:
        """Latents (B, N, L) of motion.

        Args:
            memory: of the motion before, which is written into; None: there is none, and T is a
                multiple of 4.

        Returns:
            None where a piece of motion does not end a latent.
        """
        contacts, whole_BTF = len(self.graph.contacts), x_BTF
        if self.part_code is not None and memory is not None:
            whole_BTF = memory.with_rest(self.part_code, x_BTF, FRAMES)
        rows_BTJR = self.layout.to_joint_map(x_BTF)
        x_BTJD = self.joint_encoder(rows_BTJR, x_BTF[..., x_BTF.shape[-1] - contacts :])
        for level in self.encoder:
            x_BTJD = level(x_BTJD, memory)
            if not x_BTJD.shape[1]:
                return None
        mean_BNKD, log_variance_BNKD = self.to_latents(x_BTJD).chunk(2, -1)
        if self.part_code is not None:
            mean_BNKD = mean_BNKD + self.part_code.encode(whole_BTF)
            log_variance_BNKD = log_variance_BNKD + 2 * math.log(NOISE)
        return Latents(mean_BNKD.flatten(2), log_variance_BNKD.flatten(2))

    def decode(self, z_BNL: Tensor, memory: Memory | None = None) -> Tensor:
        """Features (B, T, F), T = 4 N; `memory` is as for `encode`."""
        z_BNKD = z_BNL.unflatten(-1, (self.graph.latent_joints, -1))
        x_BTJD = z_BNKD
        for level in self.decoder:
            x_BTJD = level(x_BTJD, memory)
        rows_BTJR, contacts_BTC = self.joint_decoder(x_BTJD)
        made_BTF = self.layout.from_joint_map(rows_BTJR)
        contacts = contacts_BTC.shape[-1]
        made_BTF = torch.cat((made_BTF[..., : made_BTF.shape[-1] - contacts], contacts_BTC), -1)
        return made_BTF if self.part_code is None else made_BTF + self.part_code.decode(z_BNKD)


class SkeletalCodec(PairFeatures):
    """The autoencoder with the statistics of the features that it was trained on.

    Raises:
        ValueError: as `PairFeatures`.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config.layout, config.num_features)
        self.config = config
        self.autoencoder = SkeletalAutoencoder(config, self.layout)

    unit = FRAMES

    @property
    def latent_dim(self) -> int:
        """L."""
        return self.autoencoder.graph.latent_joints * self.config.width

    def encode(self, x_BPTF: Tensor) -> Latents:
        """Latents (B, P, N, L) of normalised features; frames behind the last whole 4 are left out.

        Raises:
            ValueError: there are fewer than 4 frames.
        """
        whole = x_BPTF.shape[2] // FRAMES * FRAMES
        if not whole:
            raise ValueError(
                f"motion of {x_BPTF.shape[2]} frames can't be encoded: it must have at least "
                f"{FRAMES} of them"
            )
        latents = self.autoencoder.encode(x_BPTF[:, :, :whole].flatten(0, 1))
        assert latents is not None
        return Latents(*(part.unflatten(0, x_BPTF.shape[:2]) for part in latents))

    def decode(self, z_BPNL: Tensor) -> Tensor:
        """Normalised features (B, P, T, F), T = 4 N."""
        made_BTF = self.autoencoder.decode(z_BPNL.flatten(0, 1))
        if self.config.smoothing and not self.training:
            made_BTF = smooth(made_BTF, self.config.smoothing)
        return made_BTF.unflatten(0, z_BPNL.shape[:2])
