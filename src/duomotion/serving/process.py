"""A worker that is a process of this machine, as a user runs the service without a cluster."""

import multiprocessing
import threading
from collections import deque
from collections.abc import Sequence

from duomotion.serving import worker
from duomotion.serving.engine import Deliver

STOP_SECONDS = 5.0  # for which a worker that was told to end is waited for


class Process:
    """A worker process, and a thread each that reads from it and writes to it."""

    at_once = worker.AT_ONCE

    def __init__(
        self, models: Sequence[str], device: str, threads: int | None, deliver: Deliver
    ) -> None:
        """Start it.

        Args:
            models, device, threads: see `worker.Worker`.
            deliver: gets each message in the reading thread, None once the process is gone.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=worker.run, args=(theirs, models, device, threads), daemon=True
        )
        self._process.start()
        theirs.close()
        self._outbox: deque[worker.Start | worker.Cancel | None] = deque()
        self._has_mail = threading.Semaphore(0)
        threading.Thread(target=self._read, args=(deliver,), daemon=True).start()
        threading.Thread(target=self._write, daemon=True).start()

    def send(self, message: worker.Start | worker.Cancel | None) -> None:
        """Send in the background: the pipe may be full of motion."""
        self._outbox.append(message)
        self._has_mail.release()

    def stop(self) -> None:
        """Tell the process to end; one that does not is killed."""
        self.send(None)
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _read(self, deliver: Deliver) -> None:
        message: worker.Message | None = None
        while not isinstance(message, worker.Unable):
            message = worker.received(self._connection)
            try:
                deliver(self, message)
            except RuntimeError:  # the event loop is closed
                return
            if message is None:
                return

    def _write(self) -> None:
        while True:
            self._has_mail.acquire()
            message = self._outbox.popleft()
            try:
                self._connection.send(message)
            except OSError:
                return  # who reads hears of it, too
            if message is None:
                return
