"""InterMask's trainings: the paper's, and those of `intermask-open`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from duomotion.data.pairs import PairConfig
from duomotion.data.windows import WindowConfig
from duomotion.models.captioned_pairs import OPEN_CAPTIONS
from duomotion.models.intermask.config import (
    INTERX_TOKENIZER,
    InterMConfig,
    PartTokenizerConfig,
    TokenizerConfig,
    TokenizerLossWeights,
)
from duomotion.models.intermask.training import (
    GeneratorData,
    GeneratorRecipe,
    TokenizerData,
    TokenizerRecipe,
)
from duomotion.training.config import LogConfig, OptimConfig, small_training

OPEN_WINDOWS = TokenizerData(
    pairs="data/open-pairs",
    solo="data/solo-interhuman",
    solo_share=0.5,
    windows=WindowConfig(floor="keep"),
)
SMALL_SIZES: dict[str, Any] = {
    "widths": (32, 64, 128),
    "code_dim": 32,
    "dropout": 0.0,
    "ema_decay": 0.98,
    "temperature": 0.0,
    "dead_below": 0.3,
}
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


# The paper's settings where its released code, which the other recipes follow, differs:
# plain L1 and only the terms of equation 2, a convolution at the input, the nearest code,
PRINTED_TOKENIZER: dict[str, Any] = {"input_layer": "conv", "temperature": 0.0}
PRINTED_LOSSES: dict[str, Any] = {"beta": 0.0, "position": 0.0, "rotation": 0.0}
# no selected token replaced by another code or left as it is (equation 8), CLIP's own vector
# without a trained head, and 12 iterations for reactions (table 7).
PRINTED_GENERATOR: dict[str, Any] = {
    "random_id_prob": 0.0,
    "mask_token_prob": 1.0,
    "text_layers": 0,
    "reaction_steps": 12,
}


def tokenizer() -> TokenizerRecipe:
    """InterMask's tokenizer on InterHuman: the released code at the paper's sizes (appendix E.2).

    The paper mentions neither smooth L1, the position and rotation terms, the graph layer nor the
    random assignment of codes; `tokenizer_as_printed` leaves them out.

    50 epochs in batches of 512, with a warm-up over a quarter of the first epoch. The number of
    windows per epoch depends on clip lengths, which the paper does not give. Four fifths of
    InterHuman are 6,223 clips of 91 frames on average (6.56 hours at 30 fps in 7,779 clips). With
    lengths distributed exponentially above the shortest, 15 frames, there are 99,000 windows of 64
    frames at stride 10, of two people, with mirrored copies. Epochs in the log are counted in the
    windows that the data really have.
    """
    return TokenizerRecipe(
        optim=OptimConfig(
            steps=9_700,
            batch_size=512,
            weight_decay=0.0,
            warmup_steps=48,
            milestones=(0.7, 0.85),
            gamma=0.1,
            clip_norm=1.0,
        ),
    )


def generator() -> GeneratorRecipe:
    """InterMask's transformer on InterHuman: the released code at the paper's sizes (appendix E.2).

    The paper mentions neither random nor unchanged codes among the selected tokens, nor the trained
    text head; `generator_as_printed` leaves them out.

    500 epochs in batches of 52, with a warm-up over a quarter of the first epoch. An epoch is
    assumed to be four fifths of InterHuman's 7,779 interactions, with mirrored copies.
    """
    return GeneratorRecipe(optim=OptimConfig(steps=120_000, batch_size=52, warmup_steps=60))


def tokenizer_as_printed() -> TokenizerRecipe:
    """`tokenizer` as described in the paper, where the released code differs."""
    released = tokenizer()
    return replace(
        released,
        model=replace(released.model, **PRINTED_TOKENIZER),
        losses=replace(released.losses, **PRINTED_LOSSES),
    )


def generator_as_printed() -> GeneratorRecipe:
    """`generator` as described in the paper, where the released code differs."""
    released = generator()
    return replace(
        released,
        model=replace(released.model, **PRINTED_GENERATOR),
        data=replace(released.data, tokenizer="runs/intermask/tokenizer-as-printed/best"),
    )


def tokenizer_open() -> TokenizerRecipe:
    """The tokenizer of `intermask-open`: initialised from the data, then trained briefly.

    Its losses are in metres, not in standard deviations.
    """
    return TokenizerRecipe(
        model=PartTokenizerConfig(),
        losses=replace(SMALL_LOSSES, contact=3.0),
        data=replace(OPEN_WINDOWS, solo_share=0.4, starting_windows=16_000),
        optim=small_training(
            steps=500,
            batch_size=64,
            lr=3e-4,
            weight_decay=0.0,
        ),
        log=LogConfig(validate_every=100, checkpoint_seconds=300.0),
    )


def tokenizer_small() -> TokenizerRecipe:
    """InterMask's tokenizer at a size that trains on two CPU cores, on the open data.

    Layers are narrow at high resolution and wide at low resolution. There is no dropout, since
    every batch has new windows. Smooth L1 is linear beyond a tenth of a standard deviation, and the
    loss weights are adapted to that. The first 600 steps are not quantized: in a trial with
    quantization from the first step (and slightly different codebook settings) the MPJPE of
    held-out clips was 275 mm after 1400 steps; with this recipe it was 134 mm after 1500.
    """
    return TokenizerRecipe(
        model=TokenizerConfig(**SMALL_SIZES),
        losses=SMALL_LOSSES,
        data=OPEN_WINDOWS,
        continuous_steps=600,
        optim=small_training(
            steps=2400,
            batch_size=32,
            lr=2e-3,
            weight_decay=0.0,
        ),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


def tokenizer_interx() -> TokenizerRecipe:
    """InterMask's tokenizer on Inter-X: the released code at the paper's sizes (appendix E).

    50 epochs in batches of 512. An epoch is assumed to be 208,000 windows: 9,110 interactions of
    178 frames (8.1 million frames at 120 fps in 11,388 interactions, Xu et al. 2024), windows at
    stride 10, two people.
    """
    return TokenizerRecipe(
        model=INTERX_TOKENIZER,
        losses=TokenizerLossWeights(contact=100.0),
        data=TokenizerData(pairs="data/interx", windows=WindowConfig(mirror=False)),
        optim=replace(tokenizer().optim, steps=20_300, warmup_steps=101),
    )


def generator_interx() -> GeneratorRecipe:
    """InterMask's transformer on Inter-X: the released code at the paper's sizes.

    500 epochs in batches of 52.
    """
    return GeneratorRecipe(
        data=GeneratorData(
            pairs="data/interx",
            tokenizer="runs/intermask/tokenizer-interx/best",
            examples=PairConfig(max_frames=150, mirror=False),
        ),
        optim=OptimConfig(steps=88_000, batch_size=52, warmup_steps=44),
    )


def tokenizer_interx_open() -> TokenizerRecipe:
    """`tokenizer_small` for the open pairs in Inter-X's layout."""
    small = tokenizer_small()
    return replace(
        small,
        model=replace(INTERX_TOKENIZER, **SMALL_SIZES),
        losses=TokenizerLossWeights(contact=100.0, beta=0.1),
        data=TokenizerData(pairs="data/open-interx", windows=WindowConfig()),
    )


def generator_interx_open() -> GeneratorRecipe:
    """A small transformer on the open pairs in Inter-X's layout."""
    small = generator_open()
    return replace(
        small,
        model=replace(small.model, per_part_codebooks=False, local_conv_radius=0),
        data=replace(
            small.data,
            composed=None,
            length=None,
            pairs="data/open-interx",
            tokenizer="runs/intermask/tokenizer-interx-open/best",
            examples=replace(OPEN_CAPTIONS["examples"], max_frames=150),
        ),
    )


def generator_open() -> GeneratorRecipe:
    """InterMask's transformer at a size that trains on two CPU cores, on open and composed pairs.

    Captions are embedded by the offline sentence encoder. Recorded pairs are few, so they are cut
    and replayed at other tempos; a quarter of what the network sees was composed from recordings of
    one person. Noise on the text vectors simulates paraphrases. The checkpoint includes a length
    estimator. `intermask-open` began with its first edition's weights (`start`) and tokenizer.
    """
    return GeneratorRecipe(
        model=InterMConfig(
            per_part_codebooks=True,
            person_embedding=True,
            local_conv_radius=2,
            token_dim=64,
            width=128,
            num_heads=4,
            num_blocks=4,
            feedforward=384,
            dropout=0.05,
            attention_dropout=0.0,
            modulation_rank=32,
            text_dim=384,
            text_layers=0,
            unroll_weight=0.0,
            choice_temperature=4.5,
            attempts=4,
            blank_prob=0.3,
        ),
        data=replace(
            GeneratorData(
                **OPEN_CAPTIONS,
                tokenizer="runs/intermask/tokenizer-open/best",
                views=8,
                balance=0.25,
            ),
            examples=replace(
                OPEN_CAPTIONS["examples"],
                tempo=(0.9, 1.12),
                tempo_change=0.05,
                scale=(1.0, 1.0),
            ),
        ),
        optim=small_training(
            steps=6_000,
            batch_size=8,
            lr=1.5e-3,
            ema_decay=0.999,
        ),
        log=LogConfig(validate_every=6000, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], TokenizerRecipe | GeneratorRecipe]] = {
    "intermask/tokenizer": tokenizer,
    "intermask/generator": generator,
    "intermask/tokenizer-as-printed": tokenizer_as_printed,
    "intermask/generator-as-printed": generator_as_printed,
    "intermask/tokenizer-interx": tokenizer_interx,
    "intermask/generator-interx": generator_interx,
    "intermask/tokenizer-small": tokenizer_small,
    "intermask/tokenizer-open": tokenizer_open,
    "intermask/generator-open": generator_open,
    "intermask/tokenizer-interx-open": tokenizer_interx_open,
    "intermask/generator-interx-open": generator_interx_open,
}
