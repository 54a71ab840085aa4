"""The queue between the HTTP server and the worker process, which is replaced when it dies."""

import asyncio
import logging
import math
import multiprocessing
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from duomotion.models.remarks import other_people, unknown_action
from duomotion.serving import worker
from duomotion.serving.jobs import BROKEN, CONFLICT, REFUSED, UNAVAILABLE, Job, JobStore
from duomotion.serving.metrics import Metrics
from duomotion.serving.motions import MotionStore
from duomotion.serving.tasks import Description

MOST_ENDED = 1_000  # jobs that are remembered
MOST_ANSWERS = 1_000  # requests whose answers are
MOST_DEATHS = 2  # of workers that do a job
FAILED_STARTS = 3  # after which no further worker is started
PAUSE = 1.0  # seconds between a worker that never got ready and the next
STOP_SECONDS = 5.0  # for which a worker that was told to end is waited for

log = logging.getLogger(__name__)


class QueueFullError(Exception):
    """As many jobs wait as may.

    Attributes:
        seconds: after which to try again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the queue is full; try again in {seconds} s")
        self.seconds = seconds


class UnavailableError(Exception):
    """No job is taken: the server shuts down, or no worker can be started."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the service may hold.

    Attributes:
        queue: jobs that wait or run.
        motions: bytes of stored motion.
        upload: bytes of an uploaded file.
    """

    queue: int = 64
    motions: int = 512_000_000
    upload: int = 20_000_000


DEFAULT_LIMITS = Limits()


class Engine:
    """Takes jobs and sees to it that each of them ends; lives in the event loop."""

    def __init__(
        self,
        models: tuple[str, ...],
        *,
        device: str = "cpu",
        threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare; `start` loads the models.

        Args:
            models: names or folders, the one that is taken where none is named first.
            device: of the models.
            threads: of PyTorch in the worker; None for its own choice.
        """
        self._settings = (models, device, threads)
        self.limits = limits
        self.metrics = Metrics()
        self.motions = MotionStore(limits.motions)
        self.jobs = JobStore(MOST_ENDED)
        self.models: dict[str, Description] = {}
        self.is_draining = False
        self._answers: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._process: _Process | None = None
        self._is_ready = False
        self._failed_starts = 0
        self._started = asyncio.Event()
        self._problem: str | None = None
        self._seconds = 1.0  # between two jobs that end, about
        self._last_end = time.monotonic()
        self.metrics.waiting.set_function(lambda: len(self._waiting))
        self.metrics.running.set_function(lambda: len(self._running))
        self.metrics.motions.set_function(lambda: len(self.motions))

    @property
    def status(self) -> Literal["ok", "starting", "draining", "failed"]:
        """Whether jobs are taken, in a word."""
        if self._problem is not None:
            return "failed"
        if self.is_draining:
            return "draining"
        return "ok" if self._is_ready else "starting"

    @property
    def is_busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._waiting or self._running)

    async def start(self) -> None:
        """Start the worker and wait until its models are loaded.

        Raises:
            ValueError: a model can't be loaded.
        """
        self._start_process()
        await self._started.wait()
        if self._problem is not None:
            raise ValueError(self._problem)

    def submit(self, job: Job) -> Job:
        """The job, which waits from now on, or is done where its answer is known.

        Raises:
            QueueFullError: as many wait as may.
            UnavailableError: no job is taken.
        """
        if self._problem is not None:
            raise UnavailableError(self._problem)
        if self.is_draining:
            raise UnavailableError("the server is shutting down")
        known = self._answers.get(job.key)
        if known is not None and all(name in self.motions for name in known.motions):
            self._answers.move_to_end(job.key)
            self.metrics.cached.inc()
            job.motions, job.note, job.read_as = known.motions, known.note, known.read_as
            self._end_done(job)
            return job
        running = sum(not each.has_ended for each in self._running.values())
        if len(self._waiting) + running >= self.limits.queue:
            raise QueueFullError(min(max(math.ceil(self._seconds), 1), 60))
        self.jobs.add(job)
        self._waiting.append(job)
        self._dispatch()
        return job

    def position(self, job: Job) -> int | None:
        """How many jobs are before a waiting one; None where it does not wait."""
        return self._waiting.index(job) if job.state == "queued" else None

    def cancel(self, job: Job) -> None:
        """End a job that has not ended."""
        if job.has_ended:
            return
        if job.state == "running":
            self._send(worker.Cancel(job.id))  # which the worker's answer is still awaited for
        else:
            self._waiting.remove(job)
        job.state, job.error, job.status = "cancelled", "the job was cancelled", CONFLICT
        self._end(job)

    async def drain(self) -> None:
        """Take no more jobs, answer those that wait, and finish those that run."""
        self.is_draining = True
        while self._waiting:
            job = self._waiting.popleft()
            job.fail("the server is shutting down", UNAVAILABLE)
            self._end(job)
        for job in list(self._running.values()):
            await job.end()

    async def stop(self) -> None:
        """End the worker, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)

    def _start_process(self) -> None:
        loop = asyncio.get_running_loop()

        def deliver(process: _Process, message: worker.Message | None) -> None:
            loop.call_soon_threadsafe(self._receive, process, message)

        self._process = _Process(self._settings, deliver)

    def _receive(self, process: "_Process", message: worker.Message | None) -> None:
        if process is not self._process:
            return  # one that was replaced
        match message:
            case None:
                self._replace()
            case worker.Ready():
                self.models = {each.name: each for each in message.descriptions}
                self._is_ready, self._failed_starts = True, 0
                self._started.set()
            case worker.Unable():
                self._give_up(message.sentence)
            case worker.Passed():
                self.metrics.batch.observe(message.calls)
            case worker.Progressed():
                if (job := self._running.get(message.job)) is not None and not job.has_ended:
                    job.progress = max(job.progress, message.share)
                    job.announce()
            case worker.Finished() | worker.Failed():
                if (job := self._running.pop(message.job, None)) is not None:
                    self._conclude(job, message)
        self._dispatch()

    def _conclude(self, job: Job, message: worker.Finished | worker.Failed) -> None:
        if job.has_ended:  # it was cancelled
            return
        now = time.monotonic()
        self._seconds += 0.2 * (now - max(self._last_end, job.arrived) - self._seconds)
        self._last_end = now
        if isinstance(message, worker.Failed):
            job.fail(message.sentence, REFUSED if message.is_refused else BROKEN)
            self._end(job)
            return
        first = message.clips[0]  # the others are of the same prompt
        about = other_people(first, job.model) if job.kind == "generate" else None
        job.note = ". ".join(filter(None, (unknown_action(first), about))) or None
        reading = first.reading
        job.read_as = None if reading is None else reading.kind
        job.motions = tuple(self.motions.add(clip).id for clip in message.clips)
        self.metrics.clips.labels(job.model).inc(len(message.clips))
        self._answers[job.key] = job
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        self._end_done(job)

    def _end_done(self, job: Job) -> None:
        job.state, job.progress = "done", 1.0
        self._end(job)

    def _end(self, job: Job) -> None:
        self.jobs.end(job)
        self.metrics.jobs.labels(job.kind, job.state).inc()
        self.metrics.job_seconds.labels(job.kind).observe(time.monotonic() - job.arrived)
        job.announce()

    def _dispatch(self) -> None:
        """Give the worker what it has room for.

        A job that a worker died of runs alone, so that, should it be the cause, no other suffers.
        """
        while self._waiting and self._is_ready:
            job = self._waiting[0]
            clips = sum(len(each.tasks) for each in self._running.values())
            is_alone = job.deaths or any(each.deaths for each in self._running.values())
            if self._running and (is_alone or clips + len(job.tasks) > worker.AT_ONCE):
                return
            self._waiting.popleft()
            self._running[job.id] = job
            job.state = "running"
            self._send(worker.Start(job.id, job.model, job.tasks))
            job.announce()

    def _send(self, message: worker.Start | worker.Cancel) -> None:
        if self._process is not None:
            self._process.send(message)

    def _replace(self) -> None:
        """Start another worker in place of one that died."""
        was_ready, self._is_ready = self._is_ready, False
        self.metrics.restarts.inc()
        running, self._running = list(self._running.values()), {}
        for job in reversed([job for job in running if not job.has_ended]):
            job.deaths += 1
            job.progress = 0.0
            if job.deaths < MOST_DEATHS and not self.is_draining:
                job.state = "queued"
                self._waiting.appendleft(job)
                job.announce()
            else:
                job.fail("the process that generated the motion died", UNAVAILABLE)
                self._end(job)
        self._failed_starts += not was_ready
        if self._failed_starts >= FAILED_STARTS:
            self._give_up("the process that generates motion can't be started")
            return
        log.error("the worker process died; another one is started")
        if self._process is not None:
            self._process.stop()
        if was_ready:
            self._start_process()
        else:
            asyncio.get_running_loop().call_later(PAUSE, self._start_process)

    def _give_up(self, sentence: str) -> None:
        self._problem = sentence
        self._process = None
        while self._waiting:
            job = self._waiting.popleft()
            job.fail(sentence, UNAVAILABLE)
            self._end(job)
        self._started.set()


class _Process:
    """A worker process, and a thread each that reads from it and writes to it."""

    def __init__(
        self,
        settings: tuple,
        deliver: "Callable[[_Process, worker.Message | None], None]",
    ) -> None:
        """Start it.

        Args:
            settings: arguments of `worker.run` after the connection.
            deliver: gets each message in the reading thread, None once the process is gone.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=worker.run, args=(theirs, *settings), daemon=True)
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

    def _read(self, deliver: "Callable[[_Process, worker.Message | None], None]") -> None:
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
