"""The commands that serve models over HTTP: to programs, and to people as the studio."""

import os
import webbrowser
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duomotion.serving.engine import StartWorkers

KEY = "DUOMOTION_API_KEY"
LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    model: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    queue: int = 64,
    upload_mb: int = 20,
    store_mb: int = 512,
    threads: int | None = None,
    device: str = "cpu",
    processes: int | None = None,
    ray: tuple[str, ...] | None = None,
) -> None:
    """Serve models over HTTP.

    The environment variable DUOMOTION_API_KEY, where it is set, holds a key that clients have to
    send in the header X-API-Key. SIGTERM and Ctrl-C let running jobs finish.

    Args:
        model: Names of models or folders of checkpoints, the default first; all models that come
            with the package where none is given.
        host: Address to listen on; 0.0.0.0 for all.
        port: Port to listen on; 0 for any that is free.
        queue: Jobs that may run and wait; further ones are answered 429.
        upload_mb: Largest upload in MB.
        store_mb: Memory for generated and uploaded motion in MB; the oldest is forgotten.
        threads: Threads of PyTorch; by default as PyTorch chooses. With --ray the cores of a
            replica, by default one.
        device: "cpu" or "cuda"; with --ray a GPU per replica where the cluster has any.
        processes: With --ray: replicas, each with the models; by default one per GPU or core of
            the cluster.
        ray: Generate in replicas of Ray Serve, on the cluster at this address, or on this machine
            where none is given.
    """
    _check_counts(
        ("--queue", queue),
        ("--upload-mb", upload_mb),
        ("--store-mb", store_mb),
        ("--threads", 1 if threads is None else threads),
        ("--processes", 1 if processes is None else processes),
    )
    _check_port(port)
    if processes is not None and ray is None:
        raise ValueError("--processes is for --ray; without it one process generates")
    from duomotion.loading import shipped
    from duomotion.serving import server
    from duomotion.serving.engine import Limits

    models = model or tuple(shipped())
    if ray is None:
        start_workers = _process(models, device, threads)
    else:
        from duomotion.cli.scale import address_of
        from duomotion.serving.replicas import Replicas

        start_workers = partial(Replicas, models, threads, address_of(ray), processes)
    api_key = os.environ.get(KEY) or None

    def on_ready(url: str) -> None:
        if host not in LOCAL and api_key is None:
            print(f"anybody who reaches {host} may use the service; {KEY} sets a key")
        print(f"duomotion serves {url}", flush=True)

    server.serve(
        start_workers,
        host=host,
        port=port,
        limits=Limits(queue=queue, upload=upload_mb * 1_000_000, motions=store_mb * 1_000_000),
        api_key=api_key,
        on_ready=on_ready,
    )


def studio(
    model: tuple[str, ...] = (),
    port: int = 8000,
    threads: int | None = None,
    device: str = "cpu",
    browser: bool = True,
) -> None:
    """Open a page on which two people are directed.

    The page and what it asks for are served to this machine alone, until Ctrl-C.

    Args:
        model: Names of models or folders of checkpoints, the default first; all models that come
            with the package where none is given.
        port: Port to listen on; 0 for any that is free.
        threads: Threads of PyTorch; by default as PyTorch chooses.
        device: "cpu" or "cuda".
        browser: Open the page in the browser; otherwise its address is printed only.
    """
    _check_counts(("--threads", 1 if threads is None else threads))
    _check_port(port)
    from duomotion.loading import shipped
    from duomotion.serving import server

    def on_ready(url: str) -> None:
        print(f"the studio is at {url}", flush=True)
        if browser:
            webbrowser.open(url)

    models = model or tuple(shipped())
    server.serve(_process(models, device, threads), port=port, on_ready=on_ready)


def _check_counts(*counts: tuple[str, int]) -> None:
    """Raises ValueError where one of (option, value) is below 1."""
    for name, value in counts:
        if value < 1:
            raise ValueError(f"{name} has to be 1 or more, not {value}")


def _check_port(port: int) -> None:
    """Raises ValueError where there is no such port."""
    if not 0 <= port < 65536:
        raise ValueError(f"--port has to be 0 to 65535, not {port}")


def _process(models: tuple[str, ...], device: str, threads: int | None) -> "StartWorkers":
    from duomotion.serving.process import Process

    return partial(Process, models, device, threads)
