"""How fast the service is: clips a second by number of clients, and memory over many requests.

python -m duomotion.serving.speed --clients 1 16
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import tyro

from duomotion.defaults import DEFAULT_MODELS

PROMPTS = (
    "two people shake hands",
    "two people dance salsa",
    "one person pushes the other",
    "two people high five",
)
MB = 2**20
TIMEOUT = 600.0  # seconds for an answer


def main(
    clients: tuple[int, ...] = (1, 16),
    clips: int = 32,
    seconds: float = 3.0,
    requests: int = 0,
    model: str = "",
) -> None:
    """Time a service of one model.

    Args:
        clients: Numbers of clients that ask at the same time.
        clips: Clips that are asked for in all, for each number of clients.
        seconds: Length of a clip.
        requests: Further requests, of clips of half a second, between two looks at the memory of
            both processes.
        model: Name of the model or folder of a checkpoint; by default the open one of two people.
    """
    seeds = count()
    with (
        _server(model or DEFAULT_MODELS[2]) as (url, pid),
        httpx.Client(base_url=url, timeout=TIMEOUT) as http,
    ):

        def ask(length: float, seed: int) -> None:
            text = PROMPTS[seed % len(PROMPTS)]
            body = {"text": text, "seconds": length, "seed": seed}
            http.post("/api/generate?wait=true", json=body).raise_for_status()

        ask(seconds, next(seeds))  # the first is slower
        print("| clients | clips/s |\n|---|---|")
        for number in clients:
            start = time.perf_counter()
            _at_once(number, lambda seed: ask(seconds, seed), [next(seeds) for _ in range(clips)])
            print(f"| {number} | {clips / (time.perf_counter() - start):.2f} |", flush=True)
        start = time.perf_counter()
        ask(seconds, 0)
        print(f"\nan answer from memory: {1000 * (time.perf_counter() - start):.0f} ms")
        if requests:
            for part in range(5):
                print(f"memory after {part * requests // 4} requests: {_memory(pid)}", flush=True)
                if part < 4:
                    batch = [next(seeds) for _ in range(requests // 4)]
                    _at_once(16, lambda seed: ask(0.5, seed), batch)


def _at_once(clients: int, ask: Callable[[int], None], seeds: list[int]) -> None:
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(ask, seeds))


def _memory(pid: int) -> str:
    """Of the server and its children, resident."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in [pid, *children]]
    size = os.sysconf("SC_PAGE_SIZE") / MB
    return " + ".join(f"{each * size:.0f}" for each in pages) + " MB"


@contextmanager
def _server(model: str) -> Iterator[tuple[str, int]]:
    """Address and process of a service."""
    words = ("serve", "--port", "0", "--model", model, "--store-mb", "16")
    with subprocess.Popen(
        [sys.executable, "-m", "duomotion", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http\S+", process.stdout.readline())
            if found is None:
                raise ValueError("the service did not start")
            yield found[0], process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    tyro.cli(main)
