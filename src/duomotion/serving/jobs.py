"""Jobs: what became of a request, and who waits to hear of it."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Literal

from duomotion.serving.tasks import Kind, Task

State = Literal["queued", "running", "done", "failed", "cancelled"]
REFUSED, CONFLICT, BROKEN, UNAVAILABLE = 422, 409, 500, 503
"""HTTP statuses of jobs that end without motion."""


@dataclass(eq=False)
class Job:
    """One request; used in the event loop alone.

    Attributes:
        model: name of the model that does it.
        tasks: a clip each; none any more once it has ended.
        num_clips: that it asks for.
        key: equal for requests that have the same answer.
        progress: the share that is done, from 0 to 1.
        motions: names of the clips, once it is done.
        error: why there are none, in a sentence.
        status: the HTTP status that says so.
        note: what the user should know of the motion.
        read_as: what the model read the prompt as.
        deaths: workers that died while they did it.
    """

    kind: Kind
    model: str
    tasks: tuple[Task, ...]
    key: str
    id: str = field(default_factory=lambda: token_hex(16))
    state: State = "queued"
    progress: float = 0.0
    motions: tuple[str, ...] = ()
    error: str | None = None
    status: int = 200
    note: str | None = None
    read_as: str | None = None
    deaths: int = 0
    arrived: float = field(default_factory=time.monotonic)
    num_clips: int = field(init=False)
    changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.num_clips = len(self.tasks)

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def fail(self, sentence: str, status: int) -> None:
        self.state, self.error, self.status = "failed", sentence, status

    def announce(self) -> None:
        """Wake up all who wait for a change, by `changed` as it is before they look at the job."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def end(self) -> None:
        """Wait until it has ended."""
        while not self.has_ended:
            await self.changed.wait()


class JobStore:
    """Jobs by name: all that have not ended, and the last of those that have."""

    def __init__(self, most_ended: int) -> None:
        self._most_ended = most_ended
        self._jobs: dict[str, Job] = {}
        self._ended: OrderedDict[str, Job] = OrderedDict()

    def add(self, job: Job) -> None:
        self._jobs[job.id] = job

    def end(self, job: Job) -> None:
        """Count a job among those that have ended, which are forgotten one day."""
        job.tasks = ()  # with their motion
        self._ended[job.id] = job
        self._jobs.pop(job.id, None)
        if len(self._ended) > self._most_ended:
            self._ended.popitem(last=False)

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name) or self._ended.get(name)
