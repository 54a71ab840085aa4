"""Each kind of training: validation follows the weights, and a kill changes nothing in its log."""

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from motions import waving
from test_matching import INTERCLIP, SIZES, clip, interx_pairs, solo
from test_momask_training import TOKENIZER, TRANSFORMER

from duomotion.checkpoint import read_checkpoint
from duomotion.config import apply_overrides
from duomotion.data.composed import write_mark
from duomotion.data.interhuman import write_clip, write_splits
from duomotion.loading import load_trainer
from duomotion.models import find_recipe
from duomotion.models.intermask.training import GeneratorTask
from duomotion.training.log import read_records
from duomotion.training.trainer import Trainer

__all__ = ["clip", "interx_pairs", "solo"]

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = (
    "optim.steps=8",
    "optim.batch_size=4",
    "optim.warmup_steps=0",
    "optim.lr=1e-2",
    "log.log_every=2",
    "log.validate_every=2",
    "log.checkpoint_every=1",
    "log.tensorboard=false",
    "optim.precision=float32",
)
KILLED_AT = 6  # after the third validation's steps have begun


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "interhuman"
    names = [str(number) for number in range(6)]
    for number, name in enumerate(names):
        write_clip(folder, name, waving(frames=70 + 3 * number), [f"two wave {name}", "hi"])
    write_splits(folder, {"train": names, "val": names[:3], "test": names})
    return folder


class Killed(Exception):  # noqa: N818
    pass


def trainer(name: str, folder: Path, *changes: str) -> Trainer:
    recipe = apply_overrides(find_recipe(name), [*changes, *STEPS])
    return load_trainer(recipe, folder, device="cpu")


def lines(folder: Path) -> list[dict]:
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in read_records(folder / "log.jsonl")
    ]


def check(name: str, folder: Path, *changes: str) -> Path:
    """Train through, and once more with a kill; returns the last checkpoint."""
    trainer(name, folder / "through", *changes).run()
    killed = trainer(name, folder / "killed", *changes)
    loss, calls = killed.task.loss, []

    def loss_until_killed(*arguments):
        calls.append(1)
        if len(calls) == KILLED_AT:
            raise Killed
        return loss(*arguments)

    killed.task.loss = loss_until_killed
    with pytest.raises(Killed):
        killed.run()
    trainer(name, folder / "killed", *changes).run()
    through = lines(folder / "through")
    scores = [line for line in through if any(name.startswith("validation/") for name in line)]
    assert len(scores) == 4 and all(one != other for one, other in pairwise(scores))
    assert lines(folder / "killed") == through
    check_scores_of_fresh_network(name, folder / "through", scores[-1], *changes)
    return folder / "through" / "last"


def check_scores_of_fresh_network(name: str, folder: Path, logged: dict, *changes: str) -> None:
    """What a network that has never seen other weights scores with the last averages."""
    fresh = trainer(name, folder, *changes)
    fresh._resume()
    scores: list[dict] = []
    fresh._validate(log_to(scores.append))
    assert scores == [{key: value for key, value in logged.items() if key.startswith("valid")}]


def log_to(take: Callable[[dict], None]):
    class Log:
        def write(self, step: int, record: dict) -> None:
            take(record)

    return Log()


@pytest.mark.slow
def test_intermask(pairs, tmp_path):
    data = f"data.pairs={pairs}"
    tokenizer = check(
        "intermask/tokenizer-small",
        tmp_path / "tokenizer",
        *tiny.TOKENIZERS["intermask/tokenizer-small"],
        data,
        "data.solo=null",
        "data.solo_share=0",
    )
    evaluator = tmp_path / "evaluator"
    trainer("evaluator/open", evaluator, f"data.clips={pairs}").run()
    start = ("intermask/generator-open", tmp_path / "generator", *tiny.GENERATOR, data)
    tokens = (f"data.tokenizer={tokenizer}", "data.length=null")
    check(*start, *tokens, "data.views=2")
    fresh = ("intermask/generator-open", tmp_path / "fresh", *tiny.GENERATOR, data)
    choice = (f"data.evaluator={evaluator / 'last'}", "data.examples.mirror=true")
    last = check(*fresh, *tokens, *choice, "data.views=null")
    scores = read_checkpoint(last.parent / "best").provenance["scores"]
    found = [line["validation/fid"] for line in lines(last.parent) if "validation/fid" in line]
    assert scores["fid"] == min(found) and np.isfinite(found).all()


@pytest.mark.slow
def test_intergen(pairs, tmp_path):
    evaluator = tmp_path / "evaluator"
    trainer("evaluator/open", evaluator, f"data.clips={pairs}").run()
    start = (*tiny.INTERGEN, f"data.pairs={pairs}")
    check("intergen/denoiser-open", tmp_path / "loss", *start)
    choice = f"data.evaluator={evaluator / 'last'}"
    last = check("intergen/denoiser-open", tmp_path / "fid", *start, choice)
    assert "fid" in read_checkpoint(last.parent / "best").provenance["scores"]


@pytest.mark.slow
def test_intermoe(pairs, tmp_path):
    """Biases of experts, which no gradient moves, go on where they were."""
    data = f"data.pairs={pairs}"
    words = (*tiny.INTERMOE_AUTOENCODER, data)
    autoencoder = check("intermoe/autoencoder-open", tmp_path / "autoencoder", *words)
    start = (*tiny.INTERMOE_DENOISER, data, f"data.autoencoder={autoencoder}")
    last = check("intermoe/denoiser-open", tmp_path / "denoiser", *start)
    killed = tmp_path / "denoiser" / "killed" / "last"
    name = "denoiser.blocks.1.experts.bias"
    biases = [read_checkpoint(folder).tensors[name] for folder in (last, killed)]
    assert torch.equal(*biases) and (biases[0] != -0.5).any()


@pytest.mark.slow
def test_intermamba(pairs, tmp_path):
    start = (*tiny.INTERMAMBA, f"data.pairs={pairs}")
    check("intermamba/denoiser-open", tmp_path / "run", *start)


def test_a_fresh_view_each_time(pairs, tmp_path):
    tokenizer = tiny.checkpoint(tmp_path / "tiny") / "tokenizer"
    recipe = apply_overrides(
        find_recipe("intermask/generator-open"),
        [
            *(*tiny.GENERATOR, f"data.pairs={pairs}", f"data.tokenizer={tokenizer}"),
            *("data.length=null", "data.views=null", "data.examples.mirror=true"),
            "optim.batch_size=4",
        ],
    )
    task = tiny.task_of(recipe)
    assert isinstance(task, GeneratorTask)
    epochs = [list(task.train_batches(seed=0, epoch=epoch, skip=0)) for epoch in (0, 1)]
    for epoch in epochs:
        assert sorted(name for batch in epoch for name in batch["names"]) == sorted(
            [*map(str, range(6))] * 2
        )
    again = list(task.train_batches(seed=0, epoch=0, skip=1))
    for one, other in zip(epochs[0][1:], again, strict=True):
        assert torch.equal(one["motion_BPTF"], other["motion_BPTF"])
    motions = [batch["motion_BPTF"] for epoch in epochs for batch in epoch]
    rows = [row.numpy().tobytes() for motion in motions for row in motion]
    assert len(set(rows)) == len(rows)
    for batch in epochs[0]:
        frames = batch["lengths_B"] * task.codec.tokenizer.downsampling
        for motion, length, ids in zip(
            batch["motion_BPTF"], frames, task._ids(batch["motion_BPTF"]), strict=True
        ):
            assert not motion[:, length:].any() and motion[:, length - 1].any()
            codes = ids.unflatten(1, (task.codec.tokenizer.num_parts, -1))
            alone = task.codec.encode(motion[:, :length]).unflatten(
                1, (task.codec.tokenizer.num_parts, -1)
            )
            same = codes[..., : alone.shape[-1]] == alone
            assert same[..., :-8].all()  # what is near the end sees the zeros behind it


def test_composed_pairs_are_mixed_in_and_named(pairs, tmp_path):
    tokenizer = tiny.checkpoint(tmp_path / "tiny") / "tokenizer"
    composed = tmp_path / "composed"
    shutil.copytree(pairs, composed)
    write_mark(composed, {}, {})
    recipe = apply_overrides(
        find_recipe("intermask/generator-open"),
        [
            *(*tiny.GENERATOR, f"data.pairs={pairs}", f"data.tokenizer={tokenizer}"),
            *("data.views=1", "data.composed_views=3", "data.composed_share=0.75"),
            *(f"data.composed={composed}", "optim.batch_size=4"),
        ],
    )
    task = tiny.task_of(recipe)
    names = [
        name for batch in task.train_batches(seed=0, epoch=0, skip=0) for name in batch["names"]
    ]
    assert Counter(names) == {str(name): 1 + 3 for name in range(6)}
    assert task.provenance()["data"] == [str(pairs), str(composed)]


def test_selection_by_fid_needs_an_evaluator_of_these_features(pairs, solo, tmp_path):
    tokenizer = tiny.checkpoint(tmp_path / "tiny") / "tokenizer"
    evaluator = tiny.bigru(tmp_path / "evaluator", "t2m-evaluator", 259)
    changes = (*tiny.GENERATOR, f"data.pairs={pairs}", f"data.tokenizer={tokenizer}")
    others = ("data.length=null", "data.views=2", f"data.evaluator={evaluator}")
    recipe = apply_overrides(find_recipe("intermask/generator-open"), [*changes, *others])
    with pytest.raises(ValueError, match="humanml3d, whose features are others than the 262"):
        tiny.task_of(recipe)


def test_intermask_by_parts(pairs, tmp_path):
    check(
        "intermask/tokenizer-open",
        tmp_path,
        *tiny.TOKENIZERS["intermask/tokenizer-open"],
        f"data.pairs={pairs}",
        "data.solo=null",
        "data.solo_share=0",
    )


def test_momask(solo, tmp_path):
    data = f"data.clips={solo['humanml3d']}"
    tokenizer = check("momask/tokenizer", tmp_path / "tokenizer", *TOKENIZER, data)
    tokens = (*TRANSFORMER, data, f"data.tokenizer={tokenizer}", "data.init_from_codes=false")
    check("momask/residual-open", tmp_path / "residual", *tokens, "model.num_layers=3")
    others = ("data.residual=null", "data.length=null")
    check("momask/masked-open", tmp_path / "masked", *tokens, *others)
    check("momask/masked-open", tmp_path / "fresh", *tokens, *others, "data.views=null")
    check("length/solo", tmp_path / "length", data)


def test_evaluators_of_pairs(pairs, clip, tmp_path):
    check("evaluator/open", tmp_path / "open", f"data.clips={pairs}")
    data = (f"data.pairs={pairs}", f"data.clip={clip}")
    check("evaluator/interclip", tmp_path / "interclip", *INTERCLIP, *data)


@pytest.mark.parametrize("kind", ["interx", "humanml3d"])
def test_evaluators_that_read_words(interx_pairs, solo, tmp_path, kind):
    data = f"data.folder={interx_pairs if kind == 'interx' else solo[kind]}"
    movement = check(f"evaluator/movement-{kind}", tmp_path / "movement", data, *SIZES)
    words = (f"data.glove={tiny.glove(tmp_path / 'glove')}", f"data.movement={movement}")
    check(f"evaluator/{kind}", tmp_path / "evaluator", data, *SIZES, *words)
