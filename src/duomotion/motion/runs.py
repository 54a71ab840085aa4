"""Unbroken stretches of frames."""

import numpy as np


def runs(flags_T: np.ndarray, min_frames: int = 1) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of True that has at least `min_frames` frames."""
    edges = np.flatnonzero(np.diff(np.asarray(flags_T, int), prepend=0, append=0)).tolist()
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, stop) for start, stop in pairs if stop - start >= min_frames]
