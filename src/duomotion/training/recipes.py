"""All trainings by name, each a function that returns a complete recipe."""

from collections.abc import Callable

from duomotion.models.intermask.config import TokenizerConfig, TokenizerLossWeights
from duomotion.training.config import LogConfig, OptimConfig, nearest
from duomotion.training.intermask import TokenizerData, TokenizerRecipe

Recipe = TokenizerRecipe


def tokenizer_open() -> TokenizerRecipe:
    """InterMask's tokenizer at a size that trains on two CPU cores, on the open data.

    Narrow where the map is large and wide where it is small, which costs a fifth of a uniform width
    of 128 a step; no dropout, since the windows are drawn anew each time; smooth L1 that is an
    absolute value from a tenth of a standard deviation on.
    """
    return TokenizerRecipe(
        model=TokenizerConfig(widths=(32, 64, 192), code_dim=64, dropout=0.0),
        losses=TokenizerLossWeights(beta=0.1, rotation_reading="interleaved"),
        data=TokenizerData(
            pairs="data/open-pairs", solo="data/open-solo", solo_share=0.5, floor="keep"
        ),
        optim=OptimConfig(
            steps=6000,
            batch_size=64,
            lr=1e-3,
            weight_decay=0.0,
            warmup_steps=100,
            schedule="cosine",
            clip_norm=1.0,
        ),
        log=LogConfig(validate_every=500, checkpoint_seconds=300.0),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"intermask/tokenizer-open": tokenizer_open}


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe is called {name!r}; {nearest(name, list(RECIPES))}")
    return RECIPES[name]()
