"""MoMask's trainings: on a few real takes, from recordings to motion, and what goes wrong."""

import os
import re

import numpy as np
import pytest
import tiny
from recordings import needs_recordings, prepare, prepare_solo
from test_humanml3d_data import published

import duomotion
from duomotion.checkpoint import read_checkpoint
from duomotion.config import apply_overrides
from duomotion.models.momask.codec import load_codec
from duomotion.motion.humanml3d import KIT
from duomotion.training import recipes

TAKES = ("18_01", "20_11", "22_01")
TOKENIZER = (
    "model.width=16",
    "model.depth=1",
    "model.code_dim=16",
    "model.num_codes=16",
    "model.num_layers=3",
    "data.window=40",
    "optim.batch_size=8",
    "optim.warmup_steps=0",
    *tiny.FAST,
)
TRANSFORMER = (
    "model.num_codes=16",
    "model.token_dim=16",
    "model.width=16",
    "model.num_heads=2",
    "model.num_blocks=1",
    "model.feedforward=16",
    "model.dropout=0",
    "data.views=4",
    "optim.steps=60",
    "optim.batch_size=8",
    "optim.lr=1e-2",
    "optim.warmup_steps=0",
    *tiny.FAST,
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    os.environ["DUOMOTION_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def recipe(name, *changes):
    return apply_overrides(recipes.find(name), changes)


def losses(records):
    return [record["loss"] for record in records if "loss" in record]


@needs_recordings
def test_training_from_recordings_to_motion(tmp_path):
    clips = prepare_solo(tmp_path / "solo", TAKES)
    tokenizer = recipe("momask/tokenizer-open", *TOKENIZER, f"data.clips={clips}", "optim.steps=20")
    records = tiny.train(tokenizer, tmp_path / "tokenizer")
    assert records[-1]["validation/root_aligned_mpjpe_mm"] < 140  # fitted before the first step
    tokens = (f"data.clips={clips}", f"data.tokenizer={tmp_path / 'tokenizer' / 'best'}")

    residual = recipe("momask/residual-open", *TRANSFORMER, *tokens, "model.num_layers=3")
    found = losses(tiny.train(residual, tmp_path / "residual"))
    assert found[-1] < 0.9 * found[0]

    length = recipe("momask/length-open", f"data.clips={clips}", "optim.steps=20", *tiny.FAST)
    tiny.train(length, tmp_path / "length")

    masked = recipe(
        "momask/masked-open",
        *TRANSFORMER,
        *tokens,
        f"data.residual={tmp_path / 'residual' / 'best'}",
        f"data.length={tmp_path / 'length' / 'last'}",
    )
    found = losses(tiny.train(masked, tmp_path / "masked"))
    assert found[-1] < 0.9 * found[0]

    folder = tmp_path / "masked" / "last"
    assert {path.name for path in folder.iterdir()} >= {"tokenizer", "residual", "length"}
    clip = duomotion.load(folder).generate("person A of 18_01")
    assert clip.num_people == 1 and clip.fps == 20 and np.isfinite(clip.positions).all()


@needs_recordings
def test_both_people_in_one_latent(tmp_path):
    pairs = prepare(tmp_path / "pairs", TAKES)
    both = recipe(
        "momask/tokenizer-pairs-open", *TOKENIZER, f"data.clips={pairs}", "optim.steps=20"
    )
    records = tiny.train(both, tmp_path / "both")
    assert records[-1]["validation/root_aligned_mpjpe_mm"] < 600
    codec = load_codec(tmp_path / "both" / "last")
    clip = np.random.default_rng(0).normal(size=(2, 42, 262)).astype(np.float32)
    assert codec.reconstruct(clip).shape == (2, 40, 262)


def test_a_tokenizer_that_is_not_fitted_learns(tmp_path):
    clips = published(tmp_path / "clips", frames=80)
    plain = recipe(
        "momask/tokenizer", *TOKENIZER, f"data.clips={clips}", "optim.steps=60", "optim.lr=5e-3"
    )
    found = losses(tiny.train(plain, tmp_path / "tokenizer"))
    assert found[-1] < found[0]
    checkpoint = read_checkpoint(tmp_path / "tokenizer" / "last")
    assert "tokenizer.encoder.embed.weight" in checkpoint.tensors


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("model.layout=kit-ml", "model.num_features=251"), "layout humanml3d; model.layout"),
        (("data.window=100",), "no clip of 100 frames"),
    ],
)
def test_tokenizers_refuse_what_does_not_fit(tmp_path, changes, sentence):
    clips = published(tmp_path / "clips")
    wrong = recipe("momask/tokenizer", *TOKENIZER, f"data.clips={clips}", *changes)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        recipes.task_of(wrong)


def test_generators_refuse_what_does_not_fit(tmp_path):
    clips = published(tmp_path / "clips", KIT, frames=60)
    tokenizer = recipe("momask/tokenizer-kit", *TOKENIZER, f"data.clips={clips}", "optim.steps=1")
    tiny.train(tokenizer, tmp_path / "tokenizer")
    folder = tmp_path / "tokenizer" / "last"
    tokens = (f"data.clips={clips}", f"data.tokenizer={folder}")
    for name, change, sentence in (
        ("masked", "model.num_codes=32", "has 16 codes a layer; model.num_codes must be the same"),
        ("masked", "model.token_dim=8", "has codes of 16 numbers; with data.from_codes model.t"),
        ("residual", "model.num_layers=6", "has 3 layers; model.num_layers must be the same"),
        ("masked", f"data.residual={folder}", "a checkpoint of 'momask/tokenizer'"),
    ):
        wrong = recipe(
            f"momask/{name}-open",
            *TRANSFORMER,
            *tokens,
            *(["data.residual=null", "data.length=null"] if name == "masked" else []),
            change,
        )
        with pytest.raises(ValueError, match=re.escape(sentence)):
            recipes.task_of(wrong)


def test_settings_are_those_of_the_paper_and_the_released_code():
    tokenizer, kit = recipes.find("momask/tokenizer"), recipes.find("momask/masked-kit")
    assert (tokenizer.model.width, tokenizer.model.num_layers, tokenizer.optim.lr) == (512, 6, 2e-4)
    assert not tokenizer.model.fitted
    for name in ("momask/masked", "momask/residual"):
        found = recipes.find(name)
        assert (found.model.width, found.model.num_heads, found.optim.batch_size) == (384, 6, 64)
    assert (kit.model.guidance, kit.optim.batch_size) == (2.0, 32)
    both = recipes.find("momask/tokenizer-pairs").model
    assert (both.num_people, both.depth, both.num_features) == (2, 4, 262)
