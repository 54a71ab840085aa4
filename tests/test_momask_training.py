"""MoMask's trainings: on a few real takes, from recordings to motion, and what goes wrong."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from recordings import needs_recordings, prepare, prepare_solo
from test_humanml3d_data import published

import duomotion
from duomotion.checkpoint import environment, read_checkpoint, save_checkpoint
from duomotion.config import apply_overrides, to_dict
from duomotion.models import find_recipe
from duomotion.models.momask.codec import load_codec
from duomotion.models.momask.crops import tokens_of
from duomotion.motion.humanml3d import KIT
from duomotion.training.schedule import learning_rate

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
    return apply_overrides(find_recipe(name), changes)


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

    length = recipe("length/solo", f"data.clips={clips}", "optim.steps=20", *tiny.FAST)
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
    assert clip.reading is not None and clip.reading.known


@pytest.mark.slow
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


def test_tokenizers_see_whole_clips_once_captioned_or_not(tmp_path):
    clips = published(tmp_path / "clips", frames=240)
    (clips / "train.txt").write_text("000001\n000002\n")
    line = "he sits#he/PRON sit/VERB#1.0#4.5\n"
    (clips / "texts" / "000001.txt").write_text(line * 3)
    (clips / "texts" / "000002.txt").unlink()
    plain = recipe("momask/tokenizer", *TOKENIZER, f"data.clips={clips}")
    task = tiny.task_of(plain)
    assert [len(motion) for motion in task.windows.motions] == [240, 240]
    assert task.windows.num_windows == 2 * (240 - 40 + 1)
    assert list(task.windows.held_out) == ["000002"]


def random_codec(folder, clips):
    """An untrained tokenizer with statistics of its own, whose codes lie among what it encodes."""
    plain = recipe("momask/tokenizer", *TOKENIZER, f"data.clips={clips}")
    codec = tiny.task_of(plain).model.eval()
    windows = torch.randn(64, 40, 263, generator=torch.Generator().manual_seed(1))
    latents = codec.tokenizer.latents(windows).detach().flatten(0, 1)
    for layer, quantizer in enumerate(codec.tokenizer.quantizer.layers):
        quantizer.codebook.copy_(latents[layer : 16 + layer] * 0.5**layer)
    provenance = {**environment(torch.device("cpu")), "data": ["random weights"]}
    save_checkpoint(folder, codec.state_dict(), to_dict(plain), provenance)
    return codec


def transformer(name, clips, tokenizer, *changes):
    tokens = (f"data.clips={clips}", f"data.tokenizer={tokenizer}", "data.text_encoder=sentence")
    layers = ["model.num_layers=3"] if name == "residual" else []
    alone = ["data.residual=null", "data.length=null"] if name == "masked" else []
    sizes = [change for change in TRANSFORMER if not change.startswith("data.views")]
    return recipe(
        f"momask/{name}", *sizes, *tokens, *layers, *alone, "model.text_dim=384", *changes
    )


def test_each_epoch_has_fresh_crops_tokenized_as_released(tmp_path):
    clips = published(tmp_path / "clips", frames=62)
    codec = random_codec(tmp_path / "tokenizer", clips)
    task = tiny.task_of(transformer("masked", clips, tmp_path / "tokenizer"))
    motion = np.load(clips / "new_joint_vecs" / "000001.npy")
    lengths = []
    for epoch in range(12):
        (batch,) = task.train_batches(seed=0, epoch=epoch, skip=0)
        (again,) = task.train_batches(seed=0, epoch=epoch, skip=0)
        assert torch.equal(batch["motion_BTF"], again["motion_BTF"])
        count = int(batch["lengths_B"])
        seen = codec.denormalise(batch["motion_BTF"])[0, : 4 * count].numpy()
        starts = [
            start
            for start in range(63 - 4 * count)
            if np.allclose(seen, motion[start : start + 4 * count], atol=1e-5)
        ]
        assert len(starts) == 1
        lengths.append((count, starts[0]))
        # the released loader: zeros behind the end of normalised motion, 196 frames in all
        expected = np.zeros((1, 196, 263), np.float32)
        expected[0, : 4 * count] = (seen - codec.mean.numpy()) / codec.std.numpy()
        ids = codec.tokenizer.encode(torch.from_numpy(expected))[:, :count]
        assert torch.equal(tokens_of(batch, codec), ids)
    assert {count for count, _ in lengths} == {14, 15} and len(set(lengths)) > 3


def test_fixed_crops_have_no_zeros_behind_them(tmp_path):
    clips = published(tmp_path / "clips", frames=60)
    random_codec(tmp_path / "tokenizer", clips)
    found = {}
    for views in ("null", "3"):
        change = f"data.views={views}"
        task = tiny.task_of(transformer("residual", clips, tmp_path / "tokenizer", change))
        found[views] = task.held_out.ids[0]
        if views == "3":
            assert len(task.crops.clips) == 3
    padded, alone = found["null"], found["3"]
    assert padded.shape == alone.shape
    assert torch.equal(padded[:-3], alone[:-3]) and not torch.equal(padded, alone)


@pytest.mark.parametrize("name", ["masked", "residual"])
def test_training_on_fresh_crops_resumes_and_learns(tmp_path, name):
    clips = published(tmp_path / "clips", frames=60)
    random_codec(tmp_path / "tokenizer", clips)
    changes = ("optim.schedule=constant", "optim.steps=12")
    whole = transformer(name, clips, tmp_path / "tokenizer", *changes)
    found = losses(tiny.train(whole, tmp_path / "whole"))
    assert found[-1] < found[0]
    tiny.train(apply_overrides(whole, ["optim.steps=5"]), tmp_path / "halves")
    tiny.train(whole, tmp_path / "halves")
    one, two = (read_checkpoint(tmp_path / each / "last") for each in ("whole", "halves"))
    for key, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[key]), key
    further = tiny.task_of(apply_overrides(whole, [f"start={tmp_path / 'whole' / 'last'}"]))
    for key, tensor in further.model.state_dict().items():
        assert torch.equal(tensor, one.tensors[key]), key


@pytest.mark.parametrize("name", ["masked", "residual"])
def test_texts_are_dropped_in_training_alone(tmp_path, name):
    clips = published(tmp_path / "clips", frames=60)
    random_codec(tmp_path / "tokenizer", clips)
    losses_of = {}
    for share in (0.0, 1.0):
        changes = (f"model.cond_drop={share}", "model.attention_dropout=0")
        task = tiny.task_of(transformer(name, clips, tmp_path / "tokenizer", *changes))
        for parameter in task.model.parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(2))
        (batch,) = task.train_batches(seed=0, epoch=0, skip=0)
        for mode in (True, False):
            task.model.train(mode)
            loss, _ = task.loss(batch, torch.Generator().manual_seed(0), 0)
            losses_of[share, mode] = loss.item()
    assert losses_of[0.0, False] == losses_of[1.0, False]
    assert losses_of[0.0, True] != losses_of[1.0, True]


def test_best_checkpoints_by_fid(tmp_path):
    clips = published(tmp_path / "clips", frames=60)
    (clips / "val.txt").write_text("000001\n000002\n000003\n")
    evaluator = tiny.bigru(tmp_path / "evaluator", "t2m-evaluator", 259)
    random_codec(tmp_path / "random", clips)
    choice = (f"data.evaluator={evaluator}", "log.validate_every=2")
    steps = ("optim.steps=6", "optim.batch_size=2")
    plain = recipe("momask/tokenizer", *TOKENIZER, f"data.clips={clips}", *choice, *steps)
    found = {"tokenizer": plain}
    for name in ("masked", "residual"):
        found[name] = transformer(name, clips, tmp_path / "random", *choice, *steps)
    for name, each in found.items():
        records = tiny.train(each, tmp_path / name)
        fids = [line["validation/fid"] for line in records if "validation/fid" in line]
        assert len(fids) == 3 and np.isfinite(fids).all() and len(set(fids)) > 1, name
        best = read_checkpoint(tmp_path / name / "best").provenance
        assert best["scores"]["fid"] == min(fids) and best["step"] == 2 + 2 * np.argmin(fids)
    one = apply_overrides(found["masked"], [f"data.evaluator={tmp_path / 'random'}"])
    with pytest.raises(ValueError, match="momask/tokenizer"):
        tiny.task_of(one)


def test_transformers_refuse_clips_of_another_layout(tmp_path):
    clips = published(tmp_path / "clips", frames=60)
    random_codec(tmp_path / "tokenizer", clips)
    other = published(tmp_path / "kit", KIT, frames=60)
    with pytest.raises(ValueError, match="kit is in the layout kit-ml; the tokenizer reads human"):
        tiny.task_of(transformer("masked", other, tmp_path / "tokenizer"))


def test_learning_rates_fall_at_the_steps_of_the_released_code():
    at = {
        name: [
            step
            for step in range(10_000, found.optim.steps, 10_000)
            if learning_rate(step, found.optim) < 0.5 * learning_rate(step - 1, found.optim)
        ]
        for name, found in recipes_of_the_released_code()
    }
    assert at == {
        "momask/tokenizer": [150_000, 250_000],
        "momask/tokenizer-kit": [],
        **{f"momask/{name}": [50_000] for name in ("masked", "residual")},
        **{f"momask/{name}-kit": [50_000] for name in ("masked", "residual")},
        "length/humanml3d": [],
        "length/kit": [],
    }


PARTS = ("tokenizer", "masked", "residual")


def recipes_of_the_released_code():
    parts = [f"momask/{name}{end}" for name in PARTS for end in ("", "-kit")]
    for name in (*parts, "length/humanml3d", "length/kit"):
        yield name, find_recipe(name)


def test_no_training_goes_on_from_where_a_held_out_loss_was_lowest():
    for name in ("masked", "masked-kit", "masked-open"):
        assert Path(find_recipe(f"momask/{name}").data.residual).name == "last"
    optim = find_recipe("length/humanml3d").optim
    assert (optim.lr, optim.betas, optim.weight_decay, optim.clip_norm) == (
        1e-4, (0.9, 0.999), 0, 0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("model.layout=kit-ml", "model.num_features=251"), "layout humanml3d; model.layout"),
        (("data.window=100",), "no usable clip (000001: it has 60 frames, fewer than 100)"),
    ],
)
def test_tokenizers_refuse_what_does_not_fit(tmp_path, changes, sentence):
    clips = published(tmp_path / "clips")
    wrong = recipe("momask/tokenizer", *TOKENIZER, f"data.clips={clips}", *changes)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        tiny.task_of(wrong)


def test_generators_refuse_what_does_not_fit(tmp_path):
    clips = published(tmp_path / "clips", KIT, frames=60)
    tokenizer = recipe("momask/tokenizer-kit", *TOKENIZER, f"data.clips={clips}", "optim.steps=1")
    tiny.train(tokenizer, tmp_path / "tokenizer")
    folder = tmp_path / "tokenizer" / "last"
    tokens = (f"data.clips={clips}", f"data.tokenizer={folder}")
    for name, change, sentence in (
        ("masked", "model.num_codes=32", "has 16 codes a layer; model.num_codes must be the same"),
        (
            "masked",
            "model.token_dim=8",
            "has codes of 16 numbers; with data.init_from_codes model.t",
        ),
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
            tiny.task_of(wrong)


def test_settings_are_those_of_the_paper_and_the_released_code():
    tokenizer, kit = find_recipe("momask/tokenizer"), find_recipe("momask/masked-kit")
    assert (tokenizer.model.width, tokenizer.model.num_layers, tokenizer.optim.lr) == (512, 6, 2e-4)
    assert not tokenizer.model.pca_encoder
    for name in ("momask/masked", "momask/residual"):
        found = find_recipe(name)
        assert (found.model.width, found.model.num_heads, found.optim.batch_size) == (384, 6, 64)
    assert (kit.model.guidance, kit.optim.batch_size) == (2.0, 32)
    both = find_recipe("momask/tokenizer-pairs").model
    assert (both.num_people, both.depth, both.num_features) == (2, 4, 262)
