"""Batches: what the trainer does with any system's, and clips of similar length together.

A batch is a mapping or a dataclass. The first axis of its tensors and lists counts the clips; other
members (numbers, texts, None) belong to the batch as a whole.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Part = Callable[[int], slice]
"""From a number of clips to those that are taken."""


def whole(count: int) -> slice:
    """All of them."""
    return slice(0, count)


def clip_count(batch: Any) -> int:
    """How many clips `batch` holds."""
    return len(next(member for member in _members(batch).values() if _is_per_clip(member)))


def clip_names(batch: Any) -> list[str]:
    """The member `names` of `batch`; empty where it has none."""
    return list(_members(batch).get("names", []))


def on_device(batch: Any, device: torch.device) -> Any:
    """The same batch with its tensors on `device`."""
    moved = {
        name: member.to(device, non_blocking=True)
        for name, member in _members(batch).items()
        if isinstance(member, Tensor)
    }
    if isinstance(batch, Mapping):
        return {**batch, **moved}
    return dataclasses.replace(batch, **moved)


def _members(batch: Any) -> dict[str, Any]:
    if isinstance(batch, Mapping):
        return dict(batch)
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


def _is_per_clip(member: Any) -> bool:
    return isinstance(member, Tensor | list)


def similar_lengths(
    lengths: Sequence[int], size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Indices of all clips in a random order, in batches of similar length: little is padded."""
    order, known = rng.permutation(len(lengths)), np.array(lengths)
    batches = []
    for start in range(0, len(order), 8 * size):
        group = order[start : start + 8 * size]
        group = group[np.argsort(known[group], kind="stable")]
        batches += [group[k : k + size] for k in range(0, len(group), size)]
    return [batches[index] for index in rng.permutation(len(batches))]
