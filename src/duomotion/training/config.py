"""How a training goes: the optimiser, its schedule, and how often it reports and saves itself."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from duomotion.precision import Precision


@dataclass(kw_only=True, frozen=True)
class OptimConfig:
    """The optimiser and its schedule; the defaults are those of published masked transformers.

    Raises:
        ValueError: a value is out of its range; the sentence names every such field.
    """

    steps: int  # optimiser steps of the whole training
    batch_size: int = 52  # clips per step, over all processes together
    micro_batches: int = 1  # of a process in a step, whose gradients are accumulated
    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-5
    warmup_steps: int = 0
    schedule: Literal["multistep", "cosine", "constant"] = "multistep"
    milestones: tuple[float, ...] = (0.5, 0.7, 0.85)  # "multistep": fractions of `steps`
    gamma: float = 1 / 3  # "multistep": the factor at each milestone
    clip_norm: float | None = None  # largest norm of the gradient; None: as it is
    ema_decay: float | None = None  # None: no averaged weights
    seed: int = 3407
    precision: Precision = "auto"
    activation_checkpointing: bool = False  # of blocks, whose activations are recomputed
    compile: bool = False  # blocks by torch.compile

    def __post_init__(self) -> None:
        _check(
            {
                "steps has to be at least 1": self.steps >= 1,
                "batch_size has to be at least 1": self.batch_size >= 1,
                "micro_batches has to be at least 1": self.micro_batches >= 1,
                "lr has to be positive": 0 < self.lr < math.inf,
                "betas have to lie in [0, 1)": all(0 <= beta < 1 for beta in self.betas),
                "weight_decay can't be negative": 0 <= self.weight_decay < math.inf,
                "warmup_steps can't be negative": self.warmup_steps >= 0,
                "milestones have to rise within (0, 1)": all(0 < m < 1 for m in self.milestones)
                and list(self.milestones) == sorted(set(self.milestones)),
                "gamma has to lie in (0, 1]": 0 < self.gamma <= 1,
                "clip_norm has to be positive": self.clip_norm is None or self.clip_norm > 0,
                "ema_decay has to lie in (0, 1)": self.ema_decay is None or 0 < self.ema_decay < 1,
                "seed can't be negative": self.seed >= 0,
            }
        )


def small_training(
    *,
    steps: int,
    batch_size: int,
    lr: float,
    weight_decay: float = 1e-5,
    ema_decay: float | None = None,
) -> OptimConfig:
    """For networks that train on a CPU: a short warm-up, a cosine decay and clipped gradients.

    In float32: so narrow, they train no faster in bfloat16.
    """
    return OptimConfig(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        ema_decay=ema_decay,
        warmup_steps=100,
        schedule="cosine",
        clip_norm=1.0,
        precision="float32",
    )


@dataclass(kw_only=True, frozen=True)
class LogConfig:
    """How often a training reports, validates and saves itself.

    Raises:
        ValueError: a value is out of its range; the sentence names every such field.
    """

    log_every: int = 50  # steps
    validate_every: int = 2000  # steps; the last step always validates
    checkpoint_every: int | None = None  # steps; None: by time alone
    checkpoint_seconds: float | None = 600.0  # None: by steps alone
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _check(
            {
                "log_every has to be at least 1": self.log_every >= 1,
                "validate_every has to be at least 1": self.validate_every >= 1,
                "checkpoint_every has to be at least 1": self.checkpoint_every is None
                or self.checkpoint_every >= 1,
                "checkpoint_seconds can't be negative": self.checkpoint_seconds is None
                or self.checkpoint_seconds >= 0,
            }
        )


class Recipe(Protocol):
    """Everything that defines one training: a dataclass with these and the system's own fields."""

    @property
    def system(self) -> str:
        """NAME/PART."""
        ...

    @property
    def optim(self) -> OptimConfig: ...

    @property
    def log(self) -> LogConfig: ...


def _check(rules: dict[str, bool]) -> None:
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ValueError(", ".join(broken))
