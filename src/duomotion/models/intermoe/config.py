"""Sizes and settings of InterMoE: autoencoder, denoiser, routing, sampling, weights of the losses.

Defaults are the paper's; where it gives no number, the released code's (configs/).
"""

from dataclasses import dataclass, field
from typing import Literal

from duomotion.config import Count, Factor, Share, Size, ZeroOrMore
from duomotion.models.pair_denoiser import DenoiserSettings
from duomotion.models.pair_guidance import GuidanceConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """The causal-skeletal autoencoder (configs/cstvae-interhuman.yaml).

    Attributes:
        width: of each joint in all layers, and of a joint's latent.
        num_blocks: residual blocks of each level.
        dropout: in each residual block (model.dropout there).
        linear_code: ours; latents begin as a code of each part, to which the convolutions add
            (`part_code`).
        smoothing: ours; standard deviation in frames of a Gaussian over decoded motion, which joins
            what neighbouring latents decode to. 0: none.
    """

    layout: str = "interhuman"
    num_features: Size = 262  # of one person
    width: Size = 64
    num_blocks: Count = 2
    dropout: Share = 0.1
    linear_code: bool = False
    smoothing: Factor = 0.0


@dataclass(frozen=True, kw_only=True)
class AutoencoderLossWeights:
    """Weights of the autoencoder's losses; 0 leaves one out.

    Attributes:
        position, velocity, rotation: of these numbers among the normalised features, once more.
        joints, steps, bones, contact: ours, on joints in metres: where they are, how they go on to
            the next frame, how long bones are, and how feet slide that touch the floor.
    """

    reconstruction: Factor = 1.0
    kl: Factor = 0.02
    position: Factor = 0.5
    velocity: Factor = 0.5
    rotation: Factor = 0.5
    joints: Factor = 0.0
    steps: Factor = 0.0
    bones: Factor = 0.0
    contact: Factor = 0.0


@dataclass(frozen=True, kw_only=True)
class RoutingConfig:
    """Which tokens experts work on, and how their results are weighted.

    Attributes:
        num_experts: 0: one feedforward network for all tokens, as in InterGen ("Baseline").
        feedforward: hidden width of an expert, or of that network.
        capacity: tokens that an expert is to select are this, times all, divided by the experts
            (1 in configs/intermoe-interhuman.yaml, model.MoE_config.capacity).
        router: what logits follow from: "synergistic": a person's motion before the layer norm, and
            text and noise level; "motion" and "text": one of these alone; "plain": what the experts
            read, as is usual ("w/o Motion & Text Router").
        alpha: share of the motion's logits in the sum of both (the paper's fusion); None: their
            plain sum (released code).
        pool: among which tokens experts choose, and are counted: those of a person in all samples,
            or sample by sample ("w/o Batch-level Routing").
        selection: "dynamic": each expert takes the tokens whose logit is above what its bias says;
            "expert_choice": the same number always, the highest ("w/o Dynamic Selection");
            "token_choice": tokens choose their experts ("w/o Temporal-Selective").
        bias_start, bias_rate: of the biases, and by how much one changes for each person in a step.
        route_padding: places behind a sample's end are routed and counted too (released code).

    Raises:
        ValueError: a number is out of its range.
    """

    num_experts: ZeroOrMore = 8
    feedforward: Size = 1024
    capacity: Factor = 1.0
    router: Literal["synergistic", "motion", "text", "plain"] = "synergistic"
    alpha: Share | None = 0.5
    pool: Literal["batch", "sample"] = "batch"
    selection: Literal["dynamic", "expert_choice", "token_choice"] = "dynamic"
    bias_start: float = -0.5
    bias_rate: Factor = 0.001
    route_padding: bool = False

    def __post_init__(self) -> None:
        if not -1 < self.bias_start < 0:
            raise ValueError(f"bias_start must lie between -1 and 0, not be {self.bias_start}")
        if self.num_experts and self.capacity > self.num_experts:
            raise ValueError(
                f"capacity {self.capacity:g} must be at most the number of experts, "
                f"{self.num_experts}"
            )


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig(DenoiserSettings):
    """The cooperative denoisers of latents (configs/intermoe-interhuman.yaml).

    Attributes:
        num_features: numbers that the autoencoder makes of a person in 4 frames.
        dropout: of a feedforward network that is no expert; as attention_dropout, model.DROPOUT
            there.
        normalise_latents: latents are brought to variance 1 first (ours).

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_features: Size = 448
    width: Size = 768
    num_heads: Count = 8
    num_blocks: Count = 8
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    dropout: Share = 0.1
    attention_dropout: Share = 0.1
    normalise_latents: bool = False
    latent_guidance: GuidanceConfig = field(default_factory=GuidanceConfig)  # ours

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
