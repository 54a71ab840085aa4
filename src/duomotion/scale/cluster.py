"""Workers on a cluster, or on this machine, that Ray places, restarts and feeds.

Each worker keeps its models from one piece of work to the next. Ray is imported when it is used.
"""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from duomotion.scale.processes import MEMORY, MOST_DEATHS, LostWorkError
from duomotion.scale.work import OutOfMemoryError, Settings

SECONDS_TO_CONNECT = 10.0
NOT_INSTALLED = "--ray needs Ray, which pip install 'duomotion[ray]' installs"


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
        self._ray = connected(address, processes)
        self._needs = needs(self._ray)
        check_room(self._ray, address, self._needs)
        # Without max_calls=0 a worker with a GPU ends after one piece of work, with its models.
        self._perform = self._ray.remote(**self._needs, max_calls=0, max_retries=MOST_DEATHS - 1)(
            _perform
        )

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def count(self) -> int:
        return room(self._ray, self._needs)

    def submit(self, work: Callable[..., Any], settings: Settings, *arguments: Any) -> Future[Any]:
        settings = replace(settings, device=device_of(self._needs))
        outcome: Future[Any] = Future()

        def take(done: Future[Any]) -> None:
            try:
                outcome.set_result(done.result())
            except Exception as error:
                outcome.set_exception(self._known(error))

        self._perform.remote(work, settings, *arguments).future().add_done_callback(take)
        return outcome

    def _known(self, error: Any) -> Exception:
        """Ray's error as the one that it stands for."""
        errors = self._ray.exceptions
        if isinstance(error, errors.RayTaskError):
            return error.cause
        if isinstance(error, errors.OutOfMemoryError):
            return OutOfMemoryError("Ray ended the worker")
        return LostWorkError(f"its worker was lost ({type(error).__name__})")


def connected(address: str | None, cores: int | None = None) -> Any:
    """The module `ray`, connected to the cluster at `address`; None starts Ray on this machine.

    Args:
        cores: that Ray may use where it is started; None for all.

    Raises:
        ValueError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise ValueError(NOT_INSTALLED) from None
    options = {"include_dashboard": False, "num_cpus": cores} if address is None else {}
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
    return ray


def needs(ray: Any, cores: int = 1) -> dict[str, int]:
    """What a worker takes, as options of Ray: one GPU where the cluster has any."""
    has_gpus = bool(ray.cluster_resources().get("GPU", 0))
    return {"num_cpus": cores, "num_gpus": int(has_gpus), "memory": MEMORY}


def device_of(needs: dict[str, int]) -> str:
    """Where a worker with these needs computes."""
    return "cuda" if needs["num_gpus"] else "cpu"


def room(ray: Any, needs: dict[str, int]) -> int:
    """For how many workers with these needs the cluster has room."""
    resources = ray.cluster_resources()
    kinds = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    return int(min(resources.get(kinds[name], 0) // need for name, need in needs.items() if need))


def check_room(ray: Any, address: str | None, needs: dict[str, int], count: int = 1) -> None:
    """Raises ValueError, and leaves the cluster, where it has no room for so many workers."""
    if (found := room(ray, needs)) >= count:
        return
    resources = ray.cluster_resources()
    ray.shutdown()
    raise ValueError(
        f"--ray {address or ''}: there is room for {found} workers and not for {count}, each of "
        f"which takes {needs['num_cpus']} cores, {MEMORY / 1e9:g} GB of memory and "
        f"{needs['num_gpus']} GPUs; the cluster has {resources.get('CPU', 0):g} cores, "
        f"{resources.get('memory', 0) / 1e9:.1f} GB and {resources.get('GPU', 0):g} GPUs"
    )


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
