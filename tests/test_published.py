"""The published protocols and tables, on made-up clips with a tiny evaluator and a tiny model."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import tiny_momask
import torch
from motions import standing, waving

import duomotion
from duomotion.data.interhuman import read_split, write_clip, write_splits
from duomotion.data.testsets import INTERHUMAN, Query
from duomotion.distributed import Processes
from duomotion.evaluation import tables
from duomotion.evaluation.metrics import protocols
from duomotion.evaluation.metrics.protocols import INTERMASK
from duomotion.evaluation.published import numbers as published
from duomotion.evaluation.published import reproduce
from duomotion.evaluation.published.procedure import Entry, Evaluation, Generated, Reactions
from duomotion.evaluation.published.report import MEASURED
from duomotion.evaluation.published.reproduce import paper_table
from duomotion.loading import shipped_evaluator
from duomotion.models.base import MotionModel
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.embedding import InterCLIPEmbedder
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.generate import InterGen
from duomotion.models.intergen.network import MotionDiffusion
from duomotion.models.intermask import generate
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.momask.generate import MoMask
from duomotion.sampling.request import Request, Sampling
from duomotion.text.cache import cached_encoder

pytestmark = pytest.mark.usefixtures("few_clips")
ORIGINAL = dict(protocols.PUBLISHED)
SMALL = replace(INTERMASK, **tiny.FEW)


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
    assert first["rows"][str(model)].keys() == set(MEASURED)
    assert first["rows"]["ground truth"].keys() == set(MEASURED) - {"multimodality"}
    assert first["facts"]["protocol"]["name"] == "intermask" and first["facts"]["clips"] == 9
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert {row["motion"] for row in rows} == set(first["rows"])

    made = sorted((out / "clips").rglob("*.npz"))
    assert len(made) == 2 * (8 + 2 * 3)  # each repeat: two pools, two texts with three seeds
    made[0].unlink()
    made[1].write_bytes(b"broken")
    times = {path: path.stat().st_mtime_ns for path in made[2:]}
    run(*words, "--evaluator", evaluator)
    again = json.loads((out / "report.json").read_text())
    assert again["rows"] == first["rows"]
    assert times == {path: path.stat().st_mtime_ns for path in made[2:]}
    run(*words, "--evaluator", evaluator)
    third = json.loads((out / "report.json").read_text())
    assert third["seconds"] == again["seconds"] and third["seconds"].keys() == {str(model)}


def test_bad_input_is_one_sentence(run, data, evaluator, model, tmp_path):
    words = ["evaluate", model, "--protocol", "intergen", "--data", data, "--out", tmp_path / "o"]
    cases = {
        "--evaluator is missing": (),
        "is not InterCLIP": ("--evaluator", shipped_evaluator()),
        "not of an evaluator": ("--evaluator", model),
        "no checkpoint folder is there": ("--evaluator", tmp_path / "nothing"),
        "--repeats has to be 2 or more": ("--evaluator", evaluator, "--repeats", 1),
    }
    for sentence, more in cases.items():
        status, _, error = run(*words, *more)
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error
    status, _, error = run(
        "evaluate", model, "--data", data, "--out", tmp_path / "o", "--evaluator", evaluator
    )
    assert status == 2 and "is not an evaluator of the open benchmark" in error


def test_too_few_clips_and_people_alone(data, evaluator, tmp_path):
    embedder, clips = load_embedder(evaluator), read_split(data, "test")[0]
    with pytest.raises(ValueError, match="at least 384 test clips, not 9"):
        Evaluation(embedder, clips, INTERMASK, INTERHUMAN)
    alone = tmp_path / "alone"
    write_clip(alone, "one", standing(people=1, frames=20), ["hi"])
    write_splits(alone, {"train": [], "val": [], "test": ["one"]})
    with pytest.raises(ValueError, match="don't show two people: one"):
        INTERHUMAN.read(alone, "test")


def test_an_evaluator_of_another_data_set_is_refused(tmp_path):
    from duomotion.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "e", {"x": torch.ones(1)}, {"system": "evaluator/dogs"}, {})
    with pytest.raises(ValueError, match="'evaluator/dogs', not of an evaluator "):
        load_embedder(tmp_path / "e")


def test_views_of_recorded_clips(data):
    body = standing(frames=400)
    sixd = np.tile([1.0, 0, 0, 1, 0, 0], (2, 400, 21, 1)).astype(np.float32)
    clip = replace(read_split(data, "test")[0][0], positions=body.positions, sixd=sixd)
    evaluation = Evaluation(FlatEmbedder(), [clip] * 8, SMALL, INTERHUMAN)
    queries, recorded = evaluation.draw(np.random.default_rng(0)), evaluation.recorded
    assert {query.clip.num_frames for query in queries} == {300} and len(
        {query.seed for query in queries}
    ) == 8
    shapes = {motion.shape for motion in recorded(queries)}
    assert shapes == {(2, 299, 262)}
    first_at_origin = {bool(abs(motion[0, 0, 0]) < 1e-3) for motion in recorded(queries)}
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

    def noisy(queries):
        rngs = (np.random.default_rng(query.seed) for query in queries)
        return [rng.normal(size=(2, 8, 262)) for rng in rngs]

    def rows(protocol):
        evaluation = Evaluation(FlatEmbedder(), clips, protocol, INTERHUMAN)
        noise = Entry("noise", noisy, is_varied=True)
        return evaluation.rows([Entry("ground truth", evaluation.recorded), noise])

    real, noise = rows(replace(SMALL, multimodality_scale=1))
    scaled = rows(SMALL)[1]
    ratio = scaled.scores["multimodality"].mean / noise.scores["multimodality"].mean
    assert ratio == pytest.approx(3) and scaled.scores["fid"] == noise.scores["fid"]
    assert 0 <= real.scores["fid"].mean < noise.scores["fid"].mean
    assert "multimodality" not in real.scores


def test_fid_with_the_same_clips_and_multimodality_of_fewer_repeats(data):
    clips, asked = read_split(data, "test")[0], []

    def still(queries):
        asked.append(len(queries))
        return [np.zeros((2, 8, 262)) for _ in queries]

    def rows(**constants):
        protocol = replace(SMALL, repeats=4, multimodality_repeats=3, **constants)
        evaluation = Evaluation(FlatEmbedder(), clips, protocol, INTERHUMAN)
        recorded = evaluation.recorded
        return evaluation.rows(
            [
                Entry("ground truth", recorded, is_recorded=True),
                Entry("rebuilt", recorded, is_rebuilt=True),
                Entry("still", still, is_varied=True),
            ]
        )

    paired, another = rows(is_paired=True), rows()
    assert asked == [8, 6, 8, 6, 8, 6, 8] * 2
    assert paired[0].scores["fid"].mean == another[0].scores["fid"].mean > 0.1
    assert paired[1].scores["fid"].mean == pytest.approx(0, abs=1e-9)
    assert another[1].scores["fid"].mean > 0.1


def test_constants_of_the_papers():
    repeats = {name: each.multimodality_repeats for name, each in ORIGINAL.items()}
    assert repeats == {"intergen": 5, "intermask": 5, "interx": 5, "t2m": 20}
    assert [name for name, each in ORIGINAL.items() if each.is_paired] == ["t2m"]


def test_settings_reach_the_model_and_clips_are_kept_apart(
    run, data, evaluator, model, tmp_path, monkeypatch
):
    seen = []

    def spy(*given, steps, guidance, **more):
        seen.append((steps, guidance))
        return decode_tokens(*given, steps=steps, guidance=guidance, **more)

    monkeypatch.setattr(generate, "decode_tokens", spy)
    words = ["evaluate", model, "--protocol", "intermask", "--data", data, "--evaluator", evaluator]
    words += ["--out", tmp_path / "out"]
    scores = []
    for more in (), ("--steps", 3, "--guidance", 1.5), ("--precision", "bfloat16"):
        status, text, error = run(*words, *more)
        assert status == 0, error
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        scores.append(report["rows"][str(model)]["fid"]["mean"])
        assert report["facts"]["sampling"]["steps"] == (3 if "--steps" in more else None)
        precision = "bfloat16" if "bfloat16" in more else "float32"
        assert report["facts"]["precision"] == {str(model): precision}
        assert f"{model} in {precision}. Sampling: " in text
        assert ("Sampling: steps 3, guidance 1.5." in text) == ("--steps" in more)
    assert len(set(seen)) == 2 and (3, 1.5) in seen and len(set(scores)) == 3
    names = sorted(folder.name for folder in (tmp_path / "out" / "clips").iterdir())
    assert len(names) == 3
    assert sum(name.endswith("-intermask-steps-3-guidance-1.5") for name in names) == 1
    cases = {
        "steps have to be 1 to 1,000, not 0": ("--reaction-steps", 0),
        "--compare does not go with --protocol long": ("--protocol", "long", "--compare", model),
        "--tasks does not go with --protocol long": ("--protocol", "long", "--tasks", "reaction"),
    }
    for sentence, more in cases.items():
        status, _, error = run(*words, *more)
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error


def generated(model, folder, protocol="intermask"):
    processes = Processes(torch.device("cpu"))
    return Generated(model, folder, processes, INTERHUMAN, protocol=protocol).source


def test_the_network_is_read_as_it_is(data, model, tmp_path):
    loaded, clip = duomotion.load(model), read_split(data, "test")[0][4]
    query = Query(clip, "x " * 3000, 3)  # as long as it is: captions are no prompts
    assert clip.num_frames == 28
    made = generated(loaded, tmp_path)([query])[0]
    assert made.shape == (2, 24, 262)
    request = Request(text=query.text, frames=24, seed=3)
    np.testing.assert_array_equal(loaded.features([request])[0], made)
    cleaned = loaded.answer([request])[0]
    assert cleaned.num_frames == 24
    assert np.abs(cleaned.positions.reshape(2, 24, 66) - made[..., :66]).max() > 1e-3
    exact = generated(loaded, tmp_path, "intergen")([query])[0]
    assert exact.shape == (2, 27, 262)
    short = replace(clip, positions=clip.positions[:, :15], sixd=clip.sixd[:, :15])
    shortest = generated(loaded, tmp_path)([Query(short, "hi", 0)])
    assert shortest[0].shape == (2, 12, 262)


def test_bodies_are_led_apart_only_where_that_is_asked_for(data, tmp_path, monkeypatch):
    sizes = {"width": 8, "num_heads": 2, "num_blocks": 1, "text_dim": 384, "text_layers": 0}
    model = InterGen(MotionDiffusion(DenoiserConfig(**sizes)), cached_encoder("sentence", dim=384))
    assert model.tuned.collision_steps
    seen = []

    def sample(texts, frames, known, *, sampling, **more):
        seen.append(sampling.collision_steps)
        return [np.zeros((2, frames, 262))] * len(texts)

    monkeypatch.setattr(model, "sample", sample)
    processes, query = (
        Processes(torch.device("cpu")),
        Query(read_split(data, "test")[0][0], "hi", 0),
    )
    for steps in (None, 0, 3):
        sampling = Sampling(collision_steps=steps)
        source = Generated(
            model, tmp_path, processes, INTERHUMAN, protocol="intergen", sampling=sampling
        )
        source([query])
    assert seen == [0, 3]  # none is the same as none given


def test_models_of_other_layouts_are_refused(data, tmp_path):
    query = Query(read_split(data, "test")[0][0], "hi", 0)
    for model, sentence in ((InterXModel(), "336 features a frame"), (Mute(), "makes no features")):
        with pytest.raises(ValueError, match=sentence):
            generated(model, tmp_path)([query])


class Mute(MotionModel):
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
        assert paper_table(table.name).rows.keys() <= {row.name for row in table.rows}
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


def test_the_baseline_is_trained_wherever_a_measured_table_has_it():
    for table in published.published().values():
        if "InterGen" in (row.name for row in table.rows) and reproduce.measured_columns(table):
            assert "InterGen" in paper_table(table.name).rows, table.name


def test_reproduce_lists_all_tables(run):
    status, text, _ = run("reproduce")
    assert status == 0 and len(text.splitlines()) == len(published.published())


@pytest.mark.parametrize("name", published.published())
def test_reproduce_says_what_a_table_needs(run, name):
    status, text, error = run("reproduce", name)
    assert status == 0, error
    table = published.find(name)
    assert text.startswith(f"# {name}: ") and all(f"| {row.name} |" in text for row in table.rows)
    named = not reproduce.measured_columns(table) or "(missing): --data" in text
    assert named and text.count("\n| ") == len(table.rows) + 1


def test_reproduce_measures_reconstructions_of_tokenizers(run, data, evaluator, model, tmp_path):
    words = ["reproduce", "intermask/table2", "--data", data, "--evaluator", evaluator]
    words += ["--checkpoint", f"Individual Motion, 2d={model / 'tokenizer'}"]
    status, text, error = run(*words, "--out", tmp_path / "out")
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line.split(" | ")[1:] for line in text.splitlines()}
    rfid, ours, mpjpe, measured = cells["Individual Motion, 2d"]
    assert (rfid, mpjpe) == ("0.97", "0.129") and float(ours.split(" ± ")[0]) > 0
    assert float(measured.split(" ± ")[0]) > 10  # millimetres, of random weights
    assert cells["Individual Motion, 1d"][1] == "-"
    assert "Measured as MPJPE mm ↓, whatever" in text and "2d in float32" in text
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_reproduce_measures_reactions(run, data, evaluator, model, tmp_path):
    words = ["reproduce", "intermask/table4", "--data", data, "--evaluator", evaluator]
    words += ["--checkpoint", f"p_r = 0.8={model}", "--out", tmp_path / "out"]
    status, text, error = run(*words)
    assert status == 0, error
    row = next(line for line in text.splitlines() if line.startswith("| p_r = 0.8 |"))
    assert "-" not in row.split(" | ")[1:] and "2.991" in row
    kept = {path.parent.name for path in (tmp_path / "out").rglob("*.npz")}
    assert {name.endswith("-reactions-steps-12") for name in kept} == {True, False}
    assert "Models sample with reaction steps 12." in text
    status, text, _ = run(*words, "--reaction-steps", 10)
    assert status == 0 and "Sampling: reaction steps 10." in text


def test_reactions_keep_the_recorded_person(data, model, tmp_path, monkeypatch):
    loaded, clip = duomotion.load(model), read_split(data, "test")[0][4]
    processes = Processes(torch.device("cpu"))
    query = Query(clip, "they meet", 3)
    made = Reactions(loaded, tmp_path, processes, INTERHUMAN, protocol="intermask").source([query])[
        0
    ]
    actor = INTERHUMAN.recorded(clip, query.seed)[0, :24]
    np.testing.assert_array_equal(made[0], actor)
    request = Request(text=query.text, frames=24, seed=3)
    again = loaded.reactions([request, replace(request, frames=22)], [actor, actor[:22]], [0, 0])
    np.testing.assert_array_equal(again[0], made[1])
    assert again[1].shape == (22, 262)

    def spy(*given, known_ids, known_mask, **more):
        ids = loaded.codec.encode(torch.from_numpy(actor[None]))
        torch.testing.assert_close(known_ids[:, 0], ids)
        assert known_mask[:, 0].all() and not known_mask[:, 1].any()
        return decode_tokens(*given, known_ids=known_ids, known_mask=known_mask, **more)

    monkeypatch.setattr(generate, "decode_tokens", spy)
    np.testing.assert_array_equal(loaded.reactions([request], [actor], [0])[0], made[1])
    with pytest.raises(ValueError, match="makes no reactions"):
        Mute().reactions([request], [actor], [0])


def test_reproduce_measures_the_rows_that_are_there(run, data, evaluator, model, tmp_path):
    words = ["reproduce", "intermask/table3", "--checkpoint", f"w/o Self Attention={model}"]
    words += ["--data", data, "--evaluator", evaluator, "--out", tmp_path / "out"]
    status, text, error = run(*words)
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert "-" not in cells["w/o Self Attention"] and "-" in cells["InterMask"]
    assert "w/o Self Attention (given)" in text and "InterMask (missing)" in text
    assert (tmp_path / "out" / "intermask-table3.md").read_text() == text.removesuffix("\n")


def test_the_base_row_uses_the_base_layer_alone(tmp_path, model):
    table = published.find("momask/table1-humanml3d")
    folders = dict.fromkeys(("MoMask", "MoMask (base)"), tiny_momask.checkpoint(tmp_path / "tiny"))
    whole, base = reproduce.models(table, folders, device="cpu", precision="auto").values()
    assert isinstance(whole, MoMask) and isinstance(base, MoMask)
    assert whole.residual is not None and base.residual is None
    assert whole.fingerprint != base.fingerprint
    request = Request(text="a person waves", frames=40)
    assert base.features([request])[0].shape == (1, 40, 263)
    with pytest.raises(ValueError, match="is no generator of MoMask"):
        reproduce.models(table, {"MoMask (base)": model}, device="cpu", precision="auto")


def test_contradictions_between_papers_are_said(run):
    _, text, _ = run("reproduce", "intermask/table1-interx")
    assert "printed as 2.771 here and as 5.771 by ILD and InterMamba" in text
    assert "| 2.771 ± 0.151 |" in text
    _, text, _ = run("reproduce", "ild/table7")
    assert "printed as less than 1" in text


def test_reproduce_refuses_in_one_sentence(run, data, evaluator, model):
    cases = {
        "no table is called 'intermask/table9'": ("intermask/table9",),
        "ROW=FOLDER is expected": ("intermask/table3", "--checkpoint", model),
        "needs --data and --evaluator": ("intermask/table3", "--checkpoint", f"InterMask={model}"),
        "no number of intermamba/table3 can": ("intermamba/table3", "--data", data),
    }
    for sentence, words in cases.items():
        status, _, error = run("reproduce", *words)
        assert status == 2 and sentence in error and len(error.splitlines()) == 1, error
