import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import memory_left
from motions import CAPTION, TAIL, waving
from properties import examples

from duomotion.formats import npz
from duomotion.motion.interaction import Interaction, Reading


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "clip.npz"
    npz.write(waving(2, 4, TAIL), path)
    return path.read_bytes()


@pytest.mark.parametrize("people", [1, 2, 8])
def test_everything_comes_back(tmp_path, people):
    motion = waving(people, 7)
    npz.write(motion, tmp_path / "clip.npz")
    again = npz.read(tmp_path / "clip.npz")
    np.testing.assert_array_equal(again.root_positions, motion.root_positions)
    np.testing.assert_array_equal(again.rotations, motion.rotations)
    np.testing.assert_array_equal(again.positions, motion.positions)
    assert (again.fps, again.caption) == (motion.fps, CAPTION)
    assert type(again.fps) is float and type(again.caption) is str
    for one, other in zip(again.skeletons, motion.skeletons, strict=True):
        assert one.same_tree(other)
        np.testing.assert_array_equal(one.offsets, other.offsets)


@pytest.mark.parametrize(
    "reading", [Reading("handshake", 0.65, False), Reading("bow + bow", 0.7, True, composed=True)]
)
def test_what_the_caption_was_read_as_comes_back(tmp_path, reading):
    npz.write(replace(waving(2, 4), reading=reading), tmp_path / "clip.npz")
    again = npz.read(tmp_path / "clip.npz").reading
    assert again == reading and type(again.known) is bool and type(again.score) is float
    change(tmp_path / "clip.npz", composed=None)  # as files of earlier versions
    assert npz.read(tmp_path / "clip.npz").reading == replace(reading, composed=False)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"known": None}, "kind, score, known have to be three scalars, or none"),
        ({"score": np.zeros(2)}, "have to be three scalars"),
        ({"score": np.array(1)}, "score has to be a number, known and composed true or false"),
        ({"known": np.array(1)}, "known and composed true or false"),
        ({"composed": np.array(1)}, "known and composed true or false"),
        ({"composed": np.array([True])}, "known and composed true or false"),
        ({"score": np.array(np.nan)}, "score holds values that are not finite"),
        ({"kind": np.array(1)}, "kind has the wrong type"),
        ({"kind": np.array("a" * 201)}, "kind has room for more than 200 characters"),
    ],
)
def test_readings_that_are_none_are_refused(tmp_path, arrays, message):
    path = tmp_path / "clip.npz"
    npz.write(replace(waving(2, 4), reading=Reading("handshake", 0.65, True)), path)
    change(path, **arrays)
    with pytest.raises(ValueError, match=message):
        npz.read(path)


def test_other_programs_find_plain_arrays(tmp_path):
    motion = waving(2, 4)
    npz.write(motion, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["positions"], motion.positions)
        assert file["names"].tolist() == list(motion.skeletons[0].names)
        assert file["rotations"].dtype == np.float32


def change(path, **arrays):
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    kept.update(arrays)
    np.savez(path, **{name: value for name, value in kept.items() if value is not None})


def broken(shape, value):
    array = np.zeros(shape, np.float32)
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rotations": None}, "no array named rotations"),
        ({"fps": None, "names": None}, "no array named names, fps"),
        ({"rotations": np.zeros((2, 4, 5, 6), np.float32)}, "rotations has shape"),
        ({"rotations": np.float32(0)}, "has shape"),
        ({"root_positions": np.zeros((2, 3, 3), np.float32)}, "root_positions has shape"),
        ({"offsets": np.zeros((1, 5, 3))}, "offsets has shape"),
        ({"names": np.array(["a", "b"])}, "names has shape"),
        ({"root_positions": np.zeros((2, 0, 3)), "rotations": np.zeros((2, 0, 5, 3, 3))}, "shape"),
        ({"rotations": broken((2, 4, 5, 3, 3), np.nan)}, "rotations holds values that are no rot"),
        ({"root_positions": broken((2, 4, 3), np.inf)}, "root_positions holds values"),
        ({"offsets": np.full((2, 5, 3), 1e300)}, "offsets holds values"),
        ({"offsets": np.full((2, 5, 3), "1")}, "offsets has the wrong type"),
        ({"rotations": np.zeros((2, 4, 5, 3, 3), complex)}, "rotations has the wrong type"),
        ({"parents": np.array([-1, 0, 3, 1, 1])}, "parents must come before"),
        ({"parents": np.array([0, 0, 1, 1, 1])}, "parents must come before"),
        ({"parents": np.array([-1, -1, 1, 1, 1])}, "parents must come before"),
        ({"parents": np.array([-1, 0.5, 1, 1, 1])}, "parents has the wrong type"),
        ({"fps": np.float64("nan")}, "fps is nan"),
        ({"fps": np.float64(0)}, "fps is 0"),
        ({"fps": np.array([30.0, 30.0])}, "fps has shape"),
        ({"fps": np.array("fast")}, "fps has the wrong type"),
        ({"caption": np.array(["a", "b"])}, "caption has shape"),
        ({"caption": np.array(None)}, "caption holds Python objects"),
        ({"caption": np.array(0.5)}, "caption has the wrong type"),
        ({"caption": np.array("a" * 10_001)}, "caption has room for more than 10000 characters"),
        ({"caption": np.array([0xD800], "<u4").view("<U1")[0:1].reshape(())}, "for no character"),
        ({"caption": np.array([0x110000], "<u4").view("<U1").reshape(())}, "for no character"),
        ({"names": np.array(["a" * 201] + list("bcde"))}, "names has room for more than 200"),
        ({"fps": np.float64(1e-9)}, "fps is 1e-09, not a frame rate from 0.1 to 10000"),
        ({"rotations": np.zeros((2, 4, 5, 3, 3))}, "no rotation matrices"),
        ({"rotations": -np.tile(np.eye(3, dtype=np.float16), (2, 4, 5, 1, 1))}, "no rotation"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, saved, changes, sentence):
    path = tmp_path / "clip.npz"
    path.write_bytes(saved)
    change(path, **changes)
    with pytest.raises(ValueError, match=sentence) as raised:
        npz.read(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("people", "frames", "joints", "sentence"),
    [
        (9, 1, 1, "9 people; at most 8 are read"),
        (1, 1, 501, "501 joints; at most 500 are read"),
        (8, 1251, 500, "1251 frames of 4000 joints; at most 1250 such frames are read"),
    ],
)
def test_what_is_read_has_limits(tmp_path, people, frames, joints, sentence):
    np.savez_compressed(
        tmp_path / "clip.npz",
        root_positions=np.zeros((people, frames, 3)),
        rotations=np.broadcast_to(np.eye(3, dtype="f2"), (people, frames, joints, 3, 3)),
        offsets=np.zeros((people, joints, 3)),
        names=np.array([f"joint{joint}" for joint in range(joints)]),
        parents=np.arange(joints) - 1,
        fps=30.0,
        caption="",
    )
    with memory_left(400_000_000), pytest.raises(ValueError, match=sentence):
        npz.read(tmp_path / "clip.npz")


def test_files_that_unpack_to_far_more_are_refused(tmp_path, saved):
    path = tmp_path / "clip.npz"
    path.write_bytes(saved)
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    np.savez_compressed(path, **(kept | {"offsets": np.zeros((2, 11_000_000, 3), np.float32)}))
    assert path.stat().st_size < 1e6
    with memory_left(100_000_000), pytest.raises(ValueError, match="what it holds takes 264,"):
        npz.read(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "clip.npz"
    np.save(tmp_path / "array.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("rotations.npy", "no array")
    others = {
        "empty": b"",
        "text": b"HIERARCHY\n",
        "array": (tmp_path / "array.npy").read_bytes(),
        "zip": (tmp_path / "text.zip").read_bytes(),
        "pickle": b"\x80\x04K\x01.",
    }
    for content in others.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"clip\.npz can't be read as a duomotion \.npz file"):
            npz.read(path)
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "nothing.npz")


def never_surprises(path, content):
    """Reading gives an interaction or one of the two promised errors."""
    path.write_bytes(content)
    with suppress(ValueError, OSError):
        assert isinstance(npz.read(path), Interaction)


def test_any_cut_is_noticed(tmp_path, saved):
    path = tmp_path / "clip.npz"
    for size in range(0, len(saved), 37):
        path.write_bytes(saved[:size])
        with pytest.raises((ValueError, OSError)):
            npz.read(path)


@examples(300)
@given(data=st.data())
def test_damaged_files_never_surprise(tmp_path_factory, saved, data):
    content = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    never_surprises(tmp_path_factory.getbasetemp() / "damaged.npz", bytes(content))


@examples(100)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY"]))
def test_arbitrary_bytes_never_surprise(tmp_path_factory, content, start):
    never_surprises(tmp_path_factory.getbasetemp() / "arbitrary.npz", start + content)
