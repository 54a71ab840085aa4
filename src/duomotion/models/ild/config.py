"""Sizes and settings of ILD: autoencoder, alignment, denoiser, sampling, and weights of the losses.

Defaults are the paper's (appendix E), and where it says nothing, those of the models that it
follows, MLD (Chen et al. 2023) and MotionLCM (Dai et al. 2024).
"""

from dataclasses import dataclass, field
from typing import Literal

from duomotion.config import Count, Factor, Length, Share, Size, ZeroOrMore
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.sampling.diffusion import LCM_STEPS, NoiseSchedule

SCALED_LINEAR = NoiseSchedule(
    kind="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction="epsilon"
)
"""As MLD has it; the paper prints 0.000085 for the first."""


@dataclass(frozen=True, kw_only=True)
class SkipTransformerConfig:
    """A transformer with long skips; 13 layers of these sizes have the paper's 38.4 M parameters.

    Raises:
        ValueError: the sizes do not fit together.
    """

    width: Size = 512
    num_layers: Count = 11
    num_heads: Count = 8
    feedforward: Size = 1536  # not in the paper; MLD has 1024
    dropout: Share = 0.1
    attention_dropout: Share = 0.1

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
        if self.num_layers % 2 == 0:
            raise ValueError(f"num_layers must be odd, not {self.num_layers}")


@dataclass(frozen=True, kw_only=True)
class LinearCodeConfig:
    """Coefficients among which those of the latents are chosen, see `linear_code`."""

    harmonics: Size = 64  # cosines over the length of a clip
    components: Size = 64  # of frames of both people
    noise: Factor = 0.05  # deviation that latents start training with


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """The interaction-aware autoencoder (section 3.1).

    Attributes:
        num_latents, latent_dim: L x K.
        alignment: how latents come to the shape of the tokenizer's codes: a linear layer, linear
            interpolation, or by pooling the codes (table 3). None: no alignment.
        code_dim: of the tokenizer that latents are aligned with.
        code_frames: that one of its codes covers.
        patch: frames that the transformers see as one (ours).
        linear_code: latents begin as a linear code, to which the transformers add (ours).
    """

    layout: str = "interhuman"
    num_features: Size = 262  # of one person
    num_latents: Count = 4
    latent_dim: Size = 512
    transformer: SkipTransformerConfig = field(default_factory=SkipTransformerConfig)
    alignment: Literal["linear", "interpolation", "pooling"] | None = "linear"
    code_dim: Size = 512
    code_frames: Length = 4
    max_frames: Length = 300
    patch: Length = 1
    linear_code: LinearCodeConfig | None = None

    @property
    def max_codes(self) -> int:
        return -(-self.max_frames // self.code_frames)

    @property
    def max_places(self) -> int:
        """Of the transformers."""
        return -(-self.max_frames // self.patch)


@dataclass(frozen=True, kw_only=True)
class AutoencoderLossWeights:
    """Weights of the autoencoder's losses (appendix E); 0 leaves one out (tables 2a, 6)."""

    reconstruction: Factor = 1.0
    kl: Factor = 1e-5
    alignment: Factor = 0.01
    bone: Factor = 10.0
    contact: Factor = 30.0
    distance: Factor = 3.0
    orientation: Factor = 0.01
    velocity: Factor = 0.0  # InterGen's; not in the paper
    position: Factor = 0.0  # ours: squared metres of the joints
    distance_within: Factor = 1.0  # metres
    margin: Share = 0.5  # m_1 of equation 3; not in the paper, as in VA-VAE (Yao et al. 2025)
    form: Literal["released", "papers"] = "papers"  # see `losses.interaction`


@dataclass(frozen=True, kw_only=True)
class LatentDenoiserConfig:
    """The denoiser of latents (section 3.2).

    Attributes:
        num_latents, latent_dim: L x K, as the autoencoder has them.
        conditioning: "tokens": text and noise level are tokens beside the latents; "adaptive": they
            scale, shift and gate the blocks (Peebles & Xie 2023), which the paper compares with.
        modulation_rank: of "adaptive"; None: full.
        length_token: another token says how long the motion is (ours). Without it latents decide,
            and what they are decoded to is cut or held.
        guidance_dim: of the waves by which a student is told the scale of the guidance that it is
            to show (Meng et al. 2023; MotionLCM has 256). None: it is not told.
    """

    num_latents: Count = 4
    latent_dim: Size = 512
    transformer: SkipTransformerConfig = field(
        default_factory=lambda: SkipTransformerConfig(num_layers=13)
    )
    conditioning: Literal["tokens", "adaptive"] = "tokens"
    modulation_rank: Size | None = None
    length_token: bool = False
    guidance_dim: Size | None = None

    text_dim: Size = 768  # CLIP ViT-L/14
    text_layers: ZeroOrMore = 0  # of a text head; 0: only scaled
    text_heads: Count = 8
    text_feedforward: Size = 2048
    text_dropout: Share = 0.1
    cond_drop: Share = 0.1  # share of samples trained without text

    noise: NoiseSchedule = SCALED_LINEAR

    solver: str = "deis"
    steps: Length = 10
    guidance: Factor = 3.0
    latent_guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    attempts: Count = 1  # ours; see `sampling.request.Sampling`

    @property
    def distilled_steps(self) -> int:
        """Among which those of the solver "lcm" are chosen."""
        return LCM_STEPS

    def __post_init__(self) -> None:
        if self.transformer.width % 2:
            raise ValueError(f"width must be even, not {self.transformer.width}")
        if self.guidance_dim is not None and self.guidance_dim % 2:
            raise ValueError(f"guidance_dim must be even, not {self.guidance_dim}")
        if self.text_layers and self.text_dim % self.text_heads:
            raise ValueError(
                f"text_dim {self.text_dim} must be a multiple of text_heads {self.text_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class StudentConfig(LatentDenoiserConfig):
    """The one-step student (section 3.3), a network of its teacher's form.

    Attributes:
        interval: noise levels of the schedule between two that it is trained at.
        guidance: where it is told the scale, the one that it is told unless asked otherwise;
            else it shows that of its training.
        reaction_steps: where motion is known, as far as it was trained at so many: only from the
            second step on has the network seen it.
    """

    interval: Length = 50
    solver: str = "lcm"
    steps: Length = 1
    reaction_steps: Length = 4  # ours

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise.num_steps % self.interval:
            raise ValueError(
                f"interval {self.interval} must divide the {self.noise.num_steps} noise levels"
            )
        if self.steps > self.distilled_steps:
            raise ValueError(f"steps must be at most {self.distilled_steps}, not {self.steps}")

    @property
    def distilled_steps(self) -> int:
        """Noise levels that it is trained at."""
        return self.noise.num_steps // self.interval


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """What a student learns of its teacher (section 3.3, appendix E).

    Attributes:
        full_chain: the target is where the teacher's whole way from a noise level ends (equation
            8). False: what an average of the student makes one interval of the teacher's way
            further down, as in MotionLCM.
        solver: that takes the whole way.
        guidance: the teacher's.
        guidance_range: from which it is drawn where the student is told the scale; MotionLCM's 5 to
            15 count from no guidance on.
        metric: of equation 7; "huber": sqrt(squared distance + c^2) - c of each number, MotionLCM's
            choice, of which the paper does not speak; "l2": squared.
        huber: its c, MotionLCM's.
        target_decay: of the average without the full chain; MotionLCM's.
        matching: weight of distribution matching.
        scores: of what the student makes: "student": by itself, as in the paper; "fake": by a copy
            of the teacher that learns to denoise it (Yin et al. 2024).
    """

    full_chain: bool = True
    solver: Literal["unipc", "deis", "dpmsolver++"] = "unipc"
    guidance: Factor = 3.0
    guidance_range: tuple[float, float] = (6.0, 16.0)
    metric: Literal["huber", "l2"] = "huber"
    huber: Factor = 0.5
    target_decay: Share = 0.95
    matching: Factor = 0.001
    scores: Literal["student", "fake"] = "student"
