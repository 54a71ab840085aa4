import os
import pickle
import re
import shutil
import zipfile

import numpy as np
import pytest
from limits import largest_file
from motions import waving

from duomotion.data.interhuman import (
    Clip,
    Problem,
    Span,
    check,
    prepare,
    read_captioned,
    read_clip,
    read_spans,
    read_split,
    split_names,
    write_clip,
    write_splits,
    write_timed_clip,
)
from duomotion.data.kinds import read_kinds, write_kinds
from duomotion.data.sources import read_weights, write_sources, write_weights
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.rotations import matrix_to_sixd_interleaved

FRAMES = 20


def person(root, name, which="person1"):
    return root / "motions_processed" / which / f"{name}.npy"


def build(root, people=2):
    """Two clips to train on, one to validate and one to test."""
    for seed, name in enumerate("abcd"):
        captions = [f"caption {name}", f"another one of {seed}"]
        write_clip(root, name, waving(people, FRAMES + seed), captions)
    write_splits(root, {"train": ["a", "b"], "val": ["c"], "test": ["d"]})
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build(tmp_path_factory.mktemp("interhuman"))


@pytest.fixture
def root(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "copy")


def test_clips_come_back_as_they_were_written(whole):
    clips, problems = read_split(whole, "train")
    assert not problems and [clip.name for clip in clips] == ["a", "b"]
    for clip, seed in zip(clips, (0, 1), strict=True):
        motion = waving(2, FRAMES + seed)
        assert clip.num_frames == FRAMES + seed
        assert clip.positions.dtype == clip.sixd.dtype == np.float32
        np.testing.assert_allclose(clip.positions, motion.positions, atol=1e-6)
        sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
        np.testing.assert_allclose(clip.sixd, sixd, atol=1e-6)
    assert clips[0].captions == ("caption a", "another one of 0")


def test_the_files_are_where_the_published_ones_are(whole):
    files = sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file())
    names = [f"{name}" for name in "abcd"]
    assert files == [
        *(f"annots/{name}.txt" for name in names),
        *(f"motions_processed/person1/{name}.npy" for name in names),
        *(f"motions_processed/person2/{name}.npy" for name in names),
        *("split/ignore_list.txt", "split/test.txt", "split/train.txt", "split/val.txt"),
    ]
    array = np.load(person(whole, "a", "person2"))
    assert (array.shape, array.dtype) == ((FRAMES, 492), np.float32)
    motion = waving(2, FRAMES)
    x, y, z = (motion.positions[1, 7, 15] @ [[1, 0, 0], [0, 0, 1], [0, -1, 0]]).tolist()
    np.testing.assert_allclose(array[7, 45:48], [x, y, z], atol=1e-6)  # Z is up on disk
    assert array[7, 47] == pytest.approx(motion.positions[1, 7, 15, 1], abs=1e-6)


def test_one_person_alone(tmp_path):
    root = build(tmp_path, people=1)
    assert not (root / "motions_processed" / "person2").exists()
    clips, problems = read_split(root, "train")
    assert not problems and clips[0].positions.shape == (1, FRAMES, 22, 3)


def set_array(change):
    def harm(root):
        path = person(root, "a", "person2")
        np.save(path, change(np.load(path)))

    return harm


def set_bytes(change):
    def harm(root):
        path = person(root, "a", "person2")
        path.write_bytes(change(path.read_bytes()))

    return harm


def with_value(value):
    def change(array):
        array[[11, 13], 100] = value
        return array

    return set_array(change)


def zipped(root):
    path = person(root, "a", "person2")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("array.npy", "x")


BROKEN = {
    "no first person": (lambda r: person(r, "a").unlink(), "person1 is missing"),
    "no partner": (lambda r: person(r, "a", "person2").unlink(), "person2 is missing"),
    "nan": (with_value(np.nan), "person2 is not finite at frame 11"),
    "infinite": (with_value(-np.inf), "person2 is not finite at frame 11"),
    "one axis": (set_array(lambda a: a.ravel()), r"person2 is float32 \(9840,\), not float"),
    "three axes": (set_array(lambda a: a[None]), r"float32 \(1, 20, 492\), not float"),
    "other width": (set_array(lambda a: a[:, :491]), r"float32 \(20, 491\), not float"),
    "integers": (set_array(lambda a: a.astype(int)), r"person2 is int64 \(20, 492\), not"),
    "complex": (set_array(lambda a: a.astype(complex)), "person2 is complex128"),
    "text": (set_array(lambda a: a.astype(str)), "person2 is <U"),
    "cut": (set_bytes(lambda b: b[:-100]), "person2 can't be read"),
    "cut header": (set_bytes(lambda b: b[:40]), "person2 can't be read"),
    "empty file": (set_bytes(lambda b: b""), "person2 can't be read"),
    "other file": (set_bytes(lambda b: b"HIERARCHY\n" * 40), "person2 can't be read"),
    "open bracket": (set_bytes(lambda b: b.replace(b"(20, 492)", b"(20, 492(")), "can't be read"),
    "endless": (
        set_bytes(lambda b: b.replace(b"(20, 492), ", b"(9" + b"0" * 12 + b",)")),
        "person2",
    ),
    "zip": (zipped, "person2 can't be read"),
    "pickle": (set_bytes(lambda b: pickle.dumps([1])), "person2 can't be read"),
    "objects": (set_array(lambda a: np.array([None, {}])), "person2 can't be read"),
    "no frames": (set_array(lambda a: a[:0]), "person2 has 0 frames, fewer than 15"),
    "too short": (set_array(lambda a: a[:14]), "person2 has 14 frames, fewer than 15"),
    "unequal": (set_array(lambda a: a[:18]), "the people have 20 and 18 frames"),
    "no captions": (lambda r: (r / "annots" / "a.txt").unlink(), "no caption in annots/"),
    "blank captions": (lambda r: (r / "annots" / "a.txt").write_text("\n \n"), "no caption"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_clip_is_named_and_skipped(root, case):
    harm, sentence = BROKEN[case]
    harm(root)
    clips, problems = read_split(root, "train")
    assert [clip.name for clip in clips] == ["b"]
    assert [problem.name for problem in problems] == ["a"]
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(problems[0].reason)
    usable, found = check(root)
    assert usable == 3 and found == problems


def test_the_shortest_clip_that_is_taken(root):
    for which in ("person1", "person2"):
        path = person(root, "a", which)
        np.save(path, np.load(path)[: INTERHUMAN.min_frames].astype(np.float64))
    found = read_clip(root, "a")
    assert isinstance(found, Clip) and found.num_frames == 15
    assert found.positions.dtype == np.float32


def test_ignored_names_are_left_out(root):
    (root / "split" / "ignore_list.txt").write_text("a\nnobody\n")
    assert split_names(root, "train") == ["b"]
    assert check(root) == (3, [])


@pytest.mark.parametrize("ignore", [True, False])
def test_lists_may_lie_in_the_root(root, ignore):
    for path in (root / "split").iterdir():
        shutil.move(path, root / path.name)
    (root / "ignore_list.txt").write_text("b\n" if ignore else "")
    assert split_names(root, "train") == (["a"] if ignore else ["a", "b"])


def test_lists_may_have_blank_lines_and_other_line_ends(root):
    (root / "split" / "train.txt").write_bytes(b"\r\n a \r\n\r\nb\r\n")
    assert split_names(root, "train") == ["a", "b"]


def test_captions_in_another_encoding_are_read(root):
    (root / "annots" / "a.txt").write_bytes("they dance\nvoilà".encode("latin-1"))
    found = read_clip(root, "a")
    assert isinstance(found, Clip) and found.captions[0] == "they dance"


def test_a_folder_in_another_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no split/train\.txt; .*`duomotion data prepare`"):
        read_split(tmp_path, "train")
    with pytest.raises(ValueError, match="has no split/"):
        check(tmp_path)


def test_a_split_without_usable_clips_is_refused_with_reasons(root):
    person(root, "a").unlink()
    (root / "annots" / "b.txt").unlink()
    with pytest.raises(ValueError, match=r"no usable clip .a: person1 .*; b: it has no"):
        read_split(root, "train")
    (root / "split" / "train.txt").write_text("")
    with pytest.raises(ValueError, match="it is empty"):
        read_split(root, "train")


@pytest.mark.parametrize("people", [1, 2])
def test_prepare_copies_what_can_be_used(tmp_path, people):
    source, target = build(tmp_path / "source", people), tmp_path / "target"
    (source / "annots" / "b.txt").unlink()
    assert prepare(source, target) == [Problem("b", "it has no caption in annots/")]
    assert check(target) == (3, [])
    assert split_names(target, "train") == ["a"]
    copy, original = read_clip(target, "a"), read_clip(source, "a")
    assert isinstance(copy, Clip) and isinstance(original, Clip)
    np.testing.assert_array_equal(copy.positions, original.positions)
    assert copy.captions == original.captions


def test_a_clip_is_written_whole_or_not_at_all(tmp_path):
    with largest_file(20_000), pytest.raises(OSError, match=r"person1/a\.npy"):
        write_clip(tmp_path, "a", waving(2, FRAMES), ["they wave"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["../../a", "/tmp/a", "..", ".a", "b\\a", "C:a", "a\0b", "a" * 300]
)
def test_names_that_lead_elsewhere_are_refused(root, tmp_path, name):
    (root / "split" / "train.txt").write_text(f"b\n{name}\n")
    for use in (check, lambda folder: prepare(folder, tmp_path / "target")):
        with pytest.raises(ValueError, match=r"train\.txt: .* is not the name of a file"):
            use(root)
    assert not (tmp_path / "target").exists()


def test_a_data_set_of_which_nothing_can_be_used_is_refused(root, tmp_path, run):
    shutil.rmtree(root / "annots")
    status, _, error = run("data", "prepare", "interhuman", root, "--out", tmp_path / "target")
    assert status == 2 and "has no usable clip (a: it has no caption in annots/" in error
    assert not (tmp_path / "target").exists()


def test_pipes_and_folders_among_the_files_are_named(root):
    for name, make in (("a", os.mkfifo), ("b", os.mkdir)):
        person(root, name).unlink()
        make(person(root, name))
    usable, problems = check(root)
    assert usable == 2
    assert [problem.reason for problem in problems] == ["person1 is missing"] * 2


# captions of stretches -----------------------------------------------------------------------

PART = "he sits#he/OTHER sits/OTHER#0.2#0.8"


def annotated(root, *lines, of=None):
    (root / "annots" / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    if of is not None:
        write_sources(root, "a", of)
    return root


def test_captions_tell_which_stretch_they_describe(root):
    annotated(root, "he rests", PART, "he #1 waits#he/OTHER#0.0#0.0", "he is #1 or #2")
    seconds = FRAMES / 30
    assert read_spans(root, "a", seconds=seconds) == (
        Span("he rests", 0, seconds),
        Span("he sits", 0.2, seconds),  # which ends with the clip
        Span("he #1 waits", 0, seconds),
        Span("he is #1 or #2", 0, seconds),
    )
    clip = read_clip(root, "a")
    assert isinstance(clip, Clip)
    assert clip.captions == ("he rests", "he #1 waits", "he is #1 or #2")
    assert clip.weights == (1, 1, 1)
    assert clip.parts == (Span("he sits", 0.2, seconds),)


def test_captions_have_sources_and_these_have_weights(root):
    annotated(root, "he rests", "he waits", PART, of=["a", "b", "c"])
    write_weights(root, {"a": 2, "c": 0.5})
    spans = read_spans(root, "a", seconds=FRAMES / 30)
    assert [(span.source, span.weight) for span in spans] == [("a", 2), ("b", 1), ("c", 0.5)]
    clip = read_clip(root, "a")
    assert isinstance(clip, Clip) and clip.weights == (2, 1)


def test_a_clip_whose_captions_describe_parts_is_one_for_tokenizers(root):
    write_clip(root, "a", waving(2, 90), [])
    annotated(root, PART, "he nods#he/OTHER nods/OTHER#1#1.2", PART.replace("sits", "falls"))
    clips, problems = read_split(root, "train")
    assert not problems and (clips[0].name, clips[0].captions) == ("a", ())
    assert clips[0].num_frames == 90
    found, (problem,) = read_captioned(root, "train")
    assert [clip.name for clip in found] == ["a-1", "b"]
    assert found[0].captions == ("he sits", "he falls") and found[0].parts == ()
    np.testing.assert_array_equal(found[0].positions, clips[0].positions[:, 6:24])
    np.testing.assert_array_equal(found[0].sixd, clips[0].sixd[:, 6:24])
    assert problem == Problem("a-2", "it has 6 frames, fewer than 15")


def test_spans_come_back(root):
    spans = (
        Span("he rests", 0, 2.0, "x"),
        Span("he sits", 0.5, 1.25, "y"),
        Span("he is #1, #2 or #3", 0, 2.0, "y"),
    )
    write_timed_clip(root, "a", waving(1, 60), spans)
    assert read_spans(root, "a", seconds=2.0) == spans


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("he sits#he#0#1", "he where words are expected"),
        ("he sits#he/OTHER#0#x", "0#x where start and end in seconds"),
        ("he sits#he/OTHER#1#0.5", "it begins at 1 s and ends at 0.5 s"),
        ("he sits#he/OTHER#7#8", r"it begins at 7 s, and the clip ends at 0\.667 s"),
    ],
)
def test_captions_that_cant_be_read_are_named(root, line, reason):
    found = read_clip(annotated(root, "he rests", line), "a")
    assert isinstance(found, Problem)
    assert re.search(rf"annots/a\.txt, line 2: {reason}", found.reason), found.reason


def test_prepare_copies_times_sources_and_weights(root, tmp_path):
    annotated(root, "he rests", PART, of=["x", "y"])
    write_weights(root, {"x": 2})
    write_kinds(root, {"a": "rest"})
    prepare(root, target := tmp_path / "target")
    assert read_spans(target, "a", seconds=2) == read_spans(root, "a", seconds=2)
    assert read_kinds(target) == {"a": "rest"} and read_weights(target) == {"x": 2}
