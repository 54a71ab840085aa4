"""A tokenizer of body parts for little data (ours), in place of the 2D VQ-VAE.

A block of frames of a person becomes one token for each row of the token map: position, heading and
path, trunk and legs, left arm, right arm. Poses are relative to the person's own frame, so that the
same movement has the same tokens wherever it takes place. Every row has its own codebook, k-means
clusters of principal components. The decoder is linear in the codes of a block and its neighbours
in time, fitted by least squares.

Axes: B motions, T frames, N blocks, F frames of a block, J joints, D numbers per joint, P rows of
the token map, C channels of a row, X features of a row and block, M vectors to fit.
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermask.config import PartTokenizerConfig
from duomotion.models.intermask.tokenizer import TokenizerOutput
from duomotion.models.layers.quantize import VectorQuantizer, perplexity
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.rotations import rotate_about_y
from duomotion.motion.skeleton import SMPL22

NUM_JOINTS, JOINT_DIM = INTERHUMAN.num_joints, INTERHUMAN.joint_dim
ROOT = (0,)
LEFT_ARM, RIGHT_ARM = (
    tuple(SMPL22.index(f"{side}_{joint}") for joint in ("shoulder", "elbow", "wrist"))
    for side in ("left", "right")
)
BODY = tuple(j for j in range(NUM_JOINTS) if j not in ROOT + LEFT_ARM + RIGHT_ARM)
ROWS = (ROOT, BODY, LEFT_ARM, RIGHT_ARM)  # after the row of positions
# Shoulders are relative to the neck, elbows and wrists to their shoulder.
ARMS = LEFT_ARM + RIGHT_ARM
ARMS_FROM = tuple(
    start
    for shoulder, *_ in (LEFT_ARM, RIGHT_ARM)
    for start in (SMPL22.index("neck"), *2 * [shoulder])
)
POSITION_DIM, FACING_DIM = 2, 2  # x and z; cosine and sine of the heading
POSE_DIM = 9  # per joint: position and 6-D rotation
RIDGE = 1e-5  # of the least squares


class BodyFrame(NamedTuple):
    """A person's own frame during each block.

    Attributes:
        position_BN2: metres, x and z of the root, mean over the block.
        heading_BN: radians about +Y from +Z, of hips and shoulders together.
    """

    position_BN2: Tensor
    heading_BN: Tensor

    @classmethod
    def from_positions(cls, positions_BNFJ3: Tensor) -> "BodyFrame":
        left, right = (
            [SMPL22.index(f"{side}_{joint}") for joint in ("hip", "shoulder")]
            for side in ("left", "right")
        )
        across = positions_BNFJ3[..., left, :] - positions_BNFJ3[..., right, :]
        x_BN, _, z_BN = across.mean((2, 3)).unbind(-1)
        return cls(positions_BNFJ3[..., 0, ::2].mean(2), torch.atan2(-z_BN, x_BN))

    def to_local(self, positions_BNFJ3: Tensor) -> Tensor:
        """Positions in the world -> in this frame."""
        return rotate_about_y(positions_BNFJ3 - self._origin, -self.heading_BN[..., None, None])

    def to_world(self, positions_BNFJ3: Tensor) -> Tensor:
        """The inverse of `to_local`."""
        return rotate_about_y(positions_BNFJ3, self.heading_BN[..., None, None]) + self._origin

    def at(self, block_N: Tensor) -> "BodyFrame":
        return BodyFrame(self.position_BN2[:, block_N], self.heading_BN[:, block_N])

    def relative_to(self, other: "BodyFrame") -> Tensor:
        """(B, N, 4): x and z in the other frame, sine and cosine of the difference of headings."""
        offset = rotate_about_y(on_floor(self.position_BN2 - other.position_BN2), -other.heading_BN)
        turn = self.heading_BN - other.heading_BN
        return torch.cat([offset[..., ::2], torch.stack((turn.sin(), turn.cos()), -1)], -1)

    @property
    def _origin(self) -> Tensor:
        return on_floor(self.position_BN2)[:, :, None, None]


def on_floor(position: Tensor) -> Tensor:
    """(..., 2) x and z -> (..., 3)."""
    x, z = position.unbind(-1)
    return torch.stack((x, torch.zeros_like(x), z), -1)


def join_blocks(x_BNFJD: Tensor) -> Tensor:
    """Blocks in sequence (B, T, J, D), with the discontinuities between them smoothed.

    The excess of a step between two blocks over the motion around it is split between both sides,
    and fades over a block.
    """
    frames = x_BNFJD.shape[2]
    before, after = x_BNFJD[:, :-1], x_BNFJD[:, 1:]
    step = after[:, :, 0] - before[:, :, -1]
    motion = (before[:, :, -1] - before[:, :, -2] + after[:, :, 1] - after[:, :, 0]) / 2
    excess = ((step - motion) / 2)[:, :, None]
    time_F = (torch.arange(frames, device=x_BNFJD.device) + 0.5) / frames
    fade_F11 = (0.5 + 0.5 * torch.cos(torch.pi * time_F))[:, None, None]
    end, start = excess * fade_F11.flip(0), excess * fade_F11
    zero = torch.zeros_like(x_BNFJD[:, :1])
    offset = torch.cat((end, zero), 1) - torch.cat((zero, start), 1)
    return (x_BNFJD + offset).flatten(1, 2)


class PartTokenizer(nn.Module):
    """Encoders, codebooks and decoder, all set by `fit`; training refines the decoder.

    Works on joint maps in metres, not normalised. The channels of the first row are x and z, those
    of the second cosine and sine of the heading and components, those of the others components.
    """

    def __init__(self, config: PartTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        # Straight-through gradients would only lead away from the fit.
        encoders = (
            nn.Linear(config.frames * len(row) * _joint_dim(row), config.channels).requires_grad_(
                False
            )
            for row in ROWS
        )
        widths = [POSITION_DIM, *(FACING_DIM * (row == ROOT) + config.channels for row in ROWS)]
        quantizers = (VectorQuantizer(config.num_codes, width) for width in widths)
        self.encoders = cast(list[nn.Linear], nn.ModuleList(encoders))
        self.quantizers = cast(list[VectorQuantizer], nn.ModuleList(quantizers))
        context = 2 * config.reach
        inputs = (context + 1) * len(ROWS) * config.channels + context * (POSITION_DIM + FACING_DIM)
        self.decoder = nn.Linear(inputs, config.frames * NUM_JOINTS * POSE_DIM)

    @property
    def num_parts(self) -> int:
        return self.config.num_parts

    @property
    def downsampling(self) -> int:
        """Frames a token covers."""
        return self.config.frames

    def forward(self, joints_BTJD: Tensor) -> TokenizerOutput:
        """Reconstruct motion; the codebooks are not updated."""
        ids_BN = self.encode(joints_BTJD)
        used = [
            perplexity(torch.bincount(ids_N.flatten(), minlength=self.config.num_codes).float())
            for ids_N in ids_BN.chunk(self.num_parts, 1)
        ]
        return TokenizerOutput(
            reconstruction=self.decode(ids_BN),
            commitment=joints_BTJD.new_zeros(()),
            perplexity=torch.stack(used).mean(),
            ids=ids_BN,
        )

    def encode(self, joints_BTJD: Tensor) -> Tensor:
        """Token ids (B, N P), row by row, of joint maps in metres.

        Raises:
            ValueError: the motion has another shape, or a length that is no multiple of a token's.
        """
        rows = self.latents(*self._blocks(joints_BTJD))
        ids = [quantizer.nearest(row) for quantizer, row in zip(self.quantizers, rows, strict=True)]
        return torch.cat(ids, 1)

    def decode(self, ids_BN: Tensor) -> Tensor:
        """Joint maps (B, T, J, D) in metres of token ids.

        Raises:
            ValueError: the number of tokens is no multiple of the number of parts.
        """
        if ids_BN.shape[1] % self.num_parts:
            raise ValueError(
                f"{ids_BN.shape[1]} tokens do not make a map of {self.num_parts} parts: "
                f"the number must be a multiple of {self.num_parts}"
            )
        body_frame, inputs_BNX = self.decoder_inputs(ids_BN)
        local_BNX = self.decoder(inputs_BNX)
        local, sixd = local_BNX.unflatten(-1, (self.config.frames, NUM_JOINTS, POSE_DIM)).split(
            (3, 6), -1
        )
        positions_BTJ3, sixd_BTJ6 = join_blocks(body_frame.to_world(local)), join_blocks(sixd)
        step = positions_BTJ3.diff(dim=1)
        velocities = torch.cat([step, step[:, -1:]], 1)
        rotations = F.pad(sixd_BTJ6[:, :, 1:], (0, 0, 1, 0))
        return torch.cat([positions_BTJ3, velocities, rotations], -1)

    def latents(self, positions_BNFJ3: Tensor, sixd_BNFJ6: Tensor) -> list[Tensor]:
        """The vectors that are quantised, (B, N, channels) of each row."""
        body_frame = BodyFrame.from_positions(positions_BNFJ3)
        facing = torch.stack((body_frame.heading_BN.cos(), body_frame.heading_BN.sin()), -1)
        motion, *poses = (
            encoder(row_BNX)
            for encoder, row_BNX in zip(
                self.encoders,
                self.row_features(body_frame, positions_BNFJ3, sixd_BNFJ6),
                strict=True,
            )
        )
        return [body_frame.position_BN2, torch.cat([facing, motion], -1), *poses]

    def row_features(
        self, body_frame: BodyFrame, positions_BNFJ3: Tensor, sixd_BNFJ6: Tensor
    ) -> list[Tensor]:
        """Encoder inputs (B, N, X) of each row but the first, scaled so that errors weigh alike."""
        local = body_frame.to_local(positions_BNFJ3)
        relative = local.clone()
        relative[..., ARMS, :] -= local[..., ARMS_FROM, :]
        importance_J1 = local.new_ones(NUM_JOINTS, 1)
        importance_J1[[LEFT_ARM[1], RIGHT_ARM[1]]] = self.config.elbows
        features = torch.cat([relative * importance_J1, sixd_BNFJ6 * self.config.rotations], -1)
        return [features[..., row, : _joint_dim(row)].flatten(2) for row in ROWS]

    def decoder_inputs(self, ids_BN: Tensor) -> tuple[BodyFrame, Tensor]:
        """Frames and decoder inputs of each block; the first and the last block are repeated."""
        position, root, *poses = (
            quantizer.lookup(ids)
            for quantizer, ids in zip(self.quantizers, ids_BN.chunk(self.num_parts, 1), strict=True)
        )
        body_frame = BodyFrame(position, torch.atan2(root[..., 1], root[..., 0]))
        channels_BNC = torch.cat([root[..., FACING_DIM:], *poses], -1)
        blocks = torch.arange(channels_BNC.shape[1], device=ids_BN.device)
        inputs = [channels_BNC]
        for offset in range(-self.config.reach, self.config.reach + 1):
            if offset:
                context = (blocks + offset).clamp(0, len(blocks) - 1)
                inputs += [channels_BNC[:, context], body_frame.at(context).relative_to(body_frame)]
        return body_frame, torch.cat(inputs, -1)

    def _blocks(self, joints_BTJD: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, N, F, J, 3) and rotations (B, N, F, J, 6)."""
        _, frames, *joint_shape = joints_BTJD.shape
        unit = self.downsampling
        if joint_shape != [NUM_JOINTS, JOINT_DIM] or frames % unit or not frames:
            raise ValueError(
                f"motion of shape {tuple(joints_BTJD.shape)} can't be tokenized: it must be "
                f"(batch, frames, {NUM_JOINTS}, {JOINT_DIM}), frames a multiple of {unit}"
            )
        blocks = joints_BTJD.unflatten(1, (-1, unit))
        return blocks[..., :3], blocks[..., 6:]

    @torch.no_grad()
    def fit(self, joints_BTJD: Tensor, rng: torch.Generator) -> None:
        """Fit encoder, codebooks and decoder to joint maps in metres, in this order.

        Args:
            joints_BTJD: T a multiple of the frames of a token.
            rng: chooses the vectors that the clusters of the codebooks start from.
        """
        positions, sixd = self._blocks(joints_BTJD)
        rows = self.row_features(BodyFrame.from_positions(positions), positions, sixd)
        for encoder, row_BNX in zip(self.encoders, rows, strict=True):
            _fit_pca(encoder, row_BNX.flatten(0, 1))
        for quantizer, row_BNC in zip(self.quantizers, self.latents(positions, sixd), strict=True):
            quantizer.cluster(row_BNC.flatten(0, 1), rng)
        body_frame, inputs = self.decoder_inputs(self.encode(joints_BTJD))
        targets = torch.cat([body_frame.to_local(positions), sixd], -1)
        _fit_least_squares(self.decoder, inputs.flatten(0, 1), targets.flatten(2).flatten(0, 1))


def _joint_dim(row: tuple[int, ...]) -> int:
    """Numbers per joint of a row; the root has no rotation."""
    return 3 if row == ROOT else POSE_DIM


def _fit_pca(layer: nn.Linear, x_MX: Tensor) -> None:
    """Set a linear layer to project on the principal components of M vectors."""
    mean_X = x_MX.mean(0)
    centred_MX = (x_MX - mean_X).double()
    _, axes_XX = torch.linalg.eigh(centred_MX.T @ centred_MX)
    axes_CX = axes_XX[:, -layer.out_features :].flip(1).T.to(x_MX)
    layer.weight.copy_(axes_CX)
    layer.bias.copy_(-axes_CX @ mean_X)


def _fit_least_squares(layer: nn.Linear, inputs_MX: Tensor, targets_MY: Tensor) -> None:
    inputs = F.pad(inputs_MX, (0, 1), value=1.0).double()
    gram = inputs.T @ inputs / len(inputs)
    gram.diagonal().add_(RIDGE)
    cross = inputs.T @ targets_MY.double() / len(inputs)
    solution = torch.linalg.solve(gram, cross).to(targets_MY)
    layer.weight.copy_(solution[:-1].T)
    layer.bias.copy_(solution[-1])
