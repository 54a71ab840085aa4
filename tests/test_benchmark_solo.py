"""The open benchmark for one person on made-up clips, a tiny evaluator and a made-up model."""

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_momask
import torch
from motions import waving

import duomotion
from duomotion.checkpoint import save_checkpoint
from duomotion.config import to_dict
from duomotion.data import humanml3d
from duomotion.data.humanml3d import SoloClip
from duomotion.distributed import Processes
from duomotion.evaluation import tables
from duomotion.evaluation.metrics.protocols import OPEN_SOLO
from duomotion.evaluation.open import (
    benchmark,
    opensets,
    prompt_report,
    report,
    separation,
    sources,
)
from duomotion.evaluation.open.opensets import PAIRS, SOLO, PairMotion, SoloMotion, open_set_of
from duomotion.evaluation.open.solo_prompts import SOLO_PROMPTS
from duomotion.models.base import MotionModel
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.embedding import OpenEmbedder
from duomotion.models.evaluator.open import OpenEvaluator, OpenEvaluatorConfig
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.motion.canonical import mirror
from duomotion.motion.errors import errors_by_layers, reconstruction_scores
from duomotion.motion.humanml3d import HUMANML3D, KIT
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import Request

FEW = replace(OPEN_SOLO, pool=4, diversity_pairs=4, multimodality_texts=1, multimodality_samples=3)
CONFIG = OpenEvaluatorConfig(
    num_people=1,
    num_features=HUMANML3D.num_features,
    every=2,
    width=16,
    num_layers=1,
    feedforward=16,
    embedding_dim=8,
)
TOKENIZER = ResidualTokenizerConfig(width=8, depth=1, num_layers=3, num_codes=16, code_dim=8)


class Dancer(MotionModel):
    """Makes the same wild motion for every text, a little higher for each seed."""

    name, fingerprint, num_people = "dancer", "0" * 12, 1
    fps, min_frames, max_frames = HUMANML3D.fps, HUMANML3D.min_frames, HUMANML3D.max_frames

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.codec = ResidualCodec(TOKENIZER).eval()
        self.asked: list[tuple[str, float | None]] = []

    def answer(self, requests: list[Request]) -> list[Interaction]:
        raise NotImplementedError

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def reconstruct_by_layers(self, features: np.ndarray) -> list[np.ndarray]:
        return self.codec.reconstruct_by_layers(features)

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        motions = (SoloMotion.of(moving(request.frames)).features() for request in requests)
        return [self.reconstruct(motion) for motion in motions]

    def generate(self, text, *, seconds=None, seed=0, **_) -> Interaction:
        self.asked.append((text, seconds))
        made = moving(round(20 * (seconds or 3.0)))
        return replace(made, root_positions=made.root_positions + [0, 0.01 * seed, 0])


def moving(frames: int, speed: float = 1.0) -> Interaction:
    """One person at 20 frames a second who moves all joints, the faster the sooner."""
    whole = waving(people=1, frames=200)
    return replace(whole.frames(0, round(frames * speed)), fps=20.0).frames(0, frames)


def clips(folder, count: int = 6):
    """Clips of as many captions, the same for training, with mirrored copies, and for testing."""
    names = [f"{number:02d}_01" for number in range(count)]
    splits = {"train": [], "val": names[:1], "test": names}
    for number, name in enumerate(names):
        clip = moving(45 + number)
        rows = clip.positions[0].astype(np.float64) * (1 + 0.02 * number)
        line = f"a person waves {number} times#wave/VERB#0.0#0.0"
        splits["train"] += humanml3d.write_clip(
            folder, name, HUMANML3D, rows, [line], mirrored=[line]
        )
    humanml3d.finish(folder, HUMANML3D, splits)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return clips(tmp_path_factory.mktemp("data") / "solo-open")


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    """Untrained."""
    folder = tmp_path_factory.mktemp("evaluator") / "solo"
    torch.manual_seed(0)
    recipe = {
        "system": "evaluator/open",
        "model": to_dict(CONFIG),
        "data": {"text_encoder": "sentence"},
    }
    save_checkpoint(folder, OpenEvaluator(CONFIG).state_dict(), recipe, {})
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Pools, pairs and permutations that fit a few clips."""
    monkeypatch.setitem(opensets.OPEN_SETS, "solo-open", replace(SOLO, protocol=FEW))
    monkeypatch.setattr(separation, "PERMUTATIONS", 19)
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))


def test_the_command_scores_a_model_of_one_person(run, data, evaluator, tmp_path):
    model, out = tiny_momask.checkpoint(tmp_path / "tiny"), tmp_path / "out"
    words = ["evaluate", model, "--data", data, "--evaluator", evaluator, "--repeats", 2]
    status, text, error = run(*words, "--out", out)
    assert status == 0, error
    for row in ("real motion", "mean pose", "tiny, reconstruction only", "tiny"):
        assert f"| {row} |" in text
    assert "sliding" in text and "spread" in text
    assert "contact agreement" not in text and "role" not in text and "overlap" not in text
    assert "| model | 0 | 1 | 2 |" in text
    found = json.loads((out / "report.json").read_text())
    assert len(found["layers"]["tiny"]) == 3
    assert found["facts"]["protocol"] == json.loads(json.dumps(to_dict(FEW)))
    assert found["rows"]["real motion"]["nearest_mm"]["mean"] < 1e-3
    assert found["rows"]["real motion"]["fid"]["mean"] < found["rows"]["mean pose"]["fid"]["mean"]
    assert "multimodality" in found["rows"]["tiny"]

    times = {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.npz")}
    assert run(*words, "--out", out)[0] == 0
    assert json.loads((out / "report.json").read_text())["rows"] == found["rows"]
    assert times == {path: path.stat().st_mtime_ns for path in (out / "clips").rglob("*.npz")}


def test_whole_tokens_are_asked_for(data, tmp_path):
    """As many frames as were recorded, or up to three fewer."""
    model, test = Dancer(), SOLO.read(data, "test")
    source = sources.Generated(SOLO, model, tmp_path, Processes(torch.device("cpu")))
    made = source([sources.Query(clip, "someone dances", 0) for clip in test])
    assert [clip.num_frames for clip in test] == [44, 45, 46, 47, 48, 49]
    assert [motion.num_frames for motion in made] == [44, 44, 44, 44, 48, 48]
    assert [round(20 * seconds) for _, seconds in model.asked] == [44, 44, 44, 44, 48, 48]
    again = source([sources.Query(test[0], "someone dances", 0)])
    np.testing.assert_array_equal(again[0].features(), made[0].features())
    assert len(model.asked) == 6


def test_default_data_and_evaluator_follow_from_the_model(run, data, monkeypatch, tmp_path):
    from duomotion.loading import shipped_evaluator

    asked, shipped = [], [shipped_evaluator(people) for people in (1, 2)]
    monkeypatch.setattr(duomotion, "load", lambda name, **more: Dancer())
    found = lambda people, edition: asked.append(people) or "x"  # noqa: E731
    monkeypatch.setattr("duomotion.loading.shipped_evaluator", found)
    status, _, error = run("evaluate", "dancer", "--out", tmp_path)
    assert (status, asked) == (2, [1]) and "x: no checkpoint" in error
    monkeypatch.chdir(tmp_path)
    status, _, error = run("evaluate", "dancer", "--protocol", "prompts", "--out", tmp_path)
    assert status == 2 and "data/solo-open" in error
    assert [load_embedder(own).data for own in shipped] == ["solo-open", "open-pairs"]


def test_one_person_and_two_do_not_go_into_one_table(run, monkeypatch, tmp_path):
    pair = SimpleNamespace(name="pair", num_people=2, fps=30.0)
    loaded = {"dancer": Dancer(), "pair": pair}
    monkeypatch.setattr(duomotion, "load", lambda name, **more: loaded[name])
    status, _, error = run("evaluate", "dancer", "--compare", "pair", "--out", tmp_path)
    assert status == 2 and "pair makes the motion of two people and dancer that of one" in error
    kit = SimpleNamespace(name="kit", num_people=1, fps=12.5)
    with pytest.raises(ValueError, match=r"kit makes 12\.5 frames a second; .* one person have 20"):
        open_set_of([kit])
    assert open_set_of([pair]) == "open-pairs" and open_set_of([Dancer()]) == "solo-open"


def test_an_evaluator_of_two_people_is_refused(data, tmp_path):
    config = OpenEvaluatorConfig(width=16, num_layers=1, feedforward=16)
    other = OpenEmbedder(OpenEvaluator(config), None, name="other")
    with pytest.raises(
        ValueError, match="other is not an evaluator of the open benchmark for one person"
    ):
        report.run([Dancer()], data, other, folder=tmp_path)
    with pytest.raises(ValueError, match="reactions need models of two people; dancer makes one"):
        report.run([Dancer()], data, other, folder=tmp_path, tasks=["reaction"])


def test_the_data_set_of_an_evaluator_is_in_its_checkpoint(evaluator, tmp_path):
    assert load_embedder(evaluator).data == "solo-open"
    odd = replace(CONFIG, num_features=30)
    recipe = {"system": "evaluator/open", "model": to_dict(odd), "data": {}}
    save_checkpoint(tmp_path / "odd", OpenEvaluator(odd).state_dict(), recipe, {})
    with pytest.raises(ValueError, match="1 people with 30 numbers a frame belongs to no data"):
        load_embedder(tmp_path / "odd")


def test_too_few_clips_and_other_layouts(data, evaluator, tmp_path):
    embedder = load_embedder(evaluator)
    test = SOLO.read(data, "test")
    with pytest.raises(ValueError, match="of one person needs at least 4 test clips, not 3"):
        benchmark.Benchmark(embedder, test[:3], test)
    joints = np.tile(KIT.skeleton.rest_positions / KIT.metres, (40, 1, 1))
    line = "a person stands#stand/VERB#0.0#0.0"
    humanml3d.write_clip(tmp_path, "a", KIT, joints, [line])
    humanml3d.finish(tmp_path, KIT, {"train": ["a"]})
    with pytest.raises(ValueError, match="in the layout kit-ml; the open benchmark reads humanml"):
        SOLO.read(tmp_path, "train")


def test_what_is_made_is_read_as_what_is_recorded():
    """Vectors of bodies that follow a recording are the recording's."""
    joints = HUMANML3D.placed(moving(60).positions[0].astype(np.float64))
    clip = SoloClip("a", HUMANML3D, HUMANML3D.encode_joints(joints), ())
    recorded = SoloMotion.recorded(clip)
    assert recorded.positions.shape == (1, 59, 22, 3)
    made = SoloMotion.of(SOLO.bodies(recorded))
    np.testing.assert_allclose(made.positions, recorded.positions, atol=1e-4)
    apart = np.abs(made.features() - recorded.features())[:, :-1]
    assert apart.mean() < 1e-3
    np.testing.assert_array_equal(made.features(10, 30), made.features()[:, 10:40])
    standing_still = recorded.held(np.zeros(50, int))
    assert standing_still.num_frames == standing_still.features().shape[1] == 50
    np.testing.assert_allclose(standing_still.features()[..., HUMANML3D.blocks.local_velocities], 0)


def test_pairs_have_one_frame_of_features_fewer():
    motion = PairMotion.of(waving(2, 50))
    assert motion.features().shape == (2, 49, 262)
    assert motion.features(3, 20).shape == (2, 20, 262)
    assert motion.held(np.arange(10)).num_frames == 10
    back = PairMotion.decoded(motion.features())
    assert back.positions.shape == (2, 49, 22, 3) and back.sixd.shape == (2, 49, 21, 6)


def test_copies_are_looked_for_once(data):
    train = SOLO.read(data, "train")
    assert len(train) == 12
    library = SOLO.neighbours(train)
    assert set(library.names) == {f"{number:02d}_01" for number in range(6)}
    assert library.fps == 20.0 and library.windows.shape[1:] == (15, 22, 3)
    other = mirror(moving(60))
    assert library.nearest(other.positions)[1] < 60
    assert humanml3d.without_mirrored(train[1:])[0].name == "M00_01"


def test_a_source_of_still_people(data):
    train, test = (SOLO.read(data, split) for split in ("train", "test"))
    query = sources.Query(test[0], "a person waves", 0)
    (still,) = sources.mean_pose(SOLO, train)([query])
    assert still.num_frames == test[0].num_frames
    assert np.ptp(still.positions, axis=1).max() < 1e-6
    left, right = (SOLO.layout.skeleton.index(f"{side}_hip") for side in ("left", "right"))
    hips = still.positions[0, 0, [left, right]]
    assert hips.mean(0)[0] == pytest.approx(still.positions[0, 0, 0, 0], abs=1e-3)


def test_captions_of_others_are_other_captions(monkeypatch):
    rng = np.random.default_rng(0)
    texts = ["a", "a", "b", "c", "c", "d"]
    for _ in range(20):
        order = benchmark.derangement(texts, rng)
        assert sorted(order) == list(range(6))
        assert all(texts[other] != text for text, other in zip(texts, order, strict=True))
    monkeypatch.setattr(benchmark, "TRIES", 50)
    with pytest.raises(ValueError, match="3 test clips have only 2 different captions"):
        benchmark.derangement(["a", "a", "b"], rng)


def test_errors_by_layers_end_with_all_layers(data):
    model, motions = Dancer(), [SOLO.whole(clip) for clip in SOLO.read(data, "test")[:3]]
    errors = errors_by_layers(model, motions, HUMANML3D)
    assert len(errors) == TOKENIZER.num_layers and len(set(errors)) == TOKENIZER.num_layers
    scores = reconstruction_scores(model.reconstruct, dict(enumerate(motions)), HUMANML3D)
    expected = np.mean([row["root_aligned_mpjpe_mm"] for row in scores.values()])
    assert errors[-1] == pytest.approx(expected, rel=1e-5)
    model.codec = SimpleNamespace(reconstruct_by_layers=lambda _: [])
    assert errors_by_layers(model, motions, HUMANML3D) == []


def test_a_table_of_layers():
    text = tables.by_layers({"a": [30.0, 20.06], "b": [9.0]})
    assert text == "| model | 0 | 1 |\n|---|---|---|\n| a | 30.0 | 20.1 |\n| b | 9.0 |  |\n"


def test_measurements_of_two_people_are_of_two_people():
    together = {"body_depth", "body_litres", "collision"}
    assert set(PAIRS.physics) - set(SOLO.physics) == together
    assert set(PAIRS.agreement) == {"contacts", "roles"} and not SOLO.agreement


def test_what_ten_prompts_ask_for_of_one_person(data):
    model = Dancer()
    found = prompt_report.run(model, data, seeds=1)
    texts = [text for text, _ in model.asked]
    wordings = zip(*(prompt.texts for prompt in SOLO_PROMPTS.values()), strict=True)
    assert texts == [text for wording in wordings for text in wording]
    numbers = found.as_dict()
    assert set(numbers["prompts"]) == set(SOLO_PROMPTS) == set(numbers["copies"]["generated"])
    assert len(numbers["reconstruction"]) == 6
    assert all(row["mpjpe_mm"] > 100 for row in numbers["reconstruction"].values())
    assert found.prompts.limits == SOLO.limits
    text = found.markdown()
    assert all(f"| {name} |" in text for name in SOLO_PROMPTS) and "Foot sliding" in text
    with pytest.raises(ValueError, match="0 seeds are too few"):
        prompt_report.run(model, data, seeds=0)
