"""Workers as processes of this machine."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Lock
from typing import Any, Protocol

from duomotion.scale.child import serve
from duomotion.scale.work import Settings

MOST_DEATHS = 2  # of workers that do a piece of work
MEMORY = 10**9  # bytes that a worker may come to need


class LostWorkError(Exception):
    """A piece of work ended its workers; the sentence says how."""


class Workers(Protocol):
    """Where functions of `work` run."""

    @property
    def count(self) -> int:
        """Pieces of work that are done at the same time."""
        ...

    def submit(self, work: Callable[..., Any], settings: Settings, *arguments: Any) -> Future[Any]:
        """What `work` returns or raises, or LostWorkError; it may run more than once."""
        ...


def usual_count(device: str) -> int:
    """One process per core that there is memory for, or one per GPU."""
    if device == "cuda":
        from torch import cuda

        return max(1, cuda.device_count())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), memory // MEMORY))


class Processes:
    """Processes that are started when they are needed and replaced when they die."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count)
        self._processes = [_Process(number) for number in range(count)]
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.stop()
        self._threads.shutdown()

    def submit(self, work: Callable[..., Any], settings: Settings, *arguments: Any) -> Future[Any]:
        return self._threads.submit(self._perform, work, settings, *arguments)

    def _perform(self, *call: Any) -> Any:
        process = self._idle.get()
        try:
            return process.perform(*call)
        finally:
            self._idle.put(process)


class _Process:
    """One process, which does one piece of work after the other."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._process: BaseProcess | None = None
        self._is_stopped = False
        self._starting = Lock()

    def perform(self, work: Callable[..., Any], settings: Settings, *arguments: Any) -> Any:
        if settings.device == "cuda":
            from torch import cuda

            gpu = self._number % max(1, cuda.device_count())
            settings = replace(settings, device=f"cuda:{gpu}")
        ending = "it was stopped"
        for _ in range(MOST_DEATHS):
            running = self._running()
            if running is None:
                break
            process, connection = running
            try:
                connection.send((work, settings, *arguments))
                outcome = connection.recv()
            except (EOFError, OSError):
                process.join()
                ending = f"the last with exit status {process.exitcode}"
                continue
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        raise LostWorkError(f"{MOST_DEATHS} worker processes ended over it, {ending}")

    def stop(self) -> None:
        with self._starting:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _running(self) -> tuple[BaseProcess, Connection] | None:
        """The process, if need be a new one, and its connection; None where it was stopped."""
        with self._starting:
            if self._is_stopped:
                return None
            if self._process is None or not self._process.is_alive():
                context = get_context("spawn")
                self._connection, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs,), daemon=True)
                process.start()
                theirs.close()
                self._process = process
            return self._process, self._connection
