"""All trainings by name, each a function that returns a complete recipe."""

from collections.abc import Callable, Mapping
from typing import Any

from duomotion.config import nearest
from duomotion.training.evaluator import EvaluatorRecipe, EvaluatorTask
from duomotion.training.intermask import (
    GeneratorRecipe,
    GeneratorTask,
    TokenizerRecipe,
    TokenizerTask,
)
from duomotion.training.length import LengthRecipe, LengthTask
from duomotion.training.matching import (
    InterCLIPRecipe,
    InterCLIPTask,
    MovementRecipe,
    MovementTask,
    WordsRecipe,
    WordsTask,
)
from duomotion.training.momask import (
    MaskedRecipe,
    MaskedTask,
    ResidualRecipe,
    ResidualTask,
    ResidualTokenizerRecipe,
    ResidualTokenizerTask,
)
from duomotion.training.recipes import evaluators, intermask, momask
from duomotion.training.trainer import Task

Recipe = (
    TokenizerRecipe
    | GeneratorRecipe
    | LengthRecipe
    | EvaluatorRecipe
    | InterCLIPRecipe
    | WordsRecipe
    | MovementRecipe
    | ResidualTokenizerRecipe
    | MaskedRecipe
    | ResidualRecipe
)

RECIPES: Mapping[str, Callable[[], Recipe]] = {
    **intermask.RECIPES,
    **momask.RECIPES,
    **evaluators.RECIPES,
}
TASKS: Mapping[type, Callable[[Any], Task]] = {
    TokenizerRecipe: TokenizerTask,
    GeneratorRecipe: GeneratorTask,
    LengthRecipe: LengthTask,
    EvaluatorRecipe: EvaluatorTask,
    InterCLIPRecipe: InterCLIPTask,
    WordsRecipe: WordsTask,
    MovementRecipe: MovementTask,
    ResidualTokenizerRecipe: ResidualTokenizerTask,
    MaskedRecipe: MaskedTask,
    ResidualRecipe: ResidualTask,
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
    return TASKS[type(recipe)](recipe)
