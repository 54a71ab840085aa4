"""The published protocols and tables, on made-up clips with a tiny evaluator and a tiny model."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from motions import standing, waving

import duomotion
from duomotion.config import apply_overrides
from duomotion.data.interhuman import read_split, write_clip, write_splits
from duomotion.evaluation import interhuman, published, reproduce, tables
from duomotion.evaluation.embedding import InterCLIPEmbedder, load_embedder
from duomotion.evaluation.interhuman import Evaluation, Generated, recorded
from duomotion.evaluation.protocols import INTERMASK
from duomotion.evaluation.sources import Ask
from duomotion.loading import shipped_evaluator
from duomotion.sampling.request import Generator, Request
from duomotion.training import recipes

FEW = {
    "pool": 4,
    "diversity_pairs": 4,
    "multimodality_texts": 2,
    "multimodality_samples": 3,
    "multimodality_pairs": 2,
    "repeats": 2,
}
SMALL = replace(INTERMASK, **FEW)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    for name, protocol in interhuman.PROTOCOLS.items():
        monkeypatch.setitem(interhuman.PROTOCOLS, name, replace(protocol, **FEW))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nine clips of 20 to 36 frames, one more than two pools."""
    folder = tmp_path_factory.mktemp("data") / "interhuman"
    names = [str(number) for number in range(9)]
    for number, name in enumerate(names):
        clip = waving(frames=20 + 2 * number)
        write_clip(folder, name, clip, [f"two wave {name}", f"hi {name}", f"they turn {name}"])
    write_splits(folder, {"train": names[:1], "val": names[:1], "test": names})
    return folder


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    return tiny.interclip(tmp_path_factory.mktemp("evaluator") / "interclip")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def test_the_command_goes_on_where_it_stopped_and_gives_the_same_twice(
    run, data, evaluator, model, tmp_path
):
    out = tmp_path / "out"
    words = ["evaluate", model, "--protocol", "intermask", "--data", data, "--out", out]
    status, text, error = run(*words, "--evaluator", evaluator)
    assert status == 0, error
    lines = text.splitlines()
    assert any(line.startswith("| ground truth | ") for line in lines)
    assert any(line.startswith("| InterMask (published: Javed et al. 2025") for line in lines)
    first = json.loads((out / "report.json").read_text())
    assert list(first["rows"]) == ["ground truth", str(model)]
    assert first["rows"][str(model)].keys() == set(interhuman.MEASURED)
    assert first["rows"]["ground truth"].keys() == set(interhuman.MEASURED) - {"multimodality"}
    assert first["facts"]["protocol"]["name"] == "intermask" and first["facts"]["clips"] == 9
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert {row["motion"] for row in rows} == set(first["rows"])

    made = sorted((out / "clips").rglob("*.npz"))
    assert len(made) == 2 * (8 + 2 * 3)  # each repeat: two pools, two texts with three seeds
    made[0].unlink()
    made[1].write_bytes(b"broken")
    times = {path: path.stat().st_mtime_ns for path in made[2:]}
    run(*words, "--evaluator", evaluator)
    assert json.loads((out / "report.json").read_text())["rows"] == first["rows"]
    assert times == {path: path.stat().st_mtime_ns for path in made[2:]}


def test_bad_input_is_one_sentence(run, data, evaluator, model, tmp_path):
    words = ["evaluate", model, "--protocol", "intergen", "--data", data, "--out", tmp_path / "o"]
    cases = {
        "--evaluator is missing": (),
        "is not InterCLIP": ("--evaluator", shipped_evaluator()),
        "not of an evaluator of motion": ("--evaluator", model),
        "no checkpoint folder is there": ("--evaluator", tmp_path / "nothing"),
        "2 repeats or more": ("--evaluator", evaluator, "--repeats", 1),
    }
    for sentence, more in cases.items():
        status, _, error = run(*words, *more)
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error
    status, _, error = run(
        "evaluate", model, "--data", data, "--out", tmp_path / "o", "--evaluator", evaluator
    )
    assert status == 2 and "is not an evaluator of the open benchmark" in error


def test_too_few_clips_and_people_alone(data, evaluator):
    embedder, clips = load_embedder(evaluator), read_split(data, "test")[0]
    with pytest.raises(ValueError, match="at least 384 test clips, not 9"):
        Evaluation(embedder, clips, INTERMASK)
    alone = replace(clips[0], positions=clips[0].positions[:1])
    with pytest.raises(ValueError, match="don't show two people: 0"):
        Evaluation(embedder, [*clips, alone], SMALL)


def test_an_evaluator_of_another_data_set_is_refused(tmp_path):
    from duomotion.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "e", {"x": torch.ones(1)}, {"system": "evaluator/interx"}, {})
    with pytest.raises(ValueError, match="'evaluator/interx', not of an evaluator of motion in"):
        load_embedder(tmp_path / "e")


def test_views_of_recorded_clips(data):
    body = standing(frames=400)
    sixd = np.tile([1.0, 0, 0, 1, 0, 0], (2, 400, 21, 1)).astype(np.float32)
    clip = replace(read_split(data, "test")[0][0], positions=body.positions, sixd=sixd)
    asks = Evaluation(FlatEmbedder(), [clip] * 8, SMALL).draw(np.random.default_rng(0))
    assert {ask.clip.num_frames for ask in asks} == {300} and len({ask.seed for ask in asks}) == 8
    shapes = {motion.shape for motion in recorded(asks)}
    assert shapes == {(2, 299, 262)}
    first_at_origin = {bool(abs(motion[0, 0, 0]) < 1e-3) for motion in recorded(asks)}
    assert first_at_origin == {True, False}


class FlatEmbedder:
    """The place of the first person's feet on the way, and nothing of texts."""

    name = "flat"

    def motions(self, motions):
        return np.stack([motion[0, [0, -1], :6].ravel() for motion in motions])

    def texts(self, texts):
        return np.zeros((len(texts), 12))


def test_scales_and_the_fid_of_recorded_motion(data):
    clips = read_split(data, "test")[0]

    def noisy(asks):
        rngs = (np.random.default_rng(ask.seed) for ask in asks)
        return [rng.normal(size=(2, 8, 262)) for rng in rngs]

    sources = {"ground truth": recorded, "noise": noisy}
    varied = {"noise": noisy}
    once = Evaluation(FlatEmbedder(), clips, replace(SMALL, multimodality_scale=1))
    real, noise = once.rows(sources, varied=varied)
    scaled = Evaluation(FlatEmbedder(), clips, SMALL).rows(sources, varied=varied)[1]
    ratio = scaled.scores["multimodality"].mean / noise.scores["multimodality"].mean
    assert ratio == pytest.approx(3) and scaled.scores["fid"] == noise.scores["fid"]
    assert 0 <= real.scores["fid"].mean < noise.scores["fid"].mean
    assert "multimodality" not in real.scores


def test_the_network_is_read_as_it_is(data, model, tmp_path):
    from duomotion.distributed import Processes

    loaded, clip = duomotion.load(model), read_split(data, "test")[0][4]
    processes = Processes(torch.device("cpu"))
    ask = Ask(clip, "x " * 3000, 3)  # as long as it is: captions are no prompts
    assert clip.num_frames == 28
    made = Generated(loaded, tmp_path, processes, frame_unit=4).source([ask])[0]
    assert made.shape == (2, 24, 262)
    request = Request(text=ask.text, frames=24, seed=3)
    np.testing.assert_array_equal(loaded.features([request])[0], made)
    cleaned = loaded.answer([request])[0]
    assert cleaned.num_frames == 24
    assert np.abs(cleaned.positions.reshape(2, 24, 66) - made[..., :66]).max() > 1e-3
    exact = Generated(loaded, tmp_path / "exact", processes, frame_unit=1).source([ask])[0]
    assert exact.shape == (2, 27, 262)
    short = replace(clip, positions=clip.positions[:, :15], sixd=clip.sixd[:, :15])
    shortest = Generated(loaded, tmp_path, processes, frame_unit=4).source([Ask(short, "hi", 0)])
    assert shortest[0].shape == (2, 12, 262)


def test_models_of_other_layouts_are_refused(data, tmp_path):
    from duomotion.distributed import Processes

    ask = Ask(read_split(data, "test")[0][0], "hi", 0)
    for model, sentence in ((InterXModel(), "336 features a frame"), (Mute(), "makes no features")):
        source = Generated(model, tmp_path, Processes(torch.device("cpu")), frame_unit=4).source
        with pytest.raises(ValueError, match=sentence):
            source([ask])


class Mute(Generator):
    """A model that has not said what its network makes."""

    name, fingerprint, min_frames, max_frames = "mute", "0" * 12, 1, 300

    def answer(self, requests):
        raise NotImplementedError

    def reconstruct(self, features):
        raise NotImplementedError


class InterXModel(Mute):
    def features(self, requests):
        return [np.zeros((2, request.frames, 336)) for request in requests]


def test_clip_reads_words_as_its_own_code_does(evaluator):
    embedder = load_embedder(evaluator)
    assert isinstance(embedder, InterCLIPEmbedder)
    texts = ["Two", "hi two ab", "two " * 200]
    together = embedder.texts(texts)
    assert together.shape == (3, 8)
    np.testing.assert_allclose(together[:1], embedder.texts(texts[:1]), atol=1e-5)
    np.testing.assert_allclose(embedder.texts(["two"]), together[:1], atol=1e-5)
    (evaluator / "words").rename(evaluator / "away")
    with pytest.raises(ValueError, match="words is not there"):
        load_embedder(evaluator)
    (evaluator / "away").rename(evaluator / "words")


def test_tables_contradict_nothing():
    for table in published.published().values():
        assert table.rows and set(table.columns) <= tables.COLUMNS.keys()
        for row, words in reproduce.TRAINING.get(table.name, {}).items():
            recipe, *changes = words.split()
            assert row in {each.name for each in table.rows}
            assert apply_overrides(recipes.find(recipe), changes) is not None
    table = {"title": "t", "source": "s", "data": None, "columns": ["fid"], "rows": []}
    row = {"name": "a", "values": {"fid": 1.0}}
    bad = {
        "no column": [{"name": "a", "values": {"r1": 1.0}}],
        "margin without": [{**row, "spread": {"r1": 1.0}}],
        "same name": [row, row],
        "'values' is missing": [{"name": "a"}],
    }
    for sentence, rows in bad.items():
        with pytest.raises(ValueError, match=sentence):
            published.table_of("x", {**table, "rows": rows})


def test_reproduce_lists_all_tables(run):
    status, text, _ = run("reproduce")
    assert status == 0 and len(text.splitlines()) == len(published.published())


@pytest.mark.parametrize("name", published.published())
def test_reproduce_says_what_a_table_needs(run, name):
    status, text, error = run("reproduce", name)
    assert status == 0, error
    table = published.find(name)
    assert text.startswith(f"# {name}: ") and all(f"| {row.name} |" in text for row in table.rows)
    named = reproduce.measured_columns(table) == [] or "(missing): --data" in text
    assert named and text.count("\n| ") == len(table.rows) + 1


def test_reproduce_measures_the_rows_that_are_there(run, data, evaluator, model, tmp_path):
    words = ["reproduce", "intermask/table3", "--checkpoint", f"w/o Self Attention={model}"]
    words += ["--data", data, "--evaluator", evaluator, "--out", tmp_path / "out"]
    status, text, error = run(*words)
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert "-" not in cells["w/o Self Attention"] and "-" in cells["InterMask"]
    assert "w/o Self Attention (given)" in text and "InterMask (missing)" in text
    assert (tmp_path / "out" / "intermask-table3.md").read_text() == text.removesuffix("\n")


def test_reproduce_refuses_in_one_sentence(run, data, evaluator, model):
    cases = {
        "no table is called 'intermask/table9'": ("intermask/table9",),
        "ROW=FOLDER is expected": ("intermask/table3", "--checkpoint", model),
        "needs --data and --evaluator": ("intermask/table3", "--checkpoint", f"InterMask={model}"),
        "no number of momask/table2 can": ("momask/table2", "--data", data),
    }
    for sentence, words in cases.items():
        status, _, error = run("reproduce", *words)
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error
