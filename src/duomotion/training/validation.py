"""The loss of held-out views, the same random choices each time."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.training.batch import take

View = TypeVar("View")


def held_out_scores(
    loss: Callable[[Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]],
    batch: Callable[[list[View], np.random.Generator], Any],
    views: Sequence[View],
    *,
    size: int,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Loss and accuracy, the mean over views.

    Args:
        loss: a task's; its parts hold "accuracy".
        batch: views -> what `loss` takes.
        size: views at once.
    """
    generator = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, len(views), size):
        some = list(views[start : start + size])
        total, parts = loss(take(batch(some, rng), slice(None), device), generator)
        found += [(total.item(), parts["accuracy"].item())] * len(some)
    mean_loss, accuracy = np.mean(found, axis=0)
    return {"loss": float(mean_loss), "accuracy": float(accuracy)}
