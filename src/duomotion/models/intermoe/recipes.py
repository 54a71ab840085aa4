"""InterMoE's trainings: the paper's, and those of `intermoe-open`."""

from collections.abc import Callable
from dataclasses import replace

from duomotion.data.pairs import PairConfig
from duomotion.models.captioned_pairs import OPEN_CAPTIONS
from duomotion.models.intermoe.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    DenoiserConfig,
    RoutingConfig,
)
from duomotion.models.intermoe.training import AutoencoderRecipe, DenoiserRecipe, LatentData
from duomotion.models.layers.patch_code import PatchCodeConfig
from duomotion.models.pair_views import OPEN_PAIRS, OPEN_VIEWS, ViewData
from duomotion.training.config import LogConfig, OptimConfig, small_training

INTERX_LATENT = 9 * 64


def autoencoder() -> AutoencoderRecipe:
    """The autoencoder on InterHuman at the settings of the released config.

    Windows of 64 frames, 256 people at once, which are 128 pairs here. How long its authors trained
    is not released; 80,000 steps are assumed.
    """
    return AutoencoderRecipe(
        optim=OptimConfig(
            steps=80_000,
            batch_size=128,
            lr=2e-4,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            warmup_steps=1000,
            schedule="multistep",
            milestones=(0.75,),
            gamma=0.1,
        ),
        data=ViewData(examples=PairConfig(max_frames=64)),
    )


def denoiser() -> DenoiserRecipe:
    """The denoiser on InterHuman: 1000 epochs in batches of 64.

    An epoch is assumed to be four fifths of InterHuman's 7,779 interactions, with mirrored copies;
    the learning rate falls by a cosine, as in InterGen, on whose code it builds. The released code
    cuts each number of the gradient to 1; this trainer its norm.
    """
    return DenoiserRecipe(
        optim=OptimConfig(
            steps=194_500,
            batch_size=64,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=2e-5,
            warmup_steps=1_950,
            schedule="cosine",
            clip_norm=1.0,
        ),
    )


def autoencoder_interx() -> AutoencoderRecipe:
    """The autoencoder on Inter-X, whose settings are not released: InterHuman's."""
    human = autoencoder()
    return replace(
        human,
        model=replace(human.model, layout="interx", num_features=336),
        data=ViewData(pairs="data/interx", examples=PairConfig(max_frames=64, mirror=False)),
    )


def denoiser_interx() -> DenoiserRecipe:
    """The denoiser on Inter-X, the same way."""
    human = denoiser()
    return replace(
        human,
        model=replace(human.model, num_features=INTERX_LATENT),
        data=LatentData(
            pairs="data/interx",
            autoencoder="runs/intermoe/autoencoder-interx/best",
            examples=PairConfig(max_frames=150, mirror=False),
        ),
        optim=replace(human.optim, steps=142_000),
    )


def autoencoder_open() -> AutoencoderRecipe:
    """The autoencoder of `intermoe-open`, on open and composed pairs.

    Latents begin as a linear code, since what convolutions learn of the open data shakes; joints
    count in metres, too. Decoded motion is smoothed until generated clips jerk as recorded ones.
    """
    return AutoencoderRecipe(
        model=AutoencoderConfig(width=32, dropout=0.0, linear_code=True, smoothing=2.5),
        losses=AutoencoderLossWeights(kl=0.002, joints=10.0, steps=30.0, bones=10.0, contact=30.0),
        data=replace(
            ViewData(**OPEN_PAIRS, balance=0.5), examples=replace(OPEN_VIEWS, max_frames=96)
        ),
        optim=small_training(steps=500, batch_size=16, lr=1e-3, ema_decay=0.99),
        log=LogConfig(validate_every=100, checkpoint_seconds=300.0),
    )


def denoiser_open() -> DenoiserRecipe:
    """The denoiser of `intermoe-open`; views are encoded before training."""
    return DenoiserRecipe(
        model=DenoiserConfig(
            num_features=7 * 32,
            width=192,
            num_heads=6,
            num_blocks=4,
            routing=RoutingConfig(num_experts=8, feedforward=64),
            dropout=0.0,
            attention_dropout=0.0,
            modulation_rank=32,
            person_embedding=True,
            code=PatchCodeConfig(patch=2, size=128),
            normalise_latents=True,
            text_dim=384,
            text_layers=0,
            guidance=2.5,
            solver="dpmsolver++",
            steps=20,
            attempts=4,
        ),
        data=LatentData(
            **OPEN_CAPTIONS,
            autoencoder="runs/intermoe/autoencoder-open/best",
            views=16,
            balance=0.5,
        ),
        optim=small_training(steps=14_000, batch_size=32, lr=1e-3, ema_decay=0.999),
        log=LogConfig(validate_every=2000, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], AutoencoderRecipe | DenoiserRecipe]] = {
    "intermoe/autoencoder": autoencoder,
    "intermoe/denoiser": denoiser,
    "intermoe/autoencoder-interx": autoencoder_interx,
    "intermoe/denoiser-interx": denoiser_interx,
    "intermoe/autoencoder-open": autoencoder_open,
    "intermoe/denoiser-open": denoiser_open,
}
