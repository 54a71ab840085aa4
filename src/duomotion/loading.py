"""Models, trainings and evaluators by name or folder, through the systems that they belong to."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from duomotion.defaults import DEFAULT_MODELS
from duomotion.distributed import connect, find_device
from duomotion.editions import LATEST, of_edition
from duomotion.models import part_of
from duomotion.models.base import MotionModel
from duomotion.models.reconstructor import Reconstructor
from duomotion.precision import Precision
from duomotion.text.learned import Kinds, read_known, read_learned

if TYPE_CHECKING:
    from duomotion.models.system import Part
    from duomotion.training.config import Recipe
    from duomotion.training.trainer import Trainer


def load(model: str | Path, *, device: str = "cpu", precision: Precision = "auto") -> MotionModel:
    """A model that generates: `model.generate("two people shake hands", seed=0)`.

    Args:
        model: the name of a model that comes with the package, as `duomotion models` and `shipped`
            list them, or the folder of a checkpoint: of a training, packed or imported.
        device: "cpu", "cuda", "cuda:1", "mps" or "xpu".
        precision: of the network: "float32", "bfloat16" or "auto", which takes the fastest that the
            device has, and float32 for networks so narrow that they gain little from bfloat16.

    Returns:
        A model that generates, reacts, inpaints and extends; its `tuned` are the sampling settings
        that hold unless a `Sampling` says otherwise.

    Raises:
        ValueError: no such model or device, or the model's folder is damaged.
        OSError: a file of the model can't be read.
    """
    folder, kind, part = _found(model)
    find_device(device)
    if part.model is None:
        raise ValueError(
            f"{folder} is a checkpoint of {kind!r}, which does not generate on its own"
        )
    loaded = part.model(folder, device=device, precision=precision)
    loaded.name = checkpoint_name(folder)
    loaded.learned = read_learned(folder)
    return loaded


def load_reconstructor(
    model: str | Path, *, device: str = "cpu", precision: Precision = "auto"
) -> Reconstructor:
    """A model that brings motion into its tokens or latents and back: `load`'s, or a tokenizer.

    Args:
        model, device, precision: see `load`; tokenizers compute in float32.

    Raises:
        ValueError: no such model or device, or the model's folder is damaged.
        OSError: a file of the model can't be read.
    """
    folder, _, part = _found(model)
    find_device(device)
    if part.reconstructor is not None:
        return part.reconstructor(folder, device=device)
    return load(model, device=device, precision=precision)


def checkpoint_name(folder: str | Path) -> str:
    """What a checkpoint is called: as its folder, with the training's before `last` and `best`."""
    folder = Path(folder).absolute()
    return f"{folder.parent.name}-{folder.name}" if folder.name in ("last", "best") else folder.name


def load_trainer(recipe: "Recipe", folder: Path, *, device: str | None = None) -> "Trainer":
    """The training of a recipe in a folder; reads its data.

    Args:
        device: "cpu", "cuda" or such; None: CUDA where it is available.

    Raises:
        ValueError: the data or a checkpoint that the recipe needs are not there.
    """
    from duomotion.config import to_dict
    from duomotion.training.trainer import Trainer

    processes = connect(device)
    return Trainer(
        part_of(recipe.system).task(recipe, processes.device),
        folder,
        recipe=to_dict(recipe),
        optim=recipe.optim,
        log=recipe.log,
        processes=processes,
    )


def learned_kinds(model: str | Path) -> Kinds | None:
    """The kinds of action that a model has learned; None where its checkpoint does not say.

    Raises:
        ValueError: no such model, or the file that says so is damaged.
    """
    folder, _, _ = _found(model)
    return read_known(folder)


def system_of(model: str | Path) -> str:
    """The name of the system that a model belongs to.

    Raises:
        ValueError: no such model, or the folder is damaged.
    """
    _, kind, _ = _found(model)
    return kind.split("/")[0]


def folder_of(model: str | Path) -> Path:
    """Of a model by name or folder, whether there is one or not."""
    return shipped().get(str(model), Path(model))


def _found(model: str | Path) -> "tuple[Path, str, Part]":
    """Folder, kind and part of a model by name or folder."""
    folder = folder_of(model)
    if not (folder / "recipe.json").is_file():
        names = ", ".join(shipped()) or "none"
        raise ValueError(
            f"no model {str(model)!r}: it is neither a checkpoint folder nor one of those that "
            f"come with duomotion ({names})"
        )
    from duomotion.checkpoint import read_recipe

    kind = read_recipe(folder)["system"]
    return folder, kind, part_of(kind)


def shipped() -> Mapping[str, Path]:
    """Folders of the models that come with the package, by name; the default ones first."""
    found = {folder.parent.name: folder.parent for folder in sorted(_root().glob("*/recipe.json"))}
    return {name: found[name] for name in dict.fromkeys((*DEFAULT_MODELS.values(), *found))}


def alike(model: str) -> list[str]:
    """Names of the other models of the package that make as many people as `model`.

    Raises:
        ValueError: no such model, or its folder is damaged.
    """
    wanted = _num_people(model)
    return [name for name in shipped() if name != model and _num_people(name) == wanted]


def _num_people(model: str) -> int:
    """As the checkpoint says; the model is loaded where it does not."""
    kinds = learned_kinds(model)
    return load(model).num_people if kinds is None else kinds.num_people


def shipped_evaluator(num_people: int = 2, edition: int = LATEST) -> Path:
    """Folder of the open benchmark's evaluator for one person or two, by edition of the data."""
    return _root() / "evaluators" / of_edition({1: "solo", 2: "open"}[num_people], edition)


def _root() -> Path:
    return Path(str(files("duomotion") / "checkpoints"))
