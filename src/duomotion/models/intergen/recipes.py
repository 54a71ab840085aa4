"""InterGen's trainings: the released code's, and that of `intergen-open`."""

from collections.abc import Callable
from dataclasses import replace

from duomotion.data.pairs import PairConfig
from duomotion.models.captioned_pairs import MOSTLY_RECORDED, PairData
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.training import InterGenRecipe
from duomotion.models.layers.patch_code import PatchCodeConfig
from duomotion.training.config import LogConfig, OptimConfig, small_training


def denoiser() -> InterGenRecipe:
    """InterGen on InterHuman at the settings of the released code (configs/).

    2000 epochs in batches of 32. An epoch is assumed to be four fifths of InterHuman's 7,779
    interactions, with mirrored copies. The learning rate falls by a cosine; the released code
    changes it once an epoch, with a warm-up of ten.
    """
    return InterGenRecipe(
        optim=OptimConfig(
            steps=778_000,
            batch_size=32,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=2e-5,
            warmup_steps=3_900,
            schedule="cosine",
            clip_norm=0.5,
        ),
    )


def denoiser_interx() -> InterGenRecipe:
    """The same on Inter-X, whose authors trained it so (Xu et al. 2024)."""
    human = denoiser()
    return replace(
        human,
        model=replace(human.model, layout="interx", num_features=336),
        data=PairData(pairs="data/interx", examples=PairConfig(max_frames=150, mirror=False)),
        optim=replace(human.optim, steps=570_000),
    )


def denoiser_open() -> InterGenRecipe:
    """InterGen at a size that trains on two CPU cores, on open and composed pairs."""
    return InterGenRecipe(
        model=DenoiserConfig(
            width=192,
            num_heads=6,
            num_blocks=4,
            feedforward=384,
            dropout=0.0,
            attention_dropout=0.0,
            modulation_rank=32,
            person_embedding=True,
            code=PatchCodeConfig(),
            text_dim=384,
            text_layers=0,
            guidance=2.5,
            solver="dpmsolver++",
            steps=20,
            attempts=4,
        ),
        data=PairData(**MOSTLY_RECORDED),
        optim=small_training(steps=16_000, batch_size=16, lr=1e-3, ema_decay=0.999),
        log=LogConfig(validate_every=4000, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], InterGenRecipe]] = {
    "intergen/denoiser": denoiser,
    "intergen/denoiser-interx": denoiser_interx,
    "intergen/denoiser-open": denoiser_open,
}
