"""The queue between the HTTP server and the workers, which are replaced when they die."""

import asyncio
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from duomotion.models.remarks import composed_action, other_people, unknown_action
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


class Workers(Protocol):
    """Where jobs are done; what comes of them is delivered as messages of `worker`."""

    @property
    def at_once(self) -> int:
        """Clips that are made at the same time."""
        ...

    def send(self, message: worker.Start | worker.Cancel) -> None:
        """Send without waiting."""
        ...

    def stop(self) -> None:
        """End, whatever is done."""
        ...


Deliver = Callable[[Workers, worker.Message | None], None]
"""Takes a message of workers in any thread; None where all of them are gone for good."""

StartWorkers = Callable[[Deliver], Workers]
"""Starts workers, which tell when they are ready. Raises ValueError where that is not possible."""


class Engine:
    """Takes jobs and sees to it that each of them ends; lives in the event loop."""

    def __init__(self, start_workers: StartWorkers, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Prepare; `start` starts workers, which load the models."""
        self._start_workers = start_workers
        self.limits = limits
        self.metrics = Metrics()
        self.motions = MotionStore(limits.motions)
        self.jobs = JobStore(MOST_ENDED)
        self.models: dict[str, Description] = {}
        self.is_draining = False
        self._answers: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._workers: Workers | None = None
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
        """Start the workers and wait until their models are loaded.

        Raises:
            ValueError: a model can't be loaded, or workers can't be started.
        """
        self._begin()
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
        if known is not None and all(map(self.motions.get, known.motions)):
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
        """End the workers, whatever they do."""
        workers, self._workers = self._workers, None
        if workers is not None:
            await asyncio.to_thread(workers.stop)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()

        def deliver(workers: Workers, message: worker.Message | None) -> None:
            loop.call_soon_threadsafe(self._receive, workers, message)

        self._workers = self._start_workers(deliver)

    def _receive(self, workers: Workers, message: worker.Message | None) -> None:
        if workers is not self._workers:
            return  # they were replaced
        match message:
            case None:
                self._replace()
            case worker.Ready():
                self.models = {each.name: each for each in message.descriptions}
                self._answers.clear()  # of checkpoints that may have changed
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
            case worker.Lost():
                if message.is_first:
                    self.metrics.restarts.inc()
                if (job := self._running.pop(message.job, None)) is not None:
                    self._do_again([job])
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
        notes = (unknown_action(first), composed_action(first), about)
        job.note = ". ".join(filter(None, notes)) or None
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
        """Give the workers what they have room for, which cancelled jobs take until they answer.

        A job that a worker died of runs alone, so that, should it be the cause, no other suffers.
        """
        while self._waiting and self._is_ready and self._workers is not None:
            job = self._waiting[0]
            clips = sum(each.num_clips for each in self._running.values())
            is_alone = job.deaths or any(each.deaths for each in self._running.values())
            if self._running and (is_alone or clips + job.num_clips > self._workers.at_once):
                return
            self._waiting.popleft()
            self._running[job.id] = job
            job.state = "running"
            self._send(worker.Start(job.id, job.model, job.tasks))
            job.announce()

    def _send(self, message: worker.Start | worker.Cancel) -> None:
        if self._workers is not None:
            self._workers.send(message)

    def _replace(self) -> None:
        """Start other workers in place of those that are gone."""
        was_ready, self._is_ready = self._is_ready, False
        self.metrics.restarts.inc()
        running, self._running = list(self._running.values()), {}
        self._do_again(running)
        log.error("the worker process died")
        if self._workers is not None:
            self._workers.stop()
        if was_ready:
            self._begin_again()
        else:
            self._count_failed_start()

    def _begin_again(self) -> None:
        if self.is_draining:
            return
        try:
            self._begin()
        except (OSError, ValueError) as error:
            log.error("the worker process can't be started: %s", error)
            self._count_failed_start()

    def _count_failed_start(self) -> None:
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            self._give_up("the process that generates motion can't be started")
        else:
            asyncio.get_running_loop().call_later(PAUSE, self._begin_again)

    def _do_again(self, lost: list[Job]) -> None:
        """Let jobs wait again whose worker died, or fail those of which several did."""
        for job in reversed([job for job in lost if not job.has_ended]):
            job.deaths += 1
            job.progress = 0.0
            if job.deaths < MOST_DEATHS and not self.is_draining:
                job.state = "queued"
                self._waiting.appendleft(job)
                job.announce()
            else:
                job.fail("the process that generated the motion died", UNAVAILABLE)
                self._end(job)

    def _give_up(self, sentence: str) -> None:
        self._problem = sentence
        given_up = [job for job in self._running.values() if not job.has_ended]
        given_up += self._waiting
        self._running.clear()
        self._waiting.clear()
        for job in given_up:
            job.fail(sentence, UNAVAILABLE)
            self._end(job)
        self._started.set()
