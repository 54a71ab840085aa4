"""Commands that train, and that list and pack what was trained."""

import json
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING

from duomotion.checkpoint import size_mb
from duomotion.cli.files import writable_folder

if TYPE_CHECKING:
    from duomotion.training.trainer import Trainer

WIDTH = 100
MOST_KINDS = 40
COMPOSED = "only from clips composed of recordings of one person"


def models(name: str = "", /, *, all: bool = False) -> None:
    """List the models that come with duomotion, and the systems with their recipes.

    Args:
        name: Name of a model or folder of a checkpoint: list the kinds of action that it has
            learned, with the number of training clips and an example prompt of each.
        all: Every kind of action, not only those with the most training clips.
    """
    if name:
        _list_kinds(name, most=None if all else MOST_KINDS)
    elif all:
        raise ValueError("--all needs a model, as in `duomotion models intermask-open --all`")
    else:
        _list_models()
        print()
        _list_recipes()


def _list_kinds(name: str, *, most: int | None) -> None:
    """Kinds that recordings show come first, then those of composed clips alone."""
    from duomotion.loading import learned_kinds

    known = learned_kinds(name)
    if known is None:
        print(f"{name} does not say which kinds of action it has learned")
        return
    shown = known.kinds[:most]
    left = known.kinds[len(shown) :]
    widest = max(len(kind.name) for kind in shown)
    print(f"{'kind':{widest}}  clips  example")
    for before, kind in zip((None, *shown), shown, strict=False):
        if kind.composed and not (before and before.composed):
            print(f"{COMPOSED}, often not shown:")
        example = shorten(kind.example, max(WIDTH - widest - 9, 40), placeholder="…")
        print(f"{kind.name:{widest}}  {kind.clips:5}  {example}")
    if left:
        composed = sum(kind.composed for kind in left)
        of_these = f", {composed} of them {COMPOSED}" if composed else ""
        print(f"and {len(left)} more{of_these}; `duomotion models {name} --all` lists all")


def _list_models() -> None:
    from duomotion.loading import learned_kinds, shipped

    people = {1: "one person", 2: "two people"}
    print("Models, for `duomotion generate --model NAME`; `duomotion models NAME` says more")
    for name, folder in shipped().items():
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        marks = dict.fromkeys(provenance.get("composed", ()), " (composed)")
        data = ", ".join(f"{root}{marks.get(root, '')}" for root in provenance["data"])
        known = learned_kinds(name)
        makes = f"{people[known.num_people]}  " if known is not None else ""
        print(f"  {name}  {makes}{size_mb(folder):.1f} MB  trained on {data}")
        print(f"    card: {folder / 'README.md'}")


def _list_recipes() -> None:
    """The recipes of each system by what they train."""
    from duomotion.models import systems

    print("Recipes by system, for `duomotion train RECIPE`")
    for system in systems().values():
        print(f"  {system.name}  {system.paper}")
        kinds = {name: make().system for name, make in system.recipes().items()}
        for part in system.parts:
            names = [name for name, kind in kinds.items() if kind == f"{system.name}/{part}"]
            text = f"{part}: {', '.join(names) or 'none'}"
            print(
                fill(
                    text,
                    WIDTH,
                    initial_indent=" " * 4,
                    subsequent_indent=" " * 6,
                    break_on_hyphens=False,
                    break_long_words=False,
                )
            )


def train(
    recipe: str = "",
    changes: tuple[str, ...] = (),
    /,
    out: Path | None = None,
    device: str | None = None,
    measure: int = 0,
    fields: bool = False,
) -> None:
    """Train a recipe; run again to resume. With torchrun on several GPUs.

    Args:
        recipe: Name of a recipe, as in intermask/tokenizer-open; without one, list all.
        changes: Fields to change, as in optim.lr=3e-4.
        out: Folder for checkpoints and logs; by default runs/RECIPE.
        device: "cpu" or "cuda"; by default CUDA where it is available.
        measure: Only time so many steps, and tell how long the training takes and how much memory;
            nothing is written.
        fields: Only list the recipe's fields with their values, as changes name them.
    """
    if not recipe:
        _list_recipes()
        return
    if measure < 0:
        raise ValueError(f"--measure {measure}: a number of steps is expected, as in --measure 20")
    from duomotion.config import apply_overrides, flatten, to_dict
    from duomotion.loading import load_trainer
    from duomotion.models import find_recipe
    from duomotion.progress import training_bar

    chosen = apply_overrides(find_recipe(recipe), changes)
    if fields:
        for name, value in flatten(to_dict(chosen)):
            print(f"{name}={value if isinstance(value, str) else json.dumps(value)}")
        return
    folder = out or Path("runs") / recipe
    if measure:
        _measure(load_trainer(chosen, folder, device=device), measure)
        return
    writable_folder(folder)
    trainer = load_trainer(chosen, folder, device=device)
    with training_bar() as on_progress:
        scores = trainer.run(on_progress)
    listing = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    print(f"best: {listing}; checkpoints in {folder}")


def _measure(trainer: "Trainer", steps: int) -> None:
    from datetime import timedelta

    from duomotion.models.timing import peak_memory_gb

    step, averaging = trainer.measure(steps)
    processes, optim = trainer.processes, trainer.optim
    if processes.is_first:
        whole = timedelta(seconds=round(step * optim.steps))
        speed = f"{step:.3f} s/step, {optim.batch_size / step:.1f} clips/s"
        print(f"{speed}; {optim.steps:,} steps take {whole}")
        if processes.size > 1:
            print(f"{averaging:.3f} s/step to average gradients over {processes.size} processes")
        per = "/process" if processes.size > 1 else ""
        print(f"peak memory {peak_memory_gb(trainer.device):.2f} GB{per}")


def pack(source: Path, target: Path, /) -> None:
    """Copy a checkpoint in half precision and without training state, to share it.

    Args:
        source: Folder of a checkpoint, as in runs/intermask/generator-open/last.
        target: Folder to write; a checkpoint there is replaced.
    """
    from duomotion.checkpoint import pack_checkpoint

    pack_checkpoint(source, target)
    print(f"{target}: {size_mb(target):.1f} MB")
