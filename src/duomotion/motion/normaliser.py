"""Mean and standard deviation of features."""

from dataclasses import dataclass

import numpy as np

from duomotion.motion.rotations import Array

MIN_STD = 1e-3


@dataclass(frozen=True)
class Normaliser:
    """Per-feature mean and standard deviation, (F,) each."""

    mean: Array
    std: Array

    @classmethod
    def fit(cls, features: np.ndarray) -> "Normaliser":
        """Statistics of features (..., F); no deviation is smaller than MIN_STD."""
        frames = tuple(range(features.ndim - 1))
        return cls(features.mean(frames), np.maximum(features.std(frames), MIN_STD))

    def normalise(self, features: Array) -> Array:
        return (features - self.mean) / self.std

    def denormalise(self, features: Array) -> Array:
        return features * self.std + self.mean
