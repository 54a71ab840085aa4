"""A small server that answers what the studio asks, with puppets in place of a model."""

import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from motions import swaying

from duomotion.formats import gltf
from duomotion.motion.interaction import Interaction, joined, together

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
FEATURES = ("partner_text", "reaction", "inpaint", "contacts", "paths", "avoid_collisions")
STEPS = 4
EVENTS = {"queued": "progress", "running": "progress", "done": "done"} | dict.fromkeys(
    ("failed", "cancelled"), "failed"
)


@lru_cache
def puppets(seed: int, frames: int) -> Interaction:
    """Two people who sway, close enough to touch now and then."""
    positions = swaying(seed, frames)
    positions[1] += np.array([-0.05, 0, -0.55])
    return Interaction.from_positions(positions)


class Puppets:
    """Makes motion in no time; `pace` is seconds a step of a job takes."""

    people = 2

    def __init__(self, pace: float = 0.02) -> None:
        self.pace = pace

    def card(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "system": "puppets",
            "people": self.people,
            "seconds": [0.5, 10],
            "default_seconds": 2,
            "kinds": [{"name": "handshake", "example": "two people shake hands"}],
            "features": dict.fromkeys(FEATURES, True),
        }

    def generate(self, body: dict) -> list[Interaction]:
        prompts = body.get("prompts") or [{"text": "", "seconds": body.get("seconds") or 2}]
        made = []
        for sample in range(body.get("samples", 1)):
            seed = body["seed"] + sample
            parts = [puppets(seed, round(30 * prompt["seconds"])) for prompt in prompts]
            made.append(joined(parts))
        return made

    def react(self, given: Interaction, body: dict) -> Interaction:
        person = "AB".index(body["person"])
        other = puppets(body["seed"] % 7, given.num_frames).person(1 - person)
        pair = [given.person(min(person, given.num_people - 1)), other]
        return together(pair if person == 0 else pair[::-1])

    def inpaint(self, given: Interaction, body: dict) -> Interaction:
        roots = given.root_positions.copy()
        stretch = slice(round(30 * body["start"]), round(30 * body["end"]))
        people = "AB" if body.get("person") is None else body["person"]
        for name in people:
            roots["AB".index(name), stretch, 1] += 0.3
        return replace(given, root_positions=roots)

    def extend(self, given: Interaction, body: dict) -> Interaction:
        more = round(30 * body["seconds"]) - given.num_frames
        return joined([given, puppets(body["seed"] % 7, more)])


@dataclass
class Job:
    state: str = "queued"
    position: int | None = 2
    progress: float = 0.0
    motions: list[str] = field(default_factory=list)
    error: str | None = None
    note: str | None = None
    read_as: str | None = None
    cut_off: bool = False  # whether connections that tell of it break


class StudioServer(ThreadingHTTPServer):
    """The page at `/`, and the answers below `/api`. `asked` collects what was posted."""

    daemon_threads = True

    def __init__(self, models: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = models
        self.motions: dict[str, Interaction] = {}
        self.jobs: dict[str, Job] = {}
        self.asked: list[tuple[str, dict]] = []
        self.numbers = count()
        self.key = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def keep(self, motion: Interaction) -> str:
        name = f"m{next(self.numbers)}"
        self.motions[name] = motion
        return name

    def start(self, kind: str, body: dict) -> str:
        self.asked.append((kind, body))
        name = f"j{next(self.numbers)}"
        self.jobs[name] = Job()
        threading.Thread(target=self.work, args=(self.jobs[name], kind, body), daemon=True).start()
        return name

    def work(self, job: Job, kind: str, body: dict) -> None:
        model = self.models[body["model"]]
        text = body.get("text") or ""
        job.cut_off = "cut off" in text
        for step in range(STEPS):
            time.sleep(model.pace * (50 if "slowly" in text else 1))
            while step and "slowly" in text and job.state != "cancelled":
                time.sleep(model.pace)
            if job.state == "cancelled":
                return
            job.state, job.position, job.progress = "running", None, (step + 1) / STEPS
        if "explode" in text:
            job.state, job.error = "failed", "the model ran out of memory"
            return
        if "juggle" in text:
            job.note = "nothing like this was in the training data"
        if kind == "generate":
            made = model.generate(body)
            job.read_as = "handshake"
        else:
            made = [getattr(model, kind)(self.motions[body["motion"]["id"]], body)]
        job.motions = [self.keep(motion) for motion in made]
        job.state = "done"


class Handler(BaseHTTPRequestHandler):
    server: StudioServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, data: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer_json(self, value: Any, status: int = 200) -> None:
        self.answer(json.dumps(value).encode(), status=status)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        is_locked = self.server.key and "pass=yes" not in self.headers.get("Cookie", "")
        if is_locked and path.startswith("/api"):
            return self.answer_json({"detail": "the header X-API-Key has to hold the key"}, 401)
        if path == "/api/models":
            return self.answer_json([m.card(name) for name, m in self.server.models.items()])
        if found := re.fullmatch(r"/api/motions/(\w+)\.(\w+)", path):
            return self.motion(*found.groups())
        if found := re.fullmatch(r"/api/jobs/(\w+)(/events)?", path):
            job = self.server.jobs[found[1]]
            return self.events(job) if found[2] else self.answer_json(vars(job))
        asset = files("duomotion.studio") / "assets" / (path[1:] or "index.html")
        if asset.is_file():
            return self.answer(asset.read_bytes(), TYPES[Path(str(asset)).suffix])
        return self.answer_json({"detail": "not found"}, 404)

    def motion(self, name: str, suffix: str) -> None:
        if name not in self.server.motions:
            return self.answer_json({"detail": "this motion is gone"}, 404)
        motion = self.server.motions[name]
        if suffix == "glb":
            return self.answer(gltf.encode(motion), "model/gltf-binary")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"motion.{suffix}"
            motion.save(path)
            return self.answer(path.read_bytes(), "application/octet-stream")

    def events(self, job: Job) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        sent = None
        while True:
            news = (job.state, job.progress)
            if news != sent:
                event = EVENTS[job.state]
                self.wfile.write(f"event: {event}\ndata: {json.dumps(vars(job))}\n\n".encode())
                sent = news
            if event != "progress" or job.cut_off:
                return
            time.sleep(0.01)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/key":
            return self.unlock()
        if self.path == "/api/motions":
            return self.upload(body)
        asked = json.loads(body)
        if asked.get("text") == "too much":
            self.send_response(429)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if asked.get("text") == "..." or asked.get("samples", 1) > 8:
            return self.answer_json({"detail": "the prompt has no words"}, 422)
        return self.answer_json({"id": self.server.start(self.path[5:], asked)}, 202)

    def unlock(self) -> None:
        if self.headers["X-API-Key"] != self.server.key:
            return self.answer_json({"detail": "the header X-API-Key has to hold the key"}, 401)
        self.send_response(204)
        self.send_header("Set-Cookie", "pass=yes; HttpOnly; SameSite=Strict")
        return self.end_headers()

    def upload(self, body: bytes) -> None:
        head, _, data = body.partition(b"\r\n\r\n")
        name = re.search(rb'filename="([^"]+)"', head)
        assert name is not None and b'name="file"' in head
        data = data.rpartition(b"\r\n--")[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name[1].decode()).name
            path.write_bytes(data)
            try:
                motion = Interaction.load(path)
            except ValueError as error:
                return self.answer_json({"detail": str(error).replace(folder, "")}, 422)
        return self.answer_json(
            {
                "id": self.server.keep(motion),
                "people": motion.num_people,
                "frames": motion.num_frames,
                "fps": motion.fps,
            }
        )

    def do_DELETE(self) -> None:
        self.server.jobs[self.path.rsplit("/", 1)[1]].state = "cancelled"
        self.answer(b"", status=204)


@contextmanager
def serving(models: dict[str, Any]) -> Iterator[StudioServer]:
    server = StudioServer(models)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
