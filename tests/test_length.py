"""The length estimator: parity, training, and what generation makes of it."""

from pathlib import Path

import numpy as np
import parity
import pytest
import tiny
import torch
from motions import standing

import duomotion
from duomotion.checkpoint import environment, save_checkpoint
from duomotion.config import apply_overrides, to_dict
from duomotion.data.composed import write_mark
from duomotion.data.interhuman import write_clip, write_splits
from duomotion.models import find_recipe
from duomotion.models.length.network import LengthConfig, LengthEstimator, load_length_estimator

pytestmark = pytest.mark.usefixtures("hardly_separated")
WORDS = {"short": ("they wave", 19), "long": ("two people dance the salsa", 60)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))


def test_parity():
    name = parity.one_of("momask_length_estimator*")
    description, tensors = parity.load(name)
    sizes, weights = description["config"], parity.weights(name)
    config = LengthConfig(
        text_dim=sizes["input_size"],
        num_classes=sizes["output_size"],
        width=len(weights["output.0.bias"]),
    )
    estimator = LengthEstimator(config)
    estimator.load_state_dict(weights)
    logits = estimator.eval()(tensors["in/text_emb"])
    torch.testing.assert_close(logits, tensors["out/logits"], atol=1e-4, rtol=1e-4)
    assert sum(p.numel() for p in estimator.parameters()) == description["weights"]["parameters"]


def test_lengths_are_drawn_from_the_distribution():
    estimator = LengthEstimator(LengthConfig(text_dim=8, width=16, num_classes=4)).eval()
    output = estimator.output[-1]
    torch.nn.init.zeros_(output.weight)
    output.bias.data = torch.tensor([-50.0, 0.0, -50.0, float(np.log(3))])
    rngs = [torch.Generator().manual_seed(seed) for seed in range(400)]
    drawn = estimator.draw(torch.randn(400, 8), rngs)
    assert set(drawn) == {4, 12}
    assert 0.65 < drawn.count(12) / 400 < 0.85


def write_words(folder: Path, splits: tuple[str, ...]) -> None:
    for name, (caption, frames) in WORDS.items():
        write_clip(folder, name, standing(people=2, frames=frames, gap=0.8), (caption,))
    held = {split: list(WORDS) if split in splits else [] for split in ("train", "val", "test")}
    write_splits(folder, held)


def length_recipe(folder: Path, *changes: str):
    """A training on two captions of motion of two lengths."""
    write_words(folder, ("train", "val"))
    return apply_overrides(
        find_recipe("length/open"),
        [
            f"data.clips={folder}",
            "data.composed=null",
            "data.text_noise=0.1",
            "model.width=32",
            "model.dropout=0",
            "optim.steps=60",
            "optim.batch_size=2",
            "optim.lr=1e-2",
            "optim.warmup_steps=0",
            *tiny.FAST,
            *changes,
        ],
    )


def test_a_model_with_one_takes_as_long_as_the_text_does(tmp_path):
    records = tiny.train(length_recipe(tmp_path / "data"), tmp_path / "length")
    assert records[-1]["validation/frames_off"] == 0
    model = tiny.checkpoint(tmp_path / "tiny")
    (tmp_path / "length" / "best").rename(model / "length")
    generator = duomotion.load(model)
    texts = [caption for caption, _ in WORDS.values()]
    clips = list(generator.generate_many(texts, seed=1))
    assert [clip.num_frames for clip in clips] == [16, 60]
    for text, clip in zip(texts, clips, strict=True):
        alone = generator.generate(text, seed=1)
        np.testing.assert_allclose(alone.positions, clip.positions, atol=1e-4)
    assert generator.generate(texts[0], seconds=1).num_frames == 30


def test_a_generator_trains_only_with_one_that_reads_the_same_texts(tmp_path):
    recipe = length_recipe(tmp_path / "data")
    provenance = {**environment(torch.device("cpu")), "data": ["random weights"]}
    stored = to_dict(recipe)
    save_checkpoint(
        tmp_path / "length", LengthEstimator(recipe.model).state_dict(), stored, provenance
    )
    tiny.checkpoint(tmp_path / "tiny")
    generator = tiny.generator_recipe(
        f"data.pairs={tmp_path / 'data'}",
        f"data.tokenizer={tmp_path / 'tokenizer'}",
        f"data.length={tmp_path / 'length'}",
        "data.views=1",
        "data.examples.tempo=[1,1]",
        "data.examples.shortest=1",
    )
    assert tiny.task_of(generator).children["length"] == tmp_path / "length"
    stored["data"]["text_encoder"] = "clip"
    save_checkpoint(tmp_path / "length", {}, stored, provenance)
    with pytest.raises(ValueError, match="reads the text vectors of 'clip'"):
        tiny.task_of(generator)
    wrong = apply_overrides(generator, [f"data.length={tmp_path / 'tokenizer'}"])
    with pytest.raises(ValueError, match="not of 'length/estimator'"):
        tiny.task_of(wrong)


def test_composed_pairs_are_trained_on_and_named(tmp_path):
    recipe = length_recipe(tmp_path / "data", f"data.composed={tmp_path / 'composed'}")
    write_words(tmp_path / "composed", ("train",))
    write_mark(tmp_path / "composed", {}, {})
    task = tiny.task_of(recipe)
    assert len(task.classes_N) == 2 * len(WORDS) and len(task.held_out[1]) == len(WORDS)
    assert task.provenance()["data"] == [str(tmp_path / "data"), str(tmp_path / "composed")]


@pytest.mark.parametrize(("share", "composed"), [(0.0, 0), (0.4, 1), (0.5, 2), (0.9, 2)])
def test_an_epoch_has_a_share_of_composed_pairs(tmp_path, share, composed):
    changes = f"data.composed={tmp_path / 'composed'}", f"data.composed_share={share}"
    recipe = length_recipe(tmp_path / "data", *changes)
    write_words(tmp_path / "composed", ("train",))
    write_mark(tmp_path / "composed", {}, {})
    task = tiny.task_of(recipe)
    batches = task.train_batches(seed=0, epoch=0, skip=0)
    seen = torch.cat([batch["captions_B"] for batch in batches]).tolist()
    recorded = task.num_recorded
    assert sorted(seen)[:recorded] == list(range(recorded))
    assert len(set(seen)) == len(seen) == recorded + composed


def test_bad_input(tmp_path):
    recipe = length_recipe(tmp_path / "data", "model.text_dim=512")
    with pytest.raises(ValueError, match="gives 384 numbers"):
        tiny.task_of(recipe)
    with pytest.raises(ValueError, match="no checkpoint folder"):
        load_length_estimator(tmp_path / "nowhere")
