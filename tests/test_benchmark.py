"""The open benchmark on a few real clips, a tiny evaluator and a tiny model."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from motions import standing, waving
from recordings import needs_recordings, prepare

import duomotion
from duomotion.config import apply_overrides
from duomotion.data.interhuman import Clip, read_split, write_clip, write_splits
from duomotion.distributed import Processes
from duomotion.evaluation import tables
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.metrics.protocols import OPEN
from duomotion.evaluation.open import (
    benchmark,
    opensets,
    report,
    separation,
    solver_report,
    sources,
    speed,
    stretch_report,
)
from duomotion.evaluation.open.opensets import PAIRS, PairMotion
from duomotion.evaluation.open.separation import Separation
from duomotion.models import find_recipe
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.embedding import OpenEmbedder, padded
from duomotion.models.evaluator.open import OpenEvaluator, OpenEvaluatorConfig, matching_loss
from duomotion.motion.canonical import held
from duomotion.motion.rotations import yaw
from duomotion.sampling.request import Sampling

TAKES = ("18_01", "18_08", "18_10", "18_13", "20_01", "20_08", "20_11", "22_01", "22_03", "22_05")
SMALL = ("model.width=16", "model.num_layers=1", "model.feedforward=16", "model.embedding_dim=8")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Pools, pairs and permutations that fit a few clips."""
    fewer = {"diversity_pairs": 12, "multimodality_texts": 1, "multimodality_samples": 3}
    monkeypatch.setitem(
        opensets.OPEN_SETS, "open-pairs", replace(PAIRS, protocol=replace(OPEN, **fewer))
    )
    monkeypatch.setattr(separation, "PERMUTATIONS", 19)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Real clips, the same for training and test; too few to say anything."""
    folder = prepare(tmp_path_factory.mktemp("data") / "pairs", TAKES)
    names = sorted(path.stem for path in (folder / "annots").glob("*.txt"))
    write_splits(folder, {"train": names, "val": names[:4], "test": names})
    return folder


@pytest.fixture(scope="module")
def evaluator(data, tmp_path_factory):
    """Trained for a moment."""
    folder = tmp_path_factory.mktemp("evaluator")
    recipe = apply_overrides(
        find_recipe("evaluator/open"),
        [
            *SMALL,
            f"data.clips={data}",
            "data.views=2",
            "optim.steps=40",
            "optim.batch_size=8",
            "optim.lr=1e-2",
            "optim.warmup_steps=0",
            *tiny.FAST,
        ],
    )
    records = tiny.train(recipe, folder)
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    return folder / "last"


@needs_recordings
def test_rows_say_what_the_scale_means(data, evaluator, tmp_path):
    train, test = (read_split(data, split)[0] for split in ("train", "test"))
    assert len(test) >= OPEN.pool
    bench = benchmark.Benchmark(load_embedder(evaluator), test, train, repeats=2)
    true = bench.row("real motion", sources.real(PAIRS)).scores
    other = bench.row("other captions", sources.real(PAIRS), shuffled=True).scores
    still = bench.row("mean pose", sources.mean_pose(PAIRS, train)).scores
    assert true["r3"].mean > other["r3"].mean
    assert true["mm_dist"].mean < other["mm_dist"].mean
    assert true["fid"].mean < still["fid"].mean
    assert true["contacts"].mean == 1 and true["roles"].mean == 1
    assert true["nearest_mm"].mean < 1e-3  # the same clips are searched
    assert still["jerk"].mean == pytest.approx(0, abs=1e-3)
    assert still["spread"].mean == pytest.approx(0, abs=1e-5)


def test_a_partner_stands_as_beside_their_own_first():
    pair = PairMotion.of(waving(frames=40))
    elsewhere = pair._replace(positions=pair.positions @ yaw(0.7).T + [2.0, 0.0, -1.0])
    found = sources.partnered(pair, elsewhere).positions
    np.testing.assert_allclose(found, pair.positions, atol=1e-6)


@pytest.mark.slow
@needs_recordings
def test_the_command_goes_on_where_it_stopped_and_gives_the_same_twice(
    run, data, evaluator, tmp_path
):
    names = read_split(data, "test")[0]
    chosen = [clip.name for clip in names[: OPEN.pool]]
    few = tmp_path / "few"
    for clip in names[: OPEN.pool]:
        short = duomotion.Interaction.from_positions(clip.positions[:, :50])
        write_clip(few, clip.name, short, clip.captions)
    write_splits(few, {"train": chosen, "val": chosen, "test": chosen})
    model = tiny.checkpoint(tmp_path / "tiny")
    out = tmp_path / "out"
    words = ["evaluate", model, "--data", few, "--evaluator", evaluator, "--repeats", 2]
    words += ["--tasks", "generation", "reaction"]
    status, text, error = run(*words, "--out", out)
    assert status == 0, error
    for row in ("real motion", "mean pose", "tiny", "tiny, reactions", "partner of the nearest"):
        assert f"| {row}" in text
    first = json.loads((out / "report.json").read_text())
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert {row["motion"] for row in rows} == set(first["rows"])

    made = sorted((out / "clips").rglob("*.npz"))
    assert made
    made[0].unlink()
    made[1].write_bytes(b"broken")
    times = {path: path.stat().st_mtime_ns for path in made[2:]}
    assert run(*words, "--out", out)[0] == 0
    again = json.loads((out / "report.json").read_text())
    assert again["rows"] == first["rows"] and again["separation"] == first["separation"]
    assert times == {path: path.stat().st_mtime_ns for path in made[2:]}


class Diffusion:
    """A model that shows a recording, by whatever solver and steps."""

    name, fingerprint, precision, num_people, fps = "shown", "0" * 12, "float32", 2, 30.0

    def __init__(self, shown: duomotion.Interaction, tuned: Sampling) -> None:
        self.shown, self.tuned, self.asked = shown, tuned, []

    def generate(self, text, *, seconds, seed, sampling):
        self.asked.append((sampling.solver, sampling.steps))
        return held(self.shown, round(seconds * self.fps))


@pytest.mark.slow
@needs_recordings
def test_solvers_and_steps_are_compared(data, evaluator, tmp_path):
    test = read_split(data, "test")[0]
    shown = duomotion.Interaction.from_positions(test[0].positions)
    model = Diffusion(shown, Sampling(solver="deis", steps=10, guidance=3.0))
    asked = {
        "folder": tmp_path / "clips",
        "repeats": 2,
        "sampling": Sampling(guidance=2.0),
        "processes": Processes(torch.device("cpu")),
        "solvers": ("ddim", "deis"),
        "steps": (2, 1),
    }
    embedder = load_embedder(evaluator)
    report = solver_report.run(model, data, embedder, **asked)
    ways = [("ddim", 2), ("ddim", 1), ("deis", 2), ("deis", 1)]
    assert model.asked == [way for way in ways for _ in range(2 * len(test))]
    assert [row.name for row in report.rows[1:]] == [
        f"{solver}, {steps} step{'s' * (steps > 1)}" for solver, steps in ways
    ]
    text = report.files()["report.md"]
    assert "| deis, 1 step |" in text and "s/clip" in text and "guidance 2" in text
    with pytest.raises(ValueError, match="no diffusion model: it has no solvers"):
        tokens = Diffusion(shown, Sampling(steps=10))
        solver_report.run(tokens, data, embedder, **asked)


class Forgetful(Diffusion):
    """Shows a recording and stands still behind it, whatever its window."""

    max_frames, any_length = 300, True

    def generate(self, text, *, seconds, seed, sampling):
        self.asked.append((self.max_frames, seconds))
        return held(self.shown, round(seconds * self.fps))

    def in_one_piece(self, max_frames):
        self.max_frames = max_frames
        return self


@pytest.mark.slow
@needs_recordings
def test_stretches_of_a_minute_are_scored(data, evaluator, tmp_path):
    test = read_split(data, "test")[0]
    shown = duomotion.Interaction.from_positions(test[0].positions)
    model = Forgetful(shown, Sampling())
    report = stretch_report.run(
        [model],
        data,
        load_embedder(evaluator),
        folder=tmp_path / "clips",
        repeats=2,
        processes=Processes(torch.device("cpu")),
    )
    rows = {row.name: row.scores for row in report.rows}
    ways = [
        f"shown, {way}, {start} to {start + 10} s"
        for way in ("by windows", "in one piece")
        for start in range(0, 60, 10)
    ]
    assert list(rows) == ["real motion", *ways]
    assert model.asked == [(window, 60) for window in (300, 1800) for _ in range(2 * len(test))]
    jerks = [rows[way]["jerk"].mean for way in ways]
    assert min(jerks[0], jerks[6]) > 1 > max(*jerks[1:6], *jerks[7:])
    assert {"fid", "r1", "r3", "seconds"} <= rows[ways[0]].keys()
    assert "| shown, in one piece, 50 to 60 s |" in report.files()["report.md"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--steps", 5), "own solvers and steps"),
        (("--compare", "b"), "--compare does not go with"),
        (("--all",), "--all does not go with"),
    ],
)
def test_solvers_are_compared_of_one_model_by_all_of_them(run, more, what):
    status, _, error = run("evaluate", "intermask-open", "--protocol", "solvers", *more)
    assert status == 2 and what in error


@needs_recordings
def test_scoring_is_timed(run, data, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "VECTORS", 300)
    monkeypatch.setattr(speed, "WIDTH", 20)
    monkeypatch.chdir(tmp_path)
    status, _, error = run("bench", "scores")
    assert status == 2 and "data/open-pairs" in error
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "open-pairs").symlink_to(data)
    status, said, _ = run("bench", "scores")
    assert status == 0 and "FID of 300 x 20: " in said and "Scoring a clip of the open" in said


def test_a_collapsed_source_and_permutations(tmp_path):
    """Embeddings made up so that the answers are known."""
    benefits = separation.text_benefits(OPEN.pool)
    gaps = np.full((24, 24), 2.0)
    np.fill_diagonal(gaps, 1.0)
    for name in ("r1", "r2", "r3"):
        np.testing.assert_allclose(benefits[name](gaps), 1)
    same = benefits["r1"](np.ones((24, 24)))
    assert same.mean() < 0.2  # motions that are all alike gain nothing
    order = benchmark.derangement(list("abcde"), np.random.default_rng(0))
    assert sorted(order) == list(range(5)) and (order != np.arange(5)).all()


def test_a_score_that_says_nothing_is_not_printed_as_quality():
    row = Row("real motion", {name: Estimate(1.0, 0.1) for name in tables.COLUMNS})
    separations = {
        "fid": Separation(None, 0.001),
        "r1": Separation(0.3, 0.001),
    }
    needed = ["clips", "data", "repeats", "evaluator", "duomotion", "torch", "hardware", "date"]
    facts = {**dict.fromkeys(needed, "x"), "precision": {}, "sampling": {}}
    text = report.OpenReport((row,), separations, {}, {}, facts).markdown()
    first = text.split("| metric |")[0]
    assert "FID" in first and "R@1" not in first
    assert "| R@1 | 0.300 | 0.001 | no |" in text


@pytest.mark.slow
def test_what_a_model_takes(tmp_path):
    checkpoint = tiny.checkpoint(tmp_path / "tiny")
    cost = report.cost(str(checkpoint))
    weights = sum(file.stat().st_size for file in Path(checkpoint).rglob("*.safetensors"))
    assert cost.size_mb == pytest.approx(weights / 1e6)
    assert 0.1 < cost.memory_gb < 4 and 0.5 < cost.start_up < 120
    text = report.costs_table({"tiny": cost, "other": cost}, {"tiny": 0.123})
    rows = [line for line in text.splitlines() if line.startswith(("| tiny", "| other"))]
    assert "| tiny | 0.12 |" in rows[0] and "| other |  |" in rows[1]


def test_a_picture_of_fid_against_time():
    rows = tuple(
        Row(name, {"fid": Estimate(value, 0.1)})
        for name, value in (("real motion", 0.1), ("a", 1.0), ("b", 2.0))
    )
    numbers = {"facts": {"precision": {"a": "float32", "b": "float32"}}}
    files = tables.report_files("text", numbers, rows, {"a": 0.5, "b": 2.0})
    assert list(files)[:3] == ["report.md", "report.csv", "report.json"]
    assert files["fid-against-time.png"][:4] == b"\x89PNG"
    assert len(tables.report_files("text", numbers, rows, {"a": 0.5})) == 3  # b was cached


def test_matching_with_several_texts_for_one_motion():
    logits = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    belongs = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert matching_loss(logits, belongs) == pytest.approx(2 / 3 * np.log(2), abs=1e-4)
    torn = torch.tensor([[9.0, -9, -9], [-9, 9, -9], [-9, -9, 9]])
    assert matching_loss(torn, torch.eye(3)) < 1e-4 < matching_loss(torn, belongs)


def test_embeddings_do_not_depend_on_the_batch():
    evaluator = OpenEvaluator(OpenEvaluatorConfig(width=16, num_layers=1, feedforward=16)).eval()
    rng = np.random.default_rng(0)
    motions = [rng.normal(size=(2, frames, 262)).astype(np.float32) for frames in (44, 61)]
    alone = [evaluator.embed_motion(*padded([motion])) for motion in motions]
    together = evaluator.embed_motion(*padded(motions))
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-5, rtol=1e-5)


def clips(count: int, captions: tuple[str, ...] = ("they stand",)) -> list[Clip]:
    body = standing(people=2, frames=60, gap=0.8)
    sixd = np.tile([1.0, 0, 0, 1, 0, 0], (2, 60, 21, 1)).astype(np.float32)
    return [Clip(f"c{n}", body.positions, sixd, captions) for n in range(count)]


def test_bad_input(tmp_path):
    embedder = OpenEmbedder(
        OpenEvaluator(OpenEvaluatorConfig(width=16, num_layers=1, feedforward=16)), None, name="e"
    )
    with pytest.raises(ValueError, match="at least 12 test clips"):
        benchmark.Benchmark(embedder, clips(3), clips(1))
    with pytest.raises(ValueError, match="no caption"):
        benchmark.Benchmark(embedder, clips(12, ()), clips(1))
    with pytest.raises(ValueError, match="not of an evaluator"):
        load_embedder(tiny.checkpoint(tmp_path / "tiny"))


def test_processes_share_the_clips(tmp_path):
    """Two processes make every clip once between them."""
    model = duomotion.load(tiny.checkpoint(tmp_path / "tiny"))
    queries = [sources.Query(clip, "they stand", 0) for clip in clips(3)]
    second = Processes(torch.device("cpu"), rank=1, size=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Processes, "wait", lambda self: None)
        with pytest.raises(OSError, match="can't be read back"):
            sources.Generated(PAIRS, model, tmp_path / "clips", second)(queries)
        assert len(list((tmp_path / "clips").iterdir())) == 1
        # What is there by now does not change who makes what.
        first = Processes(torch.device("cpu"), rank=0, size=2)
        made = sources.Generated(PAIRS, model, tmp_path / "clips", first)(queries)
    assert [motion.num_frames for motion in made] == [60, 60, 60]
