"""The service on Ray Serve: the same answers, replicas that die, addresses without a cluster."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import service
import tiny
from refusals import refused

import duomotion
from duomotion.client import Client
from duomotion.sampling.request import Sampling

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
pytestmark = pytest.mark.timeout(600)

SLOW = {"text": "two people dance", "seconds": 10, "steps": 1000, "avoid_collisions": False}
QUICK = Sampling(avoid_collisions=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("models") / "pair")


@pytest.fixture(scope="module")
def pair(folder, cache, one_thread):
    return duomotion.load(folder)


@pytest.fixture(scope="module")
def served(folder, cache, tmp_path_factory):
    words = ("--model", str(folder), "--queue", "20", "--ray", "--processes", "2")
    with service.running(tmp_path_factory.mktemp("log"), *words) as running:
        yield running


@pytest.fixture
def http(served):
    with served.client() as client:
        yield client


def replicas(served):
    """Their processes, which Ray names after the server's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            command = path.read_bytes().decode(errors="replace")
            if command.startswith("ray::ServeReplica") and f"-{served.process.pid}:" in command:
                found.append(int(path.parent.name))
    return found


def until(condition, seconds=service.PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metrics(http):
    lines = [line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines()]
    return {name: float(value) for name, value in lines if not name.startswith("#")}


def begun(http, job):
    """Whether a replica works on it."""
    return http.get(f"/api/jobs/{job['id']}").json()["progress"] > 0


@needs_ray
def test_answers_are_those_without_ray_and_replicas_share_the_work(served, http, pair):
    assert http.get("/api/health").json()["status"] == "ok"
    assert [model["name"] for model in http.get("/api/models").json()] == ["pair"]
    assert len(replicas(served)) == 2
    asked = [("two people wave", "they dance")[n % 2] for n in range(12)]

    def ask(seed):
        with Client(served.url) as client:
            (clip,) = client.generate(asked[seed], seconds=1, seed=seed, avoid_collisions=False)
        return clip

    with ThreadPoolExecutor(len(asked)) as threads:
        made = list(threads.map(ask, range(len(asked))))
    for seed, (text, clip) in enumerate(zip(asked, made, strict=True)):
        alone = pair.generate(text, seconds=1, seed=seed, sampling=QUICK)
        np.testing.assert_array_equal(clip.positions, alone.positions)
    counted = metrics(http)
    assert counted["duomotion_batch_size_sum"] == len(asked)
    assert counted["duomotion_batch_size_count"] < len(asked)  # they did share passes
    shares = []
    with Client(served.url) as client:
        long = client.generate(SLOW["text"], seconds=5, seed=0, steps=60, on_share=shares.append)
        reaction = client.react(long[0].person(0), text="they wave", seed=2, avoid_collisions=False)
    assert any(0 < share < 1 for share in shares)
    alone = pair.react(long[0].person(0), "they wave", seed=2, sampling=QUICK)
    np.testing.assert_array_equal(reaction.positions, alone.positions)


@needs_ray
def test_bad_requests_a_full_queue_and_cancelled_jobs(http):
    answer = http.post("/api/generate", json={"text": "two people wave", "seconds": 0.1})
    assert answer.status_code == 422 and "0.1 s" in answer.json()["detail"]
    jobs = [http.post("/api/generate", json={**SLOW, "seed": seed}).json() for seed in range(20)]
    full = http.post("/api/generate", json=SLOW)
    assert full.status_code == 429 and 1 <= int(full.headers["Retry-After"]) <= 60
    until(lambda: begun(http, jobs[0]))
    for job in jobs:
        assert http.delete(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
    until(lambda: metrics(http)["duomotion_running_jobs"] == 0)
    quick = {"text": "two people bow", "seconds": 1, "avoid_collisions": False}
    assert http.post("/api/generate?wait=true", json=quick).status_code == 200
    assert metrics(http)["duomotion_worker_restarts_total"] == 0


@needs_ray
def test_a_replica_that_is_killed_is_replaced_and_its_work_done_again(served, http, pair):
    answers = {}

    def ask(seed):
        with Client(served.url) as client:
            answers[seed] = client.generate(
                "two people dance", seconds=3, seed=seed, steps=150, avoid_collisions=False
            )

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(500, 504)]
    before = replicas(served)
    for thread in threads:
        thread.start()
    until(lambda: metrics(http)["duomotion_running_jobs"] == len(threads))
    time.sleep(0.5)  # until each is on its replica
    os.kill(before[0], signal.SIGKILL)
    for thread in threads:
        thread.join(service.PATIENCE)
    sampling = Sampling(avoid_collisions=False, steps=150)
    for seed in range(500, 504):
        clip = pair.generate("two people dance", seconds=3, seed=seed, sampling=sampling)
        np.testing.assert_array_equal(answers[seed][0].positions, clip.positions)
    assert metrics(http)["duomotion_worker_restarts_total"] == 1
    until(lambda: len(replicas(served)) == 2 and before[0] not in replicas(served))


@needs_ray
def test_a_job_that_ends_its_replicas_is_answered_503_and_the_end_finishes_what_runs(served, http):
    job = http.post("/api/generate", json={**SLOW, "seed": 90}).json()
    for _ in range(2):
        until(lambda: begun(http, job))
        for replica in replicas(served):
            os.kill(replica, signal.SIGKILL)
        until(lambda: not begun(http, job))
    answer = http.get(f"/api/jobs/{job['id']}").json()
    assert answer["state"] == "failed" and "died" in answer["error"]
    last = http.post("/api/generate", json={**SLOW, "steps": 200}).json()
    until(lambda: begun(http, last))
    served.process.send_signal(signal.SIGTERM)
    served.until("draining")
    assert http.post("/api/generate", json=SLOW).status_code == 503
    with http.stream("GET", f"/api/jobs/{last['id']}/events") as answer:
        assert "event: done" in answer.read().decode()
    assert served.process.wait(60) == 0, served.log.read_text()
    assert "Traceback" not in served.log.read_text()
    until(lambda: not replicas(served), 10)


@needs_ray
def test_a_cluster_is_left_as_it_was(folder, pair, tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        words = ("--model", str(folder), "--ray", cluster.address)
        with service.running(tmp_path, *words) as served:
            assert len(replicas(served)) == 1
            with Client(served.url) as client:
                (clip,) = client.generate("two people wave", seconds=1, avoid_collisions=False)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(60) == 0, served.log.read_text()
            until(lambda: not replicas(served), 10)
        assert cluster.remaining_processes_alive()
    finally:
        cluster.shutdown()
    alone = pair.generate("two people wave", seconds=1, seed=0, sampling=QUICK)
    np.testing.assert_array_equal(clip.positions, alone.positions)


@needs_ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers there ([Errno 111] Connection refused)"),
        ("there", "HOST:PORT is expected"),
    ],
)
def test_an_address_without_a_cluster(run, address, message):
    result = run("serve", "--port", 0, "--ray", address)
    assert refused(result, f"--ray {address}: ", message, "`ray start --head`")


@needs_ray
def test_models_that_can_not_be_loaded_are_one_sentence(run, folder, tmp_path):
    words = ("serve", "--port", 0, "--ray", "--processes", 1, "--model")
    assert refused(run(*words, "none"), "no model 'none'")
    copy = shutil.copytree(folder, tmp_path / "damaged")
    (copy / "model.safetensors").write_bytes(b"no weights")
    assert refused(run(*words, copy), f"the replicas can't be started: {copy}")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_ray_that_is_not_installed(run):
    assert refused(run("serve", "--port", 0, "--ray"), "pip install 'duomotion[ray]'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--processes", 2), "--processes is for --ray"),
        (("--processes", 0, "--ray"), "--processes has to be 1 or more"),
        (("--ray", "a", "b"), "--ray takes one address or none, not a b"),
    ],
)
def test_what_can_not_be_asked_is_refused(run, words, message):
    assert refused(run("serve", "--port", 0, *words), message)
