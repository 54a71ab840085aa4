"""Classifier-free guidance (Ho & Salimans 2021) with both predictions in one pass of the network.

The batch holds the conditioned samples, then the same samples without a condition
(`duplicate_batch`, `conditions`); the network runs once over it, and its two halves are combined
(`apply_cfg`). In training a share of the samples loses its text (`draw_text_drop`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class ConditionedNetwork(Protocol):
    """A network that takes a text through `condition`."""

    config: Any  # with `text_dim`

    @property
    def text_projection(self) -> nn.Linear: ...

    def condition(self, text_BC: Tensor, drop_B: Tensor | None = None) -> Any: ...


class TrainedNetwork(Protocol):
    """A network that is trained with and without texts."""

    config: Any  # with `cond_drop`, the share of the samples that lose their text
    training: bool


def draw_text_drop(model: TrainedNetwork, batch: int, rng: torch.Generator) -> Tensor:
    """(B,) bool on the generator's device: the samples that lose their text, none in evaluation."""
    share = model.config.cond_drop if model.training else 0.0
    return torch.rand(batch, generator=rng, device=rng.device) < share


def duplicate_batch(x_B: Tensor) -> Tensor:
    """The batch followed by itself."""
    return torch.cat((x_B, x_B))


def apply_cfg(prediction_2B: Tensor, scale: float | Tensor) -> Tensor:
    """u + scale (c - u) of a doubled batch whose first half c is conditioned, second half u not.

    Args:
        scale: one for all, or one of each sample that broadcasts.
    """
    conditioned, unconditioned = prediction_2B.chunk(2)
    return unconditioned + scale * (conditioned - unconditioned)


class GuidedNetwork:
    """A network with its text, lengths and guidance scale, (B, ...) inputs -> float32 predictions.

    Without a text, and with a scale of 1, there is no guidance.
    """

    def __init__(
        self, model: ConditionedNetwork, text_BC: Tensor | None, lengths_B: Tensor, scale: float
    ) -> None:
        batch = len(lengths_B)
        self.scale = 1.0 if text_BC is None else scale
        weight = model.text_projection.weight
        if text_BC is None:
            text_BC = weight.new_zeros(batch, model.config.text_dim)
        self.condition = conditions(model, text_BC.to(weight.dtype), guided=self.is_guided)
        self.lengths = duplicate_batch(lengths_B) if self.is_guided else lengths_B

    @property
    def is_guided(self) -> bool:
        return self.scale != 1

    def __call__(self, network: Callable[..., Tensor], *inputs_B: Tensor) -> Tensor:
        """Guided predictions of `network`, the model or a method of it."""
        if not self.is_guided:
            return network(*inputs_B, self.condition, self.lengths).float()
        predictions = network(*map(duplicate_batch, inputs_B), self.condition, self.lengths)
        return apply_cfg(predictions.float(), self.scale)


def conditions(model: ConditionedNetwork, text_BC: Tensor, *, guided: bool) -> Any:
    """`model.condition` of the texts; if `guided`, of the doubled batch.

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
