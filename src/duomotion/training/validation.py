"""What decides on the best checkpoint: the loss of held-out views, or an evaluator's FID."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.data.testsets import TEST_SETS
from duomotion.evaluation.metrics.distributions import FrechetDistance
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.protocols import OPEN, PUBLISHED
from duomotion.sampling.request import Request
from duomotion.training.batch import on_device

View = TypeVar("View")


class FeatureSource(Protocol):
    """A model."""

    def features(self, requests: Sequence[Request], /) -> Sequence[np.ndarray]:
        """Features (P, T, F) in metres for each request."""
        ...


def held_out_scores(
    loss: Callable[[Any, torch.Generator, int], tuple[Tensor, dict[str, Tensor]]],
    batch: Callable[[list[View], np.random.Generator], Any],
    views: Sequence[View],
    *,
    size: int,
    seed: int,
    device: torch.device,
    names: Sequence[str] = ("accuracy",),
) -> dict[str, float]:
    """Loss and some of its parts, the mean over views, with the same random choices each time.

    Args:
        loss: a task's.
        batch: views -> what `loss` takes.
        size: views at once.
        names: of the parts.
    """
    torch_rng = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, len(views), size):
        some = list(views[start : start + size])
        total, parts = loss(on_device(batch(some, rng), device), torch_rng, 0)
        found += [[total.item(), *(parts[name].item() for name in names)]] * len(some)
    return dict(zip(("loss", *names), np.mean(found, axis=0).tolist(), strict=True))


class ValidationFID:
    """FID of what a model makes of the validation clips, by which `best` is chosen.

    Args:
        embedder: an evaluator.
        clips: a caption and features (P, T, F) in metres of each clip, two clips or more.

    Raises:
        ValueError: the evaluator reads other features, or clips are too few.
    """

    def __init__(self, embedder: Embedder, clips: Sequence[tuple[str, np.ndarray]]) -> None:
        self.embedder = embedder
        published = TEST_SETS[embedder.data].protocols if embedder.data in TEST_SETS else ()
        self.protocol = PUBLISHED[published[-1]] if published else OPEN
        if len(clips) < 2:
            raise ValueError(
                f"FID needs two validation clips or more; there are {len(clips)}, so leave "
                "data.evaluator out"
            )
        try:
            self.real_ND = self.embedder.motions([features for _, features in clips])
        except RuntimeError:  # of other sizes than its first layer reads
            raise ValueError(
                f"{embedder.name} is an evaluator of {embedder.data}, whose features are others "
                f"than the {clips[0][1].shape[-1]} of the validation clips"
            ) from None
        self.requests = [
            Request(text=text, frames=features.shape[1], seed=seed)
            for seed, (text, features) in enumerate(clips)
        ]

    def score(self, model: FeatureSource) -> float:
        """Generates every clip."""
        return self.score_features(model.features(self.requests))

    def score_features(self, features: Sequence[np.ndarray]) -> float:
        """That of features (P, T, F) of as many clips."""
        metric = FrechetDistance(self.protocol)
        metric.update(self.real_ND, self.embedder.motions(features))
        return metric.value()
