"""How far a reconstruction is from the motion it came from."""

import numpy as np


def mpjpe(positions: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance in mm between joints (..., T, J, 3) in metres, in the world frame."""
    return float(np.linalg.norm(positions - reference, axis=-1).mean() * 1000)


def root_aligned_mpjpe(positions: np.ndarray, reference: np.ndarray) -> float:
    """The same after the root (joint 0) of every frame has been put at the origin."""
    return mpjpe(positions - positions[..., :1, :], reference - reference[..., :1, :])


def mpjve(positions: np.ndarray, reference: np.ndarray) -> float:
    """Mean difference in mm a frame between the velocities of joints (..., T, J, 3)."""
    return mpjpe(np.diff(positions, axis=-3), np.diff(reference, axis=-3))
