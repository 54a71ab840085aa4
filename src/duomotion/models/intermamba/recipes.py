"""InterMamba's trainings: the paper's, and that of `intermamba-open`."""

from collections.abc import Callable
from dataclasses import replace

from duomotion.data.pairs import PairConfig
from duomotion.models.captioned_pairs import MOSTLY_RECORDED, PairData
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.training import InterMambaRecipe
from duomotion.models.layers.patch_code import PatchCodeConfig
from duomotion.training.config import LogConfig, OptimConfig, small_training


def denoiser() -> InterMambaRecipe:
    """InterMamba on InterHuman at the paper's settings (section 5.1).

    2000 epochs in batches of 50. An epoch is assumed to be four fifths of InterHuman's 7,779
    interactions, with mirrored copies, as for InterGen, whose betas, warm-up, cosine and clipping
    are taken too: the paper has the learning rate and the weight decay alone.
    """
    return InterMambaRecipe(
        optim=OptimConfig(
            steps=498_000,
            batch_size=50,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=2e-5,
            warmup_steps=2_500,
            schedule="cosine",
            clip_norm=0.5,
        ),
    )


def denoiser_interx() -> InterMambaRecipe:
    """The same on Inter-X, with a window of 150 frames."""
    human = denoiser()
    model = replace(human.model, layout="interx", num_features=336, max_frames=150, num_joints=55)
    return replace(
        human,
        model=model,
        data=PairData(pairs="data/interx", examples=PairConfig(max_frames=150, mirror=False)),
        optim=replace(human.optim, steps=365_000),
    )


def denoiser_open() -> InterMambaRecipe:
    """InterMamba at a size that trains on two CPU cores, on open and composed pairs.

    Over joints, since it is to make long motion in one piece. Data and steps are those of
    `intergen/denoiser-open`; branches are as wide inside as outside, so that a step takes as long.
    """
    return InterMambaRecipe(
        model=InterMambaConfig(
            width=192,
            expand=1,
            spatial_axis="joints",
            share_weights=True,
            bidirectional=True,
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


RECIPES: dict[str, Callable[[], InterMambaRecipe]] = {
    "intermamba/denoiser": denoiser,
    "intermamba/denoiser-interx": denoiser_interx,
    "intermamba/denoiser-open": denoiser_open,
}
