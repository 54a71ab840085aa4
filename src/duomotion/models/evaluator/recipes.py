"""Trainings of evaluators: those that come with the package, and the released kinds."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from duomotion.data.pairs import PairConfig
from duomotion.editions import LATEST, of_edition
from duomotion.models.evaluator.interx import INTERX
from duomotion.models.evaluator.matching import (
    InterCLIPRecipe,
    MovementData,
    MovementRecipe,
    WordsData,
    WordsRecipe,
)
from duomotion.models.evaluator.open import OpenEvaluatorConfig
from duomotion.models.evaluator.t2m import HUMANML3D, KIT
from duomotion.models.evaluator.training import EvaluatorData, EvaluatorRecipe
from duomotion.motion import humanml3d
from duomotion.training.config import LogConfig, OptimConfig, small_training

SOLO_STEPS = {1: 300, 2: 800}  # by edition; about 8 epochs


def open_pairs(edition: int = LATEST) -> EvaluatorRecipe:
    """The evaluator of the open benchmark."""
    return EvaluatorRecipe(
        data=EvaluatorData(clips=f"data/{of_edition('open-pairs', edition)}"),
        optim=small_training(
            steps=1000,
            batch_size=60,
            lr=5e-4,
            weight_decay=1e-2,
            ema_decay=0.995,
        ),
        log=LogConfig(validate_every=450, checkpoint_seconds=300.0),
    )


def solo_open(edition: int = LATEST) -> EvaluatorRecipe:
    """The evaluator of the open benchmark for one person.

    Its last checkpoint is used: the loss on the validation clips of the first edition rises from
    step 50 on, while retrieval on held-out subjects still improves.
    """
    pairs = open_pairs(edition)
    return replace(
        pairs,
        model=OpenEvaluatorConfig(
            num_people=1, num_features=humanml3d.HUMANML3D.num_features, every=2
        ),
        data=EvaluatorData(
            clips=f"data/{of_edition('solo-open', edition)}",
            layout=humanml3d.HUMANML3D.name,
            views=4,
            examples=PairConfig(max_frames=196, mirror=False, shortest=0.6),
        ),
        optim=replace(pairs.optim, steps=SOLO_STEPS[edition], batch_size=64),
        log=replace(pairs.log, validate_every=50),
    )


def interclip() -> InterCLIPRecipe:
    """InterCLIP on InterHuman with the loss and the sizes of InterGen's released code.

    Its training is not published. Assumed: InterGen's optimiser, and batches as large as the
    evaluation's pools; the number of steps is ours.
    """
    return InterCLIPRecipe(
        optim=OptimConfig(
            steps=50_000,
            batch_size=96,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=2e-5,
            warmup_steps=500,
            schedule="cosine",
            clip_norm=0.5,
        )
    )


WORDS_DATA: dict[str, WordsData] = {
    "interx": WordsData(layout="interx", folder="data/interx"),
    "humanml3d": WordsData(layout="humanml3d", folder="data/humanml3d"),
    "kit": WordsData(layout="kit-ml", folder="data/kit-ml"),
}
WORDS_SIZES = {"interx": INTERX, "humanml3d": HUMANML3D, "kit": KIT}


def of_words(name: str, steps: int) -> WordsRecipe:
    """The evaluator of Inter-X, HumanML3D or KIT-ML as its released code trains it.

    300 epochs of the training split in batches of 32 (23,384 clips of HumanML3D, 9,110 of Inter-X,
    about 4,900 of KIT-ML). Gradients are clipped by their common norm, in the released code
    separately for text and motion encoders.
    """
    return WordsRecipe(
        system="evaluator/interx" if name == "interx" else "evaluator/t2m",
        model=WORDS_SIZES[name],
        data=replace(WORDS_DATA[name], movement=f"runs/evaluator/movement-{name}/best"),
        optim=OptimConfig(
            steps=steps,
            batch_size=32,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=0.0,
            schedule="constant",
            clip_norm=0.5,
        ),
    )


def movement(name: str) -> MovementRecipe:
    """The movement encoder of such an evaluator as its released code trains it.

    The number of steps is ours: the 270 epochs over all windows of the released code would be
    millions of steps on HumanML3D.
    """
    data = WORDS_DATA[name]
    return MovementRecipe(
        model=WORDS_SIZES[name],
        data=MovementData(layout=data.layout, folder=data.folder),
        optim=OptimConfig(
            steps=100_000,
            batch_size=128,
            lr=1e-4,
            betas=(0.9, 0.999),
            weight_decay=0.0,
            schedule="constant",
        ),
    )


AnyRecipe = EvaluatorRecipe | InterCLIPRecipe | WordsRecipe | MovementRecipe

RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    "evaluator/open": open_pairs,
    "evaluator/solo": solo_open,
    "evaluator/open-1": partial(open_pairs, 1),
    "evaluator/solo-1": partial(solo_open, 1),
    "evaluator/interclip": interclip,
    "evaluator/movement-interx": partial(movement, "interx"),
    "evaluator/movement-humanml3d": partial(movement, "humanml3d"),
    "evaluator/movement-kit": partial(movement, "kit"),
    "evaluator/interx": partial(of_words, "interx", 85_000),
    "evaluator/humanml3d": partial(of_words, "humanml3d", 219_000),
    "evaluator/kit": partial(of_words, "kit", 45_000),
}
