import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from limits import largest_file
from safetensors.torch import load_file, save_file
from torch import nn

from duomotion import precision
from duomotion.checkpoint import load_weights, read_checkpoint, read_training
from duomotion.config import to_dict
from duomotion.data.composed import write_mark
from duomotion.data.interhuman import write_lines
from duomotion.distributed import Processes, connect
from duomotion.models.length import SYSTEM as LENGTH
from duomotion.precision import autocast, resolve, weight_type
from duomotion.storage import locked
from duomotion.training.batch import clip_count, clip_names, on_device, whole
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.log import Log, read_records
from duomotion.training.schedule import cosine, learning_rate, multistep, warmup
from duomotion.training.trainer import Trainer

CLIPS, BATCH, WIDTH = 36, 8, 4  # the last batch of an epoch holds 4 clips


class Regression:
    """Finds a linear map through a small network that drops out units and sees noisy inputs."""

    score_name = "error"

    def __init__(self, *, noise=0.1, dropout=0.2, hidden=16, pause=0.0):
        self.children = {}
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(WIDTH, hidden), nn.BatchNorm1d(hidden), nn.Dropout(dropout), nn.ReLU()
        )
        if dropout == 0:
            self.model[1] = nn.Identity()
        self.model.append(nn.Linear(hidden, 1))
        self.noise, self.pause = noise, pause
        self.x = torch.randn(CLIPS, WIDTH)
        self.y = self.x @ torch.arange(1.0, WIDTH + 1)[:, None]
        self.calls = 0
        self.at_call = {}  # number of a loss call -> what to do then

    def train_batches(self, *, seed, epoch, skip, part=whole):
        order = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(seed * 1000 + epoch))
        for ids in itertools.islice(order.split(BATCH), skip, None):
            ids = ids[part(len(ids))]
            names = [f"clip{i}" for i in ids.tolist()]
            yield {"names": names, "x": self.x[ids], "y": self.y[ids], "source": "made up"}

    def loss(self, batch, rng, step):
        self.calls += 1
        self.at_call.get(self.calls, lambda: None)()
        time.sleep(self.pause)
        assert len(batch["names"]) == len(batch["x"])
        x = batch["x"] + self.noise * torch.randn(batch["x"].shape, generator=rng)
        difference = self.model(x) - batch["y"]
        return difference.square().mean(), {"absolute": difference.detach().abs().mean()}

    def validate(self):
        assert not self.model.training
        torch.rand(5)  # may draw as it likes
        return {"error": (self.model(self.x) - self.y).square().mean().item()}

    def provenance(self):
        return {"data": [f"{CLIPS} made-up points"]}


pytestmark = pytest.mark.usefixtures("one_thread")  # subprocesses have one as well

OPTIM = OptimConfig(
    steps=23,
    batch_size=BATCH,
    lr=0.02,
    warmup_steps=3,
    clip_norm=5.0,
    ema_decay=0.9,
    seed=5,
    precision="float32",
)
LOG = LogConfig(
    log_every=4,
    validate_every=6,
    checkpoint_every=3,
    checkpoint_seconds=None,
    tensorboard=False,
)


def trainer(task, folder, optim=OPTIM, log=LOG):
    recipe = {"system": "regression", "optim": to_dict(optim), "log": to_dict(log)}
    return Trainer(task, folder, recipe=recipe, optim=optim, log=log, processes=connect("cpu"))


def records(folder):
    return [
        {k: v for k, v in record.items() if k != "seconds"}
        for record in read_records(folder / "log.jsonl")
    ]


def assert_same_training(folder, other):
    assert records(folder) == records(other)
    for name in ("last", "best"):
        one, two = read_checkpoint(folder / name), read_checkpoint(other / name)
        assert one.tensors.keys() == two.tensors.keys()
        assert all(torch.equal(one.tensors[key], two.tensors[key]) for key in one.tensors)
        assert one.provenance["step"] == two.provenance["step"]
    one, two = read_training(folder / "last"), read_training(other / "last")
    assert one.tensors.keys() == two.tensors.keys()
    assert all(torch.equal(one.tensors[key], two.tensors[key]) for key in one.tensors)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    trainer(Regression(), folder).run()
    return folder


class CrashError(Exception):
    pass


def crash():
    raise CrashError


def test_training_learns_and_keeps_its_best(tmp_path):
    optim = OptimConfig(steps=150, batch_size=BATCH, lr=0.02, schedule="cosine", ema_decay=0.95)
    log = LogConfig(validate_every=50, tensorboard=False)
    scores = trainer(Regression(), tmp_path, optim, log).run()
    validations = [r["validation/error"] for r in records(tmp_path) if "validation/error" in r]
    best = read_checkpoint(tmp_path / "best")
    fresh = Regression()
    fresh.model.eval()
    assert scores["error"] == min(validations) < 0.2 * fresh.validate()["error"]
    load_weights(fresh.model, best)
    with torch.no_grad():
        assert fresh.validate() == scores == best.provenance["scores"]
    assert best.provenance["data"] == ["36 made-up points"] and "composed" not in best.provenance
    assert best.provenance["seed"] == optim.seed
    assert best.recipe["system"] == "regression"


def test_it_goes_on_only_with_the_networks_that_it_was_begun_on(tmp_path):
    codec, run = tmp_path / "codec", tmp_path / "run"

    def train(folder, steps, **children):
        task = Regression()
        task.children = children
        trainer(task, folder, replace(OPTIM, steps=steps)).run()

    train(codec, 3)
    train(run, 3, codec=codec / "last")
    train(run, 4, codec=codec / "last")
    train(codec, 6)
    with pytest.raises(ValueError, match="has changed since the training"):
        train(run, 6, codec=codec / "last")


def test_provenance_says_which_data_was_composed(tmp_path):
    recorded, composed = str(tmp_path / "recorded"), str(tmp_path / "composed")
    write_mark(tmp_path / "composed", {}, {})
    task = Regression()
    task.provenance = lambda: {"data": [recorded, composed]}
    trainer(task, tmp_path / "run", replace(OPTIM, steps=3)).run()
    provenance = read_checkpoint(tmp_path / "run" / "last").provenance
    assert provenance["data"] == [recorded, composed]
    assert provenance["composed"] == [composed]


def test_records_are_means_over_all_steps_since_the_last(tmp_path):
    fine, coarse = tmp_path / "fine", tmp_path / "coarse"
    for folder, every in ((fine, 1), (coarse, 5)):
        log = LogConfig(log_every=every, validate_every=99, tensorboard=False)
        trainer(Regression(), folder, OptimConfig(steps=12, seed=1), log).run()
    losses = {r["step"]: r["loss"] for r in records(fine) if "loss" in r}
    means = {r["step"]: r["loss"] for r in records(coarse) if "loss" in r}
    assert list(means) == [5, 10, 12]
    for last, first in ((5, 1), (10, 6), (12, 11)):
        steps = range(first, last + 1)
        assert means[last] == pytest.approx(sum(losses[s] for s in steps) / len(steps), rel=1e-6)


@pytest.mark.parametrize("call", [2, 9, 16])
def test_a_crashed_training_goes_on_as_if_nothing_had_been(tmp_path, uninterrupted, call):
    """Crashes before any checkpoint, within an epoch and just after one (of 5 batches)."""
    task = Regression()
    task.at_call[call] = crash
    with pytest.raises(CrashError):
        trainer(task, tmp_path).run()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')  # the line that a kill cut
    again = Regression()
    trainer(again, tmp_path).run()
    assert again.calls == OPTIM.steps - (call - 1) // 3 * 3
    assert_same_training(tmp_path, uninterrupted)


def subprocess_training(folder, code, **environment):
    """A Python process that runs `code` with `folder` and this module's names at hand."""
    code = f"from test_training import *\nfolder = Path({str(folder)!r})\n{code}"
    search = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stderr=subprocess.PIPE)


def test_a_killed_process_goes_on_as_if_nothing_had_been(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    optim = OptimConfig(steps=40, batch_size=BATCH, ema_decay=0.9, precision="float32")
    log = LogConfig(log_every=7, validate_every=20, checkpoint_every=1, tensorboard=False)
    process = subprocess_training(
        killed,
        f"trainer(Regression(pause=0.01), folder, {optim!r}, {log!r}).run()",
    )
    path = killed / "log.jsonl"
    deadline = time.monotonic() + 60
    while not (path.exists() and any(record["step"] >= 14 for record in read_records(path))):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    task = Regression()
    trainer(task, killed, optim, log).run()
    assert 0 < task.calls < 30
    trainer(Regression(), whole, optim, log).run()
    assert_same_training(killed, whole)
    assert not list(killed.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_saves_and_says_how_to_go_on(tmp_path, uninterrupted, caplog, number):
    task = Regression()
    task.at_call[8] = lambda: os.kill(os.getpid(), number)
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as raised:
        trainer(task, tmp_path).run()
    assert raised.value.code == 128 + number
    assert (
        f"Stopped after step 8 of 23, saved in {tmp_path / 'last'}; "
        "run the same command again to go on."
    ) in caplog.messages
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
    assert read_training(tmp_path / "last").position["step"] == 8
    assert signal.getsignal(number) is handler
    trainer(Regression(), tmp_path).run()
    assert_same_training(tmp_path, uninterrupted)


def test_under_nohup_a_training_outlives_its_terminal(tmp_path):
    task = Regression()
    task.at_call[8] = lambda: os.kill(os.getpid(), signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer(task, tmp_path).run()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert read_training(tmp_path / "last").position["step"] == OPTIM.steps


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    task = Regression()
    task.at_call[8] = twice
    with pytest.raises(KeyboardInterrupt):
        trainer(task, tmp_path).run()
    assert read_training(tmp_path / "last").position["step"] == 6


def test_progress_is_called_for_each_step(tmp_path):
    for task, start in ((Regression(), 0), (Regression(), 6)):
        calls = []
        task.at_call[8] = crash
        with pytest.raises(CrashError):
            trainer(task, tmp_path).run(lambda *call, calls=calls: calls.append(call))
        assert [call[:2] for call in calls] == [(step, 23) for step in range(start, start + 8)]
    losses = {record["step"]: record["loss"] for record in records(tmp_path) if "loss" in record}
    assert [call[2] for call in calls[:3]] == [None, None, losses[8]]


class Drifting(Regression):
    """Its input layer's bias is not learned: it moves towards the average of the output's."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def after_step(self, step, averages):
        assert not torch.is_grad_enabled()
        self.seen.append(step)
        self.model[0].bias.lerp_(averages["4.bias"], 0.1)


def test_what_is_changed_after_steps_goes_on_as_if_nothing_had_been(tmp_path):
    whole, killed, plain = (tmp_path / name for name in ("whole", "killed", "plain"))
    task = Drifting()
    trainer(task, whole).run()
    assert task.seen == list(range(OPTIM.steps))
    task = Drifting()
    task.at_call[9] = crash
    with pytest.raises(CrashError):
        trainer(task, killed).run()
    again = Drifting()
    trainer(again, killed).run()
    assert again.seen == list(range(6, OPTIM.steps))
    assert_same_training(killed, whole)
    trainer(Regression(), plain).run()
    tensors = [read_checkpoint(folder / "last").tensors["0.bias"] for folder in (whole, plain)]
    assert not torch.equal(*tensors)


def test_averages_are_those_of_the_step(tmp_path):
    class Watched(Regression):
        def after_step(self, step, averages):
            assert averages.keys() == dict(self.model.named_parameters()).keys()
            seen.append((self.model[0].weight.clone(), averages["0.weight"].clone()))

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    optim = replace(OPTIM, steps=6)
    task = Watched()
    average = task.model[0].weight.detach().clone()
    trainer(task, tmp_path, optim).run()
    for step, (weight, shown) in enumerate(seen, 1):
        average = average.lerp(weight, 1 - min(0.9, (1 + step) / (10 + step)))
        torch.testing.assert_close(shown, average)
    found = []

    class Plain(Regression):
        def after_step(self, step, averages):
            found.append(dict(averages))

    trainer(Plain(), tmp_path / "plain", replace(optim, ema_decay=None)).run()
    assert found == [{}] * 6


def test_batches_are_computed_in_one_other_thread(tmp_path):
    threads = []

    class Watched(Regression):
        def train_batches(self, *, seed, epoch, skip, part=whole):
            threads.append(threading.current_thread())
            yield from super().train_batches(seed=seed, epoch=epoch, skip=skip, part=part)

    trainer(Watched(), tmp_path).run()
    assert len(threads) == 5 and len(set(threads)) == 1
    assert threads[0] is not threading.current_thread() and not threads[0].is_alive()


def test_an_error_in_a_batch_comes_when_it_is_due(tmp_path):
    class Broken(Regression):
        def train_batches(self, *, seed, epoch, skip, part=whole):
            for index, batch in enumerate(
                super().train_batches(seed=seed, epoch=epoch, skip=skip, part=part)
            ):
                if (epoch, index + skip) == (1, 3):
                    raise OSError(5, "can't be read", "clip")
                yield batch

    task = Broken()
    with pytest.raises(OSError, match="can't be read"):
        trainer(task, tmp_path).run()
    assert task.calls == 8 and read_training(tmp_path / "last").position["step"] == 6


class RootOfZero(Regression):
    """A finite loss whose gradient isn't."""

    def loss(self, batch, rng, step):
        error, parts = super().loss(batch, rng, step)
        if self.calls == 5:
            error = error + (0 * next(self.model.parameters())).sum().sqrt()
        return error, parts


class BrokenClip(Regression):
    def loss(self, batch, rng, step):
        if self.calls == 4:
            batch["x"][1] = float("nan")
        return super().loss(batch, rng, step)


@pytest.mark.parametrize(
    ("kind", "what"), [(BrokenClip, "loss nan, absolute nan"), (RootOfZero, "gradient_norm")]
)
def test_what_is_not_finite_stops_before_it_does_harm(tmp_path, kind, what):
    names = []
    for epoch in range(2):
        names += [b["names"] for b in Regression().train_batches(seed=5, epoch=epoch, skip=0)]
    with pytest.raises(ValueError) as raised:
        trainer(kind(), tmp_path).run()
    message = str(raised.value)
    assert message.startswith(f"step 5 gave {what}")
    assert f"on the clips {', '.join(names[4])}: check" in message
    assert message.endswith(f"{tmp_path / 'last'} holds step 3")
    tensors = read_checkpoint(tmp_path / "last").tensors
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_score_that_is_not_a_number_is_refused(tmp_path):
    class Undefined(Regression):
        def validate(self):
            return {"error": float("nan")}

    with pytest.raises(ValueError, match=r"after step 6 .* error is not a number"):
        trainer(Undefined(), tmp_path).run()


def test_a_second_training_in_the_folder_is_refused(tmp_path, uninterrupted):
    second = Regression()

    def start_second():
        with pytest.raises(ValueError, match=f"{tmp_path} is in use by process {os.getpid()} on"):
            trainer(second, tmp_path).run()

    task = Regression()
    task.at_call[8] = start_second
    trainer(task, tmp_path).run()
    assert second.calls == 0
    assert_same_training(tmp_path, uninterrupted)


@pytest.fixture
def typed_training(run, tmp_path, monkeypatch):
    """`duomotion train` in `tmp_path`, of the given task."""

    def train(task):
        part = replace(LENGTH.parts["estimator"], task=lambda _recipe, _device: task)
        monkeypatch.setitem(LENGTH.parts, "estimator", part)
        changes = ("optim.steps=23", "optim.precision=float32", "log.tensorboard=false")
        return run("train", "length/solo", *changes, "--out", tmp_path, "--device", "cpu")

    return train


def test_a_second_training_is_refused_in_a_sentence(typed_training, tmp_path):
    with locked(tmp_path):
        status, _, error = typed_training(Regression())
    (sentence,) = error.splitlines()
    assert status == 2
    assert sentence.startswith(f"duomotion: {tmp_path} is in use by process {os.getpid()} on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_typed_training_saves_at_a_signal_and_goes_on(typed_training, tmp_path, number):
    task = Regression()
    task.at_call[8] = lambda: os.kill(os.getpid(), number)
    status, _, error = typed_training(task)
    assert status == 128 + number and "Stopped after step 8 of 23" in error
    again = Regression()
    assert typed_training(again)[0] == 0
    assert again.calls == 15


def test_a_full_disk_is_what_the_log_says(tmp_path, monkeypatch):
    thread_failed = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: thread_failed.set())
    log = Log(tmp_path, step=0, tensorboard=False)
    with largest_file(3000), pytest.raises(OSError) as raised:
        log.write(1, {f"loss{number}": 0.5 for number in range(1000)})
    assert raised.value.filename == str(tmp_path / "log.jsonl")
    log.close()
    log = Log(tmp_path, step=0, tensorboard=True)
    with largest_file(3000), pytest.raises(OSError) as raised:  # sooner or later: a thread writes
        for step in range(100):
            log.write(step, {"loss": 0.5})
        log.close()
    assert thread_failed.wait(10)
    assert raised.value.filename == str(tmp_path / "tensorboard")


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    task = Regression(hidden=1000)
    with ExitStack() as disk:
        task.at_call[8] = lambda: disk.enter_context(largest_file(9_000))
        with pytest.raises(OSError, match=str(tmp_path / "last")):
            trainer(task, tmp_path, log=LogConfig(checkpoint_every=3, tensorboard=False)).run()
    assert read_training(tmp_path / "last").position["step"] == 6


def damaged_position(folder, **changes):
    path = folder / "last" / "training.json"
    position = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in position.items() if v is not None}))


def damaged_tensors(folder, name, tensor):
    path = folder / "last" / "training.safetensors"
    tensors = {**load_file(path), name: tensor}
    save_file({k: v for k, v in tensors.items() if v is not None}, path)


DAMAGES = [
    (lambda folder: damaged_position(folder, scores=None), "training.json: .*scores is missing"),
    (lambda folder: damaged_position(folder, seconds=[]), "training.json: seconds has to be"),
    (lambda folder: damaged_position(folder, step=-1), "training.json: step has to be"),
    (lambda folder: damaged_position(folder, recorded=99), "recorded 99 is after step 23"),
    (lambda folder: damaged_position(folder, best={"x": 1.0}), "best holds no error"),
    (
        lambda folder: damaged_tensors(folder, "average.0.bias", None),
        "training.safetensors doesn't fit the network.*average.0.bias",
    ),
    (
        lambda folder: damaged_tensors(folder, "optimizer.exp_avg.0.bias", torch.zeros(3)),
        "optimizer.exp_avg.0.bias",
    ),
    (lambda folder: damaged_tensors(folder, "optimizer.step.0.bias", None), "optimizer.step"),
    (lambda folder: damaged_tensors(folder, "more", torch.zeros(1)), "more"),
    (
        lambda folder: (folder / "log.jsonl").write_text('{"step": 1}\n\x00\n'),
        "log.jsonl, line 2: is no record",
    ),
    (lambda folder: (folder / "log.jsonl").write_text('{"loss": 1}\n'), "line 1: is no record"),
    (lambda folder: (folder / "log.jsonl").write_bytes(b"\xff\n"), "line 1: is no record"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_what_is_damaged_does_not_go_on(tmp_path, uninterrupted, damage, sentence):
    shutil.copytree(uninterrupted, tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(ValueError, match=sentence) as raised:
        trainer(Regression(), tmp_path / "run", replace(OPTIM, steps=30)).run()
    assert "\n" not in str(raised.value)


def test_what_a_kill_leaves_of_a_log_is_removed(tmp_path):
    (tmp_path / ".log-abc123.jsonl").write_text('{"st')
    trainer(Regression(), tmp_path).run()
    assert not list(tmp_path.glob(".log-*"))


def test_another_recipe_does_not_go_on(tmp_path):
    trainer(Regression(), tmp_path).run()
    other = OptimConfig(**{**to_dict(OPTIM), "lr": 0.5, "gamma": 0.1})
    with pytest.raises(ValueError, match=r"optim.gamma was .*, optim.lr was 0.02, is 0.5"):
        trainer(Regression(), tmp_path, other).run()


def test_a_finished_training_can_be_run_again_and_made_longer(tmp_path, caplog):
    caplog.set_level("INFO")
    scores = trainer(Regression(), tmp_path).run()
    assert "finished" not in caplog.text
    task = Regression()
    assert trainer(task, tmp_path).run() == scores
    assert task.calls == 0
    assert f"The training in {tmp_path} is finished: all of its 23 steps are done" in caplog.text
    trainer(task, tmp_path, OptimConfig(**{**to_dict(OPTIM), "steps": 30})).run()
    assert task.calls == 7
    assert records(tmp_path)[-1]["step"] == 30


def test_validation_and_checkpoints_do_not_touch_the_training(tmp_path, uninterrupted):
    log = LogConfig(log_every=4, validate_every=1000, tensorboard=False)
    trainer(Regression(), tmp_path, log=log).run()
    losses = [r["loss"] for r in records(tmp_path) if "loss" in r]
    assert losses == [r["loss"] for r in records(uninterrupted) if "loss" in r]


def test_averages_are_validated_and_the_weights_go_on(tmp_path):
    raw, validated = [], []

    class Watched(Regression):
        def loss(self, batch, rng, step):
            raw.append(self.model[0].weight.detach().clone())
            return super().loss(batch, rng, step)

        def validate(self):
            validated.append(self.model[0].weight.detach().clone())
            return super().validate()

    task = Watched()
    trainer(task, tmp_path, log=LogConfig(validate_every=6, tensorboard=False)).run()
    raw.append(task.model[0].weight.detach())
    average, expected = raw[0], []
    for step in range(1, 24):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * raw[step]
        if step % 6 == 0 or step == 23:
            expected.append(average)
    for ours, reference in zip(validated, expected, strict=True):
        torch.testing.assert_close(ours, reference)
    last = read_checkpoint(tmp_path / "last")
    assert torch.equal(last.tensors["0.weight"], raw[-1])
    averages = read_training(tmp_path / "last").tensors
    torch.testing.assert_close(averages["average.0.weight"], average)


def test_data_without_a_batch_are_refused(tmp_path):
    class Empty(Regression):
        def train_batches(self, *, seed, epoch, skip, part=whole):
            return iter(())

    with pytest.raises(ValueError, match="no batch of 8 clips"):
        trainer(Empty(), tmp_path).run()


def test_tensorboard_shows_what_the_log_holds(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer(Regression(), tmp_path, log=LogConfig(log_every=4, validate_every=6)).run()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("loss")}
    held = {r["step"]: r["loss"] for r in records(tmp_path) if "loss" in r}
    assert shown == pytest.approx(held)
    assert "validation/error" in events.Tags()["scalars"]


def two_processes(folder, code):
    """What torchrun starts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        subprocess_training(
            folder,
            code,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank in range(2)
    ]


@pytest.mark.slow
def test_where_the_first_process_has_no_folder_all_end(tmp_path):
    with locked(tmp_path):
        processes = two_processes(tmp_path, "trainer(Sevens(), folder).run()")
        errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert processes[1].returncode == 2, errors[1]
    assert ["is in use by process" in error for error in errors] == [True, False]
    assert processes[0].returncode == 1  # an exception that the command line would have caught
    assert not (tmp_path / "log.jsonl").exists()


@pytest.mark.slow
def test_two_processes_train_like_one_with_two_micro_batches(tmp_path):
    """Batches of 7 clips: the processes' shares differ in size."""
    processes = two_processes(tmp_path / "two", "train_in_sevens(folder, 1)")
    train_in_sevens(tmp_path / "one", 2)
    for process in processes:
        error = process.communicate(timeout=120)[1]
        assert process.returncode == 0, error.decode()
    one, two = (read_checkpoint(tmp_path / name / "last").tensors for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
    for ours, reference in zip(records(tmp_path / "two"), records(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(reference, rel=1e-4)


def train_on_a_folder(folder, steps):
    """`train_in_sevens` with a data set beside the training."""
    task = Sevens(dropout=0.0)
    task.provenance = lambda: {"data": [str(folder / "data")]}
    optim = replace(OPTIM, steps=steps, batch_size=32)
    trainer(task, folder / "run", optim, LOG).run()


@pytest.mark.slow
def test_two_processes_go_on_only_with_the_same_data(tmp_path):
    write_lines(tmp_path / "data" / "annots" / "1.txt", ["they wave"])
    write_lines(tmp_path / "data" / "train.txt", ["1"])
    train_on_a_folder(tmp_path, 3)
    processes = two_processes(
        tmp_path,
        "train_on_a_folder(folder, 6)\n"
        "write_lines(folder / 'data' / 'annots' / '1.txt', ['they wave goodbye'])\n"
        "train_on_a_folder(folder, 9)",
    )
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [1, 2], errors
    assert ["data has changed since the training" in error for error in errors] == [True, False]
    assert read_training(tmp_path / "run" / "last").position["step"] == 6


class Sevens(Regression):
    def train_batches(self, *, seed, epoch, skip, part=whole):
        for start in range(7 * skip, CLIPS - 1, 7):
            own = torch.arange(start, start + 7)[part(7)]
            yield {"x": self.x[own], "y": self.y[own], "names": ["a"] * len(own)}


def train_in_sevens(folder, micro_batches):
    task = Sevens(noise=0.1, dropout=0.0)
    if os.environ.get("RANK") == "1":
        with torch.no_grad():
            task.model[0].weight.zero_()  # the first process's weights win
    optim = OptimConfig(
        steps=12, lr=0.02, clip_norm=1.0, precision="float32", micro_batches=micro_batches
    )
    trainer(task, folder, optim, LOG).run()


def test_warmup_and_milestones_follow_torch():
    optim = OptimConfig(steps=200, lr=1.0, milestones=(0.5, 0.7, 0.85), gamma=1 / 3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 140, 170], gamma=1 / 3)
    for step in range(200):
        assert learning_rate(step, optim) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()
    assert [warmup(step, 4) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    warmed = OptimConfig(steps=10, lr=2.0, warmup_steps=4, schedule="constant")
    assert [learning_rate(s, warmed) for s in (0, 3, 9)] == pytest.approx([0.4, 1.6, 2.0])
    assert multistep(9, 10, (), 0.1) == 1


def test_cosine_follows_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(50):
        assert cosine(step, 50) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


@dataclass(frozen=True)
class Batch:
    names: list[str]
    x: torch.Tensor
    text: str | None = None


@pytest.mark.parametrize("kind", [Batch, dict])
def test_what_a_batch_holds(kind):
    batch = kind(names=["a", "b", "c"], x=torch.arange(6).reshape(3, 2), text="both")
    assert clip_count(batch) == 3
    assert clip_names(batch) == ["a", "b", "c"]
    moved = on_device(batch, torch.device("meta"))
    assert type(moved) is kind
    moved = moved if kind is dict else vars(moved)
    assert moved["x"].device.type == "meta"
    assert (moved["names"], moved["text"]) == (["a", "b", "c"], "both")


@pytest.mark.parametrize(("processes", "micro_batches"), [(1, 1), (3, 1), (1, 3), (2, 4), (5, 3)])
def test_every_clip_is_in_one_micro_batch(processes, micro_batches):
    def shared(count):
        members = (Processes(torch.device("cpu"), k, processes) for k in range(processes))
        parts = [share(count) for each in members for share in each.shares(micro_batches)]
        assert parts == [share(count) for share in alone.shares(processes * micro_batches)]
        return [list(range(count))[part] for part in parts]

    alone = Processes(torch.device("cpu"))
    assert [clip for part in shared(16) for clip in part] == list(range(16))
    sizes = list(map(len, shared(16)))
    assert max(sizes) - min(sizes) <= 1
    assert all(len(part) == 1 for part in shared(2)[2:])


def test_a_batch_smaller_than_its_parts_is_refused(tmp_path):
    optim = replace(OPTIM, micro_batches=5)
    recipe, two = {}, Processes(torch.device("cpu"), 0, 2)
    with pytest.raises(ValueError, match="batch_size is 8, which can't be spread over 10 parts"):
        Trainer(Regression(), tmp_path, recipe=recipe, optim=optim, log=LOG, processes=two)


def test_micro_batches_train_like_one_batch(tmp_path):
    """Batches of 8, and of 4 at the ends of epochs, in three parts."""
    for parts in (1, 3):
        optim = replace(OPTIM, micro_batches=parts)
        trainer(Regression(noise=0.0, dropout=0.0), tmp_path / str(parts), optim).run()
    one, three = (read_checkpoint(tmp_path / name / "last").tensors for name in ("1", "3"))
    for name, tensor in one.items():
        torch.testing.assert_close(three[name], tensor, rtol=1e-4, atol=1e-6)
    for ours, reference in zip(records(tmp_path / "3"), records(tmp_path / "1"), strict=True):
        assert ours == pytest.approx(reference, rel=1e-4)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"amx_bf16": True, "cpu_name": "Intel"}, "bfloat16"),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bfloat16"),
        ({"avx512_bf16": True, "cpu_name": "Intel"}, "float32"),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC"}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_precision_follows_the_hardware(monkeypatch, processor, expected):
    monkeypatch.setattr(precision, "_cpu", lambda: processor)
    cpu = torch.device("cpu")
    assert resolve("auto", cpu) == expected
    with autocast("auto", cpu):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, expected)
    assert resolve("float32", cpu) == "float32"
    assert weight_type("auto", cpu, width=384) == getattr(torch, expected)
    assert weight_type("auto", cpu, width=128) == torch.float32
    assert weight_type("bfloat16", cpu, width=128) == torch.bfloat16


def test_training_in_bfloat16_keeps_float32_weights(tmp_path):
    optim = OptimConfig(steps=6, batch_size=BATCH, precision="bfloat16")
    trainer(Regression(), tmp_path, optim).run()
    checkpoint = read_checkpoint(tmp_path / "last")
    assert checkpoint.provenance["precision"] == "bfloat16"
    assert checkpoint.tensors["0.weight"].dtype == torch.float32
    exact = tmp_path / "exact"
    trainer(Regression(), exact, OptimConfig(**{**to_dict(optim), "precision": "float32"})).run()
    other = read_checkpoint(exact / "last").tensors["0.weight"]
    assert not torch.equal(checkpoint.tensors["0.weight"], other)
    torch.testing.assert_close(checkpoint.tensors["0.weight"], other, atol=5e-3, rtol=0)


class Blocks(Regression):
    """The same with a network of blocks, as compilers and checkpointing look for."""

    def __init__(self):
        super().__init__(noise=0.0, dropout=0.0)
        inner = self.model
        self.model = nn.Module()
        self.model.blocks = nn.ModuleList([inner])
        self.model.forward = lambda x: self.model.blocks[0](x)


@pytest.mark.parametrize("change", ["compile", "activation_checkpointing"])
def test_blocks_train_the_same(tmp_path, change):
    optim = OptimConfig(steps=4, batch_size=12, lr=0.02, precision="float32")
    log = replace(LOG, validate_every=4)
    trainer(Blocks(), tmp_path / "plain", optim, log).run()
    trainer(Blocks(), tmp_path / "other", replace(optim, **{change: True}), log).run()
    plain, other = (read_checkpoint(tmp_path / name / "last") for name in ("plain", "other"))
    assert plain.tensors.keys() == other.tensors.keys()
    for name, tensor in plain.tensors.items():
        torch.testing.assert_close(other.tensors[name], tensor)
    longer = replace(optim, steps=6, **{change: True})
    trainer(Blocks(), tmp_path / "plain", longer, log).run()  # goes on the other way
    with pytest.raises(ValueError, match=f"optim.{change} has to be false"):
        trainer(Regression(), tmp_path / "refused", replace(optim, **{change: True}), log)


def test_measuring_trains_and_writes_nothing(tmp_path):
    task = Regression()
    before = task.model[0].weight.clone()
    step, averaging = trainer(task, tmp_path / "run").measure(5)
    assert task.calls == 6 and not torch.equal(task.model[0].weight, before)
    assert 0 <= averaging < step < 1
    assert not (tmp_path / "run").exists()
