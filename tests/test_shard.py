"""Shards: many clips in one file, each of which is read on its own."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import CAPTION, TAIL, waving
from properties import examples
from refusals import refused
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from duomotion.checkpoint import read_tensors
from duomotion.formats import load, shard
from duomotion.formats.shard import Entry, Index
from duomotion.motion.interaction import Interaction, Reading

READING = Reading("bow + bow", 0.65, True, composed=True)


@pytest.fixture
def file(tmp_path):
    clips = {7: waving(2, 5, TAIL), 9: replace(waving(1, 4), reading=READING)}
    shard.write(clips, path := tmp_path / "a.safetensors")
    return path


def test_clips_that_are_not_named_right(file, tmp_path):
    shard.write_index(tmp_path, Index())
    (tmp_path / "other.npz").touch()
    (tmp_path / "folder").mkdir()
    for path, reason in (
        (file, "holds many clips; choose one by its number, as in"),
        (tmp_path, "holds many clips; choose one by its number, as in"),
        (tmp_path / "folder", "is a folder, not a file of motion"),
        (tmp_path / "gone:3", r"gone is not there"),
        (tmp_path / "other.npz:3", r"other\.npz is no shard, and holds no clips by number"),
    ):
        with pytest.raises(ValueError, match=reason):
            load(path)


def assert_same(one: Interaction, other: Interaction) -> None:
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-5)
    np.testing.assert_allclose(one.rotations, other.rotations, atol=1e-6)
    assert (one.fps, one.caption, one.reading) == (other.fps, other.caption, other.reading)
    assert one.skeletons[0].same_tree(other.skeletons[0])


def test_a_clip_is_read_by_shard_and_id(file):
    assert_same(load(f"{file}:7"), waving(2, 5, TAIL))
    assert_same(load(f"{file}:9"), replace(waving(1, 4), reading=READING))
    assert load(f"{file}:7").caption == CAPTION
    assert shard.ids(file) == [7, 9]


@given(
    st.lists(
        st.dictionaries(st.integers(1, 99), st.integers(1, 4), min_size=1, max_size=3), max_size=4
    )
)
@examples(20)
def test_joined_shards_hold_the_same_clips(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("parts")
    paths, expected = [], {}
    for number, part in enumerate(parts):
        clips = {
            100 * number + clip: waving(1 + frames % 2, frames, TAIL)
            for clip, frames in part.items()
        }
        shard.write(clips, folder / f"{number}.safetensors")
        paths.append(folder / f"{number}.safetensors")
        expected |= clips
    whole = folder / "clips.safetensors"
    shard.join(paths, {1000: "line 1000: why"}, whole)
    assert shard.ids(whole) == sorted(expected)
    assert shard.left_out(whole) == {1000: "line 1000: why"}
    for clip, motion in expected.items():
        assert_same(load(f"{whole}:{clip}"), motion)
    made = shard.entry(whole, 1, 1000)
    assert made.clips == len(expected)
    assert made.seconds == pytest.approx(sum(m.seconds for m in expected.values()), abs=1e-2)
    with safe_open(whole, "np") as file:
        assert len(file.keys()) == 3 * len(expected)


def test_a_clip_is_found_by_its_folder(file):
    entries = (Entry("a.safetensors", 5, 10, 2, 0.3), Entry("b.safetensors", 11, 20, 0, 0.0))
    shard.write_index(file.parent, Index(entries))
    assert_same(load(f"{file.parent}:7"), waving(2, 5, TAIL))
    with pytest.raises(ValueError, match=r"holds no clip 30: no shard in its index.json"):
        load(f"{file.parent}:30")
    with pytest.raises(FileNotFoundError):
        load(f"{file.parent}:11")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{file}:8", "there is no clip 8 in the shard; it has 2 from 7 to 9"),
        ("{file}", "choose one by its number"),
        ("{file}:x", "the suffix must be one of"),
        ("{folder}:7", "holds no index.json"),
    ],
)
def test_what_is_no_clip_is_refused(file, place, message):
    with pytest.raises(ValueError, match=message):
        load(place.format(file=file, folder=file.parent))


@given(st.integers(0, 3000), st.integers(0, 255))
@examples(60)
def test_damaged_shards_are_refused_or_read(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("damaged")
    shard.write({7: waving(2, 3, TAIL)}, path := folder / "a.safetensors")
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    try:
        load(f"{path}:7")
    except ValueError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) == 1
    path.write_bytes(content[: place % len(content)])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(f"{path}:7")


def with_header(path, header):
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


@pytest.mark.parametrize("tensors", ["\xff", "[]", '{"7/x": 3}', '{"7/x": {"data_offsets": 3}}'])
def test_what_is_no_shard_is_not_joined(tmp_path, tensors):
    path = with_header(tmp_path / "a.safetensors", tensors.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.safetensors: not a whole safetensors file"):
        shard.join([path], {}, tmp_path / "joined.safetensors")
    assert not (tmp_path / "joined.safetensors").exists()


@pytest.mark.parametrize("text", ["x" * 100_000, "a\\nb"])
def test_what_safetensors_quotes_of_a_file_is_short(tmp_path, text):
    path = with_header(tmp_path / "a.safetensors", f'{{"7/x": "{text}"}}'.encode())
    for read in (lambda: load(f"{path}:7"), lambda: read_tensors(path)):
        with pytest.raises(ValueError, match="not a whole safetensors file") as raised:
            read()
        assert len(str(raised.value)) < 1000 and "\n" not in str(raised.value)


def test_shards_without_clips_are_joined(tmp_path):
    empty = with_header(tmp_path / "a.safetensors", b"{}")
    shard.join([empty], {3: "no words"}, tmp_path / "joined.safetensors")
    assert shard.ids(tmp_path / "joined.safetensors") == []
    assert shard.left_out(tmp_path / "joined.safetensors") == {3: "no words"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a" * 201] * 5}, "name has more than 200 characters"),
        ({"names": ["a"]}, "names has shape"),
        ({"parents": [-1, 3, 0, 0, 0]}, "parents must come before their children"),
        ({"parents": [-1, 0, 0, 0, 10**30]}, "parents"),
        ({"fps": 0}, "frame rate"),
        ({"caption": 3}, "caption has to be a text"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_metadata_that_say_something_else_are_refused(file, changes, message):
    with safe_open(file, "np") as opened:
        metadata = dict(opened.metadata())
    metadata["7"] = json.dumps(json.loads(metadata["7"]) | changes)
    save_file(load_file(file), file, metadata)
    with pytest.raises(ValueError, match=message):
        load(f"{file}:7")


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("7/rotations", np.zeros((2, 5, 5, 4), np.float32), "no unit quaternions"),
        ("7/rotations", np.zeros((2, 5, 5, 4)), "wrong type, F64"),
        ("7/rotations", np.zeros((2, 5, 20), np.float32), "not people x frames x joints x 4"),
        ("7/root_positions", np.full((2, 5, 3), np.nan, np.float32), "not finite"),
        ("7/root_positions", np.zeros((2, 4, 3), np.float32), "root_positions has shape"),
        ("7/offsets", None, "holds no tensor named 7/offsets"),
    ],
)
def test_tensors_that_are_something_else_are_refused(file, name, tensor, message):
    with safe_open(file, "np") as opened:
        metadata = dict(opened.metadata())
    tensors = load_file(file)
    tensors.pop(name)
    if tensor is not None:
        tensors[name] = tensor
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError, match=message):
        load(f"{file}:7")


def test_commands_read_clips_of_shards(run, file, tmp_path):
    assert run("convert", f"{file}:9", tmp_path / "b.bvh")[0] == 0
    np.testing.assert_allclose(
        Interaction.load(tmp_path / "b.bvh").positions, waving(1, 4).positions, atol=1e-4
    )
    assert run("trim", f"{file}:9", tmp_path / "c.npz", "--end", 0.1)[0] == 0
    assert Interaction.load(tmp_path / "c.npz").num_frames == 3
    assert refused(run("convert", f"{file}:1", tmp_path / "d.bvh"), "no clip 1", "from 7 to 9")


def test_pages_are_named_after_the_clip(run, file, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for clip in (7, 9):
        assert run("view", f"{file}:{clip}")[0] == 0
    assert [url.rpartition("/")[2] for url in opened] == ["a-7.html", "a-9.html"]
