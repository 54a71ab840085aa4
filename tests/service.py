"""A service in a process of its own, as a user starts it, on a free port of this machine."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 200  # a machine may be busy
PATIENCE = 200


@dataclass
class Service:
    """A running server.

    Attributes:
        log: where it writes what it prints.
    """

    url: str
    process: subprocess.Popen
    log: Path

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)

    @property
    def worker(self) -> int:
        """The process that holds the models: the one that multiprocessing spawned."""
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = [int(child) for child in listing.read_text().split()]
        (pid,) = [
            child
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        return pid

    def until(self, status: str, seconds: float = PATIENCE) -> None:
        """Wait for what /api/health says."""
        deadline = time.monotonic() + seconds
        with self.client() as client:
            while client.get("/api/health").json()["status"] != status:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)


@contextmanager
def running(folder: Path, *words: str, **environment: str) -> Iterator[Service]:
    """The service with these words behind `duomotion serve`."""
    log = folder / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "duomotion", "serve", "--port", "0", "--threads", "1", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (found := re.search(r"duomotion serves (\S+)", log.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Service(found[1], process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
