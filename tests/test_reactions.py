"""Reactions of a model to recorded people, and what is kept of them."""

import json

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from motions import waving
from properties import examples
from solo_motion import solo_data, walking

from duomotion.composition import reactions
from duomotion.composition.dataset import CompositionConfig, compose
from duomotion.composition.reactions import Judge, threshold_between, unsound
from duomotion.composition.sentences import read_sentences
from duomotion.data.composed import read_mark
from duomotion.data.interhuman import read_split, write_clip, write_splits
from duomotion.loading import shipped_evaluator
from duomotion.models.children import load_embedder
from duomotion.motion.interaction import together

TEXTS = (
    "One person waves while the other person bows.",
    "Two people walk side by side.",
    "They shake hands.",
)


pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A data set of one person, pairs, sentences and a tiny model."""
    root = tmp_path_factory.mktemp("reactions")
    for number, text in enumerate(TEXTS):
        write_clip(root / "pairs", f"{number}", waving(2, 60 + number), [text])
    names = [str(number) for number in range(len(TEXTS))]
    write_splits(root / "pairs", {"train": names, "val": [], "test": []})
    plans = [
        {"text_person1": "A person walks.", "text_person2": "Another person follows them."},
        {"text_person1": "I", "text_person2": "You"},
    ]
    (root / "plans.json").write_text(json.dumps(plans))
    solo_data(root / "solo")
    tiny.checkpoint(root / "model")
    return root


def config(folders, **changes):
    return CompositionConfig(
        **{
            "solo": str(folders / "solo"),
            "count": 0,
            "reactions": 4,
            "model": str(folders / "model"),
            "sentences": str(folders / "plans.json"),
            "pairs": str(folders / "pairs"),
            **changes,
        }
    )


def lenient(monkeypatch):
    """Keep what an untrained model makes."""
    monkeypatch.setattr(reactions, "threshold_between", lambda low, high: -2.0)
    monkeypatch.setattr(reactions, "unsound", lambda pair: ())


def test_sentences_come_from_the_file_and_from_the_pairs(folders):
    found = read_sentences(str(folders / "plans.json"), str(folders / "pairs"))
    assert [sentence.text for sentence in found] == [
        "One person walks and the other follows them.",
        "One person waves and the other bows.",
    ]
    assert len(read_sentences("", str(folders / "pairs"))) == 1


def test_a_recorded_person_is_kept_and_the_other_generated(folders, tmp_path, monkeypatch):
    lenient(monkeypatch)
    report = compose(config(folders), tmp_path)
    assert report.kept == {"reaction": 4} and report.tried == {"reaction": 4}
    clips, problems = read_split(tmp_path, "train")
    _, records = read_mark(tmp_path)
    assert not problems and len(clips) == 4
    for clip in clips:
        recorded, made = records[clip.name]["people"]
        assert recorded["clip"] in ("01_01", "01_02", "01_03", "02_01") and made["model"]
        assert clip.positions.shape[0] == 2
        assert any("the other" in text for text in clip.captions)


def test_reactions_are_the_same_again(folders, tmp_path, monkeypatch):
    lenient(monkeypatch)
    for name in ("one", "two"):
        compose(config(folders, reactions=2), tmp_path / name)
    for one, two in zip(
        *(read_split(tmp_path / n, "train")[0] for n in ("one", "two")), strict=True
    ):
        np.testing.assert_array_equal(one.positions, two.positions)
        assert one.captions == two.captions


@pytest.mark.slow
def test_what_does_not_fit_is_dropped_with_its_reason(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(reactions, "threshold_between", lambda low, high: 2.0)
    report = compose(config(folders), tmp_path / "one")
    assert report.kept == {}
    assert report.dropped["reaction"] == {"the evaluator does not find the sentence in it": 4}
    monkeypatch.setattr(reactions, "threshold_between", lambda low, high: -2.0)
    monkeypatch.setattr(reactions, "unsound", lambda pair: ("foot_sliding",))
    report = compose(config(folders), tmp_path / "two")
    assert report.dropped["reaction"] == {"no sound motion: foot sliding": 4}


def test_the_judge_prefers_the_own_caption(folders):
    clips, _ = read_split(folders / "pairs", "train")
    judge = Judge(load_embedder(shipped_evaluator()), clips)
    pair = waving(2, 60)
    assert -1 <= judge.threshold <= 1
    assert -1 <= judge.alignment(pair, TEXTS[0]) <= 1


@examples(100)
@given(st.lists(st.integers(0, 20), min_size=1), st.lists(st.integers(0, 20), min_size=1))
def test_the_threshold_makes_the_fewest_errors(low, high):
    low, high = np.array(low, float), np.array(high, float)

    def errors(threshold):
        return (low >= threshold).mean() + (high < threshold).mean()

    found = threshold_between(low, high)
    assert errors(found) <= min(errors(each) for each in range(22)) + 1e-9


def test_bodies_in_each_other_are_unsound():
    apart = together([walking(0, 2), walking(0, 2)])
    assert "body_depth" in unsound(apart)


def test_bad_input_gets_one_sentence(run, folders, tmp_path):
    def refused(*words, **changes):
        given = {"model": folders / "model", "pairs": folders / "pairs", **changes}
        options = [str(word) for name, value in given.items() for word in (f"--{name}", value)]
        typed = ("data", "compose", folders / "solo", "--out", tmp_path / "out", "--count", 0)
        status, _, error = run(*typed, "--reactions", 1, "--processes", 1, *options)
        assert status == 2 and len(error.strip().splitlines()) == 1, error
        assert not (tmp_path / "out").exists()
        return all(word in error for word in words)

    broken = tmp_path / "broken.json"
    broken.write_text('{"text": 1}')
    assert refused("not a JSON list", sentences=broken)
    assert refused("none", sentences=tmp_path / "none.json")
    assert refused("train.txt", pairs=tmp_path)
    assert refused("no model", model="nobody")
    assert refused("one person", model="momask-open")
    write_clip(tmp_path / "silent", "0", waving(2, 60), ["They dance."])
    write_splits(tmp_path / "silent", {"train": ["0"], "val": [], "test": []})
    assert refused("each of two people", pairs=tmp_path / "silent")
