"""A system is one folder: one of fewer than 100 lines works everywhere without any other change."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from motions import waving

import duomotion
from duomotion import cli, models
from duomotion.data.interhuman import write_clip, write_splits
from duomotion.evaluation.open import opensets
from duomotion.models import windows

TOYS = Path(__file__).parent / "toys"


@pytest.fixture(scope="module", autouse=True)
def on_the_path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "__path__", [*models.__path__, str(TOYS)])
        patch.setenv("DUOMOTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    names = [str(number) for number in range(3)]
    for number, name in enumerate(names):
        write_clip(folder, name, waving(frames=40 + number), [f"two people wave {name}"])
    write_splits(folder, {"train": names, "val": names[:1], "test": names})
    return folder


@pytest.fixture(scope="module")
def model(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "toy"
    changes = f"pairs={pairs} log.tensorboard=false optim.steps=200 optim.lr=2e-2".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["duomotion", "train", "toy/frames", *changes, "--out", str(out)]
        )
        cli.main()
    return out / "last"


def test_it_has_fewer_than_100_lines():
    lines = (TOYS / "toy" / "__init__.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 100


def test_it_is_listed(run):
    status, text, _ = run("models")
    assert status == 0 and "toy" in text and "Nobody et al. 1900" in text and "toy/frames" in text


def test_it_generates_reacts_inpaints_and_extends(run, model, tmp_path):
    out = ["--model", model, "--formats", "npz", "--out", tmp_path / "out"]
    clips = {}
    for name, words in {
        "generate": ["two people wave", "--seconds", 2],
        "react": [tmp_path / "alone.npz", "--text", "they wave"],
        "inpaint": [tmp_path / "pair.npz", "--unknown", "0.5:1.0"],
        "extend": [tmp_path / "pair.npz", "--seconds", 4],
    }.items():
        status, text, error = run(name, *words, *out)
        assert status == 0, (name, error)
        path = next(line for line in text.splitlines() if line.endswith(".npz"))
        clips[name] = duomotion.Interaction.load(path)
        if name == "generate":
            clips[name].save(tmp_path / "pair.npz")
            clips[name].person(0).save(tmp_path / "alone.npz")
    assert {name: clip.num_frames for name, clip in clips.items()} == {
        "generate": 60, "react": 60, "inpaint": 60, "extend": 120
    }  # fmt: skip
    given, filled = clips["generate"].positions, clips["inpaint"].positions
    assert abs(filled - given)[:, :15].max() < 1e-5 < abs(filled - given)[:, 20:25].max()


def test_it_says_what_it_reads_prompts_as(run, model, tmp_path):
    words = ["--seconds", 1, "--model", model, "--formats", "npz", "--out", tmp_path]
    status, text, _ = run("generate", "two people wave their hands", *words)
    assert status == 0 and 'read as "wave" (0.' in text and "nothing like" not in text
    status, text, _ = run("generate", "two people fence", *words)
    assert status == 0 and 'read as "wave" (0.' in text
    assert f"nothing like 'two people fence' was in the training data, {'wave'!r} is" in text
    assert f"`duomotion models {model}` lists" in text
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man waves\nthey wave\n")
    status, text, _ = run("generate", "--prompts", prompts, *words)
    assert status == 0 and text.count("read as") == 2
    assert text.count("'a man waves' is about one person; ") == text.count(" is about ") == 1
    assert "momask-open that of one person" in text


def test_the_kinds_that_it_knows_are_listed(run, model):
    status, text, _ = run("models", model)
    assert status == 0
    title, line = text.splitlines()
    assert title == "kind  clips  example" and line.startswith("wave      3  two people wave ")


def test_known_settings_are_its_own(run, model):
    status, _, error = run("generate", "hi", "--seconds", 1, "--model", model, "--guidance", 2)
    assert status == 2 and "no sampling setting guidance" in error


def test_seams_of_its_long_motion_are_measured(run, model, tmp_path, monkeypatch):
    two = opensets.OPEN_SETS["open-pairs"]
    few = dict(list(two.prompts.items())[:1])
    monkeypatch.setattr(windows, "MAX_TRIES", 1)
    monkeypatch.setitem(opensets.OPEN_SETS, "open-pairs", replace(two, prompts=few))
    words = ("evaluate", model, "--protocol", "long", "--repeats", 1, "--out", tmp_path / "long")
    status, text, error = run(*words)
    assert status == 0 and "| seams |" in text, error


def test_it_is_timed(run):
    status, text, error = run("bench", "toy", "--seconds", 1, "--batch", 1, "--repeats", 1)
    assert status == 0 and "| 1 | 1 | float32 |" in text, error


def test_its_released_weights_are_imported(run, model, tmp_path):
    network = models.part_of("toy/frames").load(model)
    torch.save({"toy": network.state_dict()}, tmp_path / "toy.pt")
    status, text, error = run(
        "import-official", "toy", tmp_path / "toy.pt", "--out", tmp_path / "a"
    )
    assert status == 0 and "frames: " in text, error
    again = models.part_of("toy/frames").load(tmp_path / "a")
    assert torch.equal(again.frame.weight, network.frame.weight)
    status, _, error = run(
        "import-official", "toy", tmp_path / "toy.pt", "--out", tmp_path / "b", "--vocabulary", "x"
    )
    assert status == 2 and "vocabulary" in error


def test_an_unknown_recipe_of_it_is_one_sentence(run):
    status, _, error = run("train", "toy/frame")
    assert status == 2 and "did you mean toy/frames?" in error
