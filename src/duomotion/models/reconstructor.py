"""What brings motion into tokens or latents and back, whether or not it generates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Reconstructor(Protocol):
    """What brings motion into tokens or latents and back."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def reconstruct(self) -> Callable[[np.ndarray], np.ndarray]:
        """Features (P, T, F) in metres to such, perhaps a few frames shorter."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer or autoencoder without what generates."""

    name: str
    reconstruct: Callable[[np.ndarray], np.ndarray]
    precision: str = "float32"
