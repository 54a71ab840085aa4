"""Trainings notice that their data have changed since they were begun."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from refusals import refused

from duomotion.data import interx, shards
from duomotion.data.fingerprint import fingerprint
from duomotion.data.interhuman import write_lines
from duomotion.data.kinds import write_kinds
from duomotion.data.sharding import shard
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.training.log import read_records

pytestmark = pytest.mark.usefixtures("one_thread", "cache")


@pytest.fixture
def data(pairs, tmp_path):
    return Path(shutil.copytree(pairs, tmp_path / "data"))


def without_a_clip(root: Path) -> None:
    write_lines(root / "split" / "train.txt", "12345")


def in_another_order(root: Path) -> None:
    write_lines(root / "split" / "train.txt", "543210")


def ignoring_a_clip(root: Path) -> None:
    write_lines(root / "split" / "ignore_list.txt", "4")


def with_a_shorter_clip(root: Path) -> None:
    for person in ("person1", "person2"):
        path = root / "motions_processed" / person / "3.npy"
        np.save(path, np.load(path)[:-1])


def with_other_motion(root: Path) -> None:
    path = root / "motions_processed" / "person2" / "2.npy"
    np.save(path, np.load(path) + 0.5)


def with_a_caption_more(root: Path) -> None:
    write_lines(root / "annots" / "0.txt", ["two wave 0", "hi", "hello"])


def with_another_word(root: Path) -> None:
    write_lines(root / "annots" / "0.txt", ["two wave 0", "ho"])


def with_kinds(root: Path) -> None:
    write_kinds(root, {"0": "wave"})


def without_a_file(root: Path) -> None:
    (root / "motions_processed" / "person1" / "5.npy").unlink()


CHANGES = [
    without_a_clip,
    in_another_order,
    ignoring_a_clip,
    with_a_shorter_clip,
    with_other_motion,
    with_a_caption_more,
    with_another_word,
    with_kinds,
    without_a_file,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_trainings_read_counts(data, change):
    before = fingerprint(data)
    change(data)
    assert fingerprint(data) != before


def test_what_trainings_do_not_read_does_not_count(data):
    before = fingerprint(data)
    assert str(before) == f"9 clips in 18 files of {before.bytes:,} bytes"
    write_lines(data / "split" / "test.txt", "01")
    for beside in ("report.md", "lock", "annots/6.txt", "motions_processed/person1/.2-xyz.npy"):
        (data / beside).write_text("something")
    os.utime(data / "annots" / "0.txt", (0, 0))
    assert fingerprint(data) == before


def test_a_copy_is_the_same(data, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copytree(data, tmp_path / "elsewhere" / "copy")
    (tmp_path / "link").symlink_to(copy)
    monkeypatch.chdir(copy)
    found = {fingerprint(root) for root in (data, copy, tmp_path / "link", ".")}
    assert len(found) == 1


def test_shards_count(data, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BYTES", 100_000)  # two clips
    shard(data, tmp_path / "sharded")
    before = fingerprint(tmp_path / "sharded")
    assert before.files == 6 + 3 + 1  # captions, shards, index
    with (tmp_path / "sharded" / "shards" / "00001.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\x80\x3f")
    after = fingerprint(tmp_path / "sharded")
    assert after != before and str(after) == str(before)


def test_inter_x_and_humanml3d_count(data, tmp_path):
    interx.prepare(data, tmp_path / "interx")
    tiny.solo_data(tmp_path / "solo", HUMANML3D)
    changes = {
        "interx": lambda root: interx.write_actors(root, {"0": 1}),
        "solo": lambda root: np.save(root / "Std.npy", np.ones(HUMANML3D.num_features)),
    }
    for name, change in changes.items():
        root = tmp_path / name
        before = fingerprint(root)
        assert before.clips and before.files == 2 * len(
            {*(root / "new_joint_vecs").glob("*"), *(root / "motions").glob("*")}
        )
        change(root)
        assert fingerprint(root) != before


def test_what_can_not_be_read_counts_as_empty(data):
    path = data / "annots" / "0.txt"
    path.unlink()
    os.mkfifo(path)
    assert fingerprint(data).files == 18


@pytest.fixture
def train(run, data, tmp_path, monkeypatch):
    """`duomotion train` of a small model with data in the folder `data`, as typed in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def typed(*changes, recipe="length/open", steps=3):
        words = ("data.composed=null", f"optim.steps={steps}", "log.tensorboard=false", *changes)
        return run("train", recipe, *words, "--out", "out", "--device", "cpu")

    assert typed("data.clips=data")[0] == 0
    return typed


def steps_done() -> int:
    return max(record["step"] for record in read_records(Path("out/log.jsonl")))


def test_changed_data_are_refused_in_a_sentence(train, data):
    kept = data.rename("kept")
    shutil.copytree(kept, data)
    without_a_clip(data)
    refused(
        train("data.clips=data", steps=5),
        "duomotion: data has changed since the training in out was begun (9 clips in 18 files of",
        " bytes before, 8 clips in 18 files of",
        "bring the earlier data back, or begin a new training with another --out\n",
    )
    assert steps_done() == 3
    shutil.rmtree(data)
    kept.rename(data)
    assert train("data.clips=data", steps=5)[0] == 0
    assert steps_done() == 5


def test_other_contents_of_the_same_size_are_named(train, data):
    with_other_motion(data)
    refused(train("data.clips=data", steps=5), "bytes as before, with other contents)")


def test_the_same_data_elsewhere_go_on(train, data):
    data.rename("moved")
    status, _, error = train("data.clips=moved", steps=5)
    assert status == 0, error
    assert steps_done() == 5
    without_a_clip(Path("moved"))
    refused(train("data.clips=moved", steps=6), "moved has changed since")
    shutil.copytree("moved", "third")
    refused(train("data.clips=third", steps=6), "another recipe (data.clips was moved, is third)")


def test_a_checkpoint_of_an_earlier_version_goes_on(train, data):
    path = Path("out/last/training.json")
    position = json.loads(path.read_text())
    assert position.pop("data").keys() == {"data"}
    path.write_text(json.dumps(position))
    without_a_clip(data)
    assert train("data.clips=data", steps=5)[0] == 0
    assert json.loads(path.read_text())["data"]["data"]["clips"] == 8


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"data": 3}, "training.json: data has to be"),
        (
            {"data": {"data": {"clips": -1, "files": 0, "bytes": 0, "digest": ""}}},
            "clips has to be",
        ),
    ],
)
def test_a_damaged_fingerprint_is_named(train, damage, words):
    path = Path("out/last/training.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    refused(train("data.clips=data", steps=5), words)


def test_recipes_that_can_start_from_weights_say_so(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def train(steps):
        changes = (*tiny.INTERMAMBA, "data.pairs=data", "log.tensorboard=false")
        words = ("train", "intermamba/denoiser-open", *changes, f"optim.steps={steps}")
        return run(*words, "--out", "out", "--device", "cpu")

    assert train(1)[0] == 0
    with_another_word(data)
    refused(train(2), "a new training with another --out, from these weights with start=out/last\n")
