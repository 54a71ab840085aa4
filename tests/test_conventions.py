"""Units, axes and rest poses of files that do not state them."""

import logging
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, standing, waving
from properties import examples
from recordings import SALSA, files, needs_recordings, needs_salsa
from scipy.spatial.transform import Rotation, Slerp

from duomotion.data.salsa import SCALE, unpacked
from duomotion.formats import bvh, load
from duomotion.formats.conventions import FOUND_UNITS, find_unit, resting_places
from duomotion.motion.canonical import Z_UP_TO_Y_UP, resample
from duomotion.motion.skeleton import SMPL22


def sized(skeleton, factor):
    return skeleton.with_offsets(skeleton.offsets * factor)


@pytest.mark.parametrize("unit", FOUND_UNITS)
@examples(20)
@given(size=st.floats(0.7, 1.4), turn=st.sampled_from([np.eye(3), Z_UP_TO_Y_UP]))
def test_the_unit_follows_from_the_height_of_children_and_giants(unit, size, turn):
    body = sized(SMPL22, size / FOUND_UNITS[unit])
    body = body.with_offsets(body.offsets @ turn)
    assert find_unit("clip.bvh", [body]) == FOUND_UNITS[unit]


def test_what_is_no_body_is_in_metres():
    assert find_unit("clip.bvh", [sized(TAIL, 100)]) == 1.0
    assert find_unit("clip.bvh", [sized(SMPL22, 0)]) == 1.0


def test_a_collapsed_rest_pose_has_the_same_height():
    lengths = np.linalg.norm(SMPL22.offsets, axis=-1)
    collapsed = SMPL22.with_offsets(lengths[:, None] * [100.0, 0, 0])
    assert find_unit("clip.bvh", [collapsed]) == 0.01


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("unit", ["m", "cm", "mm", "in"])
def test_a_file_is_read_in_its_unit_and_that_is_said(tmp_path, caplog, people, unit):
    path = tmp_path / "clip.bvh"
    motion = standing(people)
    bvh.write(motion, path, scale=FOUND_UNITS[unit])
    with caplog.at_level(logging.INFO, "duomotion"):
        read = bvh.read(path)
    np.testing.assert_allclose(read.positions, motion.positions, atol=1e-4)
    said = f"{path}: read in {unit}, a body measuring 1.71 m from head to foot"
    assert [record.message for record in caplog.records] == ([] if unit == "m" else [said])


@needs_recordings
@pytest.mark.parametrize("name", ["18_01", "High_five"])
def test_recordings_are_in_metres_with_the_z_axis_up(caplog, name):
    with caplog.at_level(logging.INFO, "duomotion"):
        bvh.read(files(name))
    (axis,) = (record.message for record in caplog.records)
    assert axis.endswith("read with the Z axis up")


@needs_salsa
def test_the_unit_of_a_file_of_another_program(tmp_path):
    content = next(content for name, content in unpacked(SALSA) if name.endswith("_scaled.bvh"))
    path = tmp_path / "salsa.bvh"
    path.write_bytes(content)
    assert bvh.read(path).skeletons[0].offsets == pytest.approx(
        bvh.read(path, scale=SCALE).skeletons[0].offsets / SCALE
    )


def test_people_rest_on_the_floor_apart(tmp_path):
    path = tmp_path / "clip.bvh"
    motion = waving(3, 4)
    places = resting_places(motion.skeletons)
    rest = np.stack([s.rest_positions for s in motion.skeletons]) + places[:, None]
    np.testing.assert_allclose(rest[..., 1].min(-1), 0, atol=1e-9)
    spans = [(person[:, 0].min(), person[:, 0].max()) for person in rest]
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    bvh.write(motion, path)
    lines = path.read_text().splitlines()
    for letter, place in zip("ABC", places, strict=True):
        offset = lines[lines.index(f"\tJOINT {letter}:pelvis") + 2]
        assert offset == "\t\tOFFSET " + " ".join(f"{value:.6f}" for value in place)


# Parts of a file, other rates


def test_parts_of_a_file_are_taken(tmp_path):
    motion = waving(frames=60)
    for name in ("clip.npz", "clip.bvh"):
        motion.save(path := tmp_path / name)
        part = load(path, start=0.5, end=1.5)
        np.testing.assert_allclose(part.positions, motion.positions[:, 15:45], atol=1e-4)
        assert load(path, start=1.99).num_frames == 1
        for start, end in ((-0.1, None), (2.0, None), (1, 1), (1, 0.5), (0, 2.1), (np.nan, 1)):
            with pytest.raises(ValueError, match=f"{name} holds 2.00 s of motion; "):
                load(path, start=start, end=end)


def test_formats_with_a_unit_are_scaled_and_turned_where_that_is_asked(tmp_path):
    motion = standing(frames=5)
    motion.save(path := tmp_path / "clip.npz")
    np.testing.assert_array_equal(load(path).positions, motion.positions)
    np.testing.assert_allclose(load(path, scale=0.5).positions, motion.positions / 2, atol=1e-6)
    turned = motion.positions @ Z_UP_TO_Y_UP.T
    np.testing.assert_allclose(load(path, up="z").positions, turned, atol=1e-6)
    with pytest.raises(ValueError, match="the scale has to be"):
        load(path, scale=0)


def test_partners_of_two_formats(tmp_path):
    motion = waving()
    motion.person(0).save(one := tmp_path / "a.npz")
    motion.person(1).save(other := tmp_path / "b.npz")
    np.testing.assert_array_equal(load(one, other).positions, motion.positions)
    waving(1, 3).save(short := tmp_path / "c.npz")
    with pytest.raises(ValueError, match=r"a\.npz and .*c\.npz: the people differ in length"):
        load(one, short)
    motion.save(two := tmp_path / "two.npz")
    with pytest.raises(ValueError, match="hold 3 people; two are needed"):
        load(two, one)


@pytest.mark.parametrize("fps", [24, 25, 60])
def test_rates_change_on_rotations(fps):
    motion = waving(1, 31)
    other = resample(motion, fps)
    assert (other.fps, other.num_frames) == (fps, fps + 1)
    for joint in (0, 5, 16):
        path = Slerp(np.arange(31) / 30, Rotation.from_matrix(motion.rotations[0, :, joint]))
        expected = path(np.arange(fps + 1) / fps).as_matrix()
        np.testing.assert_allclose(other.rotations[0, :, joint], expected, atol=1e-5)
    lengths = np.linalg.norm(other.positions[0, :, 4] - other.positions[0, :, 1], axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(motion.skeletons[0].offsets[4]), atol=1e-5)
