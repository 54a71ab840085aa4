"""Progress of long work: library code reports it, the command line draws it.

Nothing is drawn outside `console`, nor in threads that are started within it.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

TERMINAL_SECONDS, FILE_SECONDS = 0.5, 60.0  # between two updates of a bar

Item = TypeVar("Item")

_is_drawn: ContextVar[bool] = ContextVar("is_drawn", default=False)
_whole: ContextVar[tuple[str, Callable[[int], object]] | None] = ContextVar("whole", default=None)


def track(
    items: Iterable[Item],
    description: str,
    *,
    unit: str,
    total: int | None = None,
    is_kept: bool = True,
) -> Iterator[Item]:
    """The items, each of which is counted as done when the next one is asked for.

    Args:
        description: what the items are, in a word or two.
        unit: one of them.
        total: how many there are; None: as many as `len` says, or unknown.
        is_kept: whether the bar stays when all is done; one that doesn't is for terminals only.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with counter(description, unit=unit, total=total, is_kept=is_kept) as add:
        for item in items:
            yield item
            add(1)


@contextmanager
def counter(
    description: str,
    *,
    unit: str,
    total: int | None,
    is_shown: bool = True,
    is_kept: bool = True,
) -> Iterator[Callable[[int], object]]:
    """Within, the yielded function takes how many more items are done; otherwise as `track`."""
    if (whole := _whole.get()) is not None:
        yield whole[1] if whole[0] == unit else lambda count: None
        return
    if not (_is_drawn.get() and is_shown and (is_kept or sys.stderr.isatty())):
        yield lambda count: None
        return
    with _bar(description, unit=unit, total=total, leave=is_kept) as bar:
        yield bar.update


@contextmanager
def one_bar(
    description: str, *, unit: str, total: int, is_shown: bool = True
) -> Iterator[Callable[[int], object]]:
    """Within, all that counts in this unit moves one bar, and no other is drawn.

    Args:
        total: of all that is counted.
    """
    with counter(description, unit=unit, total=total, is_shown=is_shown) as add:
        token = _whole.set((unit, add))
        try:
            yield add
        finally:
            _whole.reset(token)


@contextmanager
def console() -> Iterator[None]:
    """Within, progress is drawn and the package's log written, both on standard error."""
    logger, handler = logging.getLogger("duomotion"), _Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    token = _is_drawn.set(True)
    try:
        yield
    finally:
        _is_drawn.reset(token)
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def training_bar() -> Iterator[Callable[[int, int, float | None], None]]:
    """Yields what draws a training's progress: a function of step, total and loss.

    Where the training does not end well, the bar is removed: an error or a message says more.
    """
    bars: list[tqdm] = []

    def draw(step: int, total: int, loss: float | None) -> None:
        if not bars:
            bars.append(_bar(None, unit="step", total=total, initial=step, smoothing=0.05))
        (bar,) = bars
        if loss is not None:
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
        bar.update(step - bar.n)

    try:
        yield draw
    except BaseException:
        for bar in bars:
            bar.leave = False
        raise
    finally:
        for bar in bars:
            bar.close()


@contextmanager
def share_bar(description: str) -> Iterator[Callable[[float], None]]:
    """Within, the yielded function takes which share of something is done, from 0 to 1.

    The bar is for terminals only, never goes back, and is removed in the end.
    """
    with counter(description, unit="%", total=100, is_kept=False) as add:
        drawn = 0

        def draw(share: float) -> None:
            nonlocal drawn
            percent = max(drawn, round(100 * share))
            add(percent - drawn)
            drawn = percent

        yield draw


def _bar(description: str | None, **options: Any) -> "tqdm":
    from tqdm import tqdm

    seconds = TERMINAL_SECONDS if sys.stderr.isatty() else FILE_SECONDS
    return tqdm(desc=description, mininterval=seconds, **options)


class _Handler(logging.Handler):
    """Writes messages above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)
