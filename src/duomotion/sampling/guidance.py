"""Classifier-free guidance (Ho & Salimans 2021) with both predictions in one pass of the network.

Put the conditioned samples first and the same samples without a condition behind them (`twice`,
`conditions`), run the network once over the double batch, and combine its two halves (`guide`).
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class ConditionedNetwork(Protocol):
    """A network that takes a text; `condition` is what it makes of it."""

    config: Any  # with `text_dim`

    @property
    def text_projection(self) -> nn.Linear: ...

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Any: ...


def twice(x_B: Tensor) -> Tensor:
    """The batch followed by itself."""
    return torch.cat((x_B, x_B))


def guide(prediction_2B: Tensor, scale: float) -> Tensor:
    """u + scale (c - u) of a doubled batch whose first half c is conditioned, second half u not."""
    conditioned, unconditioned = prediction_2B.chunk(2)
    return unconditioned + scale * (conditioned - unconditioned)


def conditions(model: ConditionedNetwork, text_BC: Tensor, *, guided: bool) -> Any:
    """What `model` takes from the texts; if `guided`, of the doubled batch.

    Each text is read alone, since how products are rounded depends on how many rows they have; the
    missing text of the second half is read once.
    """
    keep = torch.zeros(1, dtype=torch.bool, device=text_BC.device)
    rows = [model.condition(text_1C, keep if guided else None) for text_1C in text_BC.split(1)]
    if guided:
        rows += [model.condition(text_BC[:1], ~keep)] * len(text_BC)
    return _concatenated(rows)


def _concatenated(rows: Sequence[Any]) -> Any:
    """One structure of tensors (B, ...) from structures of (1, ...) each."""
    if isinstance(rows[0], Tensor):
        return torch.cat(tuple(rows))
    if rows[0] is None:
        return None
    parts = [_concatenated(part) for part in zip(*rows, strict=True)]
    is_named = hasattr(rows[0], "_fields")
    return type(rows[0])(*parts) if is_named else type(rows[0])(parts)
