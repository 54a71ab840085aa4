"""Workers on a cluster, or on this machine, that Ray places, restarts and feeds.

Each worker keeps its models from one piece of work to the next. Ray is imported here alone.
"""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from duomotion.scale.processes import MEMORY, MOST_DEATHS, LostWorkError
from duomotion.scale.work import OutOfMemoryError, Settings

SECONDS_TO_CONNECT = 10.0


class Cluster:
    """Ray's workers: one per GPU of the cluster, or per core that there is memory for."""

    def __init__(self, address: str | None, processes: int | None = None) -> None:
        """Connect to the cluster at `address`; None starts Ray on this machine.

        Args:
            processes: workers where Ray is started; None for one per core.

        Raises:
            ValueError: Ray is not installed, no cluster answers, or none of its machines has room
                for a worker.
        """
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ValueError(
                "--ray needs Ray, which pip install 'duomotion[ray]' installs"
            ) from None
        self._ray = ray
        options = {"include_dashboard": False, "num_cpus": processes} if address is None else {}
        try:
            if address is not None:
                _knock(address)
            ray.init(address or "local", log_to_driver=False, logging_level="error", **options)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(
                f"--ray {address or ''}: no Ray cluster answers there ({reason}); "
                "`ray start --head` starts one, --ray without an address Ray on this machine"
            ) from None
        self._has_gpus = bool(self._room("GPU"))
        if not self.count:
            self._ray.shutdown()
            raise ValueError(
                f"--ray {address or ''}: there is no room for a worker, which takes a core and "
                f"{MEMORY / 1e9:g} GB of memory; the cluster has {self._room('CPU')} cores and "
                f"{self._room('memory') / 1e9:.1f} GB"
            )
        # Without max_calls=0 a worker with a GPU ends after one piece of work, with its models.
        self._perform = ray.remote(
            num_cpus=1,
            num_gpus=int(self._has_gpus),
            memory=MEMORY,
            max_calls=0,
            max_retries=MOST_DEATHS - 1,
        )(_perform)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def count(self) -> int:
        rooms = [self._room("CPU"), self._room("memory") // MEMORY]
        return int(min([*rooms, self._room("GPU")] if self._has_gpus else rooms))

    def submit(self, work: Callable[..., Any], settings: Settings, *arguments: Any) -> Future[Any]:
        settings = replace(settings, device="cuda" if self._has_gpus else "cpu")
        outcome: Future[Any] = Future()

        def take(done: Future[Any]) -> None:
            try:
                outcome.set_result(done.result())
            except Exception as error:
                outcome.set_exception(self._known(error))

        self._perform.remote(work, settings, *arguments).future().add_done_callback(take)
        return outcome

    def _room(self, kind: str) -> float:
        return self._ray.cluster_resources().get(kind, 0)

    def _known(self, error: Any) -> Exception:
        """Ray's error as the one that it stands for."""
        errors = self._ray.exceptions
        if isinstance(error, errors.RayTaskError):
            return error.cause
        if isinstance(error, errors.OutOfMemoryError):
            return OutOfMemoryError("Ray ended the worker")
        return LostWorkError(f"its worker was lost ({type(error).__name__})")


def _knock(address: str) -> None:
    """Raises OSError or ValueError where nothing listens, for which Ray would wait for minutes."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("HOST:PORT is expected, as in 10.0.0.1:6379")
    socket.create_connection((host, int(port)), timeout=SECONDS_TO_CONNECT).close()


def _perform(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)
