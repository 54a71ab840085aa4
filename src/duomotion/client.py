"""A client of the service that `duomotion serve` runs.

client = Client("http://127.0.0.1:8000")
(clip,) = client.generate("two people shake hands", seconds=3)
partner = client.react(clip, text="they shake hands")
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from duomotion.motion.interaction import Interaction
from duomotion.storage import atomic_file

Motion = Interaction | str
"""A clip, which is uploaded, or the name of one that the service holds."""


class ServiceError(RuntimeError):
    """The service can't do what it was asked now.

    Attributes:
        status: of its answer, as 503.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """Calls a service and waits for its motion; use it as a context manager, or `close` it.

    All methods raise ValueError where the service refuses what is asked, `ServiceError` where it
    fails, and httpx.HTTPError where it can't be reached.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        patience: float = 60,
    ) -> None:
        """Connect when something is asked.

        Args:
            api_key: that the service wants.
            patience: seconds for which a full queue is tried again.
        """
        headers = {} if api_key is None else {"X-API-Key": api_key}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self._patience = patience

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """The models and what they can do, the default first."""
        return self._call("GET", "/api/models").json()

    def generate(
        self, text: str = "", *, on_share: Callable[[float], None] | None = None, **options: Any
    ) -> list[Interaction]:
        """Clips from a prompt.

        Args:
            text: what happens.
            on_share: gets the share that is done, from 0 to 1.
            options: fields of the request, such as seconds, seed, samples, partner, model.
        """
        return self._made("generate", {"text": text, **options}, on_share)

    def react(
        self, motion: Motion, *, on_share: Callable[[float], None] | None = None, **options: Any
    ) -> Interaction:
        """A partner for a person, A unless `person` says otherwise; arguments as for `generate`."""
        return self._remade("react", motion, options, on_share)

    def inpaint(
        self, motion: Motion, *, on_share: Callable[[float], None] | None = None, **options: Any
    ) -> Interaction:
        """A clip with the stretch from `start` to `end` made again; arguments as for `generate`."""
        return self._remade("inpaint", motion, options, on_share)

    def extend(
        self, motion: Motion, *, on_share: Callable[[float], None] | None = None, **options: Any
    ) -> Interaction:
        """A clip that goes on until it is `seconds` long; arguments as for `generate`."""
        return self._remade("extend", motion, options, on_share)

    def upload(self, motion: Interaction | str | Path) -> str:
        """The name under which the service holds a clip, or the motion in a .bvh or .npz file."""
        if isinstance(motion, Interaction):
            with TemporaryDirectory() as folder:
                path = Path(folder) / "motion.npz"
                motion.save(path)
                return self.upload(path)
        content = Path(motion).read_bytes()
        return self._call("POST", "/api/motions", files={"file": content}).json()["id"]

    def download(self, name: str, path: str | Path) -> None:
        """Write a clip that the service holds as .bvh, .glb, .npz or .mp4, as the suffix says."""
        answer = self._call("GET", f"/api/motions/{name}{Path(path).suffix.lower()}")
        with atomic_file(Path(path)) as temporary:
            temporary.write_bytes(answer.content)

    def fetch(self, name: str) -> Interaction:
        """A clip that the service holds."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "motion.npz"
            self.download(name, path)
            return Interaction.load(path)

    def _remade(
        self,
        verb: str,
        motion: Motion,
        options: dict[str, Any],
        on_share: Callable[[float], None] | None,
    ) -> Interaction:
        name = motion if isinstance(motion, str) else self.upload(motion)
        (clip,) = self._made(verb, {"motion": {"id": name}, **options}, on_share)
        return clip

    def _made(
        self, verb: str, body: dict[str, Any], on_share: Callable[[float], None] | None
    ) -> list[Interaction]:
        job = self._call("POST", f"/api/{verb}", json=body).json()
        try:
            for event in self._events(job["id"]):
                job = event
                if on_share is not None:
                    on_share(job["progress"])
        except BaseException:
            with suppress(httpx.HTTPError):
                self._http.delete(f"/api/jobs/{job['id']}")
            raise
        if job["state"] != "done":
            raise ServiceError(503, job["error"] or "the connection was cut")
        return [self.fetch(name) for name in job["motions"]]

    def _events(self, name: str) -> Iterator[dict[str, Any]]:
        """What becomes of a job, from now to its end."""
        with self._http.stream("GET", f"/api/jobs/{name}/events", timeout=None) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def _call(self, method: str, path: str, **content: Any) -> httpx.Response:
        deadline = time.monotonic() + self._patience
        while True:
            answer = self._http.request(method, path, **content)
            if answer.status_code != 429:
                break
            stated = answer.headers.get("Retry-After", "")
            wait = float(stated) if stated.isdecimal() else 1.0
            if time.monotonic() + wait > deadline:
                break
            time.sleep(wait)
        if answer.is_success:
            return answer
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = f"{answer.status_code} {answer.reason_phrase}"
        if answer.status_code == 429 or answer.status_code >= 500:
            raise ServiceError(answer.status_code, detail)
        raise ValueError(detail)
