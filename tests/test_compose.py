"""Composed pairs as a data set: what is written, resumed, marked and refused."""

import json
import multiprocessing
import shutil
import threading
import time

import numpy as np
import pytest
from solo_motion import CLIPS, solo_data, walking

from duomotion.composition import dataset
from duomotion.composition.dataset import CompositionConfig, compose
from duomotion.composition.recordings import read_takes
from duomotion.data import composed, interx
from duomotion.data.interhuman import (
    Span,
    check,
    prepare,
    read_clip,
    read_lines,
    read_split,
    split_names,
    write_clip,
    write_splits,
    write_timed_clip,
)
from duomotion.data.kinds import read_kinds
from duomotion.data.sources import read_sources, read_weights

COUNT = 5


@pytest.fixture(scope="module")
def solo(tmp_path_factory):
    return solo_data(tmp_path_factory.mktemp("data") / "solo")


@pytest.fixture(scope="module")
def made(solo, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "composed"
    compose(CompositionConfig(solo=str(solo), count=COUNT), out)
    return out


def contents(root):
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_clips_of_two_people_are_written_with_captions_and_kinds(made):
    clips, problems = read_split(made, "train")
    assert not problems and check(made) == (COUNT, [])
    kinds, (_, records) = read_kinds(made), composed.read_mark(made)
    assert [clip.name for clip in clips] == [f"composed-{number:06d}" for number in range(COUNT)]
    for clip in clips:
        assert clip.positions.shape[0] == 2
        assert 2 * 30 <= clip.num_frames <= 10 * 30
        assert len(set(clip.captions)) == len(clip.captions) >= 4
        assert all(text[0].isupper() and text.endswith(".") for text in clip.captions)
        record = records[clip.name]
        assert record["kind"] == kinds[clip.name] and record["arrangement"]
        assert {person["clip"] for person in record["people"]} <= set(CLIPS)
        lines = read_lines(made / "annots" / f"{clip.name}.txt")
        sources = read_sources(made, clip.name, len(lines))
        assert sources.count("person") == 2 and set(sources) == {"both", "person"}
    assert read_weights(made).keys() == {"both", "person"}


def test_the_report_says_what_was_dropped(made):
    report = json.loads((made / "report.json").read_text())
    dropped = sum(report["dropped"]["composed"].values())
    assert report["kept"]["composed"] == COUNT
    assert report["tried"]["composed"] == COUNT + dropped
    assert sum(report["kinds"].values()) == sum(report["arrangements"].values()) == COUNT
    assert "| composed |" in (made / "report.md").read_text()


def test_two_processes_make_the_same(solo, made, tmp_path):
    compose(CompositionConfig(solo=str(solo), count=COUNT), tmp_path, processes=2)
    assert contents(tmp_path) == contents(made)


def test_a_killed_process_ends_the_command(solo, tmp_path):
    def kill():
        while len(children := multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        children[0].kill()

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(ValueError, match="was ended, perhaps for lack of memory"):
        compose(CompositionConfig(solo=str(solo), count=COUNT), tmp_path, processes=2)
    killing.join()


def test_work_that_was_killed_goes_on(solo, made, tmp_path, monkeypatch):
    make = dataset._Worker.make
    config = CompositionConfig(solo=str(solo), count=COUNT)

    def killed(worker, task):
        if task.number == 2:
            clip = tmp_path / "motions_processed" / "person1" / f"{task.name}.npy"
            clip.write_bytes(b"half")
            raise KeyboardInterrupt
        make(worker, task)

    monkeypatch.setattr(dataset._Worker, "make", killed)
    with pytest.raises(KeyboardInterrupt):
        compose(config, tmp_path)
    assert composed.is_composed(tmp_path) and not (tmp_path / "report.md").exists()
    again = []
    monkeypatch.setattr(
        dataset._Worker, "make", lambda worker, task: (again.append(task), make(worker, task))
    )
    compose(config, tmp_path)
    assert [task.number for task in again] == list(range(2, COUNT))
    assert contents(tmp_path) == contents(made)
    again.clear()
    compose(config, tmp_path)
    assert not again


def test_who_walks_by_the_caption_has_to_go(tmp_path):
    root = solo_data(tmp_path / "solo")
    write_clip(root, "05_01", walking(0.0, 5.0), ["A person walks."])
    write_clip(root, "05_02", walking(0.0, 5.0, 1.0), ["A person walks slowly."])
    write_splits(root, {"train": ["05_01", "05_02", "02_01"], "val": [], "test": []})
    report = compose(CompositionConfig(solo=str(root), count=2), tmp_path / "out")
    (reasons,) = report.dropped.values()
    assert report.kept == {} and "somebody does not go along although that is described" in reasons


def test_work_does_not_go_on_with_another_split(tmp_path):
    root, out = solo_data(tmp_path / "solo"), tmp_path / "out"
    config = CompositionConfig(solo=str(root), count=1)
    compose(config, out)
    held_out, *train = CLIPS
    write_splits(root, {"train": train, "val": [], "test": [held_out]})
    with pytest.raises(ValueError, match=r"other settings \(recordings"):
        compose(config, out)


def test_another_seed_gives_other_clips(solo, made, tmp_path):
    compose(CompositionConfig(solo=str(solo), count=2, seed=1), tmp_path)
    name = "composed-000000"
    one, other = (read_clip(root, name) for root in (made, tmp_path))
    assert one.positions.shape != other.positions.shape


def test_only_the_training_split_and_what_captions_describe_is_used(tmp_path):
    root = solo_data(tmp_path)
    name = "05_01"
    spans = [Span("walk forward", 1.0, 3.0, "babel"), Span("A person jogs.", 4.0, 8.0, "babel")]
    write_timed_clip(root, name, walking(1.0, 8.0), spans)
    write_splits(root, {"train": [name], "val": [], "test": list(CLIPS)})
    takes, captions = read_takes(root)
    assert captions == 2 and {take.clip for take in takes} == {name}
    walk, jog = takes
    assert (walk.action, walk.start, walk.end) == ("walk", 1.0, 3.0)
    assert walk.lengths == (2.0, 2.5) and jog.lengths == (2.0, 4.5)


def test_composed_clips_are_never_held_out(run, made, tmp_path):
    for split in ("val", "test"):
        assert split_names(made, split) == []
        with pytest.raises(ValueError, match="composed pairs, which are for training only"):
            read_split(made, split)
    status, _, error = run("evaluate", "intermask-open", "--data", made, "--out", tmp_path / "out")
    assert status == 2 and "for training only" in error and len(error.splitlines()) == 1


def test_what_is_made_of_composed_pairs_stays_marked(made, tmp_path):
    prepare(made, tmp_path / "copy")
    interx.prepare(made, tmp_path / "interx")
    for name in ("copy", "interx"):
        assert composed.is_composed(tmp_path / name)
    with pytest.raises(ValueError, match="for training only"):
        interx.read_split(tmp_path / "interx", "test")


def test_provenance_says_what_was_composed(made, solo):
    assert composed.note([str(solo)]) == {}
    assert composed.note([str(solo), str(made)]) == {"composed": [str(made)]}


def refused(result, *words):
    status, _, error = result
    assert status == 2 and error.startswith("duomotion: ") and len(error.splitlines()) == 1, error
    return all(word in error for word in words)


def test_bad_input_gets_one_sentence(run, solo, made, tmp_path):
    out = tmp_path / "out"
    compose_words = ("data", "compose")
    assert refused(run(*compose_words, tmp_path / "none", "--out", out), "none", "train.txt")
    assert refused(run(*compose_words, made, "--out", out), "two people")
    assert refused(run(*compose_words, solo, "--out", out, "--count", 0), "count")
    assert refused(run(*compose_words, solo, "--out", out, "--count", -1), "count", "-1")
    assert refused(run(*compose_words, solo, "--out", out, "--processes", 0), "processes")
    assert refused(run(*compose_words, solo, "--out", out, "--seed", -1), "seed")
    assert not out.exists()
    assert refused(run(*compose_words, solo, "--out", made, "--count", 7), "count 5")
    assert refused(run(*compose_words, solo, "--out", solo), "not composed")


def test_of_a_long_recording_what_fits_any_part_is_used(tmp_path):
    root, name = solo_data(tmp_path), "05_01"
    write_clip(root, name, walking(1.0, 14.0), ["A person walks.", "A person walks ten steps."])
    write_splits(root, {"train": [name], "val": [], "test": []})
    ((take,), captions) = read_takes(root)
    assert captions == 2 and [clause.singular for clause in take.clauses] == ["walks"]
    assert take.lengths == (2.0, 10.0)


def test_a_data_set_without_usable_captions_is_refused(tmp_path):
    write_clip(tmp_path, "01_01", walking(1.0), ["calibration"])
    write_splits(tmp_path, {"train": ["01_01"], "val": [], "test": []})
    with pytest.raises(ValueError, match="no clip in its training split with a caption"):
        read_takes(tmp_path)


def test_damaged_recordings_are_passed_over(tmp_path):
    root = solo_data(tmp_path / "solo")
    (root / "motions_processed/person1/01_01.npy").write_bytes(b"no array")
    (root / "motions_processed/person1/01_02.npy").unlink()
    path = root / "motions_processed/person1/02_01.npy"
    raw = np.load(path)
    raw[50:] = np.nan  # found only when the motion itself is read
    np.save(path, raw)
    report = compose(CompositionConfig(solo=str(root), count=3), tmp_path / "out")
    assert report.kept == {"composed": 3}
    used = json.dumps(composed.read_mark(tmp_path / "out")[1])
    assert not any(name in used for name in ("01_01", "01_02", "02_01"))


def test_a_mark_that_was_changed_is_refused(solo, made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    (tmp_path / "copy" / composed.FILE).write_text("[]")
    with pytest.raises(ValueError, match="does not say how"):
        compose(CompositionConfig(solo=str(solo), count=COUNT), tmp_path / "copy")


def test_the_command_prints_the_report(run, solo, tmp_path):
    status, printed, _ = run(
        "data", "compose", solo, "--out", tmp_path, "--count", 2, "--processes", 1
    )
    assert status == 0 and "# Composed pairs" in printed and f"composed in {tmp_path}" in printed
