"""InterMamba's training: recipe and task."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from duomotion.losses.denoising import LossWeights
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.generate import InterMamba
from duomotion.models.intermamba.network import InterMambaDiffusion
from duomotion.models.intermamba.objective import WEIGHTS, fusion_weights
from duomotion.models.pair_denoising import PairDenoiserRecipe, PairDenoiserTask


@dataclass(frozen=True, kw_only=True)
class InterMambaRecipe(PairDenoiserRecipe):
    """One training of InterMamba's denoiser; defaults are the paper's on InterHuman."""

    system: str = "intermamba/denoiser"
    model: InterMambaConfig = field(default_factory=InterMambaConfig)
    losses: LossWeights = WEIGHTS


class InterMambaTask(PairDenoiserTask):
    """Features of two people and a caption through the denoiser.

    Raises:
        ValueError: views are longer than the network's window.
    """

    diffusion = InterMambaDiffusion
    generating = InterMamba
    model: InterMambaDiffusion

    def __init__(self, recipe: InterMambaRecipe, device: torch.device) -> None:
        longest, window = recipe.data.examples.max_frames, recipe.model.max_frames
        if longest > window:
            raise ValueError(
                f"data.examples.max_frames must be at most model.max_frames {window}, not {longest}"
            )
        super().__init__(recipe, device)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The same; fusion weights are logged with its parts."""
        loss, parts = super().loss(batch, rng, step)
        return loss, parts | fusion_weights(self.model.denoiser)
