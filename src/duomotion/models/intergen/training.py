"""InterGen's training: recipe and task."""

from dataclasses import dataclass, field

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.generate import InterGen
from duomotion.models.intergen.network import MotionDiffusion
from duomotion.models.pair_denoising import PairDenoiserRecipe, PairDenoiserTask


@dataclass(frozen=True, kw_only=True)
class InterGenRecipe(PairDenoiserRecipe):
    """One training of InterGen's denoiser; defaults are the released code's on InterHuman."""

    system: str = "intergen/denoiser"
    model: DenoiserConfig = field(default_factory=DenoiserConfig)


class InterGenTask(PairDenoiserTask):
    """Features of two people and a caption through the denoiser."""

    diffusion = MotionDiffusion
    generating = InterGen
