"""The service as a process: it listens, and finishes what it does when it is told to end."""

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from duomotion.serving.app import create_app
from duomotion.serving.engine import DEFAULT_LIMITS, Engine, Limits, StartWorkers
from duomotion.serving.guards import TimedHeads

KEEP_ALIVE_SECONDS = 5
CONNECTIONS = 1_000
LINGER_SECONDS = 2.0  # for clients to fetch what was finished, before the server ends


def serve(
    start_workers: StartWorkers,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = DEFAULT_LIMITS,
    api_key: str | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; running jobs are finished, unless a second one comes.

    Args:
        start_workers, limits: see `Engine`.
        port: 0 for any that is free.
        api_key: see `create_app`.
        on_ready: called with the address once jobs are taken.

    Raises:
        ValueError: a model can't be loaded, or workers can't be started.
        OSError: host and port can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        name = f"[{host}]" if family == socket.AF_INET6 else host
        url = f"http://{name}:{listener.getsockname()[1]}"
        engine = Engine(start_workers, limits=limits)
        asyncio.run(start(engine, listener, api_key, lambda: on_ready(url)))


async def start(
    engine: Engine, listener: socket.socket, api_key: str | None, on_ready: Callable[[], None]
) -> None:
    """Start an engine and serve what comes through a socket, until told to end; see `serve`."""
    try:
        await engine.start()
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            create_app(engine, api_key=api_key),
            http=TimedHeads,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        on_ready()
        await _Server(config, engine).serve(sockets=[listener])
    finally:
        await engine.stop()


class _Server(uvicorn.Server):
    """Ends once running jobs are finished."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Task | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._engine.is_draining:
            self.should_exit = self.force_exit = True
            return
        self._engine.is_draining = True
        self._loop.call_soon_threadsafe(self._begin_end)

    def _begin_end(self) -> None:
        self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        was_busy = self._engine.is_busy
        await self._engine.drain()
        if was_busy:
            await asyncio.sleep(LINGER_SECONDS)
        self.should_exit = True
