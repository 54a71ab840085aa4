"""Inter-X's protocol, and that of HumanML3D and KIT-ML, on made-up clips with tiny networks."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from motions import waving

import duomotion
from duomotion import loading
from duomotion.data import humanml3d as solo
from duomotion.data import interx as interx_data
from duomotion.data.interhuman import write_lines
from duomotion.data.testsets import INTERX, TEST_SETS, Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.protocols import INTERX as INTERX_PROTOCOL
from duomotion.evaluation.published.procedure import Evaluation, Reactions
from duomotion.models.base import MotionModel
from duomotion.models.children import load_embedder
from duomotion.models.evaluator.embedding import WordEmbedder
from duomotion.models.evaluator.interx import INTERX as INTERX_SIZES
from duomotion.models.evaluator.t2m import HUMANML3D as HUMANML3D_SIZES
from duomotion.models.evaluator.t2m import KIT as KIT_SIZES
from duomotion.motion import layouts
from duomotion.motion.humanml3d import HUMANML3D, KIT, SOLO_LAYOUTS
from duomotion.motion.skeleton import SMPLX55

pytestmark = pytest.mark.usefixtures("few_clips")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nine prepared clips of 25 to 41 frames, all but the last with tagged words."""
    folder = tmp_path_factory.mktemp("data") / "interx"
    names = [f"G{number}" for number in range(9)]
    for number, name in enumerate(names):
        people = replace(waving(2, 25 + 2 * number, SMPLX55), skeletons=(SMPLX55,) * 2)
        lines = [
            f"Two people wave {name}.#two/NUM people/NOUN wave/VERB#0.0#0.0",
            "hi#hi/INTJ#nan#nan",
        ]
        interx_data.write_clip(folder, name, people, lines if number < 8 else ["They turn."])
    for split in ("train", "val", "test"):
        write_lines(folder / "splits" / f"{split}.txt", names if split == "test" else names[:1])
    return folder


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluator") / "interx"
    return tiny.bigru(folder, "interx-evaluator", INTERX_SIZES.motion_dim)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return tiny.checkpoint(folder, "intermask/tokenizer-interx-open")


def test_interx_from_the_command_line(run, data, evaluator, model, tmp_path):
    out = tmp_path / "out"
    words = ["evaluate", model, "--protocol", "interx", "--data", data, "--out", out]
    status, text, error = run(*words, "--evaluator", evaluator)
    assert status == 0, error
    assert text.startswith("# The protocol interx on Inter-X\n")
    lines = text.splitlines()
    assert any(line.startswith("| ground truth | ") for line in lines)
    assert any(line.startswith("| InterMask (published: Javed et al. 2025") for line in lines)
    assert "1 captions have no tagged words" in text and "s/clip, median: " in text
    first = json.loads((out / "report.json").read_text())
    assert first["facts"]["protocol"]["frame_unit"] == 4 and first["facts"]["clips"] == 9
    assert first["rows"][str(model)]["multimodality"]["mean"] > 0
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert {row["motion"] for row in rows} == {"ground truth", str(model)}
    made = sorted((out / "clips").rglob("*.npz"))
    assert len(made) == 2 * (8 + 2 * 3)
    for path in made:
        people, frames, width = np.load(path)["features"].shape
        assert (people, width) == (2, 336) and frames % 4 == 0 and 20 <= frames <= 40
    made[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in made[1:]}
    run(*words, "--evaluator", evaluator)
    again = json.loads((out / "report.json").read_text())
    assert again["rows"] == first["rows"] and again["seconds"].keys() == {str(model)}
    assert times == {path: path.stat().st_mtime_ns for path in made[1:]}


def test_two_models_and_a_picture(run, data, evaluator, model, tmp_path):
    other = tiny.checkpoint(tmp_path / "other", "intermask/tokenizer-interx-open")
    words = ["evaluate", model, "--protocol", "interx", "--data", data, "--evaluator", evaluator]
    status, text, error = run(*words, "--compare", other, "--out", tmp_path / "out")
    assert status == 0, error
    assert f"| {model} |" in text and f"| {other} |" in text
    assert (tmp_path / "out" / "fid-against-time.png").read_bytes()[:4] == b"\x89PNG"


def test_views_are_whole_units_of_the_first_five_seconds(data):
    clip = interx_data.read_split(data, "test")[0][8]
    long = replace(
        clip, rotations=clip.rotations[:, np.arange(321) % 41], translations=np.zeros((2, 321, 3))
    )
    rng = np.random.default_rng(0)
    assert {INTERX.view(long, rng).num_frames for _ in range(20)} == {150}
    shown = [INTERX.view(clip, rng).num_frames for _ in range(300)]
    assert set(shown) == {40, 36} and 0.25 < shown.count(36) / 300 < 0.42
    recorded = INTERX.recorded(clip, 0)
    assert recorded.shape == (2, 41, 336)
    np.testing.assert_array_equal(
        recorded[:, :-1], layouts.INTERX.encode_smplx(clip.rotations, clip.translations)
    )
    joints = layouts.INTERX.to_joint_map(recorded)
    np.testing.assert_array_equal(joints[:, -1, 55, 3:], 0)
    np.testing.assert_allclose(joints[:, -1, 55, :3], clip.translations[:, -1])


def test_evaluators_read_tags_and_pad_as_the_released_code(data, evaluator):
    embedder, clips = load_embedder(evaluator), interx_data.read_split(data, "test")[0]
    assert isinstance(embedder, WordEmbedder) and embedder.data == "interx"
    query = INTERX.query(clips[0], np.random.default_rng(0))
    assert INTERX.text(query) in clips[0].words
    assert INTERX.text(query._replace(words="", text="Two waves")) == "two/OTHER waves/OTHER"
    assert INTERX.num_untagged(clips) == 1
    motions = [INTERX.recorded(clip, 0) for clip in clips[:3]]
    together = embedder.motions(motions)
    for row, motion in zip(together, motions, strict=True):
        np.testing.assert_allclose(embedder.motions([motion])[0], row, atol=1e-6)
    # the last movement sees zeros up to the 150 frames of the released code
    padded = torch.zeros(1, 2, 150, 336)
    padded[0, :, :25] = torch.from_numpy(motions[0])
    with torch.no_grad():
        exact = embedder.evaluator.embed_motion(padded, torch.tensor([25]))
    np.testing.assert_allclose(exact, together[:1], atol=1e-6)
    texts = embedder.texts(["two/NUM wave/VERB", "wave/VERB"])
    np.testing.assert_allclose(texts[1:], embedder.texts(["wave/VERB"]), atol=1e-6)
    assert np.abs(texts - embedder.texts(["two/NUM wave/NOUN", "wave/NOUN"])).max() > 1e-4


def test_bad_input_is_one_sentence(run, data, evaluator, model, tmp_path):
    words = ["evaluate", model, "--data", data, "--out", tmp_path / "o", "--protocol", "interx"]
    interclip = tiny.interclip(tmp_path / "interclip")
    wrong = tiny.checkpoint(tmp_path / "interhuman")
    cases = {
        "needs the folder of Inter-X's evaluator": words,
        "interclip is not Inter-X's evaluator": [*words, "--evaluator", interclip],
        "makes 262 features a frame; Inter-X's evaluator reads the 336": [
            "evaluate", wrong, *words[2:], "--evaluator", evaluator,
        ],
        "interx is not HumanML3D's evaluator": [*words[:-1], "t2m", "--evaluator", evaluator],
        "interx is not InterCLIP": [*words[:-1], "intergen", "--evaluator", evaluator],
        "has no split/test.txt": [
            "evaluate", model, "--protocol", "interx", "--data", tmp_path, "--evaluator", evaluator,
        ],
    }  # fmt: skip
    for sentence, typed in cases.items():
        status, _, error = run(*typed)
        *progress, last = error.strip().splitlines()
        assert status == 2 and sentence in last, error
        assert all("clip/s" in line for line in progress)
    with pytest.raises(ValueError, match="at least 320 test clips, not 9"):
        clips = interx_data.read_split(data, "test")[0]
        Evaluation(load_embedder(evaluator), clips, INTERX_PROTOCOL, INTERX)
    (evaluator / "words").rename(evaluator / "away")
    try:
        status, _, error = run(*words, "--evaluator", evaluator)
    finally:
        (evaluator / "away").rename(evaluator / "words")
    assert status == 2 and "the evaluator needs the vectors of its words" in error


def test_tagged_lines_are_prepared_and_read(data, tmp_path):
    clip = interx_data.read_split(data, "test")[0][0]
    assert clip.captions == ("Two people wave G0.", "hi")
    assert clip.words == ("two/NUM people/NOUN wave/VERB", "hi/INTJ")
    write_lines(tmp_path / "texts" / "a.txt", ["Two people wave."])
    write_lines(tmp_path / "texts_processed" / "a.txt", ["Two people wave.#two/NUM#0.0#0.0"])
    (tmp_path / "motions").mkdir()
    np.save(tmp_path / "motions" / "a.npy", np.zeros((30, 56, 6), np.float32))
    read = interx_data.read_clip(tmp_path, "a")
    assert read.words == ("two/NUM",) and read.captions == ("Two people wave.",)
    write_lines(tmp_path / "texts_processed" / "a.txt", ["Two people wave.#two/NUM"])
    assert "it is no caption#word/TAG" in interx_data.read_clip(tmp_path, "a").reason


def test_reproduce_measures_interx(run, data, evaluator, model, tmp_path):
    words = ["reproduce", "intermask/table1-interx", "--checkpoint", f"InterMask={model}"]
    words += ["--data", data, "--evaluator", evaluator, "--out", tmp_path / "out"]
    status, text, error = run(*words)
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert "-" not in cells["InterMask"] and "-" in cells["MDM"]
    assert "`duomotion import-official interx-evaluator`" in text


def test_partners_react_to_the_person_who_acts(run, data, evaluator, model, tmp_path):
    names = [clip.name for clip in interx_data.read_split(data, "test")[0]]
    processes, loaded = Processes(torch.device("cpu")), duomotion.load(model)
    source = Reactions(loaded, tmp_path, processes, INTERX, protocol="interx").source
    interx_data.write_actors(data, {name: int(name > "G3") for name in names[:8]})
    try:
        clips, _ = interx_data.read_split(data, "test")
        for clip, actor in ((clips[2], 0), (clips[5], 1), (clips[8], 0)):
            (made,) = source([Query(clip, "they meet", 3)])
            recorded = INTERX.recorded(clip, 3)[:, : made.shape[1]]
            np.testing.assert_array_equal(made[actor], recorded[actor])
            assert np.abs(made[1 - actor] - recorded[1 - actor]).max() > 1e-3
        words = ["evaluate", model, "--protocol", "interx", "--data", data]
        words += ["--evaluator", evaluator, "--tasks", "reconstruction", "reaction"]
        words += ["--reaction-steps", 3]
        status, text, error = run(*words, "--out", tmp_path / "out")
    finally:
        (data / "actors.txt").unlink()
    assert status == 0, error
    assert f"| {model}, reactions |" in text and "who acts in 1 clips;" in text
    assert f"| {model}, reconstruction only |" in text and "MPJPE mm ↓" in text
    assert "Sampling: reaction steps 3." in text
    (folder,) = (tmp_path / "out" / "clips").iterdir()
    assert folder.name.endswith("-interx-reactions-steps-3")


# one person ------------------------------------------------------------------------------------

both = pytest.mark.parametrize("layout", SOLO_LAYOUTS, ids=lambda layout: layout.name)
SIZES = {HUMANML3D.name: HUMANML3D_SIZES, KIT.name: KIT_SIZES}


class Still(MotionModel):
    """Makes the mean of a data set, a little different for every seed."""

    name, fingerprint, min_frames, max_frames = "still", "0" * 12, 1, 196

    def __init__(self, mean):
        self.mean = mean

    def answer(self, requests):
        raise NotImplementedError

    def features(self, requests):
        rows = [np.random.default_rng(request.seed).normal(size=1) for request in requests]
        return [
            np.tile(self.mean + row, (1, request.frames, 1))
            for row, request in zip(rows, requests, strict=True)
        ]

    def reconstruct(self, features):
        return features[:, : features.shape[1] // 4 * 4] + 0.01


@both
def test_t2m_from_the_command_line(run, tmp_path, monkeypatch, layout):
    data = tiny.solo_data(tmp_path / "data", layout)
    evaluator = tiny.bigru(tmp_path / layout.name, "t2m-evaluator", SIZES[layout.name].motion_dim)
    model = Still(solo.read_split(data, "test")[0][0].features.mean(0))
    monkeypatch.setattr(duomotion, "load", lambda *args, **more: model)
    monkeypatch.setattr(loading, "load", lambda *args, **more: model)
    out = tmp_path / "out"
    words = ["evaluate", "still", "--protocol", "t2m", "--data", data, "--evaluator", evaluator]
    status, text, error = run(*words, "--out", out)
    assert status == 0, error
    title = "HumanML3D" if layout is HUMANML3D else "KIT-ML"
    assert text.startswith(f"# The protocol t2m on {title}\n")
    assert "| MoMask (published: Guo et al. 2024" in text and "tagged words" not in text
    found = json.loads((out / "report.json").read_text())
    assert found["rows"]["still"]["fid"]["mean"] > found["rows"]["ground truth"]["fid"]["mean"] >= 0
    made = sorted((out / "clips").rglob("*.npz"))
    assert len(made) == 2 * (8 + 2 * 3)
    for path in made:
        people, frames, width = np.load(path)["features"].shape
        assert (people, width) == (1, layout.num_features) and frames % 4 == 0

    name = "momask/table2" if layout is HUMANML3D else "momask/table2-kit"
    words = ["reproduce", name, "--data", data, "--evaluator", evaluator]
    (tmp_path / "recipe.json").write_text('{"system": "momask/masked"}')
    words += ["--checkpoint", f"MoMask={tmp_path}", "--out", tmp_path / "again"]
    status, text, error = run(*words)
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()}
    assert "-" not in cells["MoMask"] and "-" in cells["T2M-GPT"]
    assert "root-aligned MPJPE mm" in text and "Models sample with steps 18." in text
    if layout is KIT:
        assert "measured root-aligned MPJPE mm of KIT-ML's reference body ↓" in text
        paper, ours = (float(cell.split(" ± ")[0]) for cell in cells["MoMask"][4:6])
        assert ours / paper == pytest.approx(0.75 / 0.48, rel=0.01)
    other = tiny.solo_data(tmp_path / "other", KIT if layout is HUMANML3D else HUMANML3D)
    status, _, error = run(*words[:2], "--data", other, "--evaluator", evaluator)
    assert status == 2 and "; the evaluator reads " in error and len(error.splitlines()) == 1


@both
def test_views_of_one_person_and_their_evaluator(tmp_path, layout):
    data = tiny.solo_data(tmp_path / "data", layout)
    evaluator = tiny.bigru(tmp_path / "e", "t2m-evaluator", SIZES[layout.name].motion_dim)
    embedder, test_set = load_embedder(evaluator), TEST_SETS[layout.name]
    clips, problems = test_set.read(data, "test")
    assert not problems and embedder.data == layout.name and len(clips) == 9
    rng = np.random.default_rng(0)
    frames = clips[3].num_frames // 4 * 4
    shown = [test_set.query(clips[3], rng) for _ in range(200)]
    lengths = [test_set.num_frames(query.clip) for query in shown]
    assert set(lengths) == {frames, frames - 4} and 0.2 < lengths.count(frames - 4) / 200 < 0.46
    assert {test_set.text(query) for query in shown} == {"a/DET man/NOUN wave/VERB", "turn/VERB"}
    motion = test_set.recorded(shown[0].clip, 0)
    made = embedder.motions([motion, test_set.recorded(clips[0], 0)])
    np.testing.assert_allclose(embedder.motions([motion]), made[:1], atol=1e-6)
    # normalised with the evaluator's own statistics, then zeros up to 196 frames
    mean, std = (np.load(tmp_path / "meta" / f"{name}.npy") for name in ("mean", "std"))
    normalised = torch.zeros(1, 196, layout.num_features - 4)
    normalised[0, : motion.shape[1]] = torch.from_numpy(((motion[0] - mean) / std)[:, :-4])
    network = embedder.evaluator
    with torch.no_grad():
        movements = network.movement_encoder(normalised)
        exact = network.motion_encoder(movements, torch.tensor([motion.shape[1] // 4]))
    np.testing.assert_allclose(exact, made[:1], atol=1e-5)
