"""The open protocol on a tiny model and a few real takes."""

import json
from dataclasses import replace

import pytest
import tiny
from recordings import needs_recordings, prepare

import duomotion
from duomotion.data.interhuman import write_splits
from duomotion.evaluation.open import opensets, prompt_report
from duomotion.evaluation.open.prompt_report import run
from duomotion.evaluation.open.prompts import PROMPTS
from duomotion.sampling.request import Sampling


@pytest.mark.slow
@needs_recordings
def test_a_report_covers_everything_and_comes_out_the_same_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    prepared = prepare(tmp_path / "pairs", ("18_01", "20_11"))
    write_splits(prepared, {"train": ["18_01-00"], "val": [], "test": ["20_11-00"]})
    model = duomotion.load(tiny.checkpoint(tmp_path / "tiny"))
    some = {name: PROMPTS[name] for name in ("handshake", "march", "salsa turn")}
    pairs = replace(opensets.PAIRS, prompts=some)
    monkeypatch.setattr(prompt_report, "OPEN_SETS", {**opensets.OPEN_SETS, "open-pairs": pairs})
    asked, features = [], model.features

    def spy(requests, **more):
        asked.extend(requests)
        return features(requests, **more)

    monkeypatch.setattr(model, "features", spy)
    fast = Sampling(steps=2)
    report = run(model, prepared, seeds=1, sampling=fast)
    numbers = report.as_dict()
    assert set(numbers["prompts"]) == set(some) == set(numbers["copies"]["generated"])
    assert list(numbers["reconstruction"]) == ["20_11"] and len(numbers["copies"]["held_out"]) == 1
    assert numbers["reconstruction"]["20_11"]["mpjpe_mm"] > 100
    assert json.loads(json.dumps(numbers)) == json.loads(
        json.dumps(run(model, prepared, seeds=1, sampling=fast).as_dict())
    )
    assert {str(each.sampling) for each in asked} == {numbers["sampling"]} == {"steps 2"}
    text = report.markdown()
    assert "Sampling: steps 2." in text
    assert all(f"| {name} |" in text for name in some) and "Foot sliding" in text


def test_without_the_data_set_there_is_one_sentence(tmp_path):
    model = duomotion.load(tiny.checkpoint(tmp_path / "tiny"))
    with pytest.raises(ValueError, match=r"split/train\.txt"):
        run(model, tmp_path, seeds=1)
