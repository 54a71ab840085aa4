"""Sizes and settings of InterMask: tokenizer and its losses, transformer, decoding."""

from dataclasses import dataclass
from typing import Annotated, Literal

from duomotion.config import Count, Factor, Length, Share, Size, Sizes, Within, ZeroOrMore
from duomotion.motion.skeleton import SMPL22

Bones = Annotated[tuple[tuple[int, int], ...], Within(0, 1000)]
Dilations = Annotated[tuple[Length, ...], Within(0, 16)]


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """The 2D VQ-VAE of section 3.1. Defaults are those of the released InterHuman model.

    Pairs are over (joint, frame). Every level of the encoder applies a strided convolution, every
    level of the decoder doubles the frames and brings the joints to the next of `decoder_joints`.

    The input has a row of numbers over time for each joint, of one person (paper's model) or with
    the channels of both people concatenated (`num_people=2`). With `token_map="1d"` there is a
    single row of all numbers and convolutions are over time alone; fields that count joints and
    `input_layer` then have no effect. The paper does not say how its ablations are built.

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_joints: Size = 22  # appendix E.1
    joint_dim: Size = 12  # position 3, velocity 3, 6-D rotation (released code)
    num_people: Literal[1, 2] = 1  # table 2; 2: one token map for both people of an interaction
    token_map: Literal["2d", "1d"] = "2d"  # table 2
    input_layer: Literal["graph", "conv"] = "graph"  # released code; "conv" before April 2025
    bones: Bones = tuple(SMPL22.bones)  # (child, parent), for "graph"
    widths: Sizes = (512, 512, 512)  # channels by resolution, full first; released code
    code_dim: Size = 512  # d', appendix E.1
    num_codes: Size = 1024  # |C|, appendix E.1
    kernel: tuple[Count, Count] = (4, 4)  # released code
    stride: tuple[Count, Count] = (2, 2)  # released code: joints 22, 11, 5; frames T, T/2, T/4
    decoder_joints: Sizes = (11, 22)  # released code
    dilations: Dilations = (3, 1)  # of the residual blocks of a level, released code
    dropout: Share = 0.2  # released code
    ema_decay: Share = 0.99  # mu, released code
    temperature: Factor = 0.5  # of the code assignment in training, released code
    dead_below: Factor = 1.0  # average uses per batch below which a code is replaced, released code

    def __post_init__(self) -> None:
        if self.kernel[1] != 4 or self.stride[1] != 2:
            raise ValueError(
                "the tokenizer halves the frames at every level: kernel[1] must be 4 and "
                f"stride[1] must be 2, not {self.kernel[1]} and {self.stride[1]}"
            )
        if len(self.widths) != self.num_levels + 1:
            raise ValueError(
                f"widths {self.widths} must name {self.num_levels + 1} numbers of channels: "
                f"at full resolution and after each of {self.num_levels} levels"
            )
        if self.decoder_joints[-1] != self.num_joints:
            raise ValueError(
                f"decoder_joints {self.decoder_joints} must end with num_joints {self.num_joints}"
            )
        if self.num_parts < 1:
            raise ValueError(
                f"{self.num_joints} joints are too few for {self.num_levels} levels with kernel "
                f"{self.kernel[0]} and stride {self.stride[0]}"
            )
        if any(not 0 <= joint < self.num_joints for bone in self.bones for joint in bone):
            raise ValueError(f"bones name joints outside 0 to {self.num_joints - 1}")

    @property
    def num_levels(self) -> int:
        return len(self.decoder_joints)

    @property
    def is_flat(self) -> bool:
        return self.token_map == "1d"

    @property
    def num_rows(self) -> int:
        """Rows of the tokenizer's input."""
        return 1 if self.is_flat else self.num_joints

    @property
    def row_dim(self) -> int:
        """Numbers per row and frame."""
        return self.num_people * self.num_joints * self.joint_dim // self.num_rows

    @property
    def num_parts(self) -> int:
        """Rows of the token map: the joints after the last encoder level (j in the paper)."""
        if self.is_flat:
            return 1
        joints = self.num_joints
        for _ in range(self.num_levels):
            joints = (joints + 2 - self.kernel[0]) // self.stride[0] + 1
        return joints

    @property
    def downsampling(self) -> int:
        """Frames a token covers (N/n in the paper)."""
        return 2**self.num_levels


@dataclass(frozen=True, kw_only=True)
class PartTokenizerConfig:
    """A tokenizer of body parts with a closed-form fit (ours), for little data and time.

    Raises:
        ValueError: the sizes do not fit together.
    """

    frames: Length = 8  # per token
    reach: ZeroOrMore = 1  # tokens before and after that the decoder sees too
    channels: Size = 24  # principal components of a row
    num_codes: Size = 1024  # of each row
    elbows: Factor = 2.0  # weight of their error, which is more visible than that of other joints
    rotations: Factor = 0.05  # weight of 6-D rotations, next to positions in metres

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError(f"frames must be 2 or more, not {self.frames}")
        if self.channels > 3 * self.frames:
            raise ValueError(
                f"channels must be {3 * self.frames} or fewer, the numbers that the root's path "
                f"has in {self.frames} frames, not {self.channels}"
            )

    @property
    def num_parts(self) -> int:
        """Rows of the token map: position, heading and path, trunk and legs, each arm."""
        return 5


# The released Inter-X model: 55 rotations and a row of translation and velocity (appendix E.1).
INTERX_TOKENIZER = TokenizerConfig(
    num_joints=56,
    joint_dim=6,
    input_layer="conv",
    bones=(),
    kernel=(6, 4),
    stride=(3, 2),
    decoder_joints=(17, 56),
)


@dataclass(frozen=True, kw_only=True)
class TokenizerLossWeights:
    """Weights of the terms of equation 2, all from the released InterHuman training.

    `rotation_reading` says how the rotation term reads 6-D rotations: "released" reads the
    normalised numbers as two concatenated columns, as the released code does although they are
    stored interleaved; "interleaved" denormalises them and reads them as they are stored.
    """

    reconstruction: float = 1.0
    commitment: float = 0.02  # beta
    position: float = 1.0  # not in the paper
    velocity: float = 100.0
    bone: float = 5.0
    rotation: float = 0.01  # not in the paper
    contact: float = 500.0
    beta: float = 1.0  # below this a smooth L1 term is a square; 0 is the paper's L1
    rotation_reading: Literal["released", "interleaved"] = "released"


@dataclass(frozen=True, kw_only=True)
class InterMConfig:
    """The Inter-M transformer of the paper; smaller sizes make smaller models.

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_codes: Size = 1024  # |C|, table 5
    num_parts: Count = 5  # j, table 5
    per_part_codebooks: bool = False  # ours; True: each row of the token map has codes of its own
    person_embedding: bool = False  # ours; True: the person who starts at the origin is marked
    token_dim: Size = 512  # width of the token embedding; released code, equal to d' of table 5
    local_conv_radius: ZeroOrMore = 0  # ours; frames before and after that a token's input covers
    width: Size = 384  # d~, table 5
    num_heads: Count = 6  # table 5
    num_blocks: Count = 6  # L, table 5
    feedforward: Size = 1024  # released code
    dropout: Share = 0.2  # released code
    attention_dropout: Share = 0.2  # released code; 0 lets attention use a fused kernel in training
    modulation_rank: Size | None = None  # rank of the adaLN matrices; None: full, as in the paper

    self_attention: bool = True  # table 3; False: no block attends to both people at once
    spatio_temporal_attention: bool = True  # table 3
    cross_attention: bool = True  # table 3; False: people meet in self attention only
    alternating: bool = False  # table 3, appendix G; True: one person at a time is predicted

    text_dim: Size = 768  # CLIP ViT-L/14@336px, table 5
    text_layers: ZeroOrMore = 2  # released code (InterGen's text head); 0: only scaled
    text_heads: Count = 8  # released code
    text_feedforward: Size = 2048  # released code
    text_dropout: Share = 0.1  # released code (default of torch.nn.TransformerEncoderLayer)

    cond_drop: Share = 0.1  # share of samples trained without text, table 6
    random_mask_prob: Share = 0.8  # p_r, tables 4 and 6; the others get interaction masking
    blank_prob: Share = 0.0  # ours; share of samples as of `losses.masked.blanked`
    random_id_prob: Share = 0.1  # share of selected tokens replaced by a random one; released code
    mask_token_prob: Share = 0.88  # share of the others replaced by [MASK]; released code
    unroll_weight: Factor = 1.0  # of the step-unroll loss, released code; 0: one pass, table 3
    unroll_time_step: Share = 1 / 21  # time from the first to the second pass; released code

    guidance: Factor = 2.0  # classifier-free guidance, table 7
    steps: Length = 20  # I, table 7
    reaction_steps: Length = 10  # released code, half of I; table 7 says 12
    temperature: Factor = 1.0  # table 7
    top_k_ratio: Share = 0.9  # share of the least likely codes that are never drawn; released code
    choice_temperature: Factor = 0.0  # ours, as in MaskGIT's code; see `sampling.tokens.fill_in`
    attempts: Count = 1  # ours; see `sampling.request.Sampling`

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(
                f"width {self.width} must be a multiple of num_heads {self.num_heads}."
            )
        if self.person_embedding and self.alternating:
            raise ValueError(
                "person_embedding and alternating can't both be true; "
                "a network that predicts one person at a time does not know which."
            )
        if self.text_layers and self.text_dim % self.text_heads:
            raise ValueError(
                f"text_dim {self.text_dim} must be a multiple of text_heads {self.text_heads}."
            )

    @property
    def mask_id(self) -> int:
        """Id of [MASK], the token to be predicted."""
        return self.num_codes

    @property
    def pad_id(self) -> int:
        """Id of the padding of shorter samples."""
        return self.num_codes + 1

    @property
    def vocabulary(self) -> int:
        """Number of different tokens: codes, [MASK], padding and [SEP]."""
        return self.num_codes * (self.num_parts if self.per_part_codebooks else 1) + 3
