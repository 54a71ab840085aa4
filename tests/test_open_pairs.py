import json
import re
from collections import Counter, defaultdict
from importlib.resources import files as resources

import numpy as np
import pytest
from recordings import SALSA, files, needs_recordings, needs_salsa, take

from duomotion.data.interhuman import Problem, check, read_split
from duomotion.data.kinds import read_kinds
from duomotion.data.open_pairs import held_out_recordings, prepare, read_take, segments
from duomotion.motion.skeleton import SMPL22
from duomotion.reading import unpacked

LONGEST_TAKE = 75  # seconds


def by_take(edition=2):
    found = defaultdict(list)
    for segment in segments(edition):
        found[segment.take].append(segment)
    return found


def test_there_are_enough_segments_with_three_captions_each():
    found = segments()
    assert len(found) >= 300
    assert len({segment.name for segment in found}) == len(found)
    for segment in found:
        assert len(set(segment.captions)) == 3, segment.name
        for caption in segment.captions:
            assert caption == caption.strip() and "\n" not in caption and len(caption) > 15
            assert caption[0].isupper() and caption.endswith("."), caption


def test_training_clips_have_their_kind_in_other_words():
    found = segments()
    phrases = {part.kind: part.words for part in found if part.split == "train"}
    every = [phrase for words in phrases.values() for phrase in words]
    assert len(set(every)) == len(every) == 8 * len(phrases)
    assert all(phrase == phrase.strip() and phrase.isascii() for phrase in every)
    assert not set(every) & {caption for part in found for caption in part.captions}
    assert not any(part.words for part in found if part.split != "train")


def test_the_second_edition_adds_to_the_first():
    first, second = segments(1), segments()
    assert second[: len(first)] == first
    counts = Counter(part.split for part in first)
    assert counts == {"train": 180, "val": 12, "test": 36}
    added = second[len(first) :]
    assert {part.take for part in added}.isdisjoint(part.take for part in first)
    assert len({part.take for part in added if part.split == "test"}) == 2
    assert all(part.kind.startswith("salsa ") and part.end - part.start > 1.9 for part in added)


def test_who_is_in_a_take_to_test_with_is_held_out_alone():
    held_out = held_out_recordings()
    assert {"18_04", "19_04", "60_05", "61_05", "60_13"} <= held_out
    assert not held_out & {"18_01", "19_01", "60_01", "salsa_60_05"}


def test_times_are_sensible():
    for name, parts in by_take().items():
        assert all(0 <= part.start < part.end <= LONGEST_TAKE for part in parts), name
        # 15 frames is the least a loader takes, 300 the most it sees at once.
        assert all(0.6 < part.end - part.start <= 10 for part in parts), name
        assert [part.start for part in parts] == sorted(part.start for part in parts), name


def test_takes_are_split_whole_in_the_usual_shares():
    assert all(len({part.split for part in parts}) == 1 for parts in by_take().values())
    counts = Counter(segment.split for segment in segments())
    assert set(counts) == {"train", "val", "test"}
    for split, share in (("train", 0.8), ("val", 0.05), ("test", 0.15)):
        assert counts[split] / len(segments()) == pytest.approx(share, abs=0.03)


def test_a_kind_in_the_test_split_can_be_learned():
    takes, splits = defaultdict(set), defaultdict(set)
    for segment in segments():
        takes[segment.kind].add(segment.take)
        splits[segment.kind].add(segment.split)
    for kind, recorded in takes.items():
        if "test" in splits[kind] and len(recorded) > 1:
            assert "train" in splits[kind], kind


def test_the_file_says_whose_it_is():
    text = (resources("duomotion.data") / "open_pairs.json").read_text(encoding="utf-8")
    assert "CC BY 4.0" in json.loads(text)["licence"]


@needs_recordings
def test_every_segment_lies_within_its_recording():
    for name, parts in by_take(edition=1).items():
        with files(name)[0].open() as file:
            frames = next(int(line.split()[1]) for line in file if line.startswith("Frames:"))
        assert max(part.end for part in parts) <= frames / 30 + 0.05, name


@needs_salsa
def test_every_segment_of_salsa_lies_within_its_recording():
    takes = by_take()
    lengths = {}
    for name, content in unpacked(SALSA):
        frames = re.search(rb"Frames:\s*(\d+)", content)
        assert frames
        lengths[name] = int(frames[1])
    for name, parts in takes.items():
        if recording := re.fullmatch(r"salsa_(\d\d_\d\d)", name):
            frames = lengths[f"{recording[1]}_scaled.bvh"] // 2
            assert max(part.end for part in parts) <= frames / 30, name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three recordings, one in another folder than the others, prepared."""
    source, target = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("prepared")
    (source / "everyday").mkdir()
    for name in ("18_01", "18_04", "20_01"):
        for path in files(name):
            folder = source if name == "20_01" else source / "everyday"
            (folder / path.name).symlink_to(path)
    return target, prepare(source, target)


@needs_recordings
def test_preparing_makes_a_data_set_of_what_is_there(prepared):
    target, problems = prepared
    wanted = {"18_01", "18_04", "20_01"}
    found = {segment.name: segment for segment in segments() if segment.take in wanted}
    assert check(target) == (len(found), [])
    missing = [segment.name for segment in segments() if segment.take not in wanted]
    assert problems == [Problem(name, "the recording is missing") for name in missing]
    assert read_kinds(target) == {name: segment.kind for name, segment in found.items()}
    for split in ("train", "test"):
        clips, _ = read_split(target, split)
        assert clips and all(found[clip.name].split == split for clip in clips)
        for clip in clips:
            segment = found[clip.name]
            assert clip.captions == segment.captions + segment.words
            seconds = segment.end - segment.start
            assert clip.num_frames == pytest.approx(30 * seconds, abs=1.5)


@needs_recordings
def test_prepared_people_are_where_they_were_recorded(prepared):
    target, _ = prepared
    clips = {clip.name: clip for clip in read_split(target, "train")[0]}
    for segment in segments():
        if segment.take in ("18_01", "20_01"):
            start = round(30 * segment.start)
            clip = clips[segment.name]
            expected = take(segment.take).positions[:, start:][:, : clip.num_frames]
            np.testing.assert_allclose(clip.positions, expected, atol=1e-5)
    wrist = SMPL22.index("right_wrist")
    one, other = clips["18_01-00"].positions[:, :, wrist]
    assert 0.1 < np.linalg.norm(one - other, axis=-1).min() < 0.3  # they do shake hands


@needs_recordings
@pytest.mark.parametrize("name", ["18_01", "22_08", "High_five"])
def test_people_of_a_recording_stand_on_the_floor(name):
    motion = take(name)
    lowest = motion.positions[..., 1].min((0, 2))
    assert np.percentile(lowest, 5) == pytest.approx(0, abs=1e-4)
    assert lowest.min() > -0.06 and np.median(lowest) < 0.05
    assert motion.skeletons[0].same_tree(SMPL22)
    heads = motion.positions[:, :, SMPL22.index("head"), 1]
    assert 1.2 < np.median(heads) < 1.9


@needs_recordings
def test_a_damaged_recording_is_left_out_and_named(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in files("18_01"):
        (source / path.name).symlink_to(path)
    first, second = files("18_04")
    (source / first.name).symlink_to(first)
    (source / second.name).write_text(second.read_text()[:5000])
    problems = {problem.name: problem.reason for problem in prepare(source, tmp_path / "target")}
    assert "18_04_B.bvh" in problems["18_04-00"] and "18_01-00" not in problems


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "18_01_A.bvh").write_text("one of two")
    with pytest.raises(ValueError, match=r"holds none of the recordings: .* 18_01_A\.bvh and"):
        prepare(tmp_path, tmp_path / "target")
    assert not (tmp_path / "target").exists()


@needs_recordings
def test_reading_a_take_names_what_is_wrong(tmp_path):
    (tmp_path / "b.bvh").write_text("HIERARCHY")
    with pytest.raises(ValueError, match=r"b\.bvh"):
        read_take(files("18_01")[0], tmp_path / "b.bvh")


def test_recordings_none_of_which_can_be_used_are_refused(tmp_path):
    for name in ("18_01_A.bvh", "18_01_B.bvh"):
        (tmp_path / name).write_text("HIERARCHY")
    with pytest.raises(ValueError, match=r"has no usable clip .*the recording is missing"):
        prepare(tmp_path, tmp_path / "target")
    assert not (tmp_path / "target").exists()
