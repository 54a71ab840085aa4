"""InterMoE's trainings: recipes and tasks of the autoencoder and of the denoiser.

Axes: B samples, P the 2 people, T frames, F features, N latents in time, L numbers of one.
"""

import copy
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.distributed import sum_over_ranks
from duomotion.models.captioned_pairs import CaptionedPairs, CaptionedTask, PairData
from duomotion.models.intermoe.autoencoder import FRAMES, SkeletalCodec
from duomotion.models.intermoe.codec import load_codec
from duomotion.models.intermoe.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    DenoiserConfig,
)
from duomotion.models.intermoe.generate import InterMoE, check_latents
from duomotion.models.intermoe.network import LatentDiffusion
from duomotion.models.intermoe.objective import (
    denoising_loss,
    feature_losses,
    joint_losses,
    kl_loss,
)
from duomotion.models.layers.latents import Latents
from duomotion.models.layers.masks import length_mask
from duomotion.models.pair_autoencoder import PairAutoencoderTask
from duomotion.models.pair_views import ViewData
from duomotion.sampling.guidance import draw_text_drop
from duomotion.training.batch import on_device
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.views import View, converted

STATISTICS_BATCHES = 20  # of which mean and deviation of latents are taken


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """One training of the autoencoder; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermoe/autoencoder"
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    losses: AutoencoderLossWeights = field(default_factory=AutoencoderLossWeights)
    data: ViewData = field(default_factory=ViewData)
    start: str | None = None  # checkpoint whose weights and statistics training starts with
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, kw_only=True)
class LatentData(PairData):
    """Pairs with captions, and the autoencoder of the latents.

    Views that are drawn before training are encoded then; others at each step.
    """

    autoencoder: str = "runs/intermoe/autoencoder/best"


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe:
    """One training of the denoiser; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermoe/denoiser"
    model: DenoiserConfig = field(default_factory=DenoiserConfig)
    data: LatentData = field(default_factory=LatentData)
    start: str | None = None  # checkpoint whose weights and statistics training starts with
    log: LogConfig = field(default_factory=LogConfig)


class AutoencoderTask(PairAutoencoderTask):
    """Features of each person through the autoencoder."""

    codec = SkeletalCodec
    recipe: AutoencoderRecipe
    model: SkeletalCodec

    def __init__(self, recipe: AutoencoderRecipe, device: torch.device) -> None:
        super().__init__(recipe, device, unit=FRAMES)

    def fit(self, views: list[View]) -> None:
        """The same, and the code of each part."""
        super().fit(views)
        model, code = self.model, self.model.autoencoder.part_code
        if code is not None:
            motions = [model.normaliser.normalise(view.motion) for view in views]
            code.fit(motions, model.std * torch.from_numpy(model.layout.importance))

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, weights = self.model, self.recipe.losses
        target_BPTF, mask_BT = self.target(batch)
        mask_BN = length_mask(batch["lengths_B"], target_BPTF.shape[2] // FRAMES)
        latents = model.encode(target_BPTF)
        made_BPTF = model.decode(latents.sample(rng) if model.training else latents.mean)
        with torch.autocast(self.device.type, enabled=False):
            made_BPTF = made_BPTF.float()
            losses = {"kl": weights.kl * kl_loss(latents, mask_BN)}
            losses |= feature_losses(made_BPTF, target_BPTF, mask_BT, model.layout, weights)
            if weights.joints or weights.steps or weights.bones or weights.contact:
                joints = self.joints(made_BPTF, target_BPTF, mask_BT)
                losses |= joint_losses(*joints, mask_BT, model.skeleton, weights)
            return torch.stack(list(losses.values())).sum(), losses

    def reconstructed(self, target_BPTF: Tensor, frames_B: Tensor) -> Tensor:
        return self.model.decode(self.model.encode(target_BPTF).mean)


class DenoiserTask(CaptionedTask):
    """Latents and a caption through the denoiser; the autoencoder stays as it is."""

    recipe: DenoiserRecipe
    model: LatentDiffusion
    reported = ("simple",)

    def __init__(self, recipe: DenoiserRecipe, device: torch.device) -> None:
        autoencoder = Path(recipe.data.autoencoder)
        self.codec = load_codec(autoencoder).to(device).requires_grad_(False)
        check_latents(self.codec, recipe.model, autoencoder)
        pairs = CaptionedPairs(
            recipe.data,
            layout=self.codec.config.layout,
            text_dim=recipe.model.text_dim,
            seed=recipe.optim.seed,
            unit=FRAMES * recipe.model.patch,
            prepare=partial(encoded, self.codec),
        )
        super().__init__(recipe, device, pairs, {"autoencoder": autoencoder})
        torch.manual_seed(recipe.optim.seed)
        self.model = LatentDiffusion(recipe.model)
        self.moves: list[list[Tensor]] = []  # of the experts' biases, by micro-batch of this step
        if recipe.start is not None:
            load_weights(self.model, read_checkpoint(recipe.start))
        elif recipe.model.normalise_latents or recipe.model.code is not None:
            self._begin_with_latents()

    def generator(self) -> InterMoE:
        return InterMoE(copy.deepcopy(self.model), copy.deepcopy(self.codec), self.pairs.encoder)

    def _begin_with_latents(self) -> None:
        """Take mean and deviation of latents of training views, and their code."""
        model, found, seed = self.model, [], self.recipe.optim.seed
        batches = self.train_batches(seed=seed, epoch=0, skip=0)
        for batch in itertools.islice(batches, STATISTICS_BATCHES):
            own = on_device(batch, self.device)
            lengths = (own["frames_B"] // FRAMES).tolist()
            clean_BPNL = self._latents(own).mean.cpu()
            found += [x[:, :length] for x, length in zip(clean_BPNL, lengths, strict=True)]
        if model.config.normalise_latents:
            latents_ML = torch.cat([x_PNL.flatten(0, 1) for x_PNL in found])
            model.mean.copy_(latents_ML.mean(0))
            model.std.copy_(latents_ML.std(0, correction=0).clamp_min(1e-3))
        if model.code is not None:
            model.code.fit((model.normalise(x_PNL) for x_PNL in found), model.std)

    def _latents(self, batch: Mapping[str, Any]) -> Latents:
        """(B, P, N, L) of views that were encoded before training, or of fresh ones."""
        if self.recipe.data.views is not None:
            return Latents(*batch["motion_BPTF"].chunk(2, -1))
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.codec.encode(self.codec.normaliser.normalise(batch["motion_BPTF"]))

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, denoiser, schedule = self.model, self.model.denoiser, self.recipe.model.noise
        lengths_B = batch["frames_B"] // (FRAMES * model.config.patch)
        latents = self._latents(batch)
        # drawn from their distribution (released code)
        clean_BPNL = model.encode(latents.sample(rng) if model.training else latents.mean)
        mask_BN = length_mask(lengths_B, clean_BPNL.shape[2])
        clean_BPNL = clean_BPNL * mask_BN[:, None, :, None]
        text_BC = self.pairs.text_vectors(
            batch, rng, text_head=denoiser.text_head, is_training=model.training
        )
        size = len(clean_BPNL)
        times_B = torch.randint(schedule.num_steps, (size,), generator=rng, device=rng.device)
        noise_BPNL = torch.randn(clean_BPNL.shape, generator=rng, device=rng.device)
        drop_B = draw_text_drop(denoiser, size, rng)
        embedding_BD = denoiser.embed(denoiser.condition(text_BC, drop_B), times_B)
        noisy_BPNL = schedule.add_noise(clean_BPNL, noise_BPNL, times_B)
        made_BPNL = denoiser(noisy_BPNL, denoiser.modulate(embedding_BD), lengths_B)
        if model.training:
            self.moves.append(denoiser.bias_moves(lengths_B))
        target_BPNL = schedule.target(clean_BPNL, noise_BPNL, times_B)
        loss = denoising_loss(made_BPNL.float(), target_BPNL, mask_BN)
        return loss, {"simple": loss}

    def after_step(self, step: int, averages: Mapping[str, Tensor]) -> None:
        """Experts that took too many tokens become more demanding, and the other way round."""
        moves = [torch.stack(each).sum(0) for each in zip(*self.moves, strict=True)]
        parts = sum_over_ranks(torch.tensor(float(len(self.moves)), device=self.device))
        self.moves.clear()
        moves = [sum_over_ranks(each) / parts for each in moves]
        self.model.denoiser.move_biases(moves)


@torch.no_grad()
def encoded(codec: SkeletalCodec, views: Iterable[View], total: int) -> list[View]:
    """Views as the distributions of their latents (P, N, 2 L), mean and log variance.

    Args:
        total: how many they are.
    """

    def latents(motion_BPTF: Tensor) -> Tensor:
        found = codec.encode(codec.normaliser.normalise(motion_BPTF.to(codec.mean)))
        return torch.cat(found, -1).cpu()

    return converted(views, total, latents, "latents")
