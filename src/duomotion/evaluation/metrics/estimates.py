"""Scores of several repeats: means with 95 % confidence intervals, and rows of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.96  # standard errors on either side


class Estimate(NamedTuple):
    """A mean over repeats, and how far on either side of it the 95 % confidence interval goes."""

    mean: float | np.ndarray
    margin: float | np.ndarray


def over_repeats(values: Sequence[float] | Sequence[np.ndarray]) -> Estimate:
    """Of a metric's values; squared deviations are divided by their number (as published).

    Raises:
        ValueError: there are fewer than 2, which say nothing about confidence.
    """
    if len(values) < 2:
        raise ValueError(f"a confidence interval needs at least 2 repeats, not {len(values)}")
    repeats = np.asarray(values)
    margin = NORMAL_95 * repeats.std(0) / np.sqrt(len(repeats))
    return Estimate(repeats.mean(0), margin)


@dataclass(frozen=True)
class Row:
    """What one source of motion scored: by metric, a mean over repeats and its 95 % margin."""

    name: str
    scores: dict[str, Estimate]

    @classmethod
    def over(cls, name: str, repeats: Sequence[dict[str, float]]) -> "Row":
        """From the scores of each repeat; later ones may lack some of the first one's."""
        return cls(
            name,
            {
                key: over_repeats([each[key] for each in repeats if key in each])
                for key in repeats[0]
            },
        )

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Numbers only, for JSON."""
        return {name: score._asdict() for name, score in self.scores.items()}
