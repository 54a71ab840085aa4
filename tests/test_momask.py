"""MoMask as a whole, with random weights: loaded and asked."""

import os

import numpy as np
import pytest
import tiny_momask
import torch
from motions import standing

import duomotion
from duomotion.checkpoint import read_checkpoint, save_checkpoint
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.motion.canonical import resample, transform
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import KIT21, SMPL22
from duomotion.sampling.request import Request, Sampling


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    os.environ["DUOMOTION_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return duomotion.load(tiny_momask.checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def walk():
    """Someone who goes along a bow, at 20 fps."""
    clip = standing(people=1, frames=90)
    roots = clip.root_positions.copy()
    time = np.linspace(0, 3, 90)
    roots[0, :, 0] += np.sin(time)
    roots[0, :, 2] += time
    rotations = clip.rotations.copy()
    rotations[0, :, 0] = yaw(0.5 * time) @ rotations[0, :, 0]
    moved = type(clip)(roots, rotations, clip.skeletons, clip.fps)
    return transform(resample(moved, 20.0), yaw(1.0), np.array([2.0, 0, -1]))


@pytest.mark.parametrize(
    ("layout", "fps", "skeleton"), [("humanml3d", 20.0, SMPL22), ("kit-ml", 12.5, KIT21)]
)
def test_one_person_at_the_layouts_rate(tmp_path, layout, fps, skeleton):
    model = duomotion.load(tiny_momask.checkpoint(tmp_path / "tiny", layout))
    clip = model.generate("a person waves", seconds=4, seed=1)
    assert (clip.num_people, clip.num_frames, clip.fps) == (1, round(4 * fps), fps)
    assert clip.skeletons[0].same_tree(skeleton) and np.isfinite(clip.positions).all()
    assert clip.caption == "a person waves"
    again = model.generate("a person waves", seconds=4, seed=1)
    np.testing.assert_array_equal(clip.positions, again.positions)
    assert model.fps == fps and model.num_people == 1


def test_features_are_what_the_network_makes(model):
    request = Request(text="a person waves", frames=60, seed=2)
    (features,) = model.features([request])
    raw = model.layout.positions(
        model.layout.fix_root_from_contacts(features)[0].astype(np.float64)
    )
    made = model.answer([request])[0].positions[0]
    assert np.abs(raw[:, 0, ::2] - made[:, 0, ::2]).max() < 1e-4
    assert model.reconstruct(features[:, :58]).shape == (1, 56, 263)


@pytest.mark.parametrize(
    "unknown", [[(0.0, 1.0)], [(1.5, 3.0)], [(2.0, 3.0)], [(0.0, 0.5), (2.0, 2.5)]]
)
def test_known_frames_come_back_exactly(model, walk, unknown):
    clip = model.inpaint(walk, "a person turns", unknown=unknown, seed=3)
    open_T = np.zeros(walk.num_frames, bool)
    for start, stop in unknown:
        open_T[round(20 * start) : round(20 * stop)] = True
    np.testing.assert_array_equal(clip.positions[:, ~open_T], walk.positions[:, ~open_T])
    assert np.abs(clip.positions - walk.positions)[:, open_T].max() > 1e-3
    steps = np.linalg.norm(np.diff(clip.root_positions[0], axis=0), axis=-1)
    assert steps.max() < 0.4


def test_known_motion_is_seen_and_may_be_anywhere(model, walk):
    here = model.inpaint(walk, "a person turns", unknown=(1.5, 3.0))
    moved = transform(walk, yaw(0.8), np.array([1.0, 0, 2.0]))
    there = model.inpaint(moved, "a person turns", unknown=(1.5, 3.0))
    expected = transform(here, yaw(0.8), np.array([1.0, 0, 2.0]))
    np.testing.assert_allclose(there.positions, expected.positions, atol=2e-2)


def test_motion_goes_on(model, walk):
    clip = model.extend(walk, "a person stops", seconds=12)
    assert clip.num_frames == 240 and clip.fps == 20
    np.testing.assert_allclose(clip.positions[:, : walk.num_frames], walk.positions, atol=1e-5)
    long = model.generate("a person walks", seconds=15)
    assert long.num_frames == 300


def test_clips_of_other_rates_are_taken(model):
    clip = model.extend(standing(people=1, frames=60), seconds=4)
    assert clip.num_frames == 80 and clip.fps == 20


def test_lengths_follow_the_text_where_there_is_an_estimator(tmp_path, model):
    assert model.generate("a person waves").num_frames == 80
    timed = duomotion.load(tiny_momask.checkpoint(tmp_path / "timed", length=True))
    frames = timed.lengths(["a person waves", "someone walks for a long time"], seed=1)
    assert all(40 <= count <= 196 for count in frames)
    assert timed.generate("a person waves", seed=1).num_frames == frames[0]


def test_the_base_layer_alone_generates(tmp_path, model):
    base = duomotion.load(tiny_momask.checkpoint(tmp_path / "base", residual=False))
    clip = base.generate("a person waves", seconds=2)
    assert np.isfinite(clip.positions).all()
    assert base.fingerprint != model.fingerprint and len(base.fingerprint) == 12


def test_settings_reach_the_decoding(model):
    motions = [
        model.generate("they wave", seconds=2, **settings).positions
        for settings in ({}, {"sampling": Sampling(steps=1)}, {"sampling": Sampling(guidance=1.0)})
    ]
    assert all(np.abs(motions[0] - other).max() > 1e-3 for other in motions[1:])
    with pytest.raises(ValueError, match="steps"):
        model.generate("they wave", seconds=2, sampling=Sampling(steps=0))


def test_two_people_are_refused_in_one_sentence(model, walk, tmp_path, run):
    pair = standing(people=2, frames=90)
    with pytest.raises(ValueError, match="tiny makes the motion of one person and can't add"):
        model.react(walk, "they dance")
    with pytest.raises(ValueError, match="so there is no partner"):
        model.generate("a person waves", partner="the other bows")
    for task in (
        lambda: model.inpaint(pair, unknown=(1.0, 2.0)),
        lambda: model.extend(pair, seconds=5),
    ):
        with pytest.raises(ValueError, match="the given motion has 2 people, name a model of two"):
            task()
    folder = tiny_momask.checkpoint(tmp_path / "typed")
    status, _, said = run(
        *("generate", "a person waves", "--partner", "the other bows", "--seconds", 2),
        *("--model", folder, "--out", tmp_path / "out"),
    )
    assert status == 2 and "typed makes the motion of one person" in said


def test_lengths_out_of_range_are_refused(model):
    with pytest.raises(ValueError, match="makes motion of 2 to 60 s"):
        model.generate("a person waves", seconds=1)


def test_parts_that_do_not_belong_together_are_refused(tmp_path):
    folder = tiny_momask.checkpoint(tmp_path / "tiny")
    part = read_checkpoint(folder / "tokenizer")
    for change, sentence in (
        ({"num_people": 2}, "for 2 people in the layout humanml3d; MoMask makes"),
        ({"num_codes": 16}, "tokenizer 16, masked transformer 32, residual transformer 32"),
        ({"num_layers": 2}, "generates 3 layers of tokens, the tokenizer has 2"),
    ):
        model = {**part.recipe["model"], **change}
        state = ResidualCodec(ResidualTokenizerConfig(**model)).state_dict()
        recipe = {**part.recipe, "model": model}
        save_checkpoint(folder / "tokenizer", state, recipe, part.provenance)
        with pytest.raises(ValueError, match=sentence):
            duomotion.load(folder)


def test_weights_change_the_fingerprint(model, tmp_path):
    other = duomotion.load(tiny_momask.checkpoint(tmp_path / "tiny"))
    assert other.fingerprint == model.fingerprint
    with torch.no_grad():
        other.residual.shared += 1
    assert other.fingerprint != model.fingerprint
