"""Sizes and settings of MoMask (Guo et al. 2024): tokenizer and two transformers.

Defaults are those of the model that the authors released for HumanML3D. "Released code" marks what
the paper does not say, or says otherwise.
"""

from dataclasses import dataclass
from typing import Literal

from duomotion.config import Count, Factor, Length, Levels, Share, Size, ZeroOrMore

WIDEST_DILATION = 4096  # frames


@dataclass(frozen=True, kw_only=True)
class ResidualTokenizerConfig:
    """The residual VQ-VAE of section 3.1.

    Raises:
        ValueError: the sizes do not fit together.
    """

    layout: str = "humanml3d"  # name of the layout of features that it was trained on
    num_features: Size = 263  # of a person and frame; section 4
    num_people: Literal[1, 2] = 1  # 2: one sequence of tokens for both people (ILD, appendix E)
    width: Size = 512  # channels of every layer; released code
    depth: Count = 3  # residual blocks per level; released code
    dilation_growth: Count = 3  # from a block to the one before it; released code: 9, 3, 1
    num_levels: Levels = 2  # each halves the frames; 2: a token covers 4 (section 4)
    dropout: Share = 0.2  # of residual blocks; released code
    num_layers: Count = 6  # quantisation layers, V + 1; section 4, table 2
    num_codes: Size = 512  # of each layer; section 4
    code_dim: Size = 512  # d, section 4
    quantize_dropout: Share = 0.2  # q, section 4, table 2; 0: all layers in every step
    ema_decay: Share = 0.99  # released code
    temperature: Factor = 0.5  # of the code assignment in training, released code
    dead_below: Factor = 1.0  # average uses per batch below which a code is replaced, released code
    pca_encoder: bool = False  # ours; True: encoder and codes are fitted in closed form

    def __post_init__(self) -> None:
        if self.dilations[0] > WIDEST_DILATION:
            raise ValueError(
                f"dilation_growth {self.dilation_growth} and depth {self.depth} make convolutions "
                f"that reach {self.dilations[0]:,} frames, more than {WIDEST_DILATION:,}"
            )

    @property
    def downsampling(self) -> int:
        """Frames a token covers (N/n in the paper)."""
        return 2**self.num_levels

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of the residual blocks of a level, widest first."""
        return tuple(self.dilation_growth**block for block in reversed(range(self.depth)))


@dataclass(frozen=True, kw_only=True)
class ResidualTokenizerLossWeights:
    """Weights of the terms of equation 2, from the released training."""

    reconstruction: float = 1.0
    commitment: float = 0.02  # beta
    position: float = 0.5  # of joints about the root; not in the paper
    beta: float = 1.0  # below this a smooth L1 term is a square; 0 is the paper's L1


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """What both transformers have; smaller sizes make smaller models.

    Raises:
        ValueError: the heads do not divide the width.
    """

    num_codes: Size = 512  # of each quantisation layer; section 4
    token_dim: Size = 512  # width of the token embedding; released code, equal to d
    width: Size = 384  # section 4
    num_heads: Count = 6  # section 4
    num_blocks: Count = 8  # released code; section 4 says 6
    feedforward: Size = 1024  # released code
    dropout: Share = 0.2  # released code
    attention_dropout: Share = 0.2  # released code; 0 lets attention use a fused kernel in training
    text_dim: Size = 512  # CLIP ViT-B/32; released code
    scale_text: bool = False  # ours; True: text vectors are normalised to unit variance
    local_conv_radius: ZeroOrMore = 0  # ours; tokens before and after that a token's input covers
    max_tokens: Length = 1024  # most tokens of a sequence; released code: 5000
    cond_drop: Share = 0.1  # share of samples trained without text; section 3.4
    temperature: Factor = 1.0  # released code
    top_k_ratio: Share = 0.9  # share of the least likely codes that are never drawn; released code

    def __post_init__(self) -> None:
        if self.width % self.num_heads or self.width % 2:
            raise ValueError(
                f"width {self.width} must be even and a multiple of num_heads {self.num_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(TransformerConfig):
    """The masked transformer of section 3.2, which generates the tokens of the base layer."""

    random_id_prob: Share = 0.1  # share of selected tokens replaced by a random one; released code
    mask_token_prob: Share = 0.88  # share of the others replaced by [MASK]; released code
    blank_prob: Share = 0.0  # ours; share of samples as of `losses.masked.blanked`
    # s of section 4, on KIT-ML 2: u + s (c - u), as the released code does; equation 5 prints
    # (1 + s) c - s u, which is the same with 1 less.
    guidance: Factor = 4.0
    steps: Length = 10  # L, section 4; table 2 is measured with 18
    choice_temperature: Factor = 0.0  # ours, as in MaskGIT's code; see `sampling.tokens.fill_in`

    @property
    def mask_id(self) -> int:
        """Id of [MASK], the token to be predicted."""
        return self.num_codes

    @property
    def pad_id(self) -> int:
        """Id of the padding of shorter samples."""
        return self.num_codes + 1


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(TransformerConfig):
    """The residual transformer of section 3.3, which generates the tokens of the other layers.

    Raises:
        ValueError: there is no residual layer.
    """

    num_layers: Count = 6  # quantisation layers with the base layer, V + 1; section 4
    share_weights: bool = True  # of layer j's prediction and layer j + 1's input; section 3.3
    cond_drop: Share = 0.2  # released code; section 3.4 says 0.1
    guidance: Factor = 5.0  # section 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_layers < 2:
            raise ValueError(f"num_layers must be 2 or more, not {self.num_layers}")

    @property
    def pad_id(self) -> int:
        """Id of the padding of shorter samples, which is also a class of the output."""
        return self.num_codes
