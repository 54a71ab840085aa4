"""The protocol "actions" on a model that shows the same to everyone who asks."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from persons import jumping, waving
from test_action_prompts import pair

import duomotion
from duomotion.data.interhuman import write_clip, write_splits
from duomotion.evaluation.open import action_report
from duomotion.evaluation.open.action_prompts import ACTION_PROMPTS
from duomotion.motion.canonical import resample
from duomotion.motion.interaction import Interaction

WAVE, JOG = list(ACTION_PROMPTS)[:2]
FEW = {text: ACTION_PROMPTS[text] for text in (WAVE, JOG)}


class Waver:
    """One waves and the other jumps, but for seed 1."""

    name, fingerprint, num_people, fps, precision = "waver", "0" * 12, 2, 30.0, "float32"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def generate(self, text, *, seed, sampling) -> Interaction:
        self.asked.append((text, seed))
        return resample(pair(waving(), waving() if seed == 1 else jumping(), "near"), self.fps)


class Reader:
    """An evaluator that reads texts as which of two they are."""

    name, data = "reader", "open-pairs"

    def motions(self, motions):
        raise NotImplementedError

    def texts(self, texts):
        raise NotImplementedError

    def sentences(self, texts) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "wave" in text else [0.0, 1.0] for text in texts])


@pytest.fixture
def pairs(tmp_path):
    """Two recorded pairs, neither of which shows a prompt."""
    folder = tmp_path / "pairs"
    still = replace(pair(waving(), waving(), "near"), fps=30.0)
    for name, caption in (("a", "two people wave"), ("b", "two people jog")):
        write_clip(folder, name, still, [caption])
    write_splits(folder, {"train": ["a", "b"], "val": [], "test": ["a"]})
    return folder


def test_prompts_by_seeds_are_counted_and_clips_kept(pairs, tmp_path):
    model, folder = Waver(), tmp_path / "clips"
    options = {"folder": folder, "seeds": 3, "prompts": FEW}
    report = action_report.run([model], pairs, Reader(), **options)
    assert model.asked == [(text, seed) for text in FEW for seed in range(3)]
    found = report.as_dict()["rows"]
    assert found["waver"]["passes"] == {WAVE: 2, JOG: 0} and found["waver"]["shown"] == [WAVE]
    nearest = found["training clip of the nearest caption"]
    assert nearest["passes"] == {WAVE: 0, JOG: 0} and nearest["foot_sliding"] >= 0
    files = report.files()
    assert list(files) == ["report.md", "report.csv", "report.json"]
    assert f"| {WAVE} | 2/3 | yes | second clearance 1x, second rise 1x |" in files["report.md"]
    assert "| waver | 1/2 | 2/6 |" in files["report.md"]
    lines = list(csv.DictReader(files["report.csv"].splitlines()))
    assert len(lines) == 2 * (1 + 3) and lines[2]["passed"] == "1" and lines[2]["failed"] == ""
    assert json.loads(json.dumps(files["report.json"])) == files["report.json"]

    again = action_report.run([model], pairs, Reader(), **options)
    assert len(model.asked) == 6 and again.as_dict()["rows"] == found


def test_models_of_one_person_are_refused(run, monkeypatch, tmp_path):
    solo = SimpleNamespace(name="solo", num_people=1, fps=20.0)
    monkeypatch.setattr(duomotion, "load", lambda name, **more: solo)
    status, _, error = run("evaluate", "solo", "--protocol", "actions", "--out", tmp_path / "o")
    assert status == 2 and "solo makes the motion of one person" in error


def test_the_command_takes_evaluator_data_and_seeds(run, pairs, monkeypatch, tmp_path):
    model = Waver()
    monkeypatch.setattr(duomotion, "load", lambda name, **more: model)
    monkeypatch.setattr("duomotion.models.children.load_embedder", lambda path, **more: Reader())
    words = ("evaluate", "waver", "--protocol", "actions", "--data", pairs, "--repeats", 1)
    status, printed, error = run(*words, "--out", tmp_path / "o")
    assert status == 0, error
    assert "# Actions that no recorded pair shows" in printed and len(model.asked) == 40
    assert (tmp_path / "o" / "report.csv").is_file()
