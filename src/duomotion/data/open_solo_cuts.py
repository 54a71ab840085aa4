"""Recordings with captions of stretches, cut into clips that HumanML3D's layout can hold."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from duomotion.data.humanml3d import TOO_LONG
from duomotion.data.interhuman import Span
from duomotion.motion.humanml3d import HUMANML3D

LONGEST = TOO_LONG - 1
SHORTEST = HUMANML3D.min_frames
_LIST = re.compile("[,;]")


@dataclass(frozen=True)
class Cut:
    """A clip of a recording.

    Attributes:
        start, end: its first frame and that behind its last.
        spans: what captions say about it, in its own time.
    """

    start: int
    end: int
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / HUMANML3D.fps


def cut_up(spans: Sequence[Span], frames: int, *, seconds: float, phrases: Set[str]) -> list[Cut]:
    """The clips of a recording, in order.

    A stretch that a sentence describes is a clip. The rest is cut into clips of equal length; what
    is too short is left out. The sentences of a stretch belong to its clip. Captions of the whole
    recording belong to every clip, except phrases that list several things, where there is more
    than one clip. Any other phrase belongs to clips that show half of it, and to those that show
    nothing else.

    Args:
        frames: of the recording, in the layout.
        seconds: the end of captions of the whole recording.
        phrases: the sources whose captions are no sentences.
    """
    whole = [span for span in spans if (span.start, span.end) == (0, seconds)]
    parts = [(span, _frames(span, frames)) for span in spans if span not in whole]
    sentences: dict[tuple[int, int], list[Span]] = {}
    for span, (start, end) in parts:
        if span.source not in phrases and end - start >= SHORTEST:
            sentences.setdefault((start, min(end, start + LONGEST)), []).append(span)
    stretches = sorted([*sentences, *_rest(sorted(sentences), frames)])
    if len(stretches) > 1:
        whole = [
            span for span in whole if span.source not in phrases or not _LIST.search(span.caption)
        ]
    cuts = []
    for stretch in stretches:
        seconds = (stretch[1] - stretch[0]) / HUMANML3D.fps
        own = [*whole, *sentences.get(stretch, [])]
        seen = (_seen(*part, stretch) for part in parts if part[0].source in phrases)
        described = [replace(span, start=0.0, end=seconds) for span in own]
        cuts.append(Cut(*stretch, (*described, *(span for span in seen if span))))
    return cuts


def _frames(span: Span, frames: int) -> tuple[int, int]:
    start, end = (min(round(time * HUMANML3D.fps), frames) for time in (span.start, span.end))
    return start, end


def _rest(described: Sequence[tuple[int, int]], frames: int) -> list[tuple[int, int]]:
    """What lies between stretches that are in order, in equal parts that are not too long."""
    found, seen = [], 0
    for start, end in [*described, (frames, frames)]:
        if start - seen >= SHORTEST:
            count = -(-(start - seen) // LONGEST)
            found += pairwise(np.linspace(seen, start, 1 + count).round().astype(int).tolist())
        seen = max(seen, end)
    return found


def _seen(span: Span, frames: tuple[int, int], stretch: tuple[int, int]) -> Span | None:
    """What a phrase says about a stretch, in its time; None where too little of it is seen."""
    start, end = max(frames[0], stretch[0]), min(frames[1], stretch[1])
    is_half = 2 * (end - start) >= frames[1] - frames[0]
    if end - start < SHORTEST or not (is_half or (start, end) == stretch):
        return None
    first, last = ((frame - stretch[0]) / HUMANML3D.fps for frame in (start, end))
    return replace(span, start=first, end=last)
