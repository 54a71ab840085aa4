"""MoMask's trainings: those of the released code, and those of `momask-open`.

"As released" means the settings of the released code, at the sizes of the released models, with
these differences:

- Which checkpoint the next training uses. The released code takes the masked transformer of the
  last epoch, and the tokenizer and residual transformer with the lowest FID on validation motion.
  FID needs an evaluator: with `data.evaluator=FOLDER` `best` is the checkpoint with the lowest FID.
  Without one the tokenizer's `best` has the lowest reconstruction error on held-out motion, and the
  last residual transformer is used, since its held-out loss rises long before the generated motion
  gets worse. With an evaluator, set `data.residual=runs/momask/residual/best`.
- The transformers' batches contain clips of similar length, and the number of masked tokens follows
  from a sample's own length, without padding.

Milestones are fractions of `optim.steps`, those of the released code are fixed steps: change both
together.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from duomotion.models.momask.config import (
    MaskedConfig,
    ResidualConfig,
    ResidualTokenizerConfig,
    ResidualTokenizerLossWeights,
)
from duomotion.models.momask.tokenizer_training import (
    ResidualTokenizerData,
    ResidualTokenizerRecipe,
)
from duomotion.models.momask.training import MaskedData, MaskedRecipe, ResidualRecipe, TokenData
from duomotion.motion.humanml3d import KIT
from duomotion.training.config import LogConfig, OptimConfig, small_training

DECAY = 50_000  # step of the transformers' milestone (released code)
# 500 epochs of 23,384 clips (released code; section 4).
OPTIM = OptimConfig(
    steps=182_000, batch_size=64, warmup_steps=2000, milestones=(DECAY / 182_000,), gamma=0.1
)
# The same of 4,888 clips in batches of 32.
OPTIM_KIT = replace(OPTIM, steps=75_000, batch_size=32, milestones=(DECAY / 75_000,))
BOTH: dict[str, Any] = {"layout": "interhuman", "num_features": 262, "num_people": 2}
SMALL_TOKENIZER = ResidualTokenizerConfig(
    width=192,
    depth=2,
    dropout=0.0,
    code_dim=128,
    pca_encoder=True,
)
SMALL_TRANSFORMER: dict[str, Any] = {
    "token_dim": SMALL_TOKENIZER.code_dim,
    "width": 192,
    "num_heads": 6,
    "num_blocks": 4,
    "feedforward": 512,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "text_dim": 384,
    "scale_text": True,
    "local_conv_radius": 2,
}
SOLO_TOKENS: dict[str, Any] = {
    "clips": "data/solo-open",
    "tokenizer": "runs/momask/tokenizer-open/best",
    "text_encoder": "sentence",
    "views": 8,
    "text_noise": 0.2,
    "soft_target_width": 0.5,
    "init_from_codes": True,
}
SMALL_OPTIM = small_training(
    steps=12_000,
    batch_size=64,
    lr=2e-3,
    ema_decay=0.998,
)


def tokenizer() -> ResidualTokenizerRecipe:
    """MoMask's residual tokenizer on HumanML3D, as released.

    50 epochs in batches of 256 (512 in the paper); an epoch has a window for every possible start
    frame: 1.8 million in 23,384 clips of 7 s on average.
    """
    return ResidualTokenizerRecipe(
        optim=OptimConfig(
            steps=350_000,
            batch_size=256,
            weight_decay=0.0,
            warmup_steps=2000,
            milestones=(150_000 / 350_000, 250_000 / 350_000),
            gamma=0.1,
        )
    )


def masked() -> MaskedRecipe:
    """MoMask's masked transformer on HumanML3D, as released, with new crops in each epoch."""
    return MaskedRecipe(
        data=MaskedData(residual="runs/momask/residual/last", length="runs/length/humanml3d/best"),
        optim=OPTIM,
    )


def residual() -> ResidualRecipe:
    """MoMask's residual transformer on HumanML3D, as released, likewise with new crops."""
    return ResidualRecipe(optim=OPTIM)


def tokenizer_kit() -> ResidualTokenizerRecipe:
    """The released code's residual tokenizer at the same sizes on KIT-ML.

    The learning rate does not decay within 50,000 steps: the milestones of the released code are
    later. Neither paper nor code gives other settings for KIT-ML.
    """
    human = tokenizer()
    return replace(
        human,
        model=replace(human.model, layout=KIT.name, num_features=KIT.num_features),
        data=ResidualTokenizerData(clips="data/kit-ml"),
        optim=replace(human.optim, steps=50_000, schedule="constant"),
    )


def masked_kit() -> MaskedRecipe:
    """The released code's masked transformer at the same sizes on KIT-ML.

    Guidance 2 and batches of 32 are the paper's (section 4); 8 blocks, as on HumanML3D, the code's.
    """
    human = masked()
    return replace(
        human,
        model=replace(human.model, guidance=2.0),
        data=MaskedData(
            clips="data/kit-ml",
            tokenizer="runs/momask/tokenizer-kit/best",
            residual="runs/momask/residual-kit/last",
            length="runs/length/kit/best",
        ),
        optim=OPTIM_KIT,
    )


def residual_kit() -> ResidualRecipe:
    """The released code's residual transformer at the same sizes on KIT-ML, in batches of 32."""
    return ResidualRecipe(
        data=TokenData(clips="data/kit-ml", tokenizer="runs/momask/tokenizer-kit/best"),
        optim=OPTIM_KIT,
    )


def tokenizer_pairs() -> ResidualTokenizerRecipe:
    """The residual tokenizer of both people in one latent, on InterHuman (ILD, appendix E).

    Residual stacks of 4 layers and batches of 256 interactions; ILD does not give the number of
    steps.
    """
    solo = tokenizer()
    return replace(
        solo,
        model=replace(solo.model, depth=4, **BOTH),
        data=ResidualTokenizerData(clips="data/interhuman"),
    )


def tokenizer_open() -> ResidualTokenizerRecipe:
    """The tokenizer of `momask-open`, at a size that trains on two CPU cores."""
    return ResidualTokenizerRecipe(
        model=SMALL_TOKENIZER,
        losses=ResidualTokenizerLossWeights(beta=0.1, position=3.0),
        data=ResidualTokenizerData(clips="data/solo-open"),
        optim=small_training(
            steps=800,
            batch_size=64,
            lr=5e-4,
            weight_decay=0.0,
        ),
        log=LogConfig(validate_every=250, checkpoint_seconds=300.0),
    )


def tokenizer_pairs_open() -> ResidualTokenizerRecipe:
    """`tokenizer_open` for both people of the open pairs in one latent."""
    solo = tokenizer_open()
    return replace(
        solo,
        model=replace(SMALL_TOKENIZER, **BOTH),
        data=ResidualTokenizerData(clips="data/open-pairs", floor="keep"),
    )


def masked_open() -> MaskedRecipe:
    """The masked transformer of `momask-open`.

    8 crops of each clip are tokenized once, without padding, so that training steps don't include
    the tokenizer.
    """
    return MaskedRecipe(
        model=MaskedConfig(**SMALL_TRANSFORMER, choice_temperature=4.5),
        data=MaskedData(
            **SOLO_TOKENS,
            residual="runs/momask/residual-open/last",
            length="runs/length/solo/last",
        ),
        optim=SMALL_OPTIM,
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


def residual_open() -> ResidualRecipe:
    """The residual transformer of `momask-open`, on the same 8 crops."""
    return ResidualRecipe(
        model=ResidualConfig(**SMALL_TRANSFORMER, guidance=2.0, temperature=0.01),
        data=TokenData(**SOLO_TOKENS),
        optim=replace(SMALL_OPTIM, steps=2500, lr=1e-3),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


AnyRecipe = ResidualTokenizerRecipe | MaskedRecipe | ResidualRecipe

RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    "momask/tokenizer": tokenizer,
    "momask/masked": masked,
    "momask/residual": residual,
    "momask/tokenizer-kit": tokenizer_kit,
    "momask/masked-kit": masked_kit,
    "momask/residual-kit": residual_kit,
    "momask/tokenizer-pairs": tokenizer_pairs,
    "momask/tokenizer-open": tokenizer_open,
    "momask/tokenizer-pairs-open": tokenizer_pairs_open,
    "momask/masked-open": masked_open,
    "momask/residual-open": residual_open,
}
