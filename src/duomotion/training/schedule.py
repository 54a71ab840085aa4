"""The learning rate over a training."""

import math

from duomotion.training.config import OptimConfig


def warmup(step: int, warmup_steps: int) -> float:
    """Linear rise: (step + 1) / (warmup_steps + 1), then 1; `step` counts from 0."""
    return min(1.0, (step + 1) / (warmup_steps + 1))


def multistep(step: int, steps: int, milestones: tuple[float, ...], gamma: float) -> float:
    """`gamma` once more at each milestone (a fraction of `steps`)."""
    return gamma ** sum(step >= int(milestone * steps) for milestone in milestones)


def cosine(step: int, steps: int) -> float:
    """Half a cosine from 1 at step 0 to 0 at `steps`."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def learning_rate(step: int, optim: OptimConfig) -> float:
    """The learning rate of optimiser step `step`, counted from 0."""
    factor = warmup(step, optim.warmup_steps)
    if optim.schedule == "multistep":
        factor *= multistep(step, optim.steps, optim.milestones, optim.gamma)
    elif optim.schedule == "cosine":
        factor *= cosine(step, optim.steps)
    return optim.lr * factor
