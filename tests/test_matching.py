"""Training of evaluators of the released kinds, for a moment and at a tiny size."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import waving

from duomotion.checkpoint import read_checkpoint
from duomotion.config import apply_overrides
from duomotion.data import interx
from duomotion.data.humanml3d import finish
from duomotion.data.interhuman import write_clip, write_lines, write_splits
from duomotion.data.testsets import TEST_SETS
from duomotion.models import find_recipe
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.embedding import InterCLIPEmbedder, WordEmbedder
from duomotion.models.evaluator.matching import MARGIN, margin_losses
from duomotion.models.evaluator.t2m import T2MEvaluator
from duomotion.motion.humanml3d import HUMANML3D, KIT
from duomotion.motion.skeleton import SMPLX55
from duomotion.text.official_clip import read_tokenizer

SHORT = ("optim.steps=30", "optim.batch_size=4", "optim.warmup_steps=0", *tiny.FAST)
SIZES = tuple(f"model.{name}={value}" for name, value in tiny.BIGRU.items())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "interhuman"
    names = [str(number) for number in range(6)]
    for number, name in enumerate(names):
        write_clip(folder, name, waving(frames=20 + 3 * number), [f"two wave {name}", "hi"])
    write_splits(folder, {"train": names, "val": names[:3], "test": names})
    return folder


@pytest.fixture(scope="module")
def interx_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "interx"
    names = [str(number) for number in range(6)]
    for number, name in enumerate(names):
        people = replace(waving(2, 30 + 3 * number, SMPLX55), skeletons=(SMPLX55,) * 2)
        interx.write_clip(folder, name, people, ["Two wave.#two/NUM wave/VERB#0.0#0.0", "Hi."])
    for split in ("train", "val", "test"):
        write_lines(folder / "splits" / f"{split}.txt", names)
    return folder


@pytest.fixture(scope="module")
def solo(tmp_path_factory):
    """By layout; with the statistics that a data set has."""
    found = {}
    for layout in (HUMANML3D, KIT):
        folder = tiny.solo_data(tmp_path_factory.mktemp("data") / layout.name, layout)
        names = (folder / "train.txt").read_text().split()
        finish(folder, layout, {"train": names, "val": names[:3], "test": names})
        found[layout.name] = folder
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny text tower of CLIP with random weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("clip")
    read_tokenizer(tiny.words(folder), 522).save_pretrained(folder)
    config = CLIPTextConfig(
        vocab_size=522,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=520,
        eos_token_id=521,
    )
    torch.manual_seed(0)
    CLIPTextModel(config).save_pretrained(folder)
    return folder


def trained(name, folder, *changes):
    recipe = apply_overrides(find_recipe(name), [*SHORT, *changes])
    return [record["loss"] for record in tiny.train(recipe, folder) if "loss" in record]


INTERCLIP = (
    "model.width=16",
    "model.num_layers=1",
    "model.feedforward=16",
    "model.embedding_dim=8",
    "model.vocabulary=522",
    "model.text_width=16",
    "model.text_layers=1",
)


def test_interclip(pairs, clip, tmp_path):
    losses = trained(
        "evaluator/interclip",
        tmp_path,
        *INTERCLIP,
        f"data.pairs={pairs}",
        f"data.clip={clip}",
        "optim.lr=1e-2",
    )
    assert losses[-1] < losses[0]
    embedder = load_embedder(tmp_path / "last")
    assert isinstance(embedder, InterCLIPEmbedder)
    views = TEST_SETS["interhuman"]
    clips, _ = views.read(pairs, "test")
    assert embedder.motions([views.recorded(clips[0], 0)]).shape == (1, 8)
    assert embedder.texts(["two wave", "hi"]).shape == (2, 8)
    # CLIP's own vectors are kept as they were
    from transformers import CLIPTextModel

    tower = CLIPTextModel.from_pretrained(clip)
    kept = embedder.evaluator.text_encoder.tokens.weight
    assert torch.equal(kept, tower.get_input_embeddings().weight)


@pytest.mark.parametrize("kind", ["interx", "humanml3d", "kit"])
def test_evaluators_that_read_words(interx_pairs, solo, tmp_path, kind):
    layout = {"kit": "kit-ml"}.get(kind, kind)
    folder = interx_pairs if kind == "interx" else solo[layout]
    movement, glove = tmp_path / "movement", tiny.glove(tmp_path / "glove")
    start = ("optim.lr=1e-2", f"data.folder={folder}", *SIZES)
    losses = trained(f"evaluator/movement-{kind}", movement, *start)
    assert losses[-1] < losses[0]
    given = (*start, f"data.glove={glove}", f"data.movement={movement / 'last'}")
    losses = trained(f"evaluator/{kind}", tmp_path / "evaluator", *given)
    assert losses[-1] < losses[0]
    embedder = load_embedder(tmp_path / "evaluator" / "last")
    assert isinstance(embedder, WordEmbedder) and embedder.data == layout
    views = TEST_SETS[layout]
    clips, _ = views.read(folder, "test")
    motions = embedder.motions([views.recorded(clip, 0) for clip in clips[:3]])
    texts = embedder.texts(["two/NUM wave/VERB", "hi/OTHER", "turn/VERB"])
    assert motions.shape == texts.shape == (3, 8) and np.isfinite(motions).all()
    # the movement encoder and the statistics are those of the autoencoder
    own = embedder.evaluator.state_dict()
    for name, tensor in read_checkpoint(movement / "last").tensors.items():
        if name.startswith("evaluator."):
            assert torch.equal(own[name.removeprefix("evaluator.")], tensor)
    if isinstance(embedder.evaluator, T2MEvaluator):
        std = np.load(folder / "Std.npy")
        np.testing.assert_allclose(own["std"][4:-4], std[4:-4], rtol=1e-6)
        np.testing.assert_allclose(own["std"][:4], std[:4] / 5, rtol=1e-6)
    # an evaluator's own folder serves as the words of the next
    again = (*start, f"data.glove={tmp_path / 'evaluator' / 'last'}", *given[-1:])
    recipe = apply_overrides(find_recipe(f"evaluator/{kind}"), [*SHORT, *again])
    assert tiny.task_of(recipe).words.words == embedder.words.words


def test_bad_input_is_one_sentence(run, pairs, interx_pairs, solo, clip, tmp_path):
    glove = tiny.glove(tmp_path / "glove")
    trained("evaluator/movement-interx", tmp_path / "m", f"data.folder={interx_pairs}", *SIZES)
    words = ("evaluator/humanml3d", f"data.folder={solo['humanml3d']}", *SIZES)
    words += (f"data.glove={glove}",)
    run("data", "list")  # what the training printed is read here
    cases = {
        "(522, 16) and (77, 16) numbers for tokens": ("evaluator/interclip", f"data.clip={clip}"),
        "CLIP's text weights can't be had": ("evaluator/interclip", f"data.clip={glove}"),
        "data.movement is missing": (*words, "data.movement="),
        "no checkpoint folder is there": (*words, f"data.movement={tmp_path / 'nothing'}"),
        "is of another data set or size": (*words, f"data.movement={tmp_path / 'm' / 'last'}"),
        "holds 0 files *_data.npy": (
            "evaluator/interx", f"data.folder={interx_pairs}", *SIZES, f"data.glove={tmp_path}",
            f"data.movement={tmp_path / 'm' / 'last'}",
        ),
        "has no split/train.txt": ("evaluator/movement-interx", f"data.folder={tmp_path}"),
        "is in the layout kit-ml; the evaluator reads humanml3d": (
            "evaluator/movement-humanml3d", f"data.folder={solo['kit-ml']}", *SIZES,
        ),
        "optim.batch_size has to be at least 2": (
            "evaluator/interclip", "optim.batch_size=1", f"data.clip={clip}",
        ),
    }  # fmt: skip
    for sentence, (name, *changes) in cases.items():
        if name == "evaluator/interclip":
            changes = [f"data.pairs={pairs}", *changes]
        status, _, error = run("train", name, *changes, "--out", tmp_path / "out")
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error


@given(st.integers(2, 6), st.data())
def test_the_margin(count, data):
    shift = data.draw(st.integers(1, count - 1))
    rng = np.random.default_rng(count)
    text = torch.from_numpy(rng.normal(size=(count, 3)))
    own, other = margin_losses(text, text, shift)
    assert own == pytest.approx(0, abs=1e-9) and 0 < other <= MARGIN**2
    far = 100 * torch.arange(count, dtype=torch.float64)[:, None]
    own, other = margin_losses(far, far + 2, shift)
    assert own == pytest.approx(4, abs=1e-4) and other == 0
    by_hand = [
        max(0, MARGIN - float((text[row] - text[(row + shift) % count]).norm())) ** 2
        for row in range(count)
    ]
    assert margin_losses(text, text, shift)[1] == pytest.approx(np.mean(by_hand), rel=1e-4)
