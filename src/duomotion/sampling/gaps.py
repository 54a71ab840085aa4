"""How far each window goes where known motion is longer than a model's window.

Axes: T frames, all of the motion.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import numpy as np

from duomotion.motion.runs import runs


@dataclass(frozen=True)
class Gaps:
    """Unbroken stretches of frames that are unknown of anybody.

    Attributes:
        spans: start and stop of each, in order.
        frames: T.
    """

    spans: tuple[tuple[int, int], ...]
    frames: int

    @classmethod
    def of(cls, unknown_T: np.ndarray) -> Self:
        """Those of a mask."""
        return cls(tuple(runs(unknown_T)), len(unknown_T))

    def at(self, frame: int) -> tuple[int, int] | None:
        """The first one that ends after `frame`."""
        number = self._after(frame)
        return self.spans[number] if number < len(self.spans) else None

    def window_stop(self, start: int, end: int, *, context: int) -> int:
        """Up to which frame a window is kept that generates from `start` and ends at `end`.

        A gap whose end the window shows, with `context` known frames behind it, is filled at once.
        Of a longer one the end is left to another window, which has `context` frames of it or more
        to lead to what comes then. Further gaps are filled as well if they are short enough.

        Args:
            start: an unknown frame.
            end: at most T.
        """
        if end == self.frames:
            return end
        stop = start
        for number in range(self._after(start), len(self.spans)):
            first, last = self.spans[number]
            if first >= end:
                break
            if last + context <= end:
                stop = last
            elif stop == start:  # the first gap
                return min(end, max(last - context, start + 1)) if last < self.frames else end
        return stop

    def count_windows(self, start: int, *, longest: int, overlap: int, context: int) -> int:
        """How many windows are needed from frame `start` on, as long as none begins earlier."""
        count = 0
        while (gap := self.at(start)) is not None:
            begin = max(start, gap[0])
            end = min(self.frames, begin - min(overlap, begin) + longest)
            start = self.window_stop(begin, end, context=context)
            count += 1
        return count

    def _after(self, frame: int) -> int:
        return bisect_right(self.spans, frame, key=lambda span: span[1])
