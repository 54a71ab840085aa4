"""Captions with weights: read, carried along with the motion, drawn."""

import numpy as np
import pytest
import torch
from motions import waving
from test_humanml3d_data import LINE, OTHER, published

from duomotion.data.interhuman import Span, write_splits, write_timed_clip
from duomotion.data.layouts import CAPTIONED, VIEWS
from duomotion.data.pairs import PairConfig
from duomotion.data.sources import write_sources, write_weights
from duomotion.text.cache import CachedEncoder
from duomotion.text.encoders import load_encoder
from duomotion.training import captions
from duomotion.training.captions import draw_caption, draw_captions

WEIGHTS = {"a": 3.0, "b": 1.0}
SPANS = (Span("they wave", 0, 2, "a"), Span("hi", 0, 2, "b"), Span("they sit", 0.5, 1.5, "a"))


@pytest.fixture
def root(tmp_path):
    for name in ("x", "y"):
        write_timed_clip(tmp_path, name, waving(2, 60), SPANS)
    write_splits(tmp_path, {"train": ["x"], "val": ["y"], "test": []})
    write_weights(tmp_path, WEIGHTS)
    return tmp_path


@pytest.mark.parametrize("weights", [(), (2.0, 2.0, 2.0)])
def test_captions_alike_are_drawn_as_ever(weights):
    captions = ("one", "two", "three")
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    found = draw_captions([(captions, weights)] * 50, rng)
    assert found == [captions[int(other.integers(3))] for _ in range(50)]
    assert rng.bit_generator.state == other.bit_generator.state


def test_captions_are_drawn_in_proportion_to_their_weights():
    rng = np.random.default_rng(0)
    found = [draw_caption(("often", "seldom"), (3.0, 1.0), rng) for _ in range(2000)]
    assert found.count("often") == pytest.approx(1500, abs=80)


def test_generators_see_stretches_and_tokenizers_whole_clips(root):
    layout = VIEWS["interhuman"]
    clips, _ = layout.read_split(root, "train")
    assert [(clip.name, clip.num_frames) for clip in clips] == [("x", 60), ("x-1", 30)]
    assert [layout.captions(clip) for clip in clips] == [("they wave", "hi"), ("they sit",)]
    clips, _ = layout.read_motions(root, "train")
    assert [(clip.name, clip.num_frames) for clip in clips] == [("x", 60)]


def test_weights_go_with_the_captions_of_an_example(root, tmp_path):
    solo = published(tmp_path / "solo")
    write_sources(solo, "000001", ["a", "b"])
    write_weights(solo, WEIGHTS)
    rng = np.random.default_rng(0)
    for name, folder in (("interhuman", root), ("humanml3d", solo)):
        layout = CAPTIONED[name]
        (clip, *_), _ = layout.read_split(folder, "train")
        example = layout.example(clip, PairConfig(), rng)
        assert len(example.captions) == 2 and example.weights == (3.0, 1.0)


def test_sources_of_stretches_are_counted_with_the_lines(tmp_path):
    solo = published(tmp_path, frames=100)
    part = "he sits#he/PRON sit/VERB#1.0#4.0\n"
    (solo / "texts" / "000001.txt").write_text(LINE + part + OTHER)
    write_sources(solo, "000001", ["a", "b", "b"])
    write_weights(solo, WEIGHTS)
    whole, stretch = CAPTIONED["humanml3d"].read_split(solo, "train")[0]
    assert whole.weights == (3.0, 1.0) and stretch.name == "000001-2"
    write_sources(solo, "000001", ["a", "b"])
    (problem,) = CAPTIONED["humanml3d"].read_split(solo, "all")[1]
    assert problem.reason == "sources/000001.txt has 2 lines for 3 captions"


@pytest.mark.parametrize("kept", [0, 256e6])
def test_states_are_the_encoders_whether_they_stay_in_memory_or_not(cache, monkeypatch, kept):
    monkeypatch.setattr(captions, "KEPT_BYTES", kept)
    encoder = CachedEncoder(load_encoder("sentence"))
    states = captions.CaptionStates(encoder, ["they wave", "they wave", "one bows"], [""])
    for texts in (["one bows", "", "they wave", "one bows"], ["they wave", "never heard of"]):
        found, expected = states.encode(texts), encoder.encode(texts)
        assert torch.equal(found.hidden_BLC, expected.hidden_BLC)
        assert torch.equal(found.pool_index_B, expected.pool_index_B)
