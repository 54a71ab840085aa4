"""How far a reconstruction is from the motion it came from."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from duomotion.motion import features
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
    layout: Layout = features,
) -> dict[str, dict[str, float]]:
    """Errors of motions after tokenizer or autoencoder and back, by name.

    Args:
        reconstruct: features (P, T, F) in metres -> the same, perhaps a few frames shorter.
        motions: features (P, T, F) of each.
        layout: of the features.
    """
    found = {}
    for name, given in motions.items():
        back = reconstruct(given)
        positions, reference = (layout.positions(x[:, : back.shape[1]]) for x in (back, given))
        found[name] = {score: measure(positions, reference) for score, measure in SCORES.items()}
    return found


def mean_scores(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the clips."""
    rows = list(scores)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
