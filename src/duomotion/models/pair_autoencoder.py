"""The training of autoencoders of two people's features: what a system's own is derived from.

Axes: B samples, P the 2 people, T frames, F features, J joints.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.losses.interaction import mean_over, on_lowest_foot
from duomotion.models.layers.masks import length_mask
from duomotion.models.pair_views import PairViews, statistics
from duomotion.training.batch import Part, on_device, whole
from duomotion.training.views import View


class PairAutoencoderTask(ABC):
    """Normalised features to latents and back.

    Attributes:
        codec: makes the autoencoder of a config, a `PairFeatures`.
    """

    codec: ClassVar[Callable[[Any], Any]]
    model: Any
    score_name = "mpjpe"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: Any, device: torch.device, *, unit: int) -> None:
        """Read the data and make the autoencoder.

        Args:
            unit: frames of which motion has a whole number.
        """
        self.recipe, self.device = recipe, device
        torch.manual_seed(recipe.optim.seed)
        self.model = type(self).codec(recipe.model)
        self.pairs = PairViews(
            recipe.data, layout=recipe.model.layout, seed=recipe.optim.seed, unit=unit
        )
        if recipe.start is not None:
            load_weights(self.model, read_checkpoint(recipe.start))
        else:
            self.fit(self.pairs.random_views())

    def fit(self, views: list[View]) -> None:
        """What is fitted to views before training: the features' statistics."""
        self.model.set_statistics(statistics(views, self.model.layout))

    @abstractmethod
    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `training.trainer.Task`."""

    @abstractmethod
    def reconstructed(self, target_BPTF: Tensor, frames_B: Tensor) -> Tensor:
        """Normalised features through the means of their latents."""

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        return self.pairs.train_batches(size, seed=seed, epoch=epoch, skip=skip, part=part)

    def target(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Normalised features, zero in the padding, and the length mask (B, T)."""
        target_BPTF = self.model.normaliser.normalise(batch["motion_BPTF"])
        mask_BT = length_mask(batch["frames_B"], target_BPTF.shape[2])
        return target_BPTF * mask_BT[:, None, :, None], mask_BT

    def joints(
        self, made_BPTF: Tensor, target_BPTF: Tensor, mask_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Positions (B, P, T, J, 3) in metres of both, the floor at height 0."""
        model = self.model
        made, target = (
            model.layout.positions(model.normaliser.denormalise(x))
            for x in (made_BPTF, target_BPTF)
        )
        if model.layout.knows_floor:
            return made, target
        return on_lowest_foot(made, target, mask_BT, model.skeleton)

    def validate(self) -> dict[str, float]:
        """Mean distance of joints in the world, in metres, over the frames of held-out clips."""
        size = self.recipe.optim.batch_size
        errors, counts, rng = [], [], np.random.default_rng(0)
        for start in range(0, len(self.pairs.held_out), size):
            views = self.pairs.held_out[start : start + size]
            batch = on_device(self.pairs.batch(views, rng), self.device)
            target_BPTF, mask_BT = self.target(batch)
            made_BPTF = self.reconstructed(target_BPTF, batch["frames_B"])
            made, target = self.joints(made_BPTF, target_BPTF, mask_BT)
            error_BT = (made - target).norm(dim=-1).mean((1, 3))
            errors += mean_over(error_BT, mask_BT, (1,)).tolist()
            counts += batch["frames_B"].tolist()
        return {"mpjpe": float(np.average(errors, weights=counts))}

    def provenance(self) -> dict[str, Any]:
        return {"data": self.pairs.sources()}
