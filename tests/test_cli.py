"""The command line as a user types it."""

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiny
import torch
from limits import largest_file, ordinary_user
from motions import standing, waving
from refusals import refused

from duomotion.cli import evaluate
from duomotion.cli.generate import FORMATS
from duomotion.cli.importing import importers
from duomotion.cli.train import train
from duomotion.config import apply_overrides
from duomotion.evaluation.metrics.protocols import PUBLISHED
from duomotion.formats import bvh
from duomotion.loading import shipped
from duomotion.models import find_recipe, systems
from duomotion.motion.interaction import Interaction
from duomotion.text.learned import LEARNED, Described, Learned, read_known

pytestmark = pytest.mark.usefixtures("hardly_separated")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))


def test_generate_writes_every_format(run, model, tmp_path):
    out = tmp_path / "new" / "folder"
    status, printed, _ = run(
        "generate", "Two people shake hands!", "--seconds", 1, "--model", model, "--out", out
    )
    assert status == 0
    names = [f"two-people-shake-hands-tiny-1s-0.{suffix}" for suffix in FORMATS]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert all(str(out / name) in printed for name in names)
    clip = Interaction.load(out / names[0])
    assert clip.num_people == 2 and clip.num_frames == 30
    assert clip.caption == "Two people shake hands!"
    spoken = Interaction.load(out / names[1])
    np.testing.assert_allclose(spoken.positions, clip.positions, atol=1e-4)


def test_the_same_seed_gives_the_same_motion(run, model, tmp_path):
    clips = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        out = tmp_path / folder
        words = ("--seconds", 1, "--seed", seed, "--formats", "npz", "--model", model, "--out", out)
        assert run("generate", "two people dance", *words)[0] == 0
        clips.append(Interaction.load(out / f"two-people-dance-tiny-1s-{seed}.npz"))
    np.testing.assert_array_equal(clips[0].positions, clips[1].positions)
    assert np.abs(clips[0].positions - clips[2].positions).max() > 1e-3


def test_react_keeps_the_actor(run, model, tmp_path):
    actor = tmp_path / "actor.bvh"
    standing(people=2, frames=40, gap=0.8).save(actor)
    given = Interaction.load(actor)
    for person, text in (("A", ""), ("B", "they shake hands")):
        out = tmp_path / person
        words = ("--text", text, "--person", person, "--formats", "npz", "--out", out)
        assert run("react", actor, *words, "--model", model)[0] == 0
        (path,) = out.iterdir()
        clip = Interaction.load(path)
        kept = given.person("AB".index(person))
        np.testing.assert_array_equal(clip.positions[:1], kept.positions)
        assert clip.num_people == 2


def test_inpaint_and_extend_keep_what_is_known(run, model, tmp_path):
    clip = tmp_path / "clip.npz"
    standing(people=2, frames=60, gap=0.8).save(clip)
    given = Interaction.load(clip)
    words = ("--model", model, "--formats", "npz", "--out")
    stretch = ("--unknown", "0.5:1.5", "--person", "B", "--text", "they wave")
    assert run("inpaint", clip, *stretch, *words, tmp_path / "inpaint")[0] == 0
    made = Interaction.load(tmp_path / "inpaint" / "clip-inpaint-they-wave-tiny-0.npz")
    np.testing.assert_allclose(made.positions[0], given.positions[0], atol=1e-5)
    np.testing.assert_allclose(made.positions[1, :15], given.positions[1, :15], atol=1e-5)
    both = tmp_path / "both"
    assert run("inpaint", clip, "--unknown", ":0.5,1.5:", *words, both)[0] == 0
    made = Interaction.load(both / "clip-inpaint-tiny-0.npz").positions
    np.testing.assert_allclose(made[:, 15:45], given.positions[:, 15:45], atol=1e-5)
    for stretch in (slice(15), slice(45, 60)):
        assert np.abs(made[:, stretch] - given.positions[:, stretch]).max() > 1e-3
    assert run("extend", clip, "--seconds", 3, *words, tmp_path / "extend")[0] == 0
    longer = Interaction.load(tmp_path / "extend" / "clip-extend-tiny-3s-0.npz")
    assert longer.num_frames == 90
    np.testing.assert_allclose(longer.positions[:, :60], given.positions, atol=1e-5)


def test_one_piece_is_for_models_that_are_not_bound_to_a_window(run, model):
    words = ("generate", "two people wave", "--one-piece", "--model", model)
    assert refused(run(*words), "--one-piece goes with --seconds")
    assert refused(run(*words, "--seconds", 20), "makes at most 10 s in one piece")


def test_impossible_stretches_are_refused(run, model, tmp_path):
    clip = tmp_path / "clip.npz"
    standing(people=2, frames=60, gap=0.8).save(clip)
    words = ("--model", model, "--out", tmp_path / "o")
    assert refused(run("inpaint", clip, "--unknown", "1-2", *words), "1.0:2.0")
    assert refused(run("inpaint", clip, "--unknown", "1:3", *words), "within the 2 s")
    assert refused(run("inpaint", clip, "--unknown", "0:1,", *words), "1.0:2.0 or 0:1,3:4")
    assert refused(run("inpaint", clip, "--unknown", ":", *words), "whole clip")
    assert refused(run("extend", clip, "--seconds", 1, *words), "has to be more")
    assert refused(run("extend", clip, "--seconds", 600, *words), "0.5 to 60 s")


def test_many_prompts(run, model, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# a comment\nthey wave\n\nthey dance\n", encoding="utf-8")
    words = ("--model", model, "--formats", "npz", "--seconds", 1, "--out", tmp_path / "o")
    assert run("generate", "--prompts", prompts, *words)[0] == 0
    names = sorted(path.name for path in (tmp_path / "o").iterdir())
    assert names == ["they-dance-tiny-1s-0.npz", "they-wave-tiny-1s-0.npz"]
    assert refused(run("generate", "they wave", "--prompts", prompts, *words), "not both")
    prompts.write_text("they wave\n两个人握手\n", encoding="utf-8")
    assert refused(run("generate", "--prompts", prompts, *words), "line 2", "English")
    prompts.write_text("# nothing\n", encoding="utf-8")
    assert refused(run("generate", "--prompts", prompts, *words), "no sentence")
    prompts.write_bytes(b"\xff\xfe\x00")
    assert refused(run("generate", "--prompts", prompts, *words), "UTF-8")
    prompts.write_text('{"text": "they wave"}\n', encoding="utf-8")
    assert refused(run("generate", "--prompts", prompts, *words), "line 1 is JSON", ".jsonl")


def test_prompts_that_begin_alike_get_files_of_their_own(run, model, tmp_path):
    prompts = tmp_path / "prompts.txt"
    start = "two people stand face to face and talk to each other"
    texts = [f"{start}, then they hug", f"{start}, then they bow", "hi!", "hi?", "Hi 2", "hi"]
    prompts.write_text("\n".join(texts), encoding="utf-8")
    words = ("--model", model, "--formats", "npz", "--seconds", 1, "--out", tmp_path / "o")
    status, printed, _ = run("generate", "--prompts", prompts, *words)
    assert status == 0
    clips = [Interaction.load(path) for path in printed.split()]
    assert [clip.caption for clip in clips] == texts
    cut = "two-people-stand-face-to-face-and-talk-to-each-oth"
    names = [cut, f"{cut}-2", "hi", "hi-2", "hi-2-2", "hi-3"]
    assert [Path(path).stem for path in printed.split()] == [f"{name}-tiny-1s-0" for name in names]


def test_view_opens_a_page(run, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    clip = tmp_path / "clip.npz"
    waving().save(clip)
    assert run("view", clip)[0] == 0
    assert opened == [(tmp_path / "clip.html").as_uri()]
    assert "<html" in (tmp_path / "clip.html").read_text(encoding="utf-8")
    assert refused(run("view", clip, "--out", tmp_path / "x.txt"), ".html")


def test_what_is_replaced_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda page: True)
    waving(frames=6).save(source := tmp_path / "a.npz")
    target, page = tmp_path / "b.bvh", tmp_path / "a.html"
    for words, made in ((("convert", source, target), target), (("view", source), page)):
        assert run(*words)[1].splitlines() == [str(made)]
        replaced = f"{made} was there already and is replaced"
        assert run(*words)[1].splitlines() == [replaced, str(made)]


def test_convert_there_and_back(run, tmp_path):
    source = tmp_path / "clip.npz"
    waving().save(source)
    status, printed, _ = run("convert", source, tmp_path / "x.bvh", "--split", "--unit", "cm")
    parts = [tmp_path / "x_A.bvh", tmp_path / "x_B.bvh"]
    assert status == 0 and printed.split() == [str(part) for part in parts]
    back = tmp_path / "back.npz"
    status, _, told = run("convert", parts[0], back, "--second", parts[1], "--up", "y")
    assert status == 0 and "read in cm, a body measuring 1." in told
    clip = Interaction.load(back)
    np.testing.assert_allclose(clip.positions, waving().positions, atol=1e-4)
    told = run("convert", parts[0], back, "--second", parts[1], "--scale", 0.02, "--up", "y")[2]
    assert told == ""
    twice = Interaction.load(back)
    np.testing.assert_allclose(twice.positions, 2 * waving().positions, atol=1e-4)


def test_bvh_to_bvh_changes_the_unit(run, tmp_path):
    source, target = tmp_path / "a.bvh", tmp_path / "b.bvh"
    bvh.write(standing(), source, scale=0.0254)
    assert run("convert", source, target, "--unit", "cm")[0] == 0
    np.testing.assert_allclose(
        bvh.read(target, scale=0.01).positions, standing().positions, atol=1e-4
    )


def test_every_command_reads_in_units_axes_and_parts(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda page: None)
    moved = standing(frames=90)
    roots = moved.root_positions + np.linspace(0, 1, 90)[:, None] * [0, 0, 1]
    source = tmp_path / "source.bvh"
    bvh.write(replace(moved, root_positions=roots), source, scale=0.01)
    words = ("--scale", 0.01, "--up", "y", "--start", 0.5, "--end", 2)
    made = ("--model", model, "--formats", "npz", "--out", tmp_path / "out")
    for command in (
        ("convert", source, tmp_path / "clip.npz"),
        ("view", source, "--out", tmp_path / "clip.html"),
        ("react", source, *made),
        ("inpaint", source, "--unknown", "0.5:1", *made),
        ("extend", source, "--seconds", 1.8, *made),
    ):
        status, printed, error = run(*command, *words)
        assert status == 0, error
        written = Path(printed.splitlines()[-1])
        if written.suffix == ".npz":
            first = Interaction.load(written).root_positions[0, 0]
            np.testing.assert_allclose(first, roots[0, 15], atol=1e-3)
        assert refused(run(*command, "--scale", 0), "the scale has to be", "not 0")
        assert refused(run(*command, "--scale", -1), "the scale has to be", "not -1")
        assert refused(run(*command, "--scale", 1, "--start", 4), "source.bvh holds 3.00 s")
    assert Interaction.load(tmp_path / "clip.npz").num_frames == 45


def test_generate_writes_files_as_asked(run, model, tmp_path):
    out = tmp_path / "out"
    words = ("generate", "two people hug", "--seconds", 1, "--formats", "npz", "bvh", "--out", out)
    words = (*words, "--model", model)
    status, printed, _ = run(*words, "--split", "--fps", 60, "--unit", "in")
    assert status == 0
    paths = [out / f"two-people-hug-tiny-1s-0{end}" for end in (".npz", "_A.bvh", "_B.bvh")]
    assert printed.split()[-3:] == [str(path) for path in paths]
    clip = Interaction.load(paths[0])
    assert (clip.fps, clip.num_frames) == (60, 59)
    pair = bvh.read(paths[1:], scale=0.0254)
    assert pair.fps == 60
    np.testing.assert_allclose(pair.positions, clip.positions, atol=1e-3)
    assert refused(run(*words, "--fps", 0), "--fps 0: 1 to 240 frames a second")


def test_convert_to_smpl_and_back(run, tmp_path):
    source = tmp_path / "clip.npz"
    waving().save(source)
    status, printed, _ = run("convert", source, tmp_path / "x.smpl.npz")
    parts = [tmp_path / "x_A.smpl.npz", tmp_path / "x_B.smpl.npz"]
    assert status == 0 and printed.split() == [str(part) for part in parts]
    back = tmp_path / "back.npz"
    assert run("convert", parts[0], back, "--second", parts[1])[0] == 0
    clip = Interaction.load(back)
    np.testing.assert_allclose(clip.positions, waving().positions, atol=1e-3)
    assert Interaction.load(parts[0]).num_people == 1


def test_what_is_no_released_checkpoint_is_refused(run, tmp_path):
    out = ("--out", tmp_path / "o")
    assert run("import-official", "intermask", tmp_path / "nowhere", *out)[0] == 2
    junk = tmp_path / "junk.tar"
    junk.write_bytes(b"no checkpoint")
    assert refused(run("import-official", "intermask", junk, *out), "opt.txt is missing")
    assert refused(run("import-official", "clipp", junk, *out), "'clipp'", "did you mean clip?")
    for words in (("clip",), ("momask", "--vocabulary", "x")):  # missing, and another one's
        status, printed, error = run("import-official", *words[:1], junk, *out, *words[1:])
        assert (status, printed) == (2, "") and "--vocabulary" in error and "Trace" not in error
    assert not (tmp_path / "o").exists()


def test_every_importer_has_its_own_help(run):
    for name in importers():
        status, printed, _ = run("import-official", name, "--help")
        assert status == 0 and "--out PATH" in printed
        assert ("--vocabulary" in printed) == (
            name not in ("intergen", "intermask", "intermoe", "momask", "length")
        )


def test_every_protocol_is_in_the_table():
    assert set(evaluate.PROTOCOLS) == set(get_args(evaluate.Protocol))
    assert set(PUBLISHED) < set(evaluate.PROTOCOLS)


def test_models_and_data_sets_are_listed(run):
    status, printed, _ = run("data", "list")
    assert status == 0 and "open-pairs" in printed and "interhuman" in printed
    status, printed, _ = run("models")
    models, recipes = printed.split("\n\n")
    assert status == 0 and "intermask-open  two people" in models
    assert "momask-open  one person" in models
    known = {name for system in systems().values() for name in system.recipes()}
    assert known <= set(recipes.replace(",", " ").split())
    assert "intergen  Liang et al. 2024\n    denoiser: intergen/denoiser, " in recipes
    assert run("train") == (0, recipes, "")


def test_what_a_model_does_not_say_is_not_made_up(run, model, tmp_path):
    status, printed, _ = run("models", model)
    assert status == 0 and printed.endswith("does not say which kinds of action it has learned\n")
    words = ("--seconds", 1, "--formats", "npz", "--model", model, "--out", tmp_path)
    status, printed, _ = run("generate", "they wave", *words)
    assert status == 0 and "read as" not in printed
    assert refused(run("models", "intermusk"), "no model 'intermusk'", "intermask-open")


@pytest.fixture
def taught(model, tmp_path):
    """The model, and what it has learned: recorded handshakes and composed bows."""
    folder = shutil.copytree(model, tmp_path / "taught")
    recorded = ["two people shake hands", "they shake hands", "two men shaking hands"]
    bows = ["two people bow to each other", "they bow deeply", "one person bows, the other bows"]
    shakes, bows = (
        [Described(text, kind, kind) for text in texts]
        for kind, texts in (("handshake", recorded), ("bow + bow", bows))
    )
    Learned.of(shakes, 2, composed=bows).save(folder / LEARNED)
    return folder


def test_what_a_prompt_is_known_from_is_said(run, taught, tmp_path):
    words = ("--seconds", 1, "--formats", "npz", "--model", taught, "--out", tmp_path / "out")
    said = {
        text: run("generate", text, *words)[1].splitlines()
        for text in ("two people shake hands", "they bow to each other", "two people fence")
    }
    from_clips = "known only from clips composed of recordings of one person: often not shown"
    assert said["they bow to each other"][1].startswith('read as "bow + bow" (')
    assert said["they bow to each other"][2] == f"'they bow to each other' is {from_clips}"
    assert said["two people fence"][2].startswith("nothing like 'two people fence' was in")
    for text, lines in said.items():
        assert any("composed" in line for line in lines) == (text == "they bow to each other")
    (path,) = (tmp_path / "out").glob("they-bow*.npz")
    reading = Interaction.load(path).reading
    assert reading is not None and reading.known and reading.composed


@pytest.mark.slow
def test_the_most_frequent_kinds_of_action_are_listed(run, taught):
    described = [
        Described(f"they do a {kind} {n}", f"kind {kind:02}", f"{kind} {n}")
        for kind in range(41)
        for n in range(42 - kind)
    ]
    composed = [Described(f"one waves, the other {n}", "wave + wave", f"{n}") for n in range(9)]
    Learned.of(described, 2, composed=composed).save(taught / LEARNED)
    status, printed, _ = run("models", taught)
    heading, *kinds, last = printed.splitlines()
    assert status == 0 and heading.split() == ["kind", "clips", "example"]
    assert [line[:7] for line in kinds] == [f"kind {kind:02}" for kind in range(40)]
    assert kinds[39].split()[2] == "3" and "they do a 39" in kinds[39]
    assert last == (
        "and 2 more, 1 of them only from clips composed of recordings of one person; "
        f"`duomotion models {taught} --all` lists all"
    )
    status, printed, _ = run("models", taught, "--all")
    every = printed.splitlines()
    assert status == 0 and len(every) == 44 and every[41].startswith("kind 40")
    assert every[42] == "only from clips composed of recordings of one person, often not shown:"
    assert every[43].split()[:4] == ["wave", "+", "wave", "9"]
    assert refused(run("models", "--all"), "--all needs a model")


def test_few_kinds_of_action_are_all_listed(run, taught):
    lines = run("models", taught)[1].splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "kind",
        "handshake",
        "only from clips composed of recordings of one person, often not shown:",
        "bow + bow",
    ]
    for name, folder in shipped().items():
        printed = run("models", name)[1].splitlines()
        kinds = read_known(folder)
        assert kinds is not None and len(printed) <= 43
        assert max(map(len, printed[:-1])) <= 100
        assert printed[-1].startswith(f"and {len(kinds.kinds) - 40} more")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["prompt", "empty"]),
        ("   ", ["prompt", "empty"]),
        ("shake hands " * 834, ["10,0", "1,000"]),
        ("两个人握手", ["English"]),
        ("يتصافح شخصان", ["English"]),
    ],
)
def test_prompts_that_are_refused(run, model, tmp_path, text, words):
    assert refused(run("generate", text, "--model", model, "--out", tmp_path / "o"), *words)
    assert not list(tmp_path.glob("o/*"))


@pytest.mark.parametrize("seconds", [0, -1, 600, "nan"])
def test_lengths_that_are_refused(run, model, tmp_path, seconds):
    result = run(
        "generate", "they wave", f"--seconds={seconds}", "--model", model, "--out", tmp_path
    )
    assert refused(result, "0.5 to 60 s")


@pytest.mark.parametrize(
    ("words", "possible"),
    [
        (("--guidance", "nan"), "0 to 100"),
        (("--guidance", "inf"), "0 to 100"),
        (("--guidance", -5), "0 to 100"),
        (("--guidance", 1000), "0 to 100"),
        (("--steps", 0), "1 to 1,000"),
        (("--steps", 1_000_000), "1 to 1,000"),
        (("--solver", "euler"), "no solver 'euler'; choose ddim"),
        (("--resampling", 0), "resampling has to be 1"),
        (("--seed", -1), "0 to 4,294,967,295"),
        (("--seed", 10**20), "0 to 4,294,967,295"),
        (("--formats",), "needs one or more of npz, bvh"),
    ],
)
def test_settings_are_refused_before_anything_is_loaded(run, tmp_path, words, possible):
    result = run("generate", "they wave", "--model", "not-even-there", "--out", tmp_path, *words)
    assert refused(result, possible, words[0].removeprefix("--"))


def test_stretches_of_no_end_are_refused(run, model, tmp_path):
    clip = tmp_path / "clip.npz"
    standing(people=2, frames=60, gap=0.8).save(clip)
    words = ("--model", model, "--out", tmp_path / "o")
    for unknown in ("0.2:inf", "nan:1", "0.2:nan", "-inf:1"):
        assert refused(run("inpaint", clip, f"--unknown={unknown}", *words), "within the 2 s")


def test_a_stretch_to_the_end_of_a_clip_at_another_frame_rate(run, model, tmp_path):
    clip = tmp_path / "clip.npz"
    replace(standing(people=2, frames=96, gap=0.8), fps=31.8).save(clip)
    words = ("--formats", "npz", "--model", model, "--out", tmp_path / "o")
    assert run("inpaint", clip, "--unknown", "1:", *words)[0] == 0


def test_motion_that_takes_hours_is_refused(run, model, tmp_path):
    clip = tmp_path / "slow.npz"
    replace(standing(people=1, frames=400), fps=0.1).save(clip)
    words = ("--model", model, "--out", tmp_path / "o")
    for command in (("react", clip), ("inpaint", clip, "--unknown", "0.2:1")):
        assert refused(run(*command, *words), "longer than the 3,600 s")
    assert refused(run("extend", clip, "--seconds", 20, *words), "longer than the 60 s")


def test_three_people_are_too_many(run, model, tmp_path):
    clip = tmp_path / "three.npz"
    standing(people=3, frames=30, gap=0.8).save(clip)
    words = ("--model", model, "--out", tmp_path / "o")
    assert refused(run("react", clip, *words), "3 people", "one or two are expected")
    for command in (("inpaint", clip, "--unknown", "0.2:1"), ("extend", clip, "--seconds", 2)):
        assert refused(run(*command, *words), "makes the motion of two people", "3 people")


def test_no_repeats_are_refused(run, model, tmp_path):
    for command in (("evaluate", "none"), ("reproduce", "intermask/table3")):
        for repeats in (0, 1):
            result = run(*command, "--repeats", repeats, "--out", tmp_path / "o")
            assert refused(result, f"2 or more for confidence intervals, not {repeats}")
    result = run("evaluate", "none", "--protocol", "prompts", "--repeats", 0)
    assert refused(result, "1 or more, not 0")
    assert not (tmp_path / "o").exists()


def test_a_device_that_is_not_there_is_named(run, model, tmp_path):
    for command in (("generate", "they wave", "--out", tmp_path, "--model", model), ("bench",)):
        assert refused(run(*command, "--device", "tpu"), "no device 'tpu'; choose cpu, cuda")
        if not torch.cuda.is_available():
            assert refused(run(*command, "--device", "cuda"), "no CUDA GPU here; choose cpu")


def test_an_unknown_model_is_named(run, tmp_path):
    out = tmp_path / "out"
    assert refused(run("generate", "they wave", "--model", "intermusk", "--out", out), "intermusk")
    assert not out.exists()


def test_a_folder_that_cannot_be_written(run, model, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "below"):
        assert refused(run("generate", "they wave", "--model", model, "--out", out), str(file))
    assert file.read_text() == ""


def test_weights_that_may_not_be_read(run, model, tmp_path, monkeypatch):
    shutil.copytree(model, tmp_path / "mine")
    (tmp_path / "mine" / "tokenizer" / "model.safetensors").chmod(0)
    (tmp_path / "o").mkdir(mode=0o777)
    monkeypatch.chdir(tmp_path)
    with ordinary_user(tmp_path):
        result = run("generate", "they wave", "--model", "mine", "--out", "o")
    assert refused(result, "mine/tokenizer/model.safetensors: Permission denied")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_leaves_nothing_half_written(run, tmp_path, monkeypatch, number):
    source, out = tmp_path / "clip.npz", tmp_path / "o"
    waving().save(source)

    def interrupted(file, **arrays):
        file.write(b"half")
        os.kill(os.getpid(), number)

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    handler = signal.getsignal(number)
    status, printed, error = run("convert", source, out / "clip.npz")
    assert (status, printed, error) == (128 + number, "", "")
    assert list(out.iterdir()) == []
    assert signal.getsignal(number) is handler


def test_who_reads_the_output_may_leave(run, model, tmp_path, monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("they wave\nthey dance\n", encoding="utf-8")
    words = ("--model", model, "--seconds", 1, "--formats", "npz", "html")
    with os.fdopen(writes, "w", 1) as out, os.fdopen(os.dup(writes), "w", 1) as error:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", error)
        assert run("generate", "--prompts", prompts, *words, "--out", tmp_path / "o")[0] == 0
        assert sys.stdout is out
    assert len(list((tmp_path / "o").iterdir())) == 4


def test_output_to_a_full_disk_is_told(run, monkeypatch):
    with Path("/dev/full").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert refused(run("models"), "standard output: No space left")


def test_names_that_are_no_text_are_shown(run, tmp_path):
    source, target = tmp_path / "clip.npz", tmp_path / "\udcff.npz"
    waving().save(source)
    status, printed, _ = run("convert", source, target)
    assert status == 0 and target.is_file() and "\\udcff.npz" in printed


def test_every_format_takes_half_a_character(tmp_path):
    clip = waving(frames=2).with_caption("they \ud800 wave")
    assert clip.caption == "they ? wave"
    for suffix in FORMATS:
        clip.save(tmp_path / f"clip.{suffix}")


def test_a_format_nobody_knows(run, tmp_path):
    waving().save(tmp_path / "clip.npz")
    assert refused(run("convert", tmp_path / "clip.npz", tmp_path / "clip.usd"), ".usd", ".glb")
    assert refused(run("convert", tmp_path / "clip.c3d", tmp_path / "clip.glb"), ".c3d")
    assert refused(run("convert", tmp_path / "gone.bvh", tmp_path / "clip.glb"), "gone.bvh")


@pytest.mark.parametrize("words", [("--unit", "cm"), ("--split",)])
def test_what_only_bvh_files_have_is_refused_for_others(run, tmp_path, words):
    waving().save(tmp_path / "clip.npz")
    target = tmp_path / "clip.glb"
    assert refused(run("convert", tmp_path / "clip.npz", target, *words), words[0], ".bvh")
    assert not target.exists()


def test_a_number_of_steps_that_is_none(run):
    words = ("train", "intermask/generator-open", "--measure", -1)
    assert refused(run(*words), "--measure -1", "number of steps")


@pytest.mark.parametrize("name", [name for each in systems().values() for name in each.recipes()])
def test_listed_fields_are_changes_that_make_the_recipe_again(capsys, name):
    train(name, ("optim.lr=3e-4",), fields=True)
    changes = capsys.readouterr().out.splitlines()
    assert "optim.lr=0.0003" in changes and "log.tensorboard=true" in changes
    whole = find_recipe(name)
    assert apply_overrides(whole, changes) == apply_overrides(whole, ["optim.lr=3e-4"])


def test_an_empty_prompt_is_refused_before_anything_is_loaded(run, tmp_path):
    out = tmp_path / "out"
    assert refused(run("generate", "--model", "not-even-there", "--out", out), "prompt is empty")
    assert not out.exists()


def test_one_person_where_two_are_needed(run, model, tmp_path):
    one, two = tmp_path / "one.bvh", tmp_path / "two.bvh"
    standing(people=1, frames=30).save(one)
    standing(people=2, frames=30).save(two)
    assert refused(run("react", one, "--person", "B", "--model", model), "one person")
    result = run("convert", two, tmp_path / "clip.glb", "--second", one)
    assert refused(result, "3 people")
    assert not (tmp_path / "clip.glb").exists()


@pytest.mark.parametrize("damage", ["cut", "nan", "zero"])
def test_a_damaged_bvh(run, model, tmp_path, damage):
    path = tmp_path / "actor.bvh"
    standing(people=1, frames=30).save(path)
    text = path.read_text()
    if damage == "cut":
        text = text[: int(len(text) * 0.7)]
    elif damage == "nan":
        text = text[: text.rindex("\n", 0, -2)] + "\n" + "nan " * 69 + "\n"
    else:
        text = text[: text.index("Frames:")] + "Frames: 0\nFrame Time: 0.0333\n"
    path.write_text(text)
    assert refused(run("react", path, "--model", model, "--out", tmp_path / "o"), "actor.bvh")
    assert refused(run("convert", path, tmp_path / "x.glb"), "actor.bvh")
    assert not (tmp_path / "x.glb").exists()


def test_a_checkpoint_with_missing_tensors(run, model, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    tensors = load_file(broken / "model.safetensors")
    tensors.pop("output_dense.weight")
    save_file(tensors, broken / "model.safetensors")
    result = run("generate", "they wave", "--model", broken, "--out", tmp_path / "o")
    assert refused(result, "model.safetensors", "output_dense.weight")


def test_unknown_recipes_data_sets_and_fields(run, tmp_path):
    assert refused(
        run("train", "intermask/tokeniser-open"), "did you mean intermask/tokenizer-open"
    )
    assert refused(run("train", "intermask/tokenizer-open", "optim.lrr=1"), "optim.lrr", "optim.lr")
    assert refused(run("data", "prepare", "openpairs", tmp_path), "open-pairs")
    assert refused(run("data", "prepare", "open-pairs", tmp_path), str(tmp_path))
    assert refused(run("data", "check", "interhuman", tmp_path), "split/train.txt")


def test_a_full_disk_leaves_nothing_half_written(run, model, tmp_path):
    words = ("generate", "they wave", "--seconds", 1, "--model", model, "--formats", "npz")
    with largest_file(4096):
        result = run(*words, "--out", tmp_path / "o")
    assert refused(result, "they-wave-tiny-1s-0.npz")
    assert list((tmp_path / "o").iterdir()) == []


@pytest.mark.parametrize("protocol", ["long", "t2m"])
def test_an_edition_goes_with_the_open_data_alone(run, protocol):
    result = run("evaluate", "mine", "--protocol", protocol, "--edition", 1)
    assert refused(result, "--edition does not go with")


@pytest.mark.parametrize("protocol", ["open", "actions"])
def test_an_edition_has_its_own_data_and_evaluator(run, monkeypatch, tmp_path, protocol):
    from duomotion.loading import shipped_evaluator
    from duomotion.models.children import load_embedder

    monkeypatch.chdir(tmp_path)
    read = []

    def noted(folder, *, device):
        read.append(folder)
        return load_embedder(folder, device=device)

    monkeypatch.setattr("duomotion.models.children.load_embedder", noted)
    result = run("evaluate", "intermask-open", "--protocol", protocol, "--edition", 1)
    assert refused(result, "data/open-pairs-1")
    assert read == [shipped_evaluator(2, 1)]
