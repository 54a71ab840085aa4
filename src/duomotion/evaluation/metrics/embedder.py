"""What metrics need of an evaluator; axes: N motions or texts, E embedding, C sentence vector."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor


class Embedder(Protocol):
    """Puts motions and texts into one space."""

    @property
    def name(self) -> str: ...

    @property
    def data(self) -> str:
        """The data set whose features it reads, as `data.DATASETS` calls it."""
        ...

    def motions(self, motions: Sequence[np.ndarray], /) -> np.ndarray:
        """(N, E) of the features (P, T, F) of each, in metres.

        Raises:
            ValueError: a motion is too short for the evaluator.
        """
        ...

    def texts(self, texts: Sequence[str], /) -> np.ndarray:
        """(N, E)."""
        ...


@runtime_checkable
class SentenceEmbedder(Embedder, Protocol):
    """One that reads each text as one vector, as those of the open benchmark do."""

    def sentences(self, texts: Sequence[str], /) -> Tensor:
        """(N, C), of length one."""
        ...
