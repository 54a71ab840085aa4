"""What decides on the best checkpoint: the loss of held-out views, or an evaluator's FID."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.evaluation.embedding import load_embedder
from duomotion.evaluation.metrics import FrechetDistance
from duomotion.evaluation.protocols import INTERMASK, INTERX, OPEN, T2M
from duomotion.sampling.request import Generator, Request
from duomotion.training.batch import take

View = TypeVar("View")
PROTOCOLS = {"interhuman": INTERMASK, "interx": INTERX, "humanml3d": T2M, "kit-ml": T2M}


def held_out_scores(
    loss: Callable[[Any, torch.Generator], tuple[Tensor, dict[str, Tensor]]],
    batch: Callable[[list[View], np.random.Generator], Any],
    views: Sequence[View],
    *,
    size: int,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Loss and accuracy, the mean over views, with the same random choices each time.

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


class ValidationFID:
    """FID of what a model makes of the validation clips, by which `best` is chosen.

    Args:
        evaluator: checkpoint folder.
        clips: a caption and features (P, T, F) in metres of each clip, two clips or more.

    Raises:
        ValueError: the folder holds no evaluator, or one of other features, or clips are too few.
    """

    def __init__(self, evaluator: Path, clips: Sequence[tuple[str, np.ndarray]]) -> None:
        self.embedder = load_embedder(evaluator)
        self.protocol = PROTOCOLS.get(self.embedder.data, OPEN)
        if len(clips) < 2:
            raise ValueError(
                f"FID needs two validation clips or more; there are {len(clips)}, so leave "
                "data.evaluator out"
            )
        try:
            self.real_ND = self.embedder.motions([features for _, features in clips])
        except RuntimeError:  # of other sizes than its first layer reads
            raise ValueError(
                f"{evaluator} is an evaluator of {self.embedder.data}, whose features are others "
                f"than the {clips[0][1].shape[-1]} of the validation clips"
            ) from None
        self.requests = [
            Request(text=text, frames=features.shape[1], seed=seed)
            for seed, (text, features) in enumerate(clips)
        ]

    def score(self, model: Generator) -> float:
        """Generates every clip."""
        return self.score_features(model.features(self.requests))

    def score_features(self, features: Sequence[np.ndarray]) -> float:
        """That of features (P, T, F) of as many clips."""
        metric = FrechetDistance(self.protocol)
        metric.update(self.real_ND, self.embedder.motions(features))
        return metric.value()
