"""The service as its clients see it: a running server with tiny models of random weights."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import threading
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import service
import tiny
import tiny_momask
from motions import TAIL, standing, waving

import duomotion
from duomotion.client import Client, ServiceError
from duomotion.models.requests import MAX_SECONDS
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import Sampling

SLOW = {"text": "two people dance", "seconds": 10, "steps": 1000, "avoid_collisions": False}
"""A request that takes seconds."""

FREE = {"avoid_collisions": False}
QUICK = Sampling(avoid_collisions=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return tiny.checkpoint(folder / "pair"), tiny_momask.checkpoint(folder / "solo", length=True)


@pytest.fixture(scope="module")
def pair(folders, cache, one_thread):
    return duomotion.load(folders[0])


@pytest.fixture(scope="module")
def served(folders, cache, tmp_path_factory):
    words = (*map(str, folders), "--queue", "256", "--upload-mb", "1", "--store-mb", "64")
    with service.running(tmp_path_factory.mktemp("log"), "--model", *words) as running:
        yield running


@pytest.fixture
def http(served):
    with served.client() as client:
        yield client


def asked(http, verb, **body):
    """The finished job."""
    answer = http.post(f"/api/{verb}?wait=true", json=body)
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert job["state"] == "done" and job["progress"] == 1 and job["error"] is None
    return job


def positions(http, name):
    answer = http.get(f"/api/motions/{name}")
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["positions"])


def same(made, clip):
    """Whether positions in JSON are those of a clip."""
    return np.array_equal(made, clip.positions.astype(float).round(4))


def npz(clip):
    """The bytes of a file."""
    return saved(clip, "npz")


def saved(clip, suffix):
    from duomotion.serving.motions import to_file

    return to_file(clip, suffix)


def stored(http, content):
    answer = http.post("/api/motions", files={"file": content})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def refused(answer, status, *words):
    """The answer is one sentence in `detail`, which holds all the words."""
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and "\n" not in detail and len(detail) < 500
    for word in words:
        assert word in detail, detail
    return True


def test_health_and_models(http):
    assert http.get("/api/health").json() == {"status": "ok", "version": duomotion.__version__}
    pair, solo = http.get("/api/models").json()
    assert (pair["name"], pair["system"], pair["people"]) == ("pair", "intermask", 2)
    assert (solo["name"], solo["system"], solo["people"]) == ("solo", "momask", 1)
    assert pair["seconds"] == [0.5, MAX_SECONDS]
    assert pair["features"]["reaction"] and not solo["features"]["reaction"]
    assert pair["features"]["contacts"] and not pair["features"]["paths"]


def test_the_shipped_models_say_what_they_have_learned():
    from duomotion.serving.app import _model
    from duomotion.serving.tasks import Description

    name = "intermask-open"
    out = _model(Description.of(name, "intermask", duomotion.load(name)))
    assert {"name": "handshake", "example": "they shake hands"}.keys() == out.kinds[
        0
    ].model_dump().keys()
    assert "handshake" in [kind.name for kind in out.kinds]


def test_generate_is_what_the_library_generates(http, pair):
    job = asked(http, "generate", text="two people wave", seconds=1, seed=3, samples=2)
    assert len(job["motions"]) == 2
    for seed, name in zip((3, 4), job["motions"], strict=True):
        clip = pair.generate("two people wave", seconds=1, seed=seed)
        assert same(positions(http, name), clip)
    solo = asked(http, "generate", model="solo", text="a person walks", seconds=2)
    assert positions(http, solo["motions"][0]).shape[:2] == (1, 40)


def test_what_was_asked_leaves_nothing_on_disk(http):
    cache = Path(os.environ["DUOMOTION_CACHE"])
    before = set(cache.rglob("*"))
    asked(http, "generate", text="two people whisper", seconds=1)
    assert set(cache.rglob("*")) == before


def test_partner_prompts_in_a_row_and_contacts(http, pair):
    job = asked(http, "generate", text="a person sits", partner="a person bows", seconds=1, seed=1)
    clip = pair.generate("a person sits", partner="a person bows", seconds=1, seed=1)
    assert same(positions(http, job["motions"][0]), clip)
    prompts = [{"text": "two people meet", "seconds": 1}, {"text": "they wave", "seconds": 1.5}]
    row = asked(http, "generate", prompts=prompts, seed=2, avoid_collisions=False)
    first = pair.generate("two people meet", seconds=1, seed=2, sampling=QUICK)
    whole = pair.extend(first, "they wave", seconds=2.5, seed=2, sampling=QUICK)
    assert same(positions(http, row["motions"][0]), whole)
    caption = http.get(f"/api/motions/{row['motions'][0]}").json()["caption"]
    assert caption == "two people meet, then they wave"
    touch = {"first": "right_hand", "second": "left_shoulder", "start": 0.2, "end": 0.8}
    led = asked(http, "generate", text="two people talk", seconds=1, contacts=[touch])
    free = asked(http, "generate", text="two people talk", seconds=1)
    assert not np.array_equal(*(positions(http, job["motions"][0]) for job in (led, free)))


def test_uploads_are_reacted_to_inpainted_and_extended(http, pair):
    given = standing(people=2, frames=45, gap=0.8)
    name = stored(http, npz(given))
    reaction = asked(http, "react", motion={"id": name}, person="B", seed=5, **FREE)
    clip = pair.react(given.person(1), seed=5, sampling=QUICK)
    assert same(positions(http, reaction["motions"][0]), clip)
    inpainted = asked(http, "inpaint", motion={"id": name}, start=0.5, end=1, person=1, **FREE)
    made = positions(http, inpainted["motions"][0])
    np.testing.assert_allclose(made[0], given.positions[0], atol=1e-3)
    assert np.abs(made[1, 15:30] - given.positions[1, 15:30]).max() > 1e-3
    extended = asked(http, "extend", motion={"id": reaction["motions"][0]}, seconds=2, **FREE)
    assert positions(http, extended["motions"][0]).shape[1] == 60


@pytest.mark.parametrize("suffix", ["npz", "bvh"])
def test_what_is_downloaded_can_be_uploaded(http, suffix):
    given = waving(frames=12)
    name = stored(http, saved(given, "npz"))
    content = http.get(f"/api/motions/{name}.{suffix}").content
    again = stored(http, content)
    np.testing.assert_allclose(positions(http, again), given.positions, atol=1e-3)


def test_downloads_of_other_formats(http):
    name = stored(http, npz(standing(frames=8)))
    for suffix, start, kind in (("glb", b"glTF", "model/gltf-binary"), ("mp4", b"", "video/mp4")):
        answer = http.get(f"/api/motions/{name}.{suffix}")
        assert answer.content.startswith(start) and len(answer.content) > 1000
        assert answer.headers["Content-Type"] == kind
        words = answer.headers["Content-Disposition"]
        assert re.fullmatch(rf'attachment; filename="[a-z-]+-{name[:8]}\.{suffix}"', words)
    assert refused(http.get(f"/api/motions/{name}.exe"), 422, "glb")


def test_events_tell_of_progress_and_the_end(http):
    job = http.post("/api/generate", json={**SLOW, "steps": 100}).json()
    events, shares = [], []
    with http.stream("GET", f"/api/jobs/{job['id']}/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))
            if line.startswith("data: "):
                shares.append(json.loads(line.removeprefix("data: "))["progress"])
    assert events[-1] == "done" and set(events[:-1]) == {"progress"}
    assert shares == sorted(shares) and shares[-1] == 1 and any(0 < each < 1 for each in shares)


def test_a_cancelled_job_stops(http):
    job = http.post("/api/generate", json=SLOW).json()
    assert job["state"] in ("queued", "running")
    assert http.delete(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
    assert http.get(f"/api/jobs/{job['id']}").json()["error"] == "the job was cancelled"
    is_idle(http)
    with http.stream("GET", f"/api/jobs/{job['id']}/events") as answer:
        assert "event: failed" in answer.read().decode()


def is_idle(http, seconds=60):
    """What was given up is not worked on any more."""
    deadline = time.monotonic() + seconds
    while "duomotion_running_jobs 0.0" not in http.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_client_that_hangs_up_stops_its_work(served, http):
    body = json.dumps({**SLOW, "seed": 1}).encode()
    head = (
        "POST /api/generate?wait=true HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with connected(served) as line:
        line.sendall(head.encode() + body)
        while "duomotion_running_jobs 1.0" not in http.get("/metrics").text:
            time.sleep(0.02)
    is_idle(http)
    assert 'duomotion_jobs_total{kind="generate",state="cancelled"}' in http.get("/metrics").text


def connected(served):
    url = httpx.URL(served.url)
    return socket.create_connection((url.host, url.port), timeout=20)


def test_slow_and_cut_connections_hold_nobody_up(served, http):
    head = b"POST /api/motions HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b"
    lines = [connected(served) for _ in range(20)]
    try:
        for line in lines:
            line.sendall(head[:40])  # and no more for now
        assert http.get("/api/health").status_code == 200
        asked(http, "generate", text="two people wave", seconds=0.5)
        for line in lines:
            line.sendall(head[40:] + b"\r\nContent-Length: 5000\r\n\r\n--b\r\n")
    finally:
        for line in lines:
            line.close()  # in the middle of the body
    assert http.get("/api/health").status_code == 200


def test_the_same_request_is_answered_from_memory(http):
    body = {"text": "two people bow", "seconds": 1, "seed": 77}
    first = asked(http, "generate", **body)
    start = time.monotonic()
    second = asked(http, "generate", **body)
    assert time.monotonic() - start < 1
    assert second["id"] != first["id"] and second["motions"] == first["motions"]


@pytest.mark.slow
def test_200_clients_at_once_get_what_each_would_get_alone(served, pair):
    texts = ("two people wave", "two people bow", "they dance")
    requests = [
        {"text": texts[n % 3], "seconds": 0.5 + 0.1 * (n % 2), "seed": 1000 + n % 10}
        for n in range(200)
    ]

    async def ask_all():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=served.url, timeout=service.PATIENCE, limits=limits
        ) as client:

            async def ask(body):
                body = {**body, "avoid_collisions": False}
                answer = await client.post("/api/generate?wait=true", json=body)
                assert answer.status_code == 200, answer.text
                (name,) = answer.json()["motions"]
                return np.array((await client.get(f"/api/motions/{name}")).json()["positions"])

            return await asyncio.gather(*map(ask, requests))

    alone = {}
    for body, made in zip(requests, asyncio.run(ask_all()), strict=True):
        key = tuple(body.values())
        if key not in alone:
            alone[key] = pair.generate(
                body["text"], seconds=body["seconds"], seed=body["seed"], sampling=QUICK
            )
        assert same(made, alone[key])
    with served.client() as http:
        batches = dict(
            line.rsplit(" ", 1)
            for line in http.get("/metrics").text.splitlines()
            if line.startswith("duomotion_batch_size")
        )
    count, total = (float(batches[f"duomotion_batch_size_{name}"]) for name in ("count", "sum"))
    assert total / count > 1.5  # they did share passes


@pytest.mark.parametrize(
    "body, words",
    [
        ({}, ("text is missing",)),
        ({"text": "   "}, ("the prompt is empty",)),
        ({"text": "two people wave", "secnds": 3}, ("secnds",)),
        ({"text": "two people wave", "k" * 1000: 3}, ("kkk",)),
        ({"text": "two people wave", "seconds": 0.1}, ("0.1 s", "0.5 to 60")),
        ({"text": "two people wave", "seconds": 61}, ("seconds", "60")),
        ({"text": "x" * 1001}, ("text", "1000")),
        ({"text": "握手"}, ("English",)),
        ({"text": "two people wave", "samples": 9}, ("samples",)),
        ({"text": "two people wave", "seed": -1}, ("seed",)),
        ({"text": "two people wave", "guidance": 1e9}, ("guidance",)),
        ({"text": "a person waves", "model": "solo", "partner": "bows"}, ("no partner",)),
        (
            {"text": "two people wave", "paths": [{"person": "A", "points": [[0, 0, 0]]}]},
            ("no sampling setting paths",),
        ),
        (
            {
                "text": "two people wave",
                "seconds": 1,
                "contacts": [{"first": "nose", "second": "left_wrist", "start": 0, "end": 1}],
            },
            ("no joint 'nose'",),
        ),
        (
            {
                "text": "two people wave",
                "seconds": 1,
                "contacts": [{"first": "head", "second": "left_wrist", "start": 1, "end": 0}],
            },
            ("end after it starts",),
        ),
        ({"text": "hi", "prompts": [{"text": "two people wave", "seconds": 1}]}, ("not both",)),
        ({"prompts": [{"text": "they wave", "seconds": 50}] * 2}, ("100 s in all",)),
        (
            {"prompts": [{"text": "they wave", "seconds": 1}, {"text": "!", "seconds": 1}]},
            ("words",),
        ),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(http, body, words):
    assert refused(http.post("/api/generate", json=body), 422, *words)


def test_what_is_not_there_is_not_found(http):
    motion = {"motion": {"id": "0" * 32}}
    assert refused(http.post("/api/react", json=motion), 404, "no such motion")
    assert refused(http.get("/api/motions/0"), 404)
    assert refused(http.get("/api/jobs/0"), 404)
    model = {"text": "two people wave", "model": "../secret"}
    assert refused(http.post("/api/generate", json=model), 404, "pair, solo")
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/motions/..%2f..%2fx.npz"):
        assert http.get(path).status_code in (404, 422)
    one = stored(http, npz(standing(people=1, frames=30)))
    assert refused(http.post("/api/react", json={"motion": {"id": one}, "person": "B"}), 422)
    late = {"motion": {"id": one}, "start": 0.5, "end": 9}
    assert refused(http.post("/api/inpaint", json=late), 422, "within the 1 s")
    assert refused(http.post("/api/extend", json={"motion": {"id": one}, "seconds": 1}), 422)
    tail = stored(http, npz(waving(skeleton=TAIL, people=1, frames=30)))
    assert refused(http.post("/api/react", json={"motion": {"id": tail}}), 422)


def test_bodies_that_are_no_json_or_too_large_are_refused(http):
    kind = {"Content-Type": "application/json"}
    assert refused(http.post("/api/generate", content=b"{", headers=kind), 422, "JSON")
    assert refused(http.post("/api/generate", content=b"[1]", headers=kind), 422)
    large = json.dumps({"text": "x" * 300_000}).encode()
    assert refused(http.post("/api/generate", content=large, headers=kind), 413, "bytes")
    pieces = (b"x" * 50_000 for _ in range(10))  # of a length that is not stated
    assert refused(http.post("/api/generate", content=pieces, headers=kind), 413, "bytes")
    assert refused(http.post("/api/motions", files={"file": b"x" * 2_000_000}), 413)
    assert refused(http.post("/api/motions", files={"file": b"x" * 1_005_000}), 413)
    assert refused(http.post("/api/motions", files={"other": b"x"}), 422, "file")


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def array(value, **options):
    file = io.BytesIO()
    np.save(file, value, **options)
    return file.getvalue()


def changed(**arrays):
    """A file of ours with other arrays in it."""
    with np.load(io.BytesIO(npz(standing(frames=20)))) as file:
        held = {name: file[name] for name in file.files}
    out = io.BytesIO()
    np.savez_compressed(out, **{**held, **arrays})
    return out.getvalue()


class Bomb:
    """Makes a folder where it is unpickled."""

    path = ""

    def __reduce__(self):
        return os.mkdir, (self.path,)


HEADER = b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n}\n"
PICKLES = ("root_positions", "rotations", "offsets", "names", "parents", "fps")
HOSTILE = {
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(256)) * 40,
    "a zip that ends early": lambda: npz(standing(frames=20))[:-300],
    "no arrays of ours": lambda: zipped(x=array(np.zeros(3))),
    "pickles": lambda: zipped(
        caption=array(np.array("hi")),
        **{name: array(np.array([Bomb()], object), allow_pickle=True) for name in PICKLES},
    ),
    "a zip bomb": lambda: zipped(rotations=array(np.zeros(300_000_000, np.uint8))),
    "names that lead elsewhere": lambda: zipped(**{"../../etc/x": b"", "/etc/x": b""}),
    "no numbers": lambda: changed(root_positions=np.full((2, 20, 3), np.nan, np.float32)),
    "a frame rate of 0": lambda: changed(fps=np.float64(0)),
    "a circle of joints": lambda: changed(parents=np.arange(22)),
    "more than a minute": lambda: npz(standing(people=1, frames=30 * 61)),
    "a billion frames": lambda: HEADER + b"MOTION\nFrames: 1000000000\nFrame Time: 0.03\n0 0 0\n",
    "joints in joints": lambda: b"HIERARCHY\n" + b"ROOT a\n{\n" * 50_000,
    "no motion": lambda: HEADER,
    "NaN": lambda: HEADER + b"MOTION\nFrames: 1\nFrame Time: 0.03\nnan nan nan\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_uploads_are_refused(http, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(Bomb, "path", str(tmp_path / "unpickled"))
    answer = http.post("/api/motions", files={"file": ("../../x.npz", HOSTILE[kind]())})
    assert refused(answer, 422)
    assert "/tmp" not in answer.text
    assert list(tmp_path.iterdir()) == []
    assert http.get("/api/health").status_code == 200


def test_the_description_has_examples_that_work(http):
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    name = stored(http, npz(standing(frames=65, gap=0.8)))
    for verb in ("generate", "react", "inpaint", "extend"):
        examples = schemas[f"{verb.title()}Body"]["examples"]
        for example in examples:
            body = {**example, **({"motion": {"id": name}} if "motion" in example else {})}
            answer = http.post(f"/api/{verb}", json=body)
            assert answer.status_code == 202, (example, answer.text)
            http.delete(f"/api/jobs/{answer.json()['id']}")


def test_the_client(served, pair, tmp_path):
    shares = []
    with Client(served.url) as client:
        assert [model["name"] for model in client.models()] == ["pair", "solo"]
        (clip,) = client.generate(
            "two people wave", seconds=1, seed=9, on_share=shares.append, **FREE
        )
        alone = pair.generate("two people wave", seconds=1, seed=9, sampling=QUICK)
        np.testing.assert_array_equal(clip.positions, alone.positions)
        assert clip.caption == "two people wave" and shares[-1] == 1
        answer = client.react(clip.person(0), text="they wave", seed=2, **FREE)
        alone = pair.react(clip.person(0), "they wave", seed=2, sampling=QUICK)
        np.testing.assert_array_equal(answer.positions, alone.positions)
        name = client.upload(clip)
        assert client.inpaint(name, start=0.2, end=0.6, **FREE).num_frames == 30
        assert client.extend(name, seconds=1.5, **FREE).num_frames == 45
        client.download(name, tmp_path / "clip.bvh")
        assert Interaction.load(tmp_path / "clip.bvh").num_frames == 30
        assert client.upload(tmp_path / "clip.bvh") != name
        with pytest.raises(ValueError, match="is not possible"):
            client.generate("two people wave", seconds=0.1)
        with pytest.raises(ValueError, match="no such motion"):
            client.fetch("nothing")
    with Client("http://127.0.0.1:1") as client, pytest.raises(httpx.ConnectError):
        client.models()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_work_done_again(served, http, pair):
    answers = {}

    def ask(seed):
        with served.client() as client:
            body = {**SLOW, "steps": 100, "seconds": 3, "seed": seed}
            answers[seed] = asked(client, "generate", **body)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(500, 503)]
    before = served.worker
    for thread in threads:
        thread.start()
    while "duomotion_running_jobs 3.0" not in http.get("/metrics").text:
        time.sleep(0.02)
    os.kill(before, signal.SIGKILL)
    for thread in threads:
        thread.join(service.PATIENCE)
    sampling = Sampling(avoid_collisions=False, steps=100)
    for seed in range(500, 503):
        clip = pair.generate("two people dance", seconds=3, seed=seed, sampling=sampling)
        assert same(positions(http, answers[seed]["motions"][0]), clip)
    assert served.worker != before
    assert "duomotion_worker_restarts_total 1.0" in http.get("/metrics").text


@pytest.mark.slow
def test_a_small_queue_a_key_and_the_end(folders, cache, tmp_path):
    """One server for all, since each takes seconds to start."""
    words = ("--model", str(folders[0]), "--queue", "2")
    with service.running(tmp_path, *words, DUOMOTION_API_KEY="secret") as served:
        with served.client() as http:
            assert http.get("/api/health").status_code == 200
            for path in ("/api/models", "/metrics", "/api/jobs/0"):
                assert refused(http.get(path), 401, "X-API-Key")
            answer = http.get("/api/models", headers={"X-API-Key": "wröng".encode()})
            assert refused(answer, 401)
            with Client(served.url) as client, pytest.raises(ValueError, match="X-API-Key"):
                client.models()
            assert refused(http.post("/api/key", headers={"X-API-Key": "no"}), 401, "X-API-Key")
            assert not http.cookies
            answer = http.post("/api/key", headers={"X-API-Key": "secret"})
            assert answer.status_code == 204 and "HttpOnly" in answer.headers["Set-Cookie"]
            assert "secret" not in answer.headers["Set-Cookie"]
            assert http.get("/api/models").status_code == 200
            http.cookies.clear()
            http.cookies.set("duomotion", "0" * 64)
            assert refused(http.get("/api/models"), 401)
        http = served.client(headers={"X-API-Key": "secret"})
        jobs = [http.post("/api/generate", json=SLOW | {"seed": seed}).json() for seed in (1, 2)]
        full = http.post("/api/generate", json=SLOW)
        assert refused(full, 429, "full") and 1 <= int(full.headers["Retry-After"]) <= 60
        with Client(served.url, api_key="secret", patience=0) as client:
            with pytest.raises(ServiceError, match="full") as caught:
                client.generate("two people wave", seconds=1)
            assert caught.value.status == 429
        http.delete(f"/api/jobs/{jobs[1]['id']}")

        http.delete(f"/api/jobs/{jobs[0]['id']}")
        last = http.post("/api/generate", json={**SLOW, "steps": 200}).json()
        while http.get(f"/api/jobs/{last['id']}").json()["state"] != "running":
            time.sleep(0.02)
        served.process.send_signal(signal.SIGTERM)
        served.until("draining")
        assert refused(http.post("/api/generate", json=SLOW), 503, "shutting down")
        with http.stream("GET", f"/api/jobs/{last['id']}/events") as answer:
            assert "event: done" in answer.read().decode()
        name = http.get(f"/api/jobs/{last['id']}").json()["motions"][0]
        assert http.get(f"/api/motions/{name}").status_code == 200
        http.close()
        assert served.process.wait(60) == 0, served.log.read_text()
        assert "Traceback" not in served.log.read_text()


def test_what_can_not_be_served_is_one_sentence(run, monkeypatch):
    status, _, error = run("serve", "--model", "no-such-model", "--port", 0)
    assert status == 2 and "no model 'no-such-model'" in error
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, error = run("serve", "--port", taken.getsockname()[1])
    assert status == 2 and "in use" in error
    for words in (("--port", 99999), ("--queue", 0), ("--upload-mb", -1), ("--threads", 0)):
        status, _, error = run("serve", *words)
        assert status == 2 and words[0] in error
