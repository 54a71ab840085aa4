"""Several takes of a prompt, names of files, what is measured of a clip, and `trim`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from motions import TAIL, standing, waving
from PIL import Image
from refusals import refused

import duomotion
from duomotion.cli.files import file_name
from duomotion.evaluation.metrics import physics
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import MAX_SEED, Sampling

pytestmark = pytest.mark.usefixtures("hardly_separated")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return duomotion.load(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))


def same(one, other):
    return np.array_equal(one.positions, other.positions)


def test_one_text_or_a_list(model):
    texts = ["they wave", "they dance"]
    clips = model.generate(texts, seconds=1, seed=3)
    assert [clip.caption for clip in clips] == texts
    for text, clip in zip(texts, clips, strict=True):
        assert same(clip, model.generate(text, seconds=1, seed=3))
    assert model.generate([]) == []


def test_takes_are_those_of_the_seeds_that_follow(model):
    reports = []
    options = {"num_samples": 3, "seed": 5, "callback": reports.append}
    clips = model.generate(["they wave", "they dance"], seconds=1, **options)
    assert [clip.caption for clip in clips] == ["they wave"] * 3 + ["they dance"] * 3
    assert same(clips[1], model.generate("they wave", seconds=1, seed=6))
    assert same(clips[5], model.generate("they dance", seconds=1, seed=7))
    shares = [report.share for report in reports]
    assert shares == sorted(shares) and shares[-1] == 1
    (one,) = model.generate("they wave", seconds=1, num_samples=1)
    assert same(one, model.generate("they wave", seconds=1))


def test_how_many_takes_there_can_be(model):
    for count in (0, -1, 10**6):
        with pytest.raises(ValueError, match="samples have to be 1 to 1,000"):
            model.generate("they wave", num_samples=count)
    with pytest.raises(ValueError, match="seed has to be"):
        model.generate("they wave", num_samples=2, seed=MAX_SEED)


@pytest.mark.slow
def test_variety_is_a_factor_of_temperatures(model):
    spreads = {}
    for variety in (None, 0.1, 1, 10):
        sampling = Sampling(variety=variety)
        clips = model.generate("they wave", seconds=1, num_samples=6, sampling=sampling)
        spreads[variety] = np.mean(np.std([clip.positions for clip in clips], 0))
    assert spreads[None] == spreads[1] and spreads[0.1] < spreads[1] < spreads[10]


@pytest.mark.parametrize("variety", [0, -1, 11, float("nan")])
def test_variety_that_is_out_of_range(variety):
    with pytest.raises(ValueError, match=r"variety has to be 0.1 to 10"):
        Sampling(variety=variety)


def test_samples_come_with_a_sheet(run, folder, tmp_path):
    words = ("--seconds", 1, "--model", folder, "--formats", "npz", "--out", tmp_path / "o")
    status, printed, _ = run("generate", "they wave", "--samples", 3, *words, "--quality")
    assert status == 0 and printed.count("foot sliding") == 3
    names = [f"they-wave-tiny-1s-{seed}.npz" for seed in range(3)]
    sheet = "they-wave-tiny-1s-3takes-0.png"
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == sorted([*names, sheet])
    with Image.open(tmp_path / "o" / sheet) as picture:
        assert picture.height > 600
    status, printed, _ = run("generate", "they wave", "--seed", 1, *words)
    again = next(line for line in printed.split() if line.endswith(".npz"))
    assert Path(again).name == "they-wave-2-tiny-1s-1.npz"
    assert same(Interaction.load(again), Interaction.load(tmp_path / "o" / names[1]))


@pytest.mark.slow
def test_the_best_is_kept(run, folder, tmp_path):
    words = ("--model", folder, "--formats", "npz", "--out")
    standing(people=1, frames=30).save(tmp_path / "actor.npz")
    (tmp_path / "all").mkdir()
    for name, more in {
        "all": ("--samples", 3),
        "best": ("--best-of", 3),
        "two": ("--best-of", 3, "--samples", 2),
    }.items():
        command = ("react", tmp_path / "actor.npz", *more, *words, tmp_path / name)
        status, printed, _ = run(*command)
        assert status == 0 and ("best of 3" in printed) == (name != "all")
    flaws = {
        path.stem[-1]: Interaction.load(path).quality.flaw for path in (tmp_path / "all").glob("*z")
    }
    ranked = sorted(flaws, key=lambda seed: flaws[seed])
    for name, kept in (("best", 1), ("two", 2)):
        found = {path.stem[-1] for path in (tmp_path / name).glob("*.npz")}
        assert found == set(ranked[:kept])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--samples", 0), "samples have to be 1 to 1,000"),
        (("--best-of", 0), "draws fewer takes than the 1 of --samples"),
        (("--best-of", 2, "--samples", 3), "--best-of 2 draws fewer takes than the 3"),
        (("--samples", 2, "--seed", MAX_SEED), "seed has to be"),
        (("--variety", 100), "variety has to be"),
    ],
)
def test_takes_that_are_refused_before_anything_is_loaded(run, tmp_path, words, sentence):
    result = run("generate", "they wave", "--model", "none", "--out", tmp_path / "o", *words)
    assert refused(result, sentence)


def test_names_say_what_is_in_a_file_and_are_free(tmp_path):
    assert (
        file_name(tmp_path, "They wave!", 3, ["4s", "guidance2.5"]) == "they-wave-4s-guidance2.5-3"
    )
    for taken in ("hi-0.npz", "hi-2-0.glb", "hi-3-0_A.bvh", "hi-3-00.npz"):
        (tmp_path / taken).touch()
    assert file_name(tmp_path, "Hi", 0) == "hi-4-0"
    assert file_name(tmp_path, "Hi", 1) == "hi-1"
    assert file_name(tmp_path / "nowhere", "两个人", 0, ["../x"]) == "clip-x-0"


def test_nothing_is_overwritten(run, folder, tmp_path):
    words = ("--seconds", 1, "--model", folder, "--formats", "npz", "--out", tmp_path)
    assert run("generate", "they wave", *words)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npz")}
    for more in ((), ("--seed", 1), ("--guidance", 3), ("--variety", 2)):
        assert run("generate", "They wave!", *words, *more)[0] == 0
    names = {path.name for path in tmp_path.glob("*.npz")}
    assert names == {
        "they-wave-tiny-1s-0.npz",
        "they-wave-2-tiny-1s-0.npz",
        "they-wave-tiny-1s-1.npz",
        "they-wave-tiny-guidance3-1s-0.npz",
        "they-wave-tiny-variety2-1s-0.npz",
    }
    assert all(path.read_bytes() == content for path, content in before.items())


def test_what_is_measured_is_in_the_file(tmp_path):
    clip = waving(frames=30)
    report, quality = physics.report(clip), clip.quality
    assert quality.foot_sliding == report["foot_sliding"]
    assert quality.overlap == report["body_litres"]
    assert quality.top_acceleration == report["top_acceleration"]
    clip.save(tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as arrays:
        for name, value in vars(quality).items():
            assert arrays[name] == value
    assert Interaction.load(tmp_path / "clip.npz").quality == quality
    assert len(str(quality).splitlines()) == 1


def test_worse_motion_has_more_of_a_flaw():
    still = standing(people=2, frames=30, gap=2.5)
    assert still.quality.flaw < 0.5
    sunk = replace(still, root_positions=still.root_positions - np.float32([0, 0.2, 0]))
    assert sunk.quality.floor_error == pytest.approx(0.2, abs=1e-3) and sunk.quality.flaw > 2
    jump = still.root_positions.copy()
    jump[:, 15:, 2] += 0.5
    assert replace(still, root_positions=jump).quality.flaw > 2
    assert replace(still, root_positions=still.root_positions * [0.1, 1, 1]).quality.overlap > 5


def test_what_is_not_measured(tmp_path):
    for clip in (
        waving(skeleton=TAIL),
        standing(people=3, frames=30),
        standing(frames=2),
        replace(waving(), fps=0.5),
    ):
        assert clip.quality is None
        clip.save(tmp_path / "clip.npz")
        assert Interaction.load(tmp_path / "clip.npz").num_people == clip.num_people


def test_a_clip_in_a_line_and_in_a_notebook():
    clip = waving(people=1, frames=30, caption="it's <b>")
    assert repr(clip) == 'Interaction(1 person, 30 frames at 30 fps, 22 joints, "it\'s <b>")'
    assert repr(waving()).startswith("Interaction(2 people, 20 frames")
    shown = clip._repr_html_()
    assert shown.startswith("<iframe sandbox=") and "<b>" not in shown and "<script" not in shown


def test_the_public_names():
    assert dir(duomotion) == ["Interaction", "Sampling", "__version__", "load"]
    assert all(getattr(duomotion, name) for name in dir(duomotion))
    assert (Path(duomotion.__file__).parent / "py.typed").is_file()


def test_trim(run, tmp_path):
    clip, cut = waving(frames=60), tmp_path / "cut.bvh"
    clip.save(tmp_path / "clip.npz")
    status, printed, _ = run("trim", tmp_path / "clip.npz", cut, "--start", 0.5, "--end", 1.5)
    assert (status, printed) == (0, f"{cut}: 30 frames, 1 s\n")
    kept = clip.positions[:, 15:45]
    np.testing.assert_allclose(Interaction.load(cut).positions, kept, atol=1e-4)
    assert refused(run("trim", tmp_path / "clip.npz", cut), "is there already")
    assert run("trim", tmp_path / "clip.npz", tmp_path / "all.npz")[0] == 0
    assert Interaction.load(tmp_path / "all.npz").num_frames == 60


@pytest.mark.parametrize("words", [("--start=-1",), ("--start=2",), ("--end=3",), ("--end=nan",)])
def test_stretches_that_are_not_there(run, tmp_path, words):
    waving(frames=60).save(tmp_path / "clip.npz")
    assert refused(run("trim", tmp_path / "clip.npz", tmp_path / "cut.npz", *words), "is no part")
    assert not (tmp_path / "cut.npz").exists()
