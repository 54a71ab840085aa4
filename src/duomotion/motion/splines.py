"""Smooth functions of time: cubic B-splines."""

import numpy as np
from scipy.interpolate import BSpline


def spline_basis(frames: int, fps: float, knot_seconds: float) -> np.ndarray:
    """(T, K): K cubic B-splines at T frames, one every so many seconds; each row sums to 1."""
    step = max(1.0, knot_seconds * fps)
    pieces = max(1, int(np.ceil((frames - 1) / step)))
    knots = np.arange(-3.0, pieces + 4)
    where = np.minimum(np.arange(frames) / step, pieces - 1e-9)
    return BSpline.design_matrix(where, knots, 3).toarray()
