"""All trainings by name, each a function that returns a complete recipe."""

from collections.abc import Callable

from duomotion.config import nearest
from duomotion.data.pairs import PairConfig
from duomotion.models.intermask.config import (
    BlockTokenizerConfig,
    TokenizerConfig,
    TokenizerLossWeights,
)
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.intermask import (
    GeneratorData,
    GeneratorRecipe,
    GeneratorTask,
    TokenizerData,
    TokenizerRecipe,
    TokenizerTask,
)
from duomotion.training.trainer import Task

Recipe = TokenizerRecipe | GeneratorRecipe

OPEN_WINDOWS = TokenizerData(
    pairs="data/open-pairs", solo="data/open-solo", solo_share=0.5, floor="keep"
)
# Terms of similar size when smooth L1 is an absolute value from a tenth of a deviation on.
SMALL_LOSSES = TokenizerLossWeights(
    commitment=0.05,
    beta=0.1,
    position=3.0,
    velocity=5.0,
    bone=0.5,
    contact=30.0,
    rotation_reading="interleaved",
)


def tokenizer() -> TokenizerRecipe:
    """InterMask's tokenizer on InterHuman as the paper has it (appendix E.2).

    50 epochs in batches of 512. An epoch is taken to be 227,000 windows: four fifths of
    InterHuman's 6.56 hours at 30 fps, a window every 10 frames, two people, each also mirrored.
    """
    return TokenizerRecipe(
        optim=OptimConfig(
            steps=22_000,
            batch_size=512,
            weight_decay=0.0,
            warmup_steps=110,
            milestones=(0.7, 0.85),
            gamma=0.1,
            clip_norm=1.0,
        ),
    )


def generator() -> GeneratorRecipe:
    """InterMask's transformer on InterHuman as the paper has it (appendix E.2).

    500 epochs in batches of 52. An epoch is taken to be four fifths of InterHuman's 7,779
    interactions, each also mirrored.
    """
    return GeneratorRecipe(optim=OptimConfig(steps=120_000, batch_size=52, warmup_steps=60))


def tokenizer_open() -> TokenizerRecipe:
    """The tokenizer of `intermask-open`: linear, fitted in a minute, then trained a little."""
    return TokenizerRecipe(
        model=BlockTokenizerConfig(),
        losses=SMALL_LOSSES,
        data=OPEN_WINDOWS,
        optim=OptimConfig(
            steps=500,
            batch_size=64,
            lr=1e-4,
            weight_decay=0.0,
            warmup_steps=100,
            schedule="cosine",
            clip_norm=1.0,
        ),
        log=LogConfig(validate_every=100, checkpoint_seconds=300.0),
    )


def tokenizer_small() -> TokenizerRecipe:
    """InterMask's tokenizer at a size that trains on two CPU cores, on the open data.

    Narrow where the map is large and wide where it is small; no dropout, since the windows are
    drawn anew each time; smooth L1 that is an absolute value from a tenth of a standard deviation
    on, and other weights to go with it. It starts without codes: in a trial with codes from the
    first step (and somewhat other settings of the codebook) held-out clips were at 275 mm after
    1400 steps; with this recipe they were at 134 mm after 1500.
    """
    return TokenizerRecipe(
        model=TokenizerConfig(
            widths=(32, 64, 128),
            code_dim=32,
            dropout=0.0,
            ema_decay=0.98,
            temperature=0.0,
            dead_below=0.3,
        ),
        losses=SMALL_LOSSES,
        data=OPEN_WINDOWS,
        continuous_steps=600,
        optim=OptimConfig(
            steps=2400,
            batch_size=32,
            lr=2e-3,
            weight_decay=0.0,
            warmup_steps=100,
            schedule="cosine",
            clip_norm=1.0,
        ),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


def generator_open() -> GeneratorRecipe:
    """InterMask's transformer at a size that trains on two CPU cores, on the open pairs.

    Captions become the vectors of the offline sentence encoder. Little data is stretched: motion is
    replayed at other speeds, and noise on the text vectors stands for other words.
    """
    return GeneratorRecipe(
        model=GeneratorConfig(
            token_dim=64,
            width=128,
            num_heads=4,
            num_blocks=4,
            feedforward=384,
            dropout=0.1,
            attention_dropout=0.0,
            modulation_rank=32,
            text_dim=384,
            text_layers=0,
        ),
        data=GeneratorData(
            pairs="data/open-pairs",
            tokenizer="runs/intermask/tokenizer-open/best",
            text_encoder="sentence",
            views=16,
            text_noise=0.2,
            examples=PairConfig(floor="keep", tempo=(0.7, 1.2), shortest=0.8),
        ),
        optim=OptimConfig(
            steps=8800,
            batch_size=8,
            lr=2e-3,
            warmup_steps=100,
            schedule="cosine",
            clip_norm=1.0,
            ema_decay=0.999,
        ),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "intermask/tokenizer": tokenizer,
    "intermask/generator": generator,
    "intermask/tokenizer-small": tokenizer_small,
    "intermask/tokenizer-open": tokenizer_open,
    "intermask/generator-open": generator_open,
}


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe is called {name!r}; {nearest(name, list(RECIPES))}")
    return RECIPES[name]()


def task_of(recipe: Recipe) -> Task:
    """The training task of a recipe; reads its data.

    Raises:
        ValueError: the data or a checkpoint that the recipe needs are not there.
    """
    if isinstance(recipe, TokenizerRecipe):
        return TokenizerTask(recipe)
    return GeneratorTask(recipe)
