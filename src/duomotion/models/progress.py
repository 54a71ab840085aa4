"""How far the generation of a clip is, for who waits for it."""

from collections.abc import Callable
from typing import NamedTuple

OnStep = Callable[[int, int], None]
"""Iterations done and in total, of what is generated at once."""


class Progress(NamedTuple):
    """How far the generation of a clip is; motion longer than a window is made window by window."""

    step: int  # iterations done
    steps: int  # of the window
    window: int  # windows done
    windows: int  # of the clip; a window that is drawn again starts again
    clip: int = 0  # clips done
    at_once: int = 1  # clips that are being made together
    clips: int = 1  # in all

    @property
    def share(self) -> float:
        """From 0 to 1."""
        of_clip = min(1.0, (self.window + self.step / self.steps) / self.windows)
        return (self.clip + self.at_once * of_clip) / self.clips


OnProgress = Callable[[Progress], None]


def of_clips(callback: OnProgress | None, clip: int, at_once: int, clips: int) -> OnProgress | None:
    """What tells `callback` how far some of several clips are."""
    if callback is None:
        return None
    return lambda progress: callback(progress._replace(clip=clip, at_once=at_once, clips=clips))
