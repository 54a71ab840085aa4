"""The systems: every sub-package that defines SYSTEM.

A folder named in the environment variable DUOMOTION_SYSTEMS (or several, separated as in PATH)
holds further ones.
"""

import importlib
import os
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from duomotion.config import nearest
from duomotion.models.system import Part, System

if TYPE_CHECKING:
    from duomotion.training.config import Recipe

__path__ = [*__path__, *filter(None, os.environ.get("DUOMOTION_SYSTEMS", "").split(os.pathsep))]


def systems() -> Mapping[str, System]:
    """All systems by name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            package = importlib.import_module(f"{__name__}.{module.name}")
            if (system := getattr(package, "SYSTEM", None)) is not None:
                assert system.name == module.name
                found[system.name] = system
    return dict(sorted(found.items()))


def kinds() -> Mapping[str, Part]:
    """All parts by NAME/PART, as `recipe["system"]` has it."""
    return {
        f"{system.name}/{name}": part
        for system in systems().values()
        for name, part in system.parts.items()
    }


def part_of(kind: str) -> Part:
    """The part that a recipe or a checkpoint is of.

    Raises:
        ValueError: there is none of this name.
    """
    known = kinds()
    if kind not in known:
        raise ValueError(f"no system is called {kind!r}; {nearest(kind, list(known))}")
    return known[kind]


def find_recipe(name: str) -> "Recipe":
    """The recipe called `name`.

    Raises:
        ValueError: there is none.
    """
    known = systems()
    system = known.get(name.partition("/")[0])
    recipes = system.recipes() if system is not None else {}
    if name not in recipes:
        names = [each for system in known.values() for each in system.recipes()]
        raise ValueError(f"no recipe is called {name!r}; {nearest(name, names)}")
    return recipes[name]()
