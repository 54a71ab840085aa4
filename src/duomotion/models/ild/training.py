"""ILD's trainings: recipes and tasks of the autoencoder and of the denoiser.

Axes: B samples, P the 2 people, T frames, F features, L latents, K their width.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint, read_recipe
from duomotion.losses.interaction import simple_loss
from duomotion.models import part_of
from duomotion.models.captioned_pairs import CaptionedPairs, CaptionedTask, PairData
from duomotion.models.ild.autoencoder import InteractionCodec, side_by_side
from duomotion.models.ild.codec import load_codec
from duomotion.models.ild.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    LatentDenoiserConfig,
)
from duomotion.models.ild.generate import Ild, check_latents
from duomotion.models.ild.network import LatentDiffusion
from duomotion.models.ild.objective import joint_losses, kl_loss, latent_loss
from duomotion.models.layers.latents import Latents
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_autoencoder import PairAutoencoderTask
from duomotion.models.pair_views import ViewData
from duomotion.sampling.guidance import draw_text_drop
from duomotion.training.batch import on_device
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.views import View, converted

STATISTICS_BATCHES = 20  # of which mean and deviation of latents are taken


@dataclass(frozen=True, kw_only=True)
class AutoencoderData(ViewData):
    """Pairs, and the tokenizer that latents are aligned with.

    Attributes:
        tokenizer: checkpoint of MoMask's tokenizer of both people. None: no alignment.
    """

    tokenizer: str | None = None


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """One training of the autoencoder; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "ild/autoencoder"
    model: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    losses: AutoencoderLossWeights = field(default_factory=AutoencoderLossWeights)
    data: AutoencoderData = field(default_factory=AutoencoderData)
    start: str | None = None  # checkpoint whose weights and statistics training starts with
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, kw_only=True)
class LatentData(PairData):
    """Pairs with captions, and the autoencoder of the latents."""

    autoencoder: str = "runs/ild/autoencoder/best"


@dataclass(frozen=True, kw_only=True)
class LatentDenoiserRecipe:
    """One training of the denoiser; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "ild/denoiser"
    model: LatentDenoiserConfig = field(default_factory=LatentDenoiserConfig)
    data: LatentData = field(default_factory=LatentData)
    start: str | None = None  # checkpoint whose weights and statistics training starts with
    log: LogConfig = field(default_factory=LogConfig)


class AutoencoderTask(PairAutoencoderTask):
    """Features of two people through the autoencoder.

    Raises:
        ValueError: there is a tokenizer to align with and the model is not made for it, or the
            other way round.
    """

    codec = InteractionCodec
    recipe: AutoencoderRecipe
    model: InteractionCodec

    def __init__(self, recipe: AutoencoderRecipe, device: torch.device) -> None:
        self.tokenizer = _load_tokenizer(recipe, device)
        super().__init__(recipe, device, unit=recipe.model.patch)

    def fit(self, views: list[View]) -> None:
        """The same, and the linear code."""
        super().fit(views)
        model, code = self.model, self.model.autoencoder.linear_code
        if code is not None:
            normalised = [model.normaliser.normalise(view.motion[None]) for view in views]
            clips = [side_by_side(x_BPTF)[0].numpy() for x_BPTF in normalised]
            code.fit(clips, np.tile(model.std.numpy() * model.layout.importance, NUM_PEOPLE))

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, weights, frames_B = self.model, self.recipe.losses, batch["frames_B"]
        target_BPTF, mask_BT = self.target(batch)
        latents = model.autoencoder.encode(target_BPTF, frames_B)
        z_BLK = latents.sample(rng) if model.training else latents.mean
        made_BPTF = model.autoencoder.decode(z_BLK, target_BPTF.shape[2], frames_B)
        with torch.autocast(self.device.type, enabled=False):
            made_BPTF = made_BPTF.float()
            losses = {
                "reconstruction": weights.reconstruction
                * simple_loss(made_BPTF, target_BPTF, mask_BT),
                "kl": weights.kl * kl_loss(latents),
            }
            if model.alignment is not None and weights.alignment:
                losses["alignment"] = weights.alignment * self._alignment(
                    z_BLK.float(), batch["motion_BPTF"], frames_B
                )
            joints = self.joints(made_BPTF, target_BPTF, mask_BT)
            losses |= joint_losses(*joints, mask_BT, model.skeleton, weights)
            return torch.stack(list(losses.values())).sum(), losses

    def _alignment(self, z_BLK: Tensor, motion_BPTF: Tensor, frames_B: Tensor) -> Tensor:
        assert self.tokenizer is not None and self.model.alignment is not None
        unit = self.recipe.model.code_frames
        whole_BPTF = motion_BPTF[:, :, : motion_BPTF.shape[2] // unit * unit]
        codes_BNC = self.tokenizer.codes(whole_BPTF.flatten(0, 1))
        margin = self.recipe.losses.margin
        return self.model.alignment.loss(z_BLK, codes_BNC, frames_B // unit, margin)

    def reconstructed(self, target_BPTF: Tensor, frames_B: Tensor) -> Tensor:
        autoencoder = self.model.autoencoder
        z_BLK = autoencoder.encode(target_BPTF, frames_B).mean
        return autoencoder.decode(z_BLK, target_BPTF.shape[2], frames_B)


class LatentTask(CaptionedTask):
    """Latents and a caption through a network; the autoencoder stays as it is."""

    model: LatentDiffusion

    def __init__(self, recipe: Any, device: torch.device, *, autoencoder: Path) -> None:
        self.codec = load_codec(autoencoder).to(device)
        check_latents(self.codec, recipe.model, autoencoder)
        pairs = CaptionedPairs(
            recipe.data,
            layout=self.codec.config.layout,
            text_dim=recipe.model.text_dim,
            seed=recipe.optim.seed,
            unit=self.codec.unit,
            prepare=partial(encoded, self.codec),
        )
        super().__init__(recipe, device, pairs, {"autoencoder": autoencoder})

    def clean_latents(self, batch: Mapping[str, Any], rng: torch.Generator) -> Tensor:
        """(B, L, K) normalised, in training drawn from their distribution."""
        latents = self.latents(batch)
        return self.model.normalise(latents.sample(rng) if self.model.training else latents.mean)

    def latents(self, batch: Mapping[str, Any]) -> Latents:
        """Of views that were encoded before training, or of fresh ones."""
        motion_B = batch["motion_BPTF"]
        if self.recipe.data.views is not None:
            return Latents(*motion_B.unbind(1))
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.codec.encode(motion_B, batch["frames_B"])


class LatentDenoiserTask(LatentTask):
    """The denoiser learns to predict the noise in latents."""

    recipe: LatentDenoiserRecipe
    reported = ("simple",)

    def __init__(self, recipe: LatentDenoiserRecipe, device: torch.device) -> None:
        super().__init__(recipe, device, autoencoder=Path(recipe.data.autoencoder))
        torch.manual_seed(recipe.optim.seed)
        self.model = LatentDiffusion(recipe.model)
        if recipe.start is not None:
            load_weights(self.model, read_checkpoint(recipe.start))
        else:
            self._set_statistics()

    def generator(self) -> Ild:
        return Ild(copy.deepcopy(self.model), copy.deepcopy(self.codec), self.pairs.encoder)

    def _set_statistics(self) -> None:
        """Mean and deviation of latents of training views, by place and channel.

        Latents of a linear code are as large as the square roots of the deviations of the
        coefficients that they stand for, on average 1: what matters most is then above the noise
        first, as the coarse parts of pictures are.
        """
        found, seed = [], self.recipe.optim.seed
        for batch in self.train_batches(seed=seed, epoch=0, skip=0):
            found.append(self.latents(on_device(batch, self.device)).mean.cpu())
            if len(found) == STATISTICS_BATCHES:
                break
        z_NLK = torch.cat(found)
        self.model.mean.copy_(z_NLK.mean(0))
        std_LK = z_NLK.std(0, correction=0).clamp_min(1e-3)
        if (code := self.codec.autoencoder.linear_code) is not None:
            sizes_LK = code.std.sqrt().view_as(std_LK).cpu()
            std_LK = std_LK * sizes_LK.square().mean().sqrt() / sizes_LK
        self.model.std.copy_(std_LK)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, denoiser, schedule = self.model, self.model.denoiser, self.recipe.model.noise
        clean_BLK = self.clean_latents(batch, rng)
        text_BC = self.pairs.text_vectors(
            batch, rng, text_head=denoiser.text_head, is_training=model.training
        )
        batch_size = len(clean_BLK)
        times_B = torch.randint(schedule.num_steps, (batch_size,), generator=rng, device=rng.device)
        noise_BLK = torch.randn(clean_BLK.shape, generator=rng, device=rng.device)
        made_BLK = denoiser(
            schedule.add_noise(clean_BLK, noise_BLK, times_B),
            denoiser.embed_times(times_B),
            denoiser.condition(text_BC, draw_text_drop(denoiser, batch_size, rng)),
            denoiser.embed_lengths(batch["frames_B"]),
        )
        loss = latent_loss(made_BLK, schedule.target(clean_BLK, noise_BLK, times_B))
        return loss, {"simple": loss}


@torch.no_grad()
def encoded(codec: InteractionCodec, views: Iterable[View], total: int) -> list[View]:
    """Views as the distributions of their latents (2, L, K), mean and log variance.

    Args:
        total: how many they are.
    """

    def latents(motion_BPTF: Tensor) -> Tensor:
        return torch.stack(codec.encode(motion_BPTF.to(codec.mean)), 1).cpu()

    return converted(views, total, latents, "latents")


def _load_tokenizer(recipe: AutoencoderRecipe, device: torch.device) -> Any:
    """The frozen tokenizer that latents are aligned with; None without alignment."""
    folder, model = recipe.data.tokenizer, recipe.model
    if (folder is None) != (model.alignment is None):
        raise ValueError(
            "alignment takes a tokenizer: give both data.tokenizer and model.alignment, or neither"
        )
    if folder is None:
        return None
    kind = "momask/tokenizer"
    read_recipe(folder, kind)
    codec: Any = part_of(kind).load(Path(folder))
    config = codec.tokenizer.config
    found = config.layout, config.num_people, config.code_dim, config.downsampling
    wanted = model.layout, 2, model.code_dim, model.code_frames
    if found != wanted:
        raise ValueError(
            f"{folder} has layout, people, code_dim and frames of a code {found}; the autoencoder "
            f"is to be aligned with {wanted}"
        )
    return codec.to(device).requires_grad_(False)
