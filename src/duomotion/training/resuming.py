"""What the state of a checkpoint has to be before a training goes on from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from torch import Tensor

from duomotion.checkpoint import (
    TRAINING_POSITION,
    TRAINING_TENSORS,
    TrainingState,
    enumerate_names,
)
from duomotion.config import Within, from_dict

Number = Annotated[int, Within(0, 10**12)]
MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, beside its `step`


@dataclass(frozen=True)
class Position:
    """Where a training is; see the attributes of `Trainer`."""

    step: Number
    epoch: Number
    batch: Number
    seconds: float
    sums: dict[str, float]
    recorded: Number
    scores: dict[str, float]
    best: dict[str, float]


def checked(
    folder: Path,
    training: TrainingState,
    *,
    parameters: Mapping[str, Tensor],
    averages: Mapping[str, Tensor],
    score_name: str,
) -> Position:
    """The position in a training, whose tensors are those of this optimiser and these averages.

    Args:
        folder: of the checkpoint, for errors.
        score_name: that `best`, unless it is empty, has to hold.

    Raises:
        ValueError: they are not, or there is no such position; the sentence names the file.
    """
    path = folder / TRAINING_POSITION
    position = from_dict(Position, training.position, str(path))
    if position.recorded > position.step:
        raise ValueError(f"{path}: recorded {position.recorded} is after step {position.step}")
    if position.best and score_name not in position.best:
        raise ValueError(f"{path}: best holds no {score_name}")
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
    return position
