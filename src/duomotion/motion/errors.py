"""How far a reconstruction is from the motion it came from."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.layout import Layout


def mpjpe(positions: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance in mm between joints (..., T, J, 3) in metres, in the world frame."""
    return float(np.linalg.norm(positions - reference, axis=-1).mean() * 1000)


def root_aligned_mpjpe(positions: np.ndarray, reference: np.ndarray) -> float:
    """The same after the root (joint 0) of every frame has been put at the origin."""
    return mpjpe(positions - positions[..., :1, :], reference - reference[..., :1, :])


def mpjve(positions: np.ndarray, reference: np.ndarray) -> float:
    """Mean difference in mm a frame between the velocities of joints (..., T, J, 3)."""
    return mpjpe(np.diff(positions, axis=-3), np.diff(reference, axis=-3))


SCORES = {
    "mpjpe_mm": mpjpe,
    "root_aligned_mpjpe_mm": root_aligned_mpjpe,
    "mpjve_mm": mpjve,
}


def reconstruction_scores(
    reconstruct: Callable[[np.ndarray], np.ndarray],
    motions: Mapping[str, np.ndarray],
    layout: Layout = INTERHUMAN,
) -> dict[str, dict[str, float]]:
    """Errors of motions after tokenizer or autoencoder and back, by name.

    Args:
        reconstruct: features (P, T, F) in metres -> the same, perhaps a few frames shorter.
        motions: features (P, T, F) of each.
        layout: of the features.
    """
    return {
        name: scores_of(reconstruct(given), given, layout.positions)
        for name, given in motions.items()
    }


def scores_of(
    made: np.ndarray, given: np.ndarray, positions: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float]:
    """Errors of features (P, T, F) that come from `given`, which may be a few frames longer."""
    joints = [positions(features) for features in (made, given[:, : made.shape[1]])]
    return {score: measure(*joints) for score, measure in SCORES.items()}


def mean_scores(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the clips."""
    rows = list(scores)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


class Layered(Protocol):
    """A model whose tokens may have layers."""

    def reconstruct_by_layers(self, features: np.ndarray, /) -> list[np.ndarray]:
        """Features (P, T, F) from the first layer alone, the first two, up to all of them."""
        ...


def errors_by_layers(model: Layered, motions: Iterable[np.ndarray], layout: Layout) -> list[float]:
    """How much each layer of tokens adds to a reconstruction.

    Args:
        motions: features (P, T, F) of each.
        layout: of the features.

    Returns:
        The mean over motions of the error around the root in mm, from the first layer alone, from
        the first two, up to all; empty for a model without layers.
    """
    errors = []
    for given in motions:
        made = model.reconstruct_by_layers(given)
        if not made:
            return []
        joints = layout.positions(given[:, : made[0].shape[1]])
        errors.append([root_aligned_mpjpe(layout.positions(each), joints) for each in made])
    return np.mean(errors, axis=0).tolist()
