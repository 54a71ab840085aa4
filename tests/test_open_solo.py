import json
import lzma
import re
import tarfile
from functools import partial
from io import BytesIO

import numpy as np
import pytest
from motions import waving

from duomotion.data import find, humanml3d, open_pairs, open_solo
from duomotion.data.interhuman import (
    Problem,
    Span,
    check,
    read_captioned,
    read_motions,
    read_spans,
    read_split,
)
from duomotion.data.open_solo import TEST_SUBJECTS, VAL_SUBJECTS
from duomotion.data.sources import read_sources, read_weights
from duomotion.formats import bvh
from duomotion.motion.canonical import transform
from duomotion.motion.humanml3d import HUMANML3D

prepare_interhuman = partial(open_solo.prepare_interhuman, edition=1)
prepare_humanml3d = partial(open_solo.prepare_humanml3d, edition=1)

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
CLIPS = {"01_02": "A person jumps.", "17_03": "He waits.", "13_01": "She turns left."}


def archive(folder, names, captioned, broken=(), lengths=None):
    """The two files of the first edition, with people in a world whose Z is up."""
    folder.mkdir(exist_ok=True)
    entries = [{"clip": f"{name}.bvh", "caption": CLIPS[name]} for name in captioned]
    (folder / "captions.json").write_text(json.dumps(entries))
    with tarfile.open(folder / "motions.tar.xz", "w:xz") as tar:
        for name in names:
            path = folder / f"{name}.bvh"
            motion = waving(1, (lengths or {}).get(name, 40))
            bvh.write(transform(motion, Z_UP, np.array([0.0, 0, 0.3])), path)
            if name in broken:
                path.write_text(path.read_text()[:3000])
            tar.add(path, arcname=f"./{name}.bvh")
            path.unlink()
    return folder


def test_clips_become_a_data_set_of_single_people(tmp_path):
    source = archive(tmp_path / "source", CLIPS, CLIPS)
    target = tmp_path / "target"
    assert prepare_interhuman(source, target) == []
    assert check(target) == (3, [])
    for split, name in (("train", "01_02"), ("val", "17_03"), ("test", "13_01")):
        (clip,), _ = read_split(target, split)
        assert (clip.name, clip.captions) == (name, (CLIPS[name],))
        assert clip.positions.shape == (1, 40, 22, 3)
        lowest = clip.positions[..., 1].min((0, 2))
        assert np.percentile(lowest, 5) == pytest.approx(0, abs=1e-4)
        # People are upright again, moved as they were recorded.
        expected = waving(1, 40).positions
        moved = clip.positions - expected
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0, 0], moved.shape), atol=1e-4)


def test_clips_in_humanml3ds_layout_are_cut_to_its_lengths(tmp_path):
    lengths = {"01_02": 700, "17_03": 50, "13_01": 70}
    source, target = (
        archive(tmp_path / "source", CLIPS, CLIPS, lengths=lengths),
        tmp_path / "target",
    )
    (problem,) = prepare_humanml3d(source, target)
    assert (problem.name, problem.reason) == ("17_03", "it has 32 frames at 20 fps, fewer than 40")
    clips, problems = humanml3d.read_split(target, "train")
    assert not problems
    stretches = [f"01_02-{number:02d}" for number in range(3)]
    assert [clip.name for clip in clips] == [n for s in stretches for n in (s, f"M{s}")]
    assert [clip.num_frames for clip in clips[::2]] == [155, 156, 155]
    (clip,), _ = humanml3d.read_split(target, "test")
    (caption,) = clip.captions
    assert (clip.name, clip.num_frames, caption.text) == ("13_01", 46, "She turns left.")
    assert caption.tokens == ("she/OTHER", "turns/OTHER", "left/OTHER")
    bones = HUMANML3D.lengths(HUMANML3D.decode_joints(clip.features)[0])
    np.testing.assert_allclose(bones, HUMANML3D.reference_lengths, atol=1e-4)
    with pytest.raises(ValueError, match="'val' has no usable clip"):
        humanml3d.read_split(target, "val")


def test_what_is_damaged_is_named_and_left_out(tmp_path):
    source = archive(tmp_path / "source", CLIPS, CLIPS, broken=["17_03"])
    (problem,) = prepare_interhuman(source, tmp_path / "target")
    assert problem.name == "17_03" and problem.reason.startswith("17_03.bvh")
    assert str(tmp_path) not in problem.reason
    assert check(tmp_path / "target")[0] == 2


def test_recordings_without_a_caption_are_not_used(tmp_path):
    source = archive(tmp_path / "source", CLIPS, ["01_02"])
    assert prepare_interhuman(source, tmp_path / "target") == []
    assert check(tmp_path / "target") == (1, [])


@pytest.mark.parametrize("name", ["motions.tar.xz", "captions.json"])
def test_a_folder_without_the_files_is_refused(tmp_path, name):
    source = archive(tmp_path / "source", ["01_02"], ["01_02"])
    (source / name).unlink()
    with pytest.raises(ValueError, match=f"has no {name}"):
        prepare_interhuman(source, tmp_path / "target")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("motions.tar.xz", b"no archive"),
        ("motions.tar.xz", b""),
        ("captions.json", b"{"),
        ("captions.json", b"[1]"),
        ("captions.json", b'{"a": 1}'),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, name, content):
    source = archive(tmp_path / "source", ["01_02"], ["01_02"])
    (source / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        prepare_interhuman(source, tmp_path / "target")


def test_an_archive_that_is_cut_is_refused(tmp_path):
    source = archive(tmp_path / "source", CLIPS, CLIPS)
    whole = (source / "motions.tar.xz").read_bytes()
    (source / "motions.tar.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"motions\.tar\.xz"):
        prepare_interhuman(source, tmp_path / "target")


def test_subjects_are_held_out_whole():
    assert not VAL_SUBJECTS & TEST_SUBJECTS


def packed(folder, member):
    """The two files with one member in the archive, without content."""
    source = archive(folder, ["01_02"], ["01_02"])
    header = member.tobuf(tarfile.GNU_FORMAT)
    (source / "motions.tar.xz").write_bytes(lzma.compress(header + bytes(1024)))
    return source


def test_links_and_sizes_that_no_recording_has_are_refused(tmp_path):
    large, link = tarfile.TarInfo("01_02.bvh"), tarfile.TarInfo("01_02.bvh")
    large.size = 3 * 10**9
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    for name, member, sentence in (("large", large, "takes 3,000,000,000"), ("link", link, "link")):
        source = packed(tmp_path / name, member)
        for prepare in (prepare_interhuman, prepare_humanml3d):
            with pytest.raises(ValueError, match=sentence):
                prepare(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_clip_whose_name_leads_elsewhere_is_refused(tmp_path):
    source = archive(tmp_path / "source", ["01_02"], ["01_02"])
    for name in ("a/..", "/", "a\0b.bvh"):
        entries = [{"clip": name, "caption": "A person jumps."}]
        (source / "captions.json").write_text(json.dumps(entries))
        with pytest.raises(ValueError, match=r"captions\.json: .* is not the name of a file"):
            prepare_interhuman(source, tmp_path / "target")


@pytest.mark.parametrize("prepare", [prepare_interhuman, prepare_humanml3d])
def test_clips_none_of_which_can_be_used_are_refused(tmp_path, prepare):
    source = archive(tmp_path / "source", ["17_03"], ["17_03"], broken=["17_03"])
    with pytest.raises(ValueError, match=r"has no usable clip \(17_03: "):
        prepare(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


# the second edition --------------------------------------------------------------------------

MORE = {
    "01_05": [("turn left", 1.0, 6.0, "babel"), ("clean", 0, 12, "cmu-trial")],
    "02_01": [("clean", 0, 12, "cmu-trial")],
    "13_02": [("a man sits.", 0.5, 10.5, "humanml3d"), ("walk", 0, 12, "cmu-trial")],
    "60_05": [("salsa dance", 0, 12, "cmu-trial")],
}
FRAMES = 360


def packed_more(folder, clips=MORE, *, change=None):
    """The four files of the second edition: three short clips and some of 12 s.

    Args:
        change: (members of the archive) -> others.
    """
    archive(folder, CLIPS, CLIPS)
    entries = [
        {"clip": f"{c[:2]}/{c}.bvh", "caption": text, "start": start, "end": end, "source": source}
        for c, captions in clips.items()
        for text, start, end, source in captions
    ]
    (folder / "captions_more.json").write_text(json.dumps(entries))
    path = folder / "clip.bvh"
    members, index = {}, {"headers": {}, "clips": {}}
    bvh.write(transform(waving(1, FRAMES), Z_UP, np.array([0.0, 0, 0.3])), path)
    head, motion = path.read_text().split("MOTION\n")
    path.unlink()
    values = np.array([line.split() for line in motion.splitlines()[2:]], float)
    whole = np.concatenate([values[:, :3] * 1000, values[:, 3:] * 100], axis=1).round()
    differences = np.diff(whole, axis=0, prepend=0).T.astype(np.int64).astype(np.int16)
    index["headers"]["h"] = head
    for clip in clips:
        content = BytesIO()
        np.save(content, differences)
        members[f"{clip[:2]}/{clip}.npy"] = content.getvalue()
        index["clips"][f"{clip[:2]}/{clip}"] = ["h", FRAMES, 0.033333]
    members["index.json"] = json.dumps(index).encode()
    with tarfile.open(folder / "more_motions.tar.xz", "w:xz") as tar:
        for name, content in (change(members) if change else members).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    return packed_more(tmp_path_factory.mktemp("solo") / "source")


@pytest.fixture
def held_out(monkeypatch):
    monkeypatch.setattr(open_pairs, "held_out_recordings", lambda: frozenset({"60_05"}))


def test_the_second_edition_has_both_archives_and_captions_of_stretches(second, tmp_path, held_out):
    target = tmp_path / "target"
    assert open_solo.prepare_interhuman(second, target) == []
    (one, clip), problems = read_split(target, "train")
    assert problems == [Problem("02_01", "it has no caption in annots/")]
    assert [clip.name for clip in read_motions(target, "train")[0]] == ["01_02", "01_05", "02_01"]
    assert (one.name, one.captions) == ("01_02", ("A person jumps.",))
    assert (clip.name, clip.captions) == ("01_05", ())
    assert clip.parts == (Span("a person turns left", 1.0, 6.0, "babel", 0.5),)
    expected = waving(1, FRAMES).positions
    moved = clip.positions - expected
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0, 0], moved.shape), atol=2e-3)
    names = [clip.name for clip in read_captioned(target, "train")[0]]
    assert names == ["01_02", "01_05-1"]
    assert read_spans(target, "13_02", seconds=12) == (
        Span("a man sits.", 0.5, 10.5, "humanml3d"),
        Span("a person walks", 0, 12, "cmu-trial", 0.25),
    )
    assert [clip.name for clip in read_split(target, "test")[0]] == ["13_01", "13_02"]


def test_the_second_edition_in_humanml3ds_layout(second, tmp_path, held_out):
    target = tmp_path / "target"
    problems = open_solo.prepare_humanml3d(second, target)
    assert [problem.name for problem in problems] == ["01_02", "17_03", "13_01"]  # too short
    clips, _ = humanml3d.read_split(target, "train")
    assert [clip.name for clip in clips] == ["01_05-00-1", "M01_05-00-1"]
    motions, _ = humanml3d.read_motions(target, "train", at_least=40)
    whole = ["01_05-00", "01_05-01", "02_01-00", "02_01-01"]
    assert list(motions) == [name for each in whole for name in (each, f"M{each}")]
    assert [clip.num_frames for clip in clips] == [100, 100]
    assert [clip.captions[0].text for clip in clips] == [
        "a person turns left",
        "a person turns right",
    ]
    assert read_sources(target, "M01_05-00", 1) == ("babel",)
    assert read_weights(target)["babel"] == 0.5
    (clip,), _ = humanml3d.read_split(target, "test")  # with the sentence alone
    assert (clip.name, clip.num_frames) == ("13_02", 199)
    assert [caption.text for caption in clip.captions] == ["a man sits."]


def test_both_editions_are_data_sets(second, tmp_path):
    for name, clips, is_weighted in (("solo-interhuman-1", 3, False), ("solo-interhuman", 7, True)):
        assert find(name).prepare(second, tmp_path / name) == []
        assert len(list((tmp_path / name).glob("motions_processed/person1/*.npy"))) == clips
        assert (tmp_path / name / "weights.txt").exists() == is_weighted
        assert (tmp_path / name / "sources").exists() == is_weighted


def test_weights_come_with_the_captions(second, tmp_path, monkeypatch, held_out):
    monkeypatch.setattr(open_solo, "TEST_SUBJECTS", frozenset())
    open_solo.prepare_humanml3d(second, target := tmp_path / "target")
    clips = {clip.name: clip for clip in humanml3d.read_split(target, "train")[0]}
    captions = clips["13_02"].captions
    assert [caption.text for caption in captions] == ["a person walks", "a man sits."]
    assert clips["13_02"].weights == clips["M13_02"].weights == (0.25, 1)


def without_index(members):
    return {name: content for name, content in members.items() if name != "index.json"}


def with_index(content):
    return lambda members: {**members, "index.json": content}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_index, "more_motions.tar.xz has no index.json"),
        (with_index(b"{"), "index.json in .*more_motions.tar.xz should have headers, and clips"),
        (with_index(b"[]"), "index.json in .*more_motions.tar.xz should have headers, and clips"),
        (
            with_index(b'{"headers": {}, "clips": {"a": ["h", 1, 1]}}'),
            "index.json in .*more_motions.tar.xz should have headers, and clips",
        ),
    ],
)
def test_an_archive_without_its_index_is_refused(tmp_path, change, sentence):
    source = packed_more(tmp_path / "source", change=change)
    with pytest.raises(ValueError, match=sentence):
        open_solo.prepare_interhuman(source, tmp_path / "target")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no array", "01/01_05.npy can't be read as an .npy file"),
        (np.zeros(3), r"01/01_05.npy is float64 \(3,\), not int16 \(C, T\)"),
        (np.zeros((69, 7), np.int16), "01/01_05.npy has 7 frames, and index.json says 360"),
        (np.zeros((5, 360), np.int16), "01/01_05.bvh: 360 frames of 69 channels need"),
    ],
)
def test_a_damaged_clip_of_the_second_edition_is_named(tmp_path, content, reason, held_out):
    def change(members):
        file = BytesIO()
        if not isinstance(content, bytes):
            np.save(file, content)
        return {**members, "01/01_05.npy": file.getvalue() or content}

    source = packed_more(tmp_path / "source", change=change)
    (problem,) = open_solo.prepare_interhuman(source, tmp_path / "target")
    assert problem.name == "01_05" and re.search(reason, problem.reason), problem.reason
    assert str(tmp_path) not in problem.reason


def test_the_second_edition_needs_all_its_files(second, tmp_path):
    for name in ("more_motions.tar.xz", "captions_more.json"):
        source = tmp_path / name
        source.mkdir()
        for path in second.iterdir():
            if path.name != name:
                (source / path.name).write_bytes(path.read_bytes())
        with pytest.raises(ValueError, match=f"has no {name}"):
            open_solo.prepare_interhuman(source, tmp_path / "target")
