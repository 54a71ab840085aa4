import json
import lzma
import tarfile

import numpy as np
import pytest
from motions import waving

from duomotion.data import humanml3d
from duomotion.data.interhuman import check, read_split
from duomotion.data.open_solo import (
    TEST_SUBJECTS,
    VAL_SUBJECTS,
    prepare_humanml3d,
    prepare_interhuman,
)
from duomotion.formats import bvh
from duomotion.motion.canonical import transform
from duomotion.motion.humanml3d import HUMANML3D

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
CLIPS = {"01_02": "A person jumps.", "17_03": "He waits.", "13_01": "She turns left."}


def archive(folder, names, captioned, broken=(), lengths=None):
    """The two files of the open solo clips, with people in a world whose Z is up."""
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
