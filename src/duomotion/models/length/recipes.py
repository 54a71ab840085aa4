"""Trainings of length estimators: the released one's, and those of the open models."""

from collections.abc import Callable
from dataclasses import replace

from duomotion.models.length.network import LengthConfig
from duomotion.models.length.training import LengthData, LengthRecipe
from duomotion.motion.humanml3d import HUMANML3D, KIT
from duomotion.training.config import LogConfig, OptimConfig


def humanml3d() -> LengthRecipe:
    """The length estimator on HumanML3D, with the optimiser of the released code (Adam).

    The released code takes the lengths of crops, a third of which are a token shorter; here the
    length of a clip is its number of whole tokens. The number of steps, not published, is ours.
    """
    return LengthRecipe(
        data=LengthData(clips="data/humanml3d", layout=HUMANML3D.name, text_encoder="clip-vector"),
        optim=OptimConfig(
            steps=50_000,
            batch_size=64,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=0.0,
            schedule="constant",
            clip_norm=0.5,
        ),
    )


def kit() -> LengthRecipe:
    """The same length estimator on KIT-ML."""
    human = humanml3d()
    return replace(human, data=replace(human.data, clips="data/kit-ml", layout=KIT.name))


def open_pairs() -> LengthRecipe:
    """The length estimator of the open models of two people, for lengths of up to 10 s."""
    return LengthRecipe(
        model=LengthConfig(text_dim=384, num_classes=76, width=256),
        data=LengthData(
            clips="data/open-pairs",
            composed="data/composed-pairs",
            composed_share=0.2,
            text_encoder="sentence",
            text_noise=0.2,
        ),
        optim=OptimConfig(
            steps=4000, batch_size=64, lr=1e-3, warmup_steps=50, schedule="cosine", ema_decay=0.99
        ),
        log=LogConfig(validate_every=500),
    )


def solo_open() -> LengthRecipe:
    """The length estimator of the open models of one person."""
    pairs = open_pairs()
    return replace(
        pairs,
        model=replace(pairs.model, num_classes=50),
        data=replace(pairs.data, clips="data/solo-open", composed=None, layout=HUMANML3D.name),
    )


RECIPES: dict[str, Callable[[], LengthRecipe]] = {
    "length/humanml3d": humanml3d,
    "length/kit": kit,
    "length/open": open_pairs,
    "length/solo": solo_open,
}
