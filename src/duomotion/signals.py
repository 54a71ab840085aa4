"""Signals by which a user, a cluster or a closed terminal asks a process to end."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(
    handler: Callable[[int, FrameType | None], None], numbers: Sequence[int] = ENDING
) -> Iterator[None]:
    """Within, `handler` gets these signals; those that were ignored stay so, as under nohup."""
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def raised() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit, so that what is half-written is removed.

    Only the first does, so that a second can't come in the way of that; Ctrl-C raises
    KeyboardInterrupt as ever.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in others:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    others = (signal.SIGTERM, signal.SIGHUP)
    with handled(leave, others):
        yield
