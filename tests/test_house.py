"""What keeps the house in order: the direction of imports, the files of each system, its names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import duomotion
from duomotion.models import kinds, systems

SOURCE = Path(duomotion.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Lowest first. What is in one set may import each other and what is in sets before it.
LAYERS = [
    {
        "config",
        "defaults",
        "editions",
        "names",
        "reading",
        "signals",
        "streams",
        "storage",
        "progress",
    },
    {"precision", "distributed"},
    {"checkpoint", "official"},
    {"motion"},
    {"body"},
    {"evaluation.metrics"},
    {"formats"},
    {"studio"},
    {"text"},
    {"data"},
    {"losses", "sampling"},
    {"training"},
    {"models.layers"},
    {"models", "models.system", "models.trainings", "models.timing", "models.base"},
    {"models.children"},
    {"models.feature_model", "models.captioned_pairs", "models.pair_views"},
    {"models.pair_diffusion", "models.latent_model", "models.pair_autoencoder"},
    {"models.pair_denoising", "models.pair_reference"},
    {"models.pair_bench"},
    {f"models.{name}" for name in systems()},
    {"loading"},
    {"evaluation"},
    {"evaluation.open"},
    {"evaluation.published"},
    {"evaluation.ablations"},
    {"composition"},
    {"bench"},
    {"client", "serving", "scale"},
    {"cli"},
    {"__main__"},
]
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# `import duomotion` gives users `load` and `Interaction`, imported on first use.
FREE = {"duomotion"}

GENERATING = {
    *("README.md", "__init__.py", "config.py", "network.py", "objective.py", "generate.py"),
    *("training.py", "recipes.py", "reference.py", "bench.py", "tables.py"),
}
OTHERS = {"README.md", "__init__.py", "training.py", "recipes.py"}

# Where a system may be named outside its folder and its checkpoints, and why.
NAMED = {
    "intermask": {
        "__init__.py": "the example of a model",
        "defaults.py": "the model that is taken where none is named",
        "cli": "its published protocol, and examples in help texts",
        "evaluation/metrics/protocols.py": "its published protocol",
        "evaluation/published": "its published protocol and numbers",
        "data/testsets.py": "its published protocol",
        "models/intergen/tables.py": "tables of its paper",
    },
    "momask": {
        "defaults.py": "the model of one person that is taken where none is named",
        "evaluation/published/numbers.json": "its published numbers",
        "models/ild": "its tokenizer, which latents are aligned with",
    },
}


def area(module: str) -> str | None:
    """The member of LAYERS that a module of the package belongs to."""
    parts = module.split(".")[1:]
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in RANKS), None)


def module_of(path: Path) -> str:
    parts = ["duomotion", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def module_names() -> set[str]:
    return {module_of(each) for each in FILES}


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its beginning or later."""
    names = module_names()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else str(node.module))
    return {name for name in found if name.split(".")[0] == "duomotion"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path):
    module = module_of(path)
    if module in FREE:
        return
    own = area(module)
    assert own is not None, f"{module} has no place in LAYERS"
    for name in imported(path) - FREE:
        other = area(name)
        assert other is not None, f"{module} imports {name}, which has no place in LAYERS"
        assert RANKS[other] <= RANKS[own], f"{module} imports {name}, which lies above it"
        is_system = other in {f"models.{each}" for each in systems()}
        assert other == own or not is_system, f"{module} imports the system of {name}"
        assert {own, other} != {"evaluation.open", "evaluation.published"}, module


def test_the_systems_are_these():
    assert list(systems()) == [
        *("evaluator", "ild", "intergen", "intermamba", "intermask", "intermoe"),
        *("length", "momask"),
    ]


@pytest.mark.parametrize("name", systems())
def test_a_system_has_the_files_of_the_contract(name):
    system = systems()[name]
    files = {path.name for path in (SOURCE / "models" / name).iterdir()}
    generates = any(part.model is not None for part in system.parts.values())
    assert (GENERATING if generates else OTHERS) <= files
    if system.importers:
        assert "official.py" in files


@pytest.mark.parametrize("name", systems())
def test_recipes_are_of_the_system_and_its_parts(name):
    system = systems()[name]
    for recipe, make in system.recipes().items():
        assert recipe.startswith(f"{name}/")
        assert make().system in kinds() and make().system.startswith(f"{name}/")


@pytest.mark.parametrize("name", NAMED)
def test_a_system_is_named_in_its_folder_and_where_that_is_meant(name):
    found = set()
    for path in SOURCE.rglob("*"):
        place = path.relative_to(SOURCE).as_posix()
        own = place.startswith((f"models/{name}/", "checkpoints/"))
        is_text = path.suffix in (".py", ".json", ".md", ".html", ".js", ".txt")
        if is_text and not own and re.search(name, path.read_text("utf-8"), re.IGNORECASE):
            found.add(place)
    allowed = tuple(NAMED[name])
    assert [place for place in sorted(found) if not place.startswith(allowed)] == []
