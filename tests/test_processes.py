"""Every system trains the same way however its steps are computed.

Codebooks are no part of it: they follow the clips of the first process (released codes).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from test_matching import solo
from test_momask_training import TOKENIZER, TRANSFORMER

from duomotion.checkpoint import read_checkpoint
from duomotion.config import apply_overrides
from duomotion.distributed import Processes
from duomotion.loading import load_trainer
from duomotion.models import find_recipe
from duomotion.training.log import read_records
from duomotion.training.trainer import Trainer

__all__ = ["solo"]

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = (
    *tiny.FAST,
    "optim.steps=6",
    "optim.batch_size=4",
    "optim.warmup_steps=0",
    "optim.lr=1e-3",
    "log.log_every=1",
    "log.validate_every=6",
)


def trainer(name: str, folder: Path, *changes: str) -> Trainer:
    recipe = apply_overrides(find_recipe(name), [*changes, *STEPS])
    return load_trainer(recipe, folder, device="cpu")


@pytest.fixture(scope="module")
def recipes(pairs, solo, tmp_path_factory):
    """Names and changes, by system."""
    folder = tmp_path_factory.mktemp("parts")
    data, people = f"data.pairs={pairs}", f"data.clips={solo['humanml3d']}"
    parts = {
        "intermask": ("intermask/tokenizer-small", *TINY_TOKENIZER, data),
        "momask": ("momask/tokenizer", *TOKENIZER, people),
        "ild": ("ild/autoencoder-open", *tiny.ILD_AUTOENCODER, data),
        "intermoe": ("intermoe/autoencoder-open", *tiny.INTERMOE_AUTOENCODER, data),
    }
    for system, words in parts.items():
        trainer(words[0], folder / system, *words[1:]).run()
    last = {system: folder / system / "last" for system in parts}
    tokens = (f"data.tokenizer={last['momask']}", "data.init_from_codes=false")
    return {
        "intergen": ("intergen/denoiser-open", *tiny.INTERGEN, data),
        "intermamba": ("intermamba/denoiser-open", *tiny.INTERMAMBA, data),
        "intermask": (
            *("intermask/generator-open", *tiny.GENERATOR, data),
            *(f"data.tokenizer={last['intermask']}", "data.views=2"),
        ),
        "momask": (
            *("momask/masked-open", *TRANSFORMER, people, *tokens),
            *("data.residual=null", "data.length=null"),
        ),
        "ild": (
            *("ild/denoiser-open", *tiny.ILD_DENOISER, data),
            f"data.autoencoder={last['ild']}",
        ),
        "ild's autoencoder": parts["ild"],
        "intermoe": (
            *("intermoe/denoiser-open", *tiny.INTERMOE_DENOISER, data),
            f"data.autoencoder={last['intermoe']}",
        ),
        "intermoe's autoencoder": parts["intermoe"],
    }


TINY_TOKENIZER = (
    *tiny.TOKENIZERS["intermask/tokenizer-small"],
    "data.solo=null",
    "data.windows.frames=32",
    "data.solo_share=0",
)


def assert_alike(folder: Path, reference: Path, tolerance: float) -> None:
    ours, theirs = (read_checkpoint(each / "last").tensors for each in (folder, reference))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=tolerance, atol=tolerance)
    ours, theirs = (read_records(each / "log.jsonl") for each in (folder, reference))
    losses = [[record["loss"] for record in each if "loss" in record] for each in (ours, theirs)]
    assert len(losses[0]) == 6
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)


@pytest.mark.slow
def test_two_processes_train_like_one(recipes, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    search = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    call = f"train_all({json.dumps(recipes)}, {str(tmp_path)!r})"
    code = f"from test_processes import train_all\n{call}"
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **place, "PYTHONPATH": search, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    for system, (name, *changes) in recipes.items():
        trainer(name, tmp_path / system / "one", *changes, "optim.micro_batches=2").run()
    for process in started:
        error = process.communicate(timeout=240)[1]
        assert process.returncode == 0, error.decode()
    for system in recipes:
        assert_alike(tmp_path / system / "two", tmp_path / system / "one", 2e-4)


def children(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no list of child processes")
def test_torchrun_goes_on_from_the_last_checkpoint(recipes, tmp_path):
    name, *changes = recipes["intergen"]
    often = ("log.checkpoint_every=1", "optim.steps=60", "optim.micro_batches=1")
    words = [*changes, *STEPS, *often, "log.validate_every=60"]
    folder = tmp_path / "run"
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    command = (*torchrun, "--max-restarts=8", "-m", "duomotion", "train", name, *words)
    started = subprocess.Popen(
        [sys.executable, *command, "--out", folder, "--device", "cpu"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 240
    while not steps_done(folder):
        assert started.poll() is None and time.monotonic() < deadline, started.communicate()
        time.sleep(0.1)
    os.kill(children(started.pid)[1], signal.SIGKILL)
    _, error = started.communicate(timeout=240)
    assert started.returncode == 0, error.decode()
    assert steps_done(folder) == list(range(1, 61))
    recipe = apply_overrides(find_recipe(name), [*words, "optim.micro_batches=2"])
    load_trainer(recipe, tmp_path / "one", device="cpu").run()
    ours, theirs = (read_checkpoint(each / "last").tensors for each in (folder, tmp_path / "one"))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-2, atol=1e-3)


def steps_done(folder: Path) -> list[int]:
    log = folder / "log.jsonl"
    return [each["step"] for each in read_records(log) if "loss" in each] if log.exists() else []


def train_all(recipes, folder) -> None:
    torch.set_num_threads(1)
    for system, (name, *changes) in recipes.items():
        trainer(name, Path(folder) / system / "two", *changes).run()


@pytest.mark.slow
def test_activations_that_are_computed_again_change_nothing(recipes, tmp_path):
    for system, (name, *changes) in recipes.items():
        trainer(name, tmp_path / system / "plain", *changes).run()
        again = trainer(
            name, tmp_path / system / "again", *changes, "optim.activation_checkpointing=true"
        )
        again.run()
        assert_alike(tmp_path / system / "again", tmp_path / system / "plain", 1e-5)


def test_a_training_is_measured(recipes, tmp_path, run):
    name, *changes = recipes["intergen"]
    words = (*changes, *STEPS, "--out", tmp_path / "run", "--device", "cpu", "--measure", "2")
    status, out, _ = run("train", name, *words)
    assert status == 0
    assert "s/step" in out and "; 6 steps take 0:00:" in out and "peak memory" in out
    assert not (tmp_path / "run").exists()


def test_clips_that_find_each_other_are_in_one_micro_batch(pairs):
    recipe = apply_overrides(find_recipe("evaluator/open"), [f"data.clips={pairs}", *STEPS])
    task, (first, *_) = tiny.task_of(recipe), Processes(torch.device("cpu")).shares(4)
    with pytest.raises(ValueError, match="a micro-batch has 1 clips; 2 are needed"):
        next(task.train_batches(seed=0, epoch=0, skip=0, part=first))
