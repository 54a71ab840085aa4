"""Workers that are replicas of a Ray Serve deployment, on a cluster or on this machine.

Ray Serve places replicas, sends a job to the one that has least to do, checks their health and
replaces those that die. The engine before it holds the queue, the answers from memory and what has
to be done again, as without Ray. A job is one streaming call of the deployment: its items are the
worker's messages, progress among them, and cancelling the call cancels the job. In a replica the
worker's own `Batcher` makes the passes: `serve.batch` joins whole requests, but here each pass of
a request, such as a window of a long clip, joins those of others as it comes.

Ray is imported when it is used.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from duomotion.loading import system_of
from duomotion.scale import cluster
from duomotion.serving import worker
from duomotion.serving.engine import Deliver
from duomotion.serving.worker import Cancel, Failed, Finished, Lost, Message, Start

HEALTH_SECONDS = 2.0  # between two looks at replicas
GIVE_UP_SECONDS = 120.0  # without any replica, after which none is waited for
STOP_SECONDS = 5.0  # for which a replica that is told to end is waited for

log = logging.getLogger(__name__)


class Replicas:
    """All replicas, each with the models of its own; lives in the event loop."""

    def __init__(
        self,
        models: Sequence[str],
        threads: int | None,
        address: str | None,
        count: int | None,
        deliver: Deliver,
    ) -> None:
        """Connect to a cluster, and wait until the replicas have loaded the models.

        Args:
            models: names or folders, which have to be there on all machines.
            threads: of PyTorch in a replica, and the cores that it takes; None for one.
            address: of the cluster; None starts Ray on this machine.
            count: replicas; None for one per GPU of the cluster, or where it has none as many as
                there are cores and memory for.
            deliver: gets each message.

        Raises:
            ValueError: there is no such model, Ray is not installed, no cluster answers, the one
                that does has no room for the replicas, or they can't load the models.
        """
        for model in models:
            system_of(model)
        try:
            from ray import serve
        except ImportError:
            raise ValueError(cluster.NOT_INSTALLED) from None
        cores = threads or 1
        self._ray = cluster.connected(address, count and count * cores)
        needs = cluster.needs(self._ray, cores)
        count = count or max(1, cluster.room(self._ray, needs))
        cluster.check_room(self._ray, address, needs, count)
        self.at_once = worker.AT_ONCE * count
        self._serve = serve
        self._errors = (self._ray.exceptions.RayError, serve.exceptions.RayServeException)
        self._name = f"duomotion-{socket.gethostname()}-{os.getpid()}"
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        deployment = serve.deployment(
            Replica,
            num_replicas=count,
            max_ongoing_requests=self.at_once,  # a job waits only where there is no replica
            ray_actor_options=needs,
            health_check_period_s=HEALTH_SECONDS,
            graceful_shutdown_timeout_s=STOP_SECONDS,
        )
        application = deployment.bind(tuple(models), cluster.device_of(needs), threads)
        try:
            serve.start(proxy_location="Disabled")  # HTTP is answered here
            handle = serve.run(application, name=self._name, route_prefix=None)
        except RuntimeError:
            reason = self._problem()
            self._leave()
            raise ValueError(f"the replicas can't be started: {reason}") from None
        self._handle = handle
        self._deliver = deliver
        self._calls: dict[str, Any] = {}
        self._following: set[asyncio.Task] = set()
        self._dead: set[str] = set()
        self._is_stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def send(self, message: Start | Cancel) -> None:
        """Begin or cancel a job."""
        if isinstance(message, Start):
            call = self._handle.options(stream=True).perform.remote(message)
            self._calls[message.job] = call
            task = asyncio.create_task(self._follow(message.job, call))
            self._following.add(task)
            task.add_done_callback(self._following.discard)
        elif message.job in self._calls:
            self._calls[message.job].cancel()

    def stop(self) -> None:
        """End the replicas and leave the cluster, which is ended where it was started here."""
        self._is_stopped.set()
        self._watching.join()
        self._leave()

    def _leave(self) -> None:
        with suppress(*self._errors):  # where nothing is left to be ended
            self._serve.delete(self._name)
        self._ray.shutdown()

    async def _follow(self, job: str, call: Any) -> None:
        """Deliver what comes of a job; that its replica was lost where the end is missing."""
        is_first = False
        try:
            async for message in call:
                self._deliver(self, message)
                if isinstance(message, Finished | Failed):
                    return
        except self._ray.exceptions.TaskCancelledError:
            pass
        except self._errors as error:
            if (replica := getattr(error, "actor_id", None)) is not None:
                is_first = replica not in self._dead
                self._dead.add(replica)
            log.error("a job lost its replica (%s)", type(error).__name__)
        finally:
            del self._calls[job]
        self._deliver(self, Lost(job, is_first))

    def _watch(self) -> None:
        """Tell what the models are, and, should it come to that, that no replica is left."""
        try:
            self._deliver(self, worker.Ready(self._handle.describe.remote().result()))
            seen = time.monotonic()
            while not self._is_stopped.wait(HEALTH_SECONDS):
                if any(each.replica_states.get("RUNNING") for each in self._status()):
                    seen = time.monotonic()
                elif time.monotonic() - seen > GIVE_UP_SECONDS:
                    self._deliver(self, worker.Unable("no replica that generates can be started"))
                    return
        except self._errors as error:
            sentence = f"Ray does not answer any more ({type(error).__name__})"
            self._deliver(self, worker.Unable(sentence))

    def _problem(self) -> str:
        """Why replicas can't be started: the error at the end of what Ray Serve says."""
        lines = [line for each in self._status() for line in each.message.splitlines()]
        return lines[-1].strip().removeprefix("ValueError: ") if lines else "Ray Serve does not run"

    def _status(self) -> list[Any]:
        """What Ray Serve knows of the deployment, if it knows it."""
        application = self._serve.status().applications.get(self._name)
        return [] if application is None else list(application.deployments.values())


class Replica:
    """A worker in a process that Ray Serve starts; its models load before it takes jobs."""

    def __init__(self, models: Sequence[str], device: str, threads: int | None) -> None:
        """Load the models; see `worker.Worker`."""
        self._streams: dict[str, Callable[[Message], Any]] = {}
        self._worker = worker.Worker(self._send, models, device, threads)

    async def describe(self) -> tuple:
        """The descriptions of the models."""
        return self._worker.descriptions

    async def perform(self, start: Start) -> AsyncIterator[Message]:
        """What comes of a job, the last its end; who stops to listen cancels it."""
        loop, messages = asyncio.get_running_loop(), asyncio.Queue()
        self._streams[start.job] = lambda message: loop.call_soon_threadsafe(
            messages.put_nowait, message
        )
        self._worker.take(start)
        try:
            while True:
                yield (message := await messages.get())
                if isinstance(message, Finished | Failed):
                    return
        finally:
            del self._streams[start.job]
            self._worker.take(Cancel(start.job))

    def _send(self, message: Message) -> None:
        """To the stream of the message's job; where it is about a pass of several, to any."""
        streams = self._streams.copy()
        job = getattr(message, "job", next(iter(streams), None))
        if job in streams:
            streams[job](message)
