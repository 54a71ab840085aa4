"""ILD's trainings: the paper's (appendix E), and those of `ild-open` and `fild-open`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from duomotion.data.pairs import PairConfig
from duomotion.models.captioned_pairs import OPEN_CAPTIONS
from duomotion.models.ild.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    LatentDenoiserConfig,
    LinearCodeConfig,
    SkipTransformerConfig,
    StudentConfig,
)
from duomotion.models.ild.student import StudentData, StudentRecipe
from duomotion.models.ild.training import (
    AutoencoderData,
    AutoencoderRecipe,
    LatentData,
    LatentDenoiserRecipe,
)
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.models.pair_views import OPEN_PAIRS
from duomotion.training.config import LogConfig, OptimConfig, small_training

INTERX_VIEWS = PairConfig(max_frames=150, mirror=False)

SMALL = SkipTransformerConfig(
    width=128,
    num_layers=3,
    num_heads=4,
    feedforward=256,
    dropout=0.0,
    attention_dropout=0.0,
)

SMALL_DENOISER: dict[str, Any] = {
    "latent_dim": 96,
    "transformer": replace(SMALL, width=144, num_layers=9, feedforward=288),
    "length_token": True,
    "text_dim": 384,
    "attempts": 4,
    "latent_guidance": GuidanceConfig(collision_steps=0),
}
ENCODED_VIEWS: dict[str, Any] = {
    **OPEN_CAPTIONS,
    "composed_share": 0.2,
    "views": 30,
    "balance": 0.5,
}


def _optim(epochs: int) -> OptimConfig:
    """Appendix E: AdamW, a fixed learning rate of 1e-5, batches of 128.

    Appendix G's study of batch sizes says 1e-4. An epoch is assumed to be four fifths of
    InterHuman's 7,779 interactions, with mirrored copies.
    """
    return OptimConfig(
        steps=epochs * 97,
        batch_size=128,
        lr=1e-5,
        betas=(0.9, 0.999),
        weight_decay=0.01,
        schedule="constant",
    )


def autoencoder() -> AutoencoderRecipe:
    """The autoencoder on InterHuman: 6000 epochs, latents aligned with the residual tokenizer."""
    return AutoencoderRecipe(
        optim=_optim(6000),
        data=AutoencoderData(tokenizer="runs/momask/tokenizer-pairs/best"),
    )


def denoiser() -> LatentDenoiserRecipe:
    """The denoiser on InterHuman: 2000 epochs."""
    return LatentDenoiserRecipe(optim=_optim(2000))


def student() -> StudentRecipe:
    """The one-step student on InterHuman: 2000 epochs."""
    return StudentRecipe(optim=_optim(2000))


def autoencoder_interx() -> AutoencoderRecipe:
    """The autoencoder on Inter-X, which the paper says no more of; there is no tokenizer for it."""
    human = autoencoder()
    return replace(
        human,
        model=replace(
            human.model, layout="interx", num_features=336, alignment=None, max_frames=150
        ),
        data=AutoencoderData(pairs="data/interx", examples=INTERX_VIEWS),
        optim=replace(human.optim, steps=6000 * 71),
    )


def denoiser_interx() -> LatentDenoiserRecipe:
    """The denoiser on Inter-X."""
    human = denoiser()
    return replace(
        human,
        data=LatentData(
            pairs="data/interx",
            autoencoder="runs/ild/autoencoder-interx/best",
            examples=INTERX_VIEWS,
        ),
        optim=replace(human.optim, steps=2000 * 71),
    )


def student_interx() -> StudentRecipe:
    """The one-step student on Inter-X."""
    human = student()
    return replace(
        human,
        data=StudentData(
            pairs="data/interx", teacher="runs/ild/denoiser-interx/last", examples=INTERX_VIEWS
        ),
        optim=replace(human.optim, steps=2000 * 71),
    )


def autoencoder_open() -> AutoencoderRecipe:
    """The autoencoder of `ild-open`, on open and composed pairs.

    Patches of 4 frames; velocities and positions count too, since the open data are too few for
    them to come right by themselves.
    """
    return AutoencoderRecipe(
        model=AutoencoderConfig(
            latent_dim=96,
            transformer=SMALL,
            code_dim=128,
            patch=4,
            linear_code=LinearCodeConfig(),
        ),
        losses=AutoencoderLossWeights(position=10.0, velocity=30.0),
        data=AutoencoderData(
            **OPEN_PAIRS, tokenizer="runs/momask/tokenizer-pairs-open/best", balance=0.5
        ),
        optim=small_training(steps=2_000, batch_size=16, lr=1e-3, ema_decay=0.999),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


def denoiser_open() -> LatentDenoiserRecipe:
    """The denoiser of `ild-open`; views are encoded before training."""
    return LatentDenoiserRecipe(
        model=LatentDenoiserConfig(**SMALL_DENOISER),
        data=LatentData(**ENCODED_VIEWS, autoencoder="runs/ild/autoencoder-open/best"),
        optim=small_training(steps=38_000, batch_size=64, lr=1e-3, ema_decay=0.999),
        log=LogConfig(validate_every=2000, checkpoint_seconds=300.0),
    )


def student_open() -> StudentRecipe:
    """The student of `ild-open`, `fild-open`."""
    return StudentRecipe(
        model=StudentConfig(**SMALL_DENOISER),
        data=StudentData(**ENCODED_VIEWS, teacher="runs/ild/denoiser-open/last"),
        optim=small_training(steps=4_000, batch_size=32, lr=5e-4, ema_decay=0.999),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], AutoencoderRecipe | LatentDenoiserRecipe | StudentRecipe]] = {
    "ild/autoencoder": autoencoder,
    "ild/denoiser": denoiser,
    "ild/student": student,
    "ild/autoencoder-interx": autoencoder_interx,
    "ild/denoiser-interx": denoiser_interx,
    "ild/student-interx": student_interx,
    "ild/autoencoder-open": autoencoder_open,
    "ild/denoiser-open": denoiser_open,
    "ild/student-open": student_open,
}
