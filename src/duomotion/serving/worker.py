"""What holds the models: it gets jobs and sends back motion, in a process through a pipe."""

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from duomotion.loading import checkpoint_name, load, system_of
from duomotion.models.base import MotionModel
from duomotion.motion.interaction import Interaction
from duomotion.serving.batching import Batcher, CancelledError
from duomotion.serving.tasks import Description, Task
from duomotion.text.cache import RecentTexts, in_memory

AT_ONCE = 16  # clips that are made at the same time
PASSES = 2  # at the same time, so that one computes while the other moves bodies apart
TEXTS = 256  # whose vectors are kept; of CLIP 61 MB
REPORT_SECONDS = 0.1  # between two reports of a job's progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """To the worker: a clip for each task."""

    job: str
    model: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Cancel:
    """To the worker: nobody waits for the job."""

    job: str


@dataclass(frozen=True)
class Ready:
    """From the worker, once: the models are loaded."""

    descriptions: tuple[Description, ...]


@dataclass(frozen=True)
class Unable:
    """From the worker, in place of `Ready`: why no job will be done."""

    sentence: str


@dataclass(frozen=True)
class Progressed:
    job: str
    share: float


@dataclass(frozen=True)
class Passed:
    """A pass with so many calls was made."""

    calls: int


@dataclass(frozen=True)
class Finished:
    """A clip for each of the job's tasks, in their order."""

    job: str
    clips: tuple[Interaction, ...]


@dataclass(frozen=True)
class Failed:
    """The job ended without motion.

    Attributes:
        is_refused: whether the request was at fault, and not the service.
    """

    job: str
    sentence: str
    is_refused: bool = False


@dataclass(frozen=True)
class Lost:
    """One of several workers died while it did the job.

    Attributes:
        is_first: whether no other job told of this death before.
    """

    job: str
    is_first: bool


Message = Ready | Unable | Progressed | Passed | Finished | Failed | Lost


def run(connection: Connection, models: Sequence[str], device: str, threads: int | None) -> None:
    """Do what is asked through the connection until None is, or its other end is closed.

    Signals that end the server are left to the server, which lets this process finish its jobs.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        worker = Worker(connection.send, models, device, threads)
    except (ValueError, OSError) as error:
        connection.send(Unable(str(error)))
        return
    connection.send(Ready(worker.descriptions))
    while True:
        message = received(connection)
        if message is None:
            os._exit(0)  # whatever is computed, nobody is there to take it
        worker.take(message)


def received(connection: Connection) -> Any:
    """The next message; None where the other end is closed."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


class Worker:
    """Runs the tasks of jobs, each in a thread, whose passes a `Batcher` makes.

    Attributes:
        descriptions: of the models.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        models: Sequence[str],
        device: str,
        threads: int | None,
    ) -> None:
        """Load the models.

        Args:
            send: takes what is to be told, in one thread at a time.
            models: names or folders.
            device: of the models.
            threads: of PyTorch; None for its own choice.

        Raises:
            ValueError: a model can't be loaded, or two have the same name.
            OSError: a file of a model can't be read.
        """
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        names = [checkpoint_name(model) for model in models]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"two models are called {twice[0]}; rename the folder of one")
        self._models: dict[str, MotionModel] = {
            name: load(model, device=device) for name, model in zip(names, models, strict=True)
        }
        systems = {name: system_of(model) for name, model in zip(names, models, strict=True)}
        self.descriptions = tuple(
            Description.of(name, systems[name], model) for name, model in self._models.items()
        )
        self._send = send
        self._sending = threading.Lock()
        self._batcher = Batcher(PASSES, lambda calls: self.send(Passed(calls)))
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._texts = RecentTexts(TEXTS)
        self._cancelled: dict[str, threading.Event] = {}

    def take(self, message: Start | Cancel) -> None:
        """Begin or cancel a job."""
        if isinstance(message, Start):
            cancelled = self._cancelled[message.job] = threading.Event()
            job = _Job(self, message, cancelled)
            self._batcher.expect(len(message.tasks))
            for index in range(len(message.tasks)):
                self._threads.submit(self._perform, job, index)
        elif (cancelled := self._cancelled.get(message.job)) is not None:
            cancelled.set()

    def send(self, message: Message) -> None:
        with self._sending:
            self._send(message)

    def _perform(self, job: "_Job", index: int) -> None:
        start = job.start
        model = self._batcher.sharing(self._models[start.model], job.cancelled)
        try:
            with in_memory(self._texts):
                outcome = start.tasks[index].perform(model, lambda share: job.report(index, share))
        except BaseException as error:
            outcome = error
            job.cancelled.set()
        self._batcher.expect(-1)
        if job.finish(index, outcome):
            del self._cancelled[start.job]
            self.send(_ending(start.job, job.outcomes))


class _Job:
    """What became of a job's tasks so far."""

    def __init__(self, worker: Worker, start: Start, cancelled: threading.Event) -> None:
        self.start, self.cancelled = start, cancelled
        self.outcomes: list[Interaction | BaseException] = []
        self._worker = worker
        self._lock = threading.Lock()
        self._made: dict[int, Interaction | BaseException] = {}
        self._shares = [0.0] * len(start.tasks)
        self._sent = 0.0  # when

    def report(self, index: int, share: float) -> None:
        """Send the share of the job that is done, now and then."""
        self._shares[index] = share
        if (now := time.monotonic()) - self._sent >= REPORT_SECONDS:
            self._sent = now
            share = sum(self._shares) / len(self._shares)
            self._worker.send(Progressed(self.start.job, share))

    def finish(self, index: int, outcome: Interaction | BaseException) -> bool:
        """Whether this was the last task."""
        with self._lock:
            self._made[index] = outcome
            if len(self._made) < len(self._shares):
                return False
            self.outcomes = [self._made[each] for each in range(len(self._shares))]
            return True


def _ending(job: str, outcomes: Sequence[Interaction | BaseException]) -> Finished | Failed:
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    if not errors:
        return Finished(job, tuple(each for each in outcomes if isinstance(each, Interaction)))
    # The others were cancelled on account of this one.
    error = next((each for each in errors if not isinstance(each, CancelledError)), errors[0])
    if isinstance(error, CancelledError):
        return Failed(job, "the job was cancelled")
    if isinstance(error, ValueError):
        return Failed(job, str(error), is_refused=True)
    log.error("a job failed", exc_info=error)
    return Failed(job, "the motion could not be generated; the server's log says why")
