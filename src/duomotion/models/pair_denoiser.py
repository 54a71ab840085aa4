"""What denoisers of two people's features share: settings, text, noise level, projections.

Axes: B batch, S noise levels, P the 2 people, T places in time (frames, or patches of them), F
features (or numbers of a patch), D width, C width of the text vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from duomotion.config import Count, Factor, Length, Share, Size, ZeroOrMore
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.pair_features import NUM_PEOPLE, PairFeatures
from duomotion.models.layers.patch_code import PatchCode, PatchCodeConfig
from duomotion.models.layers.positional import sinusoids_at
from duomotion.models.layers.text_head import TextHead
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.sampling.diffusion import NoiseSchedule

SHIFTS = GuidanceConfig(
    collision_steps=10, collision_rate=0.05, goal_last=20, goal_rate=0.02, near=0.0
)
"""Where people are shifted, in metres; the network puts right what that does to their limbs."""


@dataclass(frozen=True, kw_only=True)
class DenoiserSettings:
    """What every denoiser has; defaults are those of InterGen's released model (configs/).

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_features: Size = 262  # of one person
    width: Size = 1024
    modulation_rank: Size | None = None  # of the adaptive layer norms; None: full, as released
    person_embedding: bool = False  # ours; True: the person who starts at the origin is marked
    code: PatchCodeConfig | None = None  # ours; what is noised in the place of features

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
    attempts: Count = 1  # ours; see `sampling.request.Sampling`

    def __post_init__(self) -> None:
        if self.width % 2:
            raise ValueError(f"width must be even, not {self.width}")
        if self.text_layers and self.text_dim % self.text_heads:
            raise ValueError(
                f"text_dim {self.text_dim} must be a multiple of text_heads {self.text_heads}"
            )

    @property
    def patch(self) -> int:
        """Frames (or latents) that the network sees as one place."""
        return 1 if self.code is None else self.code.patch

    @property
    def num_inputs(self) -> int:
        """Numbers of a person at a place."""
        return self.num_features if self.code is None else self.code.size


@dataclass(frozen=True, kw_only=True)
class PairDenoiserConfig(DenoiserSettings):
    """What denoisers of features have, too."""

    layout: str = "interhuman"
    resampling: Count = 1  # see `sampling.diffusion`
    shift_guidance: GuidanceConfig = SHIFTS  # ours


class PairDenoiser(nn.Module):
    """A network from noisy motion of two people, a noise level and a text to the motion in it.

    A subclass adds what is between the projections: `add_blocks`, `modulate` and `hidden`.
    """

    def __init__(self, config: DenoiserSettings) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.input_projection = nn.Linear(config.num_inputs, width)
        self.time_embedding = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.text_projection = nn.Linear(config.text_dim, width)
        self.person_embedding = (
            nn.Parameter(0.02 * torch.randn(NUM_PEOPLE, 1, width))
            if config.person_embedding
            else None
        )
        self.add_blocks()
        self.output_projection = zero_linear(width, config.num_inputs)
        self.text_head = TextHead(
            config.text_dim,
            num_layers=config.text_layers,
            num_heads=config.text_heads,
            feedforward=config.text_feedforward,
            dropout=config.text_dropout,
        )

    def add_blocks(self) -> None:
        """Make the layers between the projections."""
        raise NotImplementedError

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
        """(B, ..., D): all that the blocks take from text and noise level."""
        raise NotImplementedError

    def hidden(self, x_BPTD: Tensor, norms_B: Tensor, lengths_B: Tensor | None) -> Tensor:
        """What the blocks make of the projected input.

        Args:
            norms_B: of `modulate`.
            lengths_B: places of each sample; None: all.
        """
        raise NotImplementedError

    def forward(self, x_BPTF: Tensor, norms_B: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """(B, P, T, F), as they come in.

        Args:
            norms_B: of `modulate`.
            lengths_B: places of each sample; None where all fill the T.
        """
        x_BPTD = self.input_projection(x_BPTF)
        if self.person_embedding is not None:
            x_BPTD = x_BPTD + self.person_embedding
        return self.output_projection(self.hidden(x_BPTD, norms_B, lengths_B))


class PairDiffusion(PairFeatures):
    """A denoiser with the statistics of the features that it was trained on, and their code.

    Raises:
        ValueError: as `PairFeatures` and `PatchCode`.
    """

    def __init__(self, config: PairDenoiserConfig, denoiser: type[PairDenoiser]) -> None:
        super().__init__(config.layout, config.num_features)
        self.config = config
        self.code = patch_code(config)
        self.denoiser = denoiser(config)

    def encode(self, x_BPTF: Tensor) -> Tensor:
        """What is noised, of normalised features of whole patches."""
        return x_BPTF if self.code is None else self.code.encode(x_BPTF)

    def decode(self, z_BPTF: Tensor) -> Tensor:
        """Normalised features of what is noised."""
        return z_BPTF if self.code is None else self.code.decode(z_BPTF)


def patch_code(config: DenoiserSettings) -> PatchCode | None:
    """What brings features into the numbers that the denoiser sees; None: they are these."""
    return None if config.code is None else PatchCode(config.code, config.num_features)


def modulation_schedule(
    denoiser: PairDenoiser, text_BD: Tensor, times: Sequence[int]
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
