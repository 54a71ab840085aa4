"""Items that a background thread computes before they are needed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

AHEAD = 3  # items

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """Behind the last item; with what the iterator raised, if it did."""

    error: BaseException | None = None


@contextmanager
def prefetched(items: Iterator[Item], *, ahead: int = AHEAD) -> Iterator[Iterator[Item]]:
    """Within, `items` are computed by one thread and yielded in their order.

    What `items` raises is raised where the item would have been. On leaving, whatever the reason,
    the thread finishes the item that it is computing and ends.

    Args:
        items: no longer used by the caller.
        ahead: items that may be ready before they are asked for, 1 or more.
    """
    ready: SimpleQueue[Item | _End] = SimpleQueue()
    room, is_left = Semaphore(ahead - 1), Event()

    def compute() -> None:
        if hasattr(signal, "pthread_sigmask"):  # signals are the main thread's
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for item in items:
                ready.put(item)
                room.acquire()
                if is_left.is_set():
                    return
        except BaseException as error:
            ready.put(_End(error))
        else:
            ready.put(_End())

    def taken() -> Iterator[Item]:
        while not isinstance(item := ready.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error

    thread = Thread(target=compute, name="prefetch", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        is_left.set()
        room.release()
        thread.join()
