"""The training of denoisers of two people's features: recipe and task."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.losses.denoising import LossWeights, interaction_losses
from duomotion.losses.interaction import on_lowest_foot, simple_loss
from duomotion.models.captioned_pairs import CaptionedPairs, CaptionedTask, PairData
from duomotion.models.layers.masks import length_mask
from duomotion.models.pair_denoiser import PairDenoiserConfig, PairDiffusion
from duomotion.models.pair_diffusion import PairDiffusionModel
from duomotion.models.pair_views import statistics
from duomotion.sampling.guidance import draw_text_drop
from duomotion.training.config import LogConfig, OptimConfig


@dataclass(frozen=True, kw_only=True)
class PairDenoiserRecipe:
    """One training of a denoiser; a system's own says which."""

    optim: OptimConfig
    system: str
    model: PairDenoiserConfig
    losses: LossWeights = field(default_factory=LossWeights)
    data: PairData = field(default_factory=PairData)
    start: str | None = None  # checkpoint whose weights and statistics training starts with
    log: LogConfig = field(default_factory=LogConfig)


class PairDenoiserTask(CaptionedTask):
    """Features of two people and a caption through a denoiser.

    Attributes:
        diffusion: makes the network of a config.
        generating: makes what generates of a network and a text encoder.
    """

    recipe: PairDenoiserRecipe
    reported = ("simple",)
    diffusion: ClassVar[Callable[[Any], PairDiffusion]]
    generating: ClassVar[type[PairDiffusionModel]]

    def __init__(self, recipe: PairDenoiserRecipe, device: torch.device) -> None:
        pairs = CaptionedPairs(
            recipe.data,
            layout=recipe.model.layout,
            text_dim=recipe.model.text_dim,
            seed=recipe.optim.seed,
            unit=recipe.model.patch,
        )
        super().__init__(recipe, device, pairs)
        torch.manual_seed(recipe.optim.seed)
        self.model = type(self).diffusion(recipe.model)
        if recipe.start is not None:
            load_weights(self.model, read_checkpoint(recipe.start))
        else:
            views = pairs.random_views()
            self.model.set_statistics(statistics(views, self.model.layout))
            if self.model.code is not None:
                importance_F = self.model.std * torch.from_numpy(self.model.layout.importance)
                motions = (self.model.normaliser.normalise(view.motion) for view in views)
                self.model.code.fit(motions, importance_F)

    def generator(self) -> PairDiffusionModel:
        return self.generating(copy.deepcopy(self.model), self.pairs.encoder)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, lengths_B = self.model, batch["lengths_B"]
        denoiser, schedule = model.denoiser, self.recipe.model.noise
        motion_BPTF = model.normaliser.normalise(batch["motion_BPTF"])
        clean_BPNF = model.encode(motion_BPTF)
        mask_BN = length_mask(lengths_B, clean_BPNF.shape[2])
        clean_BPNF = clean_BPNF * mask_BN[:, None, :, None]
        text_BC = self.pairs.text_vectors(
            batch, rng, text_head=denoiser.text_head, is_training=model.training
        )
        times_B = self._times(len(lengths_B), rng)
        noise_BPNF = torch.randn(clean_BPNF.shape, generator=rng, device=rng.device)
        noisy_BPNF = schedule.add_noise(clean_BPNF, noise_BPNF, times_B)
        drop_B = draw_text_drop(denoiser, len(lengths_B), rng)
        embedding_BD = denoiser.embed(denoiser.condition(text_BC, drop_B), times_B)
        output_BPNF = denoiser(noisy_BPNF, denoiser.modulate(embedding_BD), lengths_B)
        with torch.autocast(self.device.type, enabled=False):
            output_BPNF = output_BPNF.float()
            target_BPNF = schedule.target(clean_BPNF, noise_BPNF, times_B)
            weights = self.recipe.losses
            simple = weights.simple * simple_loss(output_BPNF, target_BPNF, mask_BN)
            made_BPNF = schedule.clean(output_BPNF, noisy_BPNF, times_B)
            predicted = self._positions(model.decode(made_BPNF))
            mask_BT = length_mask(self.recipe.model.patch * lengths_B, motion_BPTF.shape[2])
            recorded = self._positions(motion_BPTF * mask_BT[:, None, :, None])
            if not model.layout.knows_floor:
                predicted, recorded = on_lowest_foot(predicted, recorded, mask_BT, model.skeleton)
            losses = {"simple": simple} | interaction_losses(
                predicted,
                recorded,
                mask_BT,
                times_B <= weights.last_step,
                model.skeleton,
                weights,
            )
            return torch.stack(list(losses.values())).sum(), losses

    def _positions(self, normalised_BPTF: Tensor) -> Tensor:
        """(B, P, T, J, 3) in metres."""
        return self.model.layout.positions(self.model.normaliser.denormalise(normalised_BPTF))

    def _times(self, batch: int, rng: torch.Generator) -> Tensor:
        """(B,) noise levels, all alike likely."""
        steps = self.recipe.model.noise.num_steps
        return torch.randint(steps, (batch,), generator=rng, device=rng.device)
