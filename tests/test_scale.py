"""Motion for many lines: batches, shards, resuming, kills, the same clips in any process."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, standing, waving
from properties import examples
from refusals import refused
from safetensors.numpy import load_file

import duomotion
from duomotion.formats import load, shard
from duomotion.sampling.request import Sampling
from duomotion.scale import lines, work
from duomotion.scale.job import Job
from duomotion.scale.processes import LostWorkError, Processes, usual_count
from duomotion.scale.runner import run as run_job
from duomotion.scale.work import OutOfMemoryError, Plan, Settings

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.usefixtures("cache")]

QUICK = Sampling(avoid_collisions=False)
TEXTS = ("two people wave", "they dance", "one bows and the other one claps")
BAD = {
    '{"text": "they wave", "second": 1}': "second is unknown (did you mean seconds?)",
    "they wave": "is no JSON",
    '["they wave"]': "it has to be an object",
    '{"seconds": 1}': "text is missing",
    '{"text": "they wave", "seed": "one"}': "seed has to be a whole number",
    '{"text": "they wave", "seed": -1}': "seed has to be 0 to",
    '{"text": "they wave", "seconds": NaN}': "a length of nan s is not possible",
    '{"text": "they wave", "seconds": 1e9}': "is not possible",
    '{"text": ""}': "the prompt is empty",
    json.dumps({"text": "wave " * 300}): "at most 1,000",
    json.dumps({"text": "wave " * 9000}): "more than 20,000 bytes",
    '{"text": "they wave", "model": "none"}': "no model 'none'",
    '{"text": "they wave", "known": "nowhere.npz"}': "nowhere.npz: No such file",
    '{"text": "they wave", "known": "prompts.jsonl"}': "can't read .jsonl",
    '{"text": "they wave", "known": "one.npz", "seconds": 1}': "can't be chosen for a reaction",
    '{"text": "they wave", "known": "two.npz"}': "seconds has to say",
    "": "is no JSON",
    "[" * 9000: "is no JSON",
}


class Here:
    """A worker that is this process."""

    count = 1

    def submit(self, work, settings, *arguments):
        future = Future()
        try:
            future.set_result(work(settings, *arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """Fourteen lines: texts of three lengths with seeds, a bad line, a reaction, a continuation."""
    folder = tmp_path_factory.mktemp("prompts")
    standing(people=1, frames=30).save(folder / "one.npz")
    standing(people=2, frames=30).save(folder / "two.npz")
    asked = [
        {"text": TEXTS[number % 3], "seconds": 1 + number % 2 / 2, "seed": number}
        for number in range(11)
    ]
    asked[3]["partner"] = "a person bows"
    asked += [{"text": "", "known": "one.npz"}, {"text": "", "known": "two.npz", "seconds": 2}]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in asked) + "no JSON")
    return path


def job_of(prompts: Path, model: Path, folder: Path, shard_size: int = 5) -> Job:
    settings = Settings(model=str(model), sampling=QUICK)
    folder.mkdir(exist_ok=True)
    return Job(folder, prompts, lines.summarise(prompts), settings, shard_size)


@pytest.fixture(scope="module")
def made(prompts, model, tmp_path_factory, one_thread, cache):
    """The folder of a job that was done here, and its report."""
    job = job_of(prompts, model, tmp_path_factory.mktemp("made") / "out")
    return job.folder, run_job(job, Here())


def content(folder: Path) -> dict[str, bytes]:
    """All tensors of all shards, bit for bit."""
    return {
        name: tensor.tobytes()
        for path in sorted(folder.glob("clips-*.safetensors"))
        for name, tensor in load_file(path).items()
    }


# ------------------------------------------------------------------------------------------ lines


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30)), st.booleans())
@examples(100)
def test_lines_are_numbered_as_editors_do(tmp_path_factory, texts, ends):
    expected = [text.replace("\n", "").encode() for text in texts]
    path = tmp_path_factory.mktemp("lines") / "prompts.jsonl"
    whole = b"\n".join(expected) + b"\n" * (ends or not (expected and expected[-1]))
    path.write_bytes(whole)
    found = dict(lines.read_lines(path))
    assert list(found) == list(range(1, len(found) + 1))
    assert b"".join(found.values()) == whole
    assert lines.summarise(path).lines == len(found)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@examples(200)
def test_any_line_is_a_prompt_or_refused_in_one_sentence(line):
    try:
        lines.parse(17, line)
    except ValueError as error:
        assert str(error).startswith("line 17: ") and len(str(error).splitlines()) == 1


fields = st.fixed_dictionaries(
    {"text": st.text()},
    optional={
        "partner": st.text(),
        "seconds": st.floats(allow_nan=False),
        "seed": st.integers(),
        "model": st.text(),
        "known": st.text(),
    },
)


@given(fields)
@examples(100)
def test_every_field_is_read(values):
    prompt = lines.parse(1, json.dumps(values).encode())
    assert {name: getattr(prompt, name) for name in values} == values


def test_of_long_lines_no_more_is_read_than_counts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"a" * 10_000_000 + b"\nb")
    (_, first), second = lines.read_lines(path)
    assert len(first) == lines.LONGEST_LINE + 1 and second == (2, b"b")


# ------------------------------------------------------------------------------------------- jobs


def test_clips_are_those_that_generate_makes(made, model, prompts):
    folder, report = made
    assert (report["lines"], report["clips"], report["left_out"]) == (14, 13, 1)
    loaded = duomotion.load(str(model))
    asked = [json.loads(line) for line in prompts.read_text().splitlines()[:13]]
    for number in (1, 4, 8):
        clip = load(f"{folder}:{number}")
        one = loaded.generate(**asked[number - 1], sampling=QUICK)
        np.testing.assert_allclose(clip.positions, one.positions, atol=1e-5)
        assert clip.caption == one.caption
    standing_one = standing(people=1, frames=30)
    reaction = load(f"{folder}:12")
    np.testing.assert_allclose(reaction.positions[:1], standing_one.positions, atol=1e-5)
    assert reaction.num_people == 2
    longer = load(f"{folder}:13")
    kept = standing(people=2, frames=30)
    assert longer.num_frames == 60
    np.testing.assert_allclose(longer.frames(0, 30).positions, kept.positions, atol=1e-5)


def test_finished_work_is_not_repeated(made, model, prompts, monkeypatch):
    folder, report = made
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert len(before) == 3
    monkeypatch.setattr(work, "make", None)
    again = run_job(job_of(prompts, model, folder), Here())
    assert again["runs"][-1]["clips"] == 0
    assert again | {"runs": 0} == report | {"runs": 0}
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def test_like_clips_are_made_together(model, prompts, tmp_path, monkeypatch):
    sizes, make = [], work.make

    def counted(settings, prompts, plans):
        sizes.append(len(prompts))
        return make(settings, prompts, plans)

    monkeypatch.setattr(work, "make", counted)
    job = job_of(prompts, model, tmp_path / "out", shard_size=100)
    run_job(job, Here())
    assert sorted(sizes) == [1, 1, 5, 6]
    assert len(list(job.folder.glob("*.safetensors"))) == 1


def test_a_shard_without_its_entry_is_found(made, model, prompts, tmp_path):
    folder, report = made
    for path in folder.iterdir():
        if path.name != shard.INDEX:
            os.link(path, tmp_path / path.name)
    again = run_job(job_of(prompts, model, tmp_path), Here())
    assert again["runs"][-1]["clips"] == 0 and again["clips"] == report["clips"]
    assert shard.read_index(tmp_path) == shard.read_index(folder)


@pytest.mark.parametrize("reason", BAD.values(), ids=range(len(BAD)))
def test_bad_lines_are_named_and_left_out(bad, reason):
    folder, numbers = bad
    number = numbers[reason]
    left_out = [json.loads(line) for line in (folder / "left_out.jsonl").open()]
    (found,) = [each["reason"] for each in left_out if each["line"] == number]
    assert found.startswith(f"line {number}: ") and reason in found
    with pytest.raises(ValueError, match=f"was left out: line {number}: "):
        load(f"{folder}:{number}")


@pytest.fixture(scope="module")
def bad(prompts, model, tmp_path_factory, one_thread, cache):
    """The folder of a job of bad lines and two good ones; number of the line by reason."""
    path = prompts.with_name("bad.jsonl")
    good = '{"text": "they wave", "seconds": 1}'
    path.write_text("\n".join([good, *BAD, good]))
    job = job_of(path, model, tmp_path_factory.mktemp("bad") / "out", shard_size=100)
    report = run_job(job, Here())
    assert report["clips"] == 2 and report["left_out"] == len(BAD)
    return job.folder, {reason: number for number, reason in enumerate(BAD.values(), 2)}


# ------------------------------------------------------------------------------------------ kills


class Puppeteer:
    """Makes clips of nothing, and notes which."""

    count = 1

    def __init__(self, log: Path) -> None:
        self._log = log

    def submit(self, function, settings, *arguments):
        future = Future()
        if function is work.fingerprint:
            future.set_result("0" * 12)
        elif function is work.plan:
            (asked,) = arguments
            future.set_result([Plan(each.seed % 3, 4) for each in asked])
        else:
            asked, _ = arguments
            with self._log.open("a") as log:
                log.write("".join(f"{each.seed}\n" for each in asked))
            time.sleep(0.002)
            future.set_result([waving(2, 2 + each.seed % 3, TAIL) for each in asked])
        return future


def work_until_killed(job: Job, log: Path) -> None:
    run_job(job, Puppeteer(log))


def test_kills_lose_nothing_and_double_nothing(tmp_path):
    path = tmp_path / "prompts.jsonl"
    asked = range(1, 400)
    path.write_text("".join(json.dumps({"text": "a", "seed": each}) + "\n" for each in asked))
    job, log = job_of(path, tmp_path, tmp_path / "out", shard_size=60), tmp_path / "log"
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    kept: set[int] = set()
    finished: dict[str, bytes] = {}
    kills = 0
    while True:
        log.write_text("")
        process = context.Process(target=work_until_killed, args=(job, log))
        process.start()
        until = rng.randint(1, 80)
        while process.is_alive() and log.read_text().count("\n") < until:
            time.sleep(0.001)
        process.join(rng.uniform(0, 0.01))
        process.kill()
        process.join()
        begun = [int(number) for number in log.read_text().split()]
        assert len(set(begun)) == len(begun) and not kept & set(begun)
        for name, before in finished.items():
            assert (job.folder / name).read_bytes() == before
        shards = sorted(job.folder.glob("clips-*.safetensors"))
        finished = {each.name: each.read_bytes() for each in shards}
        kept = {clip for each in shards for clip in shard.ids(each)}
        kept |= {clip for number in range(job.num_shards) for clip in job.made(number)}
        if process.exitcode == 0:
            break
        kills += 1
    assert kills and kept == set(asked)
    assert sum(len(shard.ids(each)) for each in shards) == len(asked)
    for number in (1, 200, 399):
        assert load(f"{job.folder}:{number}").num_frames == 2 + number % 3
    assert sorted(each.name for each in job.folder.iterdir() if each.name.startswith(".")) == []
    assert not (job.folder / "unfinished").exists()


def test_what_a_kill_leaves_of_a_finished_shard_is_removed(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "a"}\n')
    job = job_of(path, tmp_path, tmp_path / "out")
    job.keep(0, {1: standing(frames=3)})
    job.finish(0, {})
    for left in ("unfinished", "unfinished/00000"):
        (job.folder / left).mkdir()
    assert job.finished().shards[0].clips == 1
    assert not (job.folder / "unfinished").exists()


def end(settings: Settings) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_make_the_same(made, prompts, model, tmp_path):
    job = job_of(prompts, model, tmp_path / "out")
    with Processes(2) as workers:
        asked = [workers.submit(slow_pid, job.settings) for _ in range(2)]
        pids = [each.result() for each in asked]
        assert len(set(pids)) == 2
        threading.Timer(0.5, os.kill, (pids[0], signal.SIGKILL)).start()
        report = run_job(job, workers)
        with pytest.raises(LostWorkError, match="exit status -9"):
            workers.submit(end, job.settings).result()
    assert (report["clips"], report["left_out"]) == (13, 1)
    assert content(job.folder) == content(made[0])


def slow_pid(settings: Settings) -> int:
    time.sleep(1.0)
    return os.getpid()


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_of_whose_two_workers_one_is_killed_makes_the_same(made, prompts, model, tmp_path):
    from duomotion.scale.cluster import Cluster

    job = job_of(prompts, model, tmp_path / "out")

    def busy(settings):
        time.sleep(1.0)
        return os.getpid()

    with Cluster(None, 2) as workers:
        assert workers.count == 2
        asked = [workers.submit(busy, job.settings) for _ in range(2)]
        pids = [each.result() for each in asked]
        assert len(set(pids)) == 2
        threading.Timer(1.0, os.kill, (pids[0], signal.SIGKILL)).start()
        report = run_job(job, workers)
        with pytest.raises(ValueError, match="no model"):
            workers.submit(work.fingerprint, Settings(model="none")).result()
        with pytest.raises(LostWorkError):
            workers.submit(lambda settings: os.kill(os.getpid(), 9), job.settings).result()
    assert (report["clips"], report["left_out"]) == (13, 1)
    assert content(job.folder) == content(made[0])


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers there ([Errno 111] Connection refused)"),
        ("there", "HOST:PORT is expected"),
        ("127.0.0.1:99999", "no Ray cluster answers there"),
    ],
)
def test_an_address_without_a_cluster(run, prompts, tmp_path, address, message):
    words = ("--prompts", prompts, "--out", tmp_path, "--ray", address)
    assert refused(run("generate", *words), f"--ray {address}: ", message, "`ray start --head`")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_ray_that_is_not_installed(run, prompts, tmp_path):
    words = ("--prompts", prompts, "--out", tmp_path, "--ray")
    assert refused(run("generate", *words), "pip install 'duomotion[ray]'")


# ----------------------------------------------------------------------------------- command line


@pytest.mark.slow
def test_a_killed_command_goes_on(made, prompts, model, tmp_path, run):
    words = ("generate", "--prompts", prompts, "--model", model, "--out", tmp_path / "out")
    words += ("--no-avoid-collisions",)
    process = subprocess.Popen(
        [sys.executable, "-m", "duomotion", *map(str, words), "--processes", "1"],
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("out/unfinished/*/[0-9]*")) and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    status, printed, _ = run(*words, "--processes", 1)
    assert status == 0 and "holds 13 clips of 14 lines" in printed
    assert "1 of 14 lines were left out" in printed and "line 14: is no JSON" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["runs"][-1]["clips"] < 13
    assert content(tmp_path / "out") == content(made[0])
    refusal = run(*words, "--seed", 1)
    assert refused(refusal, "folder of another job: settings.seed was 0 and is now 1", "--out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--samples", 2), "--samples can't be given with prompts in .jsonl"),
        (("--formats", "npz", "--fps", 24), "--formats and --fps"),
        (("--processes", 0), "--processes 0: one or more are needed"),
        (("--ray", "a", "b"), "--ray takes one address or none, not a b"),
        (("--ray", "a", "--processes", 2), "--processes 2 is for this machine"),
        (("--model", "none"), "no model 'none'"),
        (("--guidance", 1000), "guidance has to be 0 to 100"),
        (("--seed", -1), "seed has to be 0 to"),
    ],
)
def test_what_can_not_be_asked_is_refused(run, prompts, tmp_path, words, message):
    result = run("generate", "--prompts", prompts, "--out", tmp_path, *words)
    assert refused(result, message)
    assert not list(tmp_path.glob("*.json"))


def test_a_file_without_a_usable_line_is_refused(run, tmp_path):
    (tmp_path / "bad.jsonl").write_text('they wave\n{"text": 1}\n')
    words = ("--prompts", tmp_path / "bad.jsonl", "--processes", 1, "--out", tmp_path / "out")
    result = run("generate", *words)
    assert result[0] == 2 and "line 1: is no JSON" in result[1]
    assert "no line of" in result[2] and "can be used" in result[2]


def test_other_files_are_refused(run, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "folder.jsonl").mkdir()
    out = ("--out", tmp_path / "out")
    for name, message in (
        ("empty", "is empty; a JSON object per line is expected"),
        ("folder", "is a folder, not a file"),
        ("none", "No such file"),
    ):
        assert refused(run("generate", "--prompts", tmp_path / f"{name}.jsonl", *out), message)
    assert refused(run("generate", "they wave", "--processes", 2, *out), "--prompts FILE.jsonl")


# ----------------------------------------------------------------------------------------- memory


class Short(Here):
    """A worker whose memory ends, or that dies, with the first clips."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def submit(self, function, settings, *arguments):
        if function is not work.make:
            return super().submit(function, settings, *arguments)
        future = Future()
        future.set_exception(self._error)
        return future


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("no room for 9 bytes"), LostWorkError("no room for 9 bytes")]
)
def test_workers_without_memory_end_the_job(prompts, model, tmp_path, error):
    job = job_of(prompts, model, tmp_path / "out")
    message = r"lack memory, as it seems \(no room for 9 bytes\): start fewer with --processes"
    with pytest.raises(ValueError, match=message):
        run_job(job, Short(error))


def test_what_libraries_raise_without_memory_is_one_error(monkeypatch, model):
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(work, "_made", fail)
        prompt = lines.Prompt(text="they wave")
        with pytest.raises(OutOfMemoryError):
            work.make(Settings(model=str(model)), [prompt], [Plan(0, 30)])


def test_a_model_that_fails_with_one_clip_makes_the_others(monkeypatch, model):
    def fail(_, prompts, plans):
        if any(prompt.seed == 1 for prompt in prompts):
            raise IndexError("out of\nrange")
        return [waving(2, 3) for _ in prompts]

    monkeypatch.setattr(work, "_made", fail)
    asked = [lines.Prompt(text="they wave", seed=seed) for seed in range(3)]
    outcomes = work.make(Settings(model=str(model)), asked, [Plan(0, 3)] * 3)
    assert outcomes[1] == "the model failed: IndexError: out of range"
    assert [isinstance(each, str) for each in outcomes] == [False, True, False]


def test_as_many_processes_as_there_are_cores_with_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 3 * 10**9, "SC_PAGE_SIZE": 1}.get)
    assert usual_count("cpu") == 3
