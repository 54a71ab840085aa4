"""Data sets whose arrays are in shards: the same clips, windows and trainings."""

import json
import os
from functools import partial

import numpy as np
import pytest
import tiny
from refusals import refused
from safetensors.numpy import save_file

from duomotion.config import apply_overrides
from duomotion.data import humanml3d, interhuman, interx, shards
from duomotion.data.kinds import read_kinds, write_kinds
from duomotion.data.layouts import VIEWS
from duomotion.data.sharding import shard
from duomotion.data.windows import WindowConfig
from duomotion.models import find_recipe
from duomotion.motion.humanml3d import HUMANML3D


@pytest.fixture
def sharded(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BYTES", 100_000)  # two clips
    write_kinds(pairs, {"0": "wave"})
    assert shard(pairs, tmp_path / "sharded") == []
    return tmp_path / "sharded"


def test_clips_are_the_same(pairs, sharded):
    files = sorted(path.name for path in (sharded / "shards").iterdir())
    assert files == ["00000.safetensors", "00001.safetensors", "00002.safetensors", "index.json"]
    assert not (sharded / "motions_processed").exists()
    assert read_kinds(sharded) == {"0": "wave"}
    for read in (interhuman.read_split, interhuman.read_motions, interhuman.read_captioned):
        for split in ("train", "val", "test"):
            (ours, _), (theirs, _) = read(sharded, split), read(pairs, split)
            for clip, reference in zip(ours, theirs, strict=True):
                assert (clip.name, clip.captions) == (reference.name, reference.captions)
                assert np.array_equal(clip.positions, reference.positions)
                assert np.array_equal(clip.sixd, reference.sixd)


@pytest.mark.parametrize("floor", ["each", "keep"])
def test_windows_are_the_same(pairs, sharded, floor):
    config = WindowConfig(frames=20, floor=floor, people=2)
    drawn = [
        VIEWS["interhuman"]
        .windows(interhuman.read_motions(root, "train")[0], config)
        .draw(8, np.random.default_rng(0))
        for root in (sharded, pairs)
    ]
    assert np.array_equal(*drawn)


def test_inter_x_clips_are_the_same(pairs, tmp_path):
    interx.prepare(pairs, tmp_path / "interx")
    interx.write_actors(tmp_path / "interx", {"0": 1})
    shard(tmp_path / "interx", tmp_path / "sharded")
    (ours, _), (theirs, _) = (
        interx.read_split(tmp_path / name, "train") for name in ("sharded", "interx")
    )
    for clip, reference in zip(ours, theirs, strict=True):
        assert (clip.captions, clip.actor) == (reference.captions, reference.actor)
        assert np.array_equal(clip.rotations, reference.rotations)
        assert np.array_equal(clip.translations, reference.translations)


def test_clips_of_one_person_are_the_same(tmp_path):
    source = tiny.solo_data(tmp_path / "solo", HUMANML3D)
    shard(source, tmp_path / "sharded")
    assert humanml3d.layout_of(tmp_path / "sharded") is HUMANML3D
    (ours, _), (theirs, _) = (
        humanml3d.read_split(tmp_path / name, "train") for name in ("sharded", "solo")
    )
    for clip, reference in zip(ours, theirs, strict=True):
        assert (clip.name, clip.captions) == (reference.name, reference.captions)
        assert np.array_equal(clip.features, reference.features)


def test_trainings_are_the_same(pairs, sharded, tmp_path):
    logs = []
    for root in (pairs, sharded):
        recipe = apply_overrides(
            find_recipe("intergen/denoiser-open"),
            [*tiny.INTERGEN, *tiny.FAST, f"data.pairs={root}", "optim.steps=3"],
        )
        records = tiny.train(recipe, tmp_path / f"run-{root.name}")
        logs.append([{k: v for k, v in each.items() if k != "seconds"} for each in records])
    assert logs[0] == logs[1]


def test_the_command_reports_what_it_leaves_out(pairs, run, tmp_path):
    source = tmp_path / "source"
    interhuman.prepare(pairs, source)
    (source / "motions_processed" / "person2" / "3.npy").unlink()
    status, out, _ = run("data", "shard", source, tmp_path / "sharded")
    assert status == 0
    assert "3: person2 is missing" in out
    clips, problems = interhuman.read_split(tmp_path / "sharded", "train")
    assert [clip.name for clip in clips] == ["0", "1", "2", "4", "5"]
    assert [(each.name, each.reason) for each in problems] == [
        ("3", "shards/index.json does not name it")
    ]


def test_bad_input(pairs, sharded, run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(run("data", "shard", tmp_path / "empty", tmp_path / "out"), "motions_processed")
    refused(run("data", "shard", pairs, pairs / "inside"), "choose another folder")
    refused(run("data", "shard", pairs, pairs), "choose another folder")
    assert not (tmp_path / "out").exists()
    words = ("data", "prepare", "interhuman", sharded, "--out", tmp_path / "copy")
    refused(run(*words), "in shards")
    assert not (tmp_path / "copy").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    refused(run("data", "shard", pairs, tmp_path / "out"), "thesis.txt", "would be lost")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    index = sharded / "shards" / "index.json"
    good = json.loads(index.read_text())

    def reason(files):
        index.write_text(files if isinstance(files, str) else json.dumps(files))
        shards._read.cache_clear()
        (problem,) = (
            each for each in interhuman.read_split(sharded, "train")[1] if each.name == "0"
        )
        return problem.reason

    assert "can't be read" in reason({**good, "0": "00009.safetensors"})
    (sharded / "shards" / "00003.safetensors").write_bytes(b"no shard")
    assert "00003.safetensors can't be read" in reason({**good, "0": "00003.safetensors"})
    zeros = partial(np.zeros, dtype=np.float32)
    wrong = {"0/positions": zeros((2, 40, 21, 3)), "0/sixd": zeros((2, 40, 21, 6))}
    save_file(wrong, sharded / "shards" / "00004.safetensors")
    assert "holds (2, 40, 21, 3) numbers as positions" in reason({**good, "0": "00004.safetensors"})
    wrong["0/positions"] = zeros((2, 39, 22, 3))
    save_file(wrong, sharded / "shards" / "00005.safetensors")
    assert "different numbers of frames" in reason({**good, "0": "00005.safetensors"})
    save_file({"0/positions": np.zeros(3)}, sharded / "shards" / "00006.safetensors")
    assert "0/positions is F64, not F32" in reason({**good, "0": "00006.safetensors"})
    save_file({"0/sixd": zeros(3)}, sharded / "shards" / "00007.safetensors")
    assert "holds no positions of it" in reason({**good, "0": "00007.safetensors"})
    os.mkfifo(sharded / "shards" / "00008.safetensors")
    assert "is a named pipe" in reason({**good, "0": "00008.safetensors"})
    for people, frames, sentence in ((0, 40, "0 people"), (3, 40, "3 people"), (2, 1, "1 frames")):
        shape = (people, frames)
        odd = {"0/positions": zeros((*shape, 22, 3)), "0/sixd": zeros((*shape, 21, 6))}
        save_file(odd, sharded / "shards" / f"0001{people}.safetensors")
        assert f"it has {sentence}" in reason({**good, "0": f"0001{people}.safetensors"})
    others = ("../00000.safetensors", "..", "a\n.safetensors", "0" * 500 + ".safetensors")
    for files in ("{", "[]", *(json.dumps({"0": name}) for name in others)):
        index.write_text(files)
        shards._read.cache_clear()
        with pytest.raises(ValueError, match=r"index\.json"):
            interhuman.read_split(sharded, "train")
