"""Checkpoints that somebody else has made: a model, or one sentence, in little time and memory."""

import json
import resource
import shutil
import time
from pathlib import Path

import pytest
import tiny
import tiny_momask
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from safetensors.torch import load_file, save_file

import duomotion
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.t2m import HUMANML3D
from duomotion.text import cache
from duomotion.text.sentence import SentenceEncoder

MOST_MEMORY = 300 * 2**10  # KiB that a load may add to what the process has taken before
MOST_TIME = 5.0  # seconds


def evaluator(folder: Path) -> Path:
    return tiny.bigru(folder, "t2m-evaluator", HUMANML3D.motion_dim)


MODELS = {
    "intermask": (tiny.checkpoint, duomotion.load),
    "momask": (lambda folder: tiny_momask.checkpoint(folder, length=True), duomotion.load),
    "interclip": (tiny.interclip, load_embedder),
    "t2m": (evaluator, load_embedder),
}


@pytest.fixture(scope="module", autouse=True)
def sentences():
    """One sentence encoder for all; other names are refused without a look at the network."""
    encoder = SentenceEncoder()

    def found(name):
        if name != "sentence":
            raise ValueError(f"there is no text encoder {name!r}")
        return encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "load_encoder", found)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint of every kind."""
    folders = {name: tmp_path_factory.mktemp(name) / "model" for name in MODELS}
    return {name: MODELS[name][0](folder) for name, folder in folders.items()}


def loaded(name: str, folder: Path):
    """The model, or the sentence of its refusal."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        model = MODELS[name][1](folder)
    except (ValueError, OSError) as error:
        model = str(error)
        assert "\n" not in model and len(model) < 5000
    assert time.monotonic() - start < MOST_TIME
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    return model


def parts(folder: Path) -> list[Path]:
    """The folders of a checkpoint and those in it that have a recipe."""
    return [path.parent for path in sorted(folder.rglob("recipe.json"))]


def with_recipe(folder: Path, change) -> None:
    path = folder / "recipe.json"
    recipe = json.loads(path.read_text())
    change(recipe)
    path.write_text(json.dumps(recipe))


def with_tensor(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    tensors[name] = change(tensors[name])
    save_file(tensors, path)


numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 2000, 10**6, 10**8, 10**400, 1e308])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("name", MODELS)
@examples(50)
@given(data=st.data())
def test_any_value_in_a_recipe_is_a_model_or_a_sentence(whole, name, data):
    part = data.draw(st.sampled_from(parts(whole[name])))
    path = part / "recipe.json"
    original = path.read_text()
    recipe = json.loads(original)
    places = [(recipe, key) for key in recipe if key not in ("optim", "log", "losses")]
    places += [(recipe["model"], key) for key in [*recipe["model"], "unknown"]]
    if "data" in recipe:
        places.append((recipe["data"], "text_encoder"))
    for holder, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=2)):
        holder[key] = data.draw(anything)
    try:
        path.write_text(json.dumps(recipe))
        loaded(name, whole[name])
    finally:
        path.write_text(original)


@pytest.mark.parametrize("name", MODELS)
@examples(40)
@given(data=st.data())
def test_any_damage_to_a_file_is_a_model_or_a_sentence(whole, name, data):
    files = sorted(path for path in whole[name].rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    start = data.draw(st.integers(0, min(len(original), 4000)))
    length = data.draw(st.integers(0, 40) | st.just(len(original)))
    try:
        inserted = data.draw(st.binary(max_size=40))
        path.write_bytes(original[:start] + inserted + original[start + length :])
        loaded(name, whole[name])
    finally:
        path.write_bytes(original)


@pytest.fixture
def copy(whole, tmp_path):
    """Copies to harm."""
    return lambda name: shutil.copytree(whole[name], tmp_path / name)


SIZES = [
    ("intermask", ".", {"num_blocks": 2000}, "num_blocks has to be a whole number from 1 to 128"),
    ("intermask", ".", {"num_codes": 10**8}, "num_codes has to be a whole number from 1 to 1,048"),
    ("intermask", ".", {"num_codes": 10**6}, "instead of"),
    ("intermask", ".", {"num_heads": 0}, "num_heads has to be a whole number from 1"),
    ("intermask", ".", {"width": -16}, "width has to be a whole number from 1"),
    ("intermask", ".", {"num_parts": 4}, "has 32 codes of 4 parts, its tokenizer 32 of 5"),
    ("intermask", ".", {"guidance": float("nan")}, "guidance has to be a number from 0"),
    ("intermask", "tokenizer", {"widths": [8] * 10**5}, "widths has to be a list, each a whole"),
    ("intermask", "tokenizer", {"stride": [0, 2]}, r"stride\[0\] has to be a whole number from 1"),
    ("intermask", "tokenizer", {"num_joints": 10**6, "decoder_joints": [11, 10**6]}, "no layout"),
    ("momask", ".", {"max_tokens": 10**9}, "max_tokens has to be a whole number from 1 to 10,000"),
    ("momask", "tokenizer", {"depth": 10**6}, "depth has to be a whole number from 1 to 128"),
    ("momask", "tokenizer", {"depth": 100}, "convolutions that reach"),
    ("momask", "length", {"text_dim": 512}, r"\(16, 384\) instead of \(16, 512\)"),
    ("interclip", ".", {"num_heads": 3}, "multiple of num_heads 3"),
    ("t2m", ".", {"word_dim": 10**6}, "instead of"),
]


@pytest.mark.parametrize(("name", "part", "sizes", "sentence"), SIZES)
def test_sizes_that_no_machine_has_are_refused(copy, name, part, sizes, sentence):
    folder = copy(name)
    with_recipe(folder / part, lambda recipe: recipe["model"].update(sizes))
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(loaded(name, folder))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda recipe: recipe.pop("model"), "the field 'model' is missing"),
        (lambda recipe: recipe.update(model=[]), "it has to be an object with fields, not "),
        (lambda recipe: recipe.pop("data"), "'data.text_encoder' has to name the text encoder"),
        (lambda recipe: recipe.update(data=7), "'data.text_encoder' has to name the text encoder"),
        (lambda recipe: recipe["data"].update(text_encoder=["sentence"]), "has to name the text"),
        (lambda recipe: recipe.update(system=None), "'system' has to name the system"),
        (
            lambda recipe: recipe["model"].update({f"x{n}": n for n in range(9999)}),
            "has 9993 more unknown fields",
        ),
    ],
)
def test_what_a_recipe_lacks_is_named(copy, change, sentence):
    folder = copy("momask")
    with_recipe(folder, change)
    with pytest.raises(ValueError, match=rf"recipe\.json.*{sentence}"):
        raise ValueError(loaded("momask", folder))


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "{" + " " * 10**6 + "}"])
def test_recipes_that_are_nested_deeply_or_long_are_refused(copy, text):
    folder = copy("momask")
    (folder / "recipe.json").write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.json"):
        raise ValueError(loaded("momask", folder))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x * float("nan"), "not all numbers are finite in "),
        (lambda x: x + float("inf"), "not all numbers are finite in "),
        (lambda x: x.double() + 1e300, "not all numbers are finite in "),
        (lambda x: x.to(torch.float8_e5m2), "numbers of this type are not read"),
        (lambda x: x.to(torch.complex64), "numbers of this type are not read"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(copy, name, change, sentence):
    folder = copy(name)
    with_tensor(folder, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors: {sentence}"):
        raise ValueError(loaded(name, folder))
