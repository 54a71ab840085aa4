"""Sizes and settings of InterGen: denoiser, noise, sampling, and the weights of its losses."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from duomotion.config import Count, Factor, Length, Share, Size, Within, ZeroOrMore
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.sampling.diffusion import NoiseSchedule

SHIFTS = GuidanceConfig(
    collision_steps=10, collision_rate=0.05, goal_last=20, goal_rate=0.02, near=0.0
)
"""Where people are shifted, in metres; the network puts right what that does to their limbs."""


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """InterGen's denoiser; defaults are the released model's (configs/model.yaml).

    Raises:
        ValueError: the sizes do not fit together.
    """

    layout: str = "interhuman"
    num_features: Size = 262  # of one person
    width: Size = 1024
    num_heads: Count = 8
    num_blocks: Count = 8
    feedforward: Size = 2048
    dropout: Share = 0.1
    attention_dropout: Share = 0.1
    modulation_rank: Size | None = None  # of the adaptive layer norms; None: full, as released
    person_embedding: bool = False  # ours; True: the person who starts at the origin is marked
    patch: Length = 1  # ours; frames that the blocks see as one

    text_dim: Size = 768  # CLIP ViT-L/14@336px
    text_layers: ZeroOrMore = 2  # of the text head; 0: only scaled
    text_heads: Count = 8
    text_feedforward: Size = 2048
    text_dropout: Share = 0.1
    cond_drop: Share = 0.1  # share of samples trained without text

    noise: NoiseSchedule = field(default_factory=NoiseSchedule)  # 1000 steps, cosine, predicts x0

    solver: str = "ddim"
    steps: Length = 50
    guidance: Factor = 3.5
    resampling: Count = 1  # see `sampling.diffusion`
    shift_guidance: GuidanceConfig = SHIFTS  # ours
    attempts: Count = 1  # ours; see `sampling.request.Sampling`

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        if self.width % 2:
            raise ValueError(f"width must be even, not {self.width}")
        if self.text_layers and self.text_dim % self.text_heads:
            raise ValueError(
                f"text_dim {self.text_dim} must be a multiple of text_heads {self.text_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of InterGen's losses and which form of them is meant; defaults are as released."""

    simple: Factor = 1.0
    velocity: Factor = 30.0
    bone: Factor = 10.0
    contact: Factor = 30.0
    orientation: Factor = 0.01
    affinity: Factor = 3.0
    distance: Factor = 3.0
    last_step: Annotated[int, Within(0, 10_000)] = (
        700  # T-bar: samples with more noise have the simple loss alone
    )
    affinity_within: Factor = 0.1  # metres
    distance_within: Factor = 1.0  # metres
    form: Literal["released", "papers"] = "released"  # see `losses.interaction`
