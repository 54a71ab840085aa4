"""What a checkpoint has to hold before a training goes on from it."""

import filecmp
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from duomotion.checkpoint import (
    TRAINING_POSITION,
    TRAINING_TENSORS,
    WEIGHTS,
    TrainingState,
    enumerate_names,
)
from duomotion.config import Within, flatten, from_dict
from duomotion.data.fingerprint import Fingerprint

Number = Annotated[int, Within(0, 10**12)]
MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, beside its `step`
MAY_CHANGE = (  # parts of a recipe
    "log.",
    "optim.steps",
    "optim.micro_batches",
    "optim.activation_checkpointing",
    "optim.compile",
)


@dataclass(frozen=True)
class Position:
    """Where a training is, and on what; see the attributes of `Trainer`."""

    step: Number
    epoch: Number
    batch: Number
    seconds: float
    sums: dict[str, float]
    recorded: Number
    scores: dict[str, float]
    best: dict[str, float]
    data: dict[str, Fingerprint] = field(default_factory=dict)  # empty where nobody noted it


def position_in(folder: Path, training: TrainingState) -> Position:
    """The position in a training.

    Args:
        folder: of the checkpoint, for errors.

    Raises:
        ValueError: there is no such position; the sentence names the file.
    """
    path = folder / TRAINING_POSITION
    position = from_dict(Position, training.position, str(path))
    if position.recorded > position.step:
        raise ValueError(f"{path}: recorded {position.recorded} is after step {position.step}")
    return position


def check_children(folder: Path, children: Mapping[str, Path]) -> None:
    """Make sure that a training goes on with the networks that it was begun on.

    Args:
        folder: the checkpoint that it goes on from.
        children: checkpoints that it takes them from, by name; they may be gone.

    Raises:
        ValueError: one of them has changed; the sentence names it.
    """
    for name, child in children.items():
        own, theirs = folder / name / WEIGHTS, child / WEIGHTS
        if own.is_file() and theirs.is_file() and not filecmp.cmp(own, theirs, shallow=False):
            raise ValueError(
                f"{child} has changed since the training in {folder.parent} was begun; begin again "
                "in another folder"
            )


@dataclass(frozen=True)
class Begun:
    """What a training was begun with: its recipe, and by folder the data sets that are known."""

    recipe: Mapping[str, Any]
    data: Mapping[str, Fingerprint]


def check_same(folder: Path, *, was: Begun, now: Begun) -> None:
    """Make sure that a training goes on with what it was begun with.

    A data set that the recipe names may have moved.

    Args:
        folder: of the training, for errors.

    Raises:
        ValueError: it does not; the sentence names the fields of the recipe, or the data set.
    """
    earlier, fields = dict(flatten(was.recipe)), dict(flatten(now.recipe))
    moved = {
        (root, place)
        for root, one in was.data.items()
        for place, two in now.data.items()
        if one == two
    }
    changes = ", ".join(
        f"{name} was {earlier.get(name)}, is {fields.get(name)}"
        for name in sorted(earlier.keys() | fields.keys())
        if earlier.get(name) != fields.get(name)
        and not name.startswith(MAY_CHANGE)
        and (str(earlier.get(name)), str(fields.get(name))) not in moved
    )
    if changes:
        raise ValueError(
            f"{folder} holds a training of another recipe ({changes}): "
            f"choose another folder or the same values"
        )
    for root, found in now.data.items():
        if (before := was.data.get(root, found)) != found:
            held = f"{before} before, {found} now"
            if str(before) == str(found):
                held = f"{found} as before, with other contents"
            start = ""
            if "start" in now.recipe:
                start = f", from these weights with start={folder / 'last'}"
            raise ValueError(
                f"{root} has changed since the training in {folder} was begun ({held}): bring the "
                f"earlier data back, or begin a new training with another --out{start}"
            )


def check_state(
    folder: Path,
    training: TrainingState,
    position: Position,
    *,
    parameters: Mapping[str, Tensor],
    averages: Mapping[str, Tensor],
    score_name: str,
) -> None:
    """Make sure that a training's state is one of this optimiser and these averages.

    Args:
        folder: of the checkpoint, for errors.
        score_name: that the position's `best`, unless it is empty, has to hold.

    Raises:
        ValueError: it is not; the sentence names the file.
    """
    if position.best and score_name not in position.best:
        raise ValueError(f"{folder / TRAINING_POSITION}: best holds no {score_name}")
    shapes = {f"average.{name}": tuple(tensor.shape) for name, tensor in averages.items()}
    needed = set(shapes)
    for name, parameter in parameters.items():
        own = {f"optimizer.{moment}.{name}": tuple(parameter.shape) for moment in MOMENTS}
        own[f"optimizer.step.{name}"] = ()
        if not training.tensors.keys().isdisjoint(own):  # of one that was never used there is none
            needed |= set(own)
        shapes |= own
    wrong = sorted(needed - training.tensors.keys()) + [
        name for name, tensor in training.tensors.items() if shapes.get(name) != tuple(tensor.shape)
    ]
    if wrong:
        raise ValueError(
            f"{folder / TRAINING_TENSORS} doesn't fit the network: it lacks, or holds in another "
            f"shape or for nothing, {enumerate_names(wrong)}"
        )
