"""How far each window goes where known motion is longer than a model's window.

Axes: T frames, all of the motion.
"""

import numpy as np

from duomotion.motion.runs import runs


def gap_at(unknown_T: np.ndarray, frame: int) -> tuple[int, int] | None:
    """Start and stop of the first unbroken stretch of unknown frames that ends after `frame`."""
    return next((gap for gap in runs(unknown_T) if gap[1] > frame), None)


def window_stop(unknown_T: np.ndarray, start: int, end: int, *, context: int) -> int:
    """Up to which frame a window is kept that generates from `start` and ends at `end`.

    A gap whose end the window shows, with `context` known frames behind it, is filled at once. Of a
    longer one the end is left to another window, which has `context` frames of it or more to lead
    to what comes then. Further gaps are filled as well if they are short enough.

    Args:
        unknown_T: bool, frames that are unknown of anybody.
        start: an unknown frame.
        end: at most T.
    """
    if end == len(unknown_T):
        return end
    stop = start
    for first, last in runs(unknown_T):
        if last <= start or first >= end:
            continue
        if last + context <= end:
            stop = last
        elif stop == start:  # the first gap
            return min(end, max(last - context, start + 1)) if last < len(unknown_T) else end
    return stop


def count_windows(
    unknown_T: np.ndarray, start: int, *, longest: int, overlap: int, context: int
) -> int:
    """How many windows are needed from frame `start` on, as long as none begins earlier."""
    count = 0
    while (gap := gap_at(unknown_T, start)) is not None:
        begin = max(start, gap[0])
        end = min(len(unknown_T), begin - min(overlap, begin) + longest)
        start = window_stop(unknown_T, begin, end, context=context)
        count += 1
    return count
