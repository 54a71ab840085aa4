from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, standing, waving
from properties import examples, is_rotation, vectors
from recordings import files, needs_recordings, take
from scipy.spatial.transform import Rotation

from duomotion.formats import bvh
from duomotion.motion.canonical import (
    facing,
    ground,
    mirror,
    place,
    placing,
    resample,
    swap,
    transform,
)
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22


def same(one, other, atol=1e-5):
    np.testing.assert_allclose(one.positions, other.positions, atol=atol)
    np.testing.assert_allclose(one.rotations, other.rotations, atol=atol)
    assert (one.fps, one.caption) == (other.fps, other.caption)


@examples(40)
@given(angle=st.floats(-3.1, 3.1))
def test_facing_is_the_angle_from_z_towards_x(angle):
    turned = transform(standing(1, 2), yaw(angle), np.zeros(3))
    np.testing.assert_allclose(facing(turned.positions, SMPL22), angle, atol=1e-5)


@examples(20)
@given(turn=vectors(1), translation=vectors(1))
def test_transform_moves_every_joint(turn, translation):
    rotation = Rotation.from_rotvec(turn[0]).as_matrix()
    motion = waving(2, 4)
    moved = transform(motion, rotation, translation[0])
    expected = motion.positions @ rotation.T + translation[0]
    np.testing.assert_allclose(moved.positions, expected, atol=1e-5)


@examples(20)
@given(angle=st.floats(-3.1, 3.1), translation=vectors(1))
def test_place_undoes_any_start(angle, translation):
    motion = waving(2, 6)
    placed = place(motion)
    np.testing.assert_allclose(placed.root_positions[0, 0, [0, 2]], 0, atol=1e-5)
    assert placed.positions[..., 1].min() == pytest.approx(0, abs=1e-5)
    assert facing(placed.positions[0, 0], SMPL22) == pytest.approx(0, abs=1e-5)
    elsewhere = transform(motion, yaw(angle), translation[0])
    same(place(elsewhere), placed, atol=5e-5)
    same(transform(elsewhere, *placing(elsewhere)), placed, atol=5e-5)


def test_place_keeps_people_where_they_are_to_each_other():
    motion = waving(2, 6)
    placed = place(motion)
    for one in range(22):
        gap = np.linalg.norm(motion.positions[0, :, one] - motion.positions[1, :, 3], axis=-1)
        again = np.linalg.norm(placed.positions[0, :, one] - placed.positions[1, :, 3], axis=-1)
        np.testing.assert_allclose(again, gap, atol=1e-5)


def test_mirror_reflects_and_exchanges_left_and_right():
    motion = waving()
    mirrored = mirror(motion)
    left, right = SMPL22.index("left_wrist"), SMPL22.index("right_wrist")
    for here, there in ((left, right), (right, left), (15, 15), (0, 0)):
        expected = motion.positions[:, :, there] * [-1, 1, 1]
        np.testing.assert_allclose(mirrored.positions[:, :, here], expected, atol=1e-5)
    assert is_rotation(mirrored.rotations, atol=1e-5)


def test_mirroring_twice_changes_nothing():
    motion = waving()
    uneven = SMPL22.with_offsets(SMPL22.offsets + np.random.default_rng(0).normal(0, 0.02, (22, 3)))
    motion = replace(motion, skeletons=(uneven, SMPL22))
    assert np.abs(mirror(motion).positions - motion.positions).max() > 0.1
    same(mirror(mirror(motion)), motion)
    for one, other in zip(mirror(mirror(motion)).skeletons, motion.skeletons, strict=True):
        np.testing.assert_allclose(one.offsets, other.offsets, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("left_hip", "right_hip"),
        ("RightHand", "LeftHand"),
        ("L_Wrist", "R_Wrist"),
        ("lhip", "rhip"),
        ("mixamorig:LeftArm", "mixamorig:RightArm"),
    ],
)
def test_sides_are_told_by_common_names(name, other):
    skeleton = replace(TAIL, names=("root", "legs", name, "lower", other))
    np.testing.assert_array_equal(skeleton.mirrored, [0, 1, 4, 3, 2])


def test_swap_exchanges_the_people_and_nothing_else():
    motion = waving()
    swapped = swap(motion)
    np.testing.assert_array_equal(swapped.positions, motion.positions[::-1])
    assert swapped.skeletons == motion.skeletons[::-1]
    same(swap(swapped), motion, atol=0)


@pytest.mark.parametrize("fps", [10.0, 20.0, 30.0, 60.0, 24.0, 120.0])
def test_resampling_keeps_the_motion(fps):
    """A steady turn and a steady walk are the same at any rate."""
    time = np.arange(31) / 30
    motion = standing(2, 31)
    turns = Rotation.from_rotvec(np.outer(2.5 * time, [0.6, 0.8, 0.0])).as_matrix()
    rotations = motion.rotations.copy()
    rotations[:, :, [0, 16]] = turns[:, None]
    roots = motion.root_positions + np.outer(time, [0.5, 0, 0.2])
    motion = replace(motion, rotations=rotations, root_positions=roots)
    other = resample(motion, fps)
    assert other.fps == fps
    assert other.num_frames == 1 + int(fps)
    assert is_rotation(other.rotations, atol=1e-5)
    times = np.arange(other.num_frames) / fps
    expected = Rotation.from_rotvec(np.outer(2.5 * times, [0.6, 0.8, 0.0])).as_matrix()
    np.testing.assert_allclose(other.rotations[1, :, 16], expected, atol=1e-5)
    walked = other.root_positions[0] - other.root_positions[0, 0]
    np.testing.assert_allclose(walked, np.outer(times, [0.5, 0, 0.2]), atol=1e-5)


def test_resampling_up_and_down_again_gives_the_frames_back():
    motion = waving()
    back = resample(resample(motion, 60), 30)
    same(back, motion, atol=1e-4)


def test_resampling_one_frame_keeps_it():
    still = resample(standing(2, 1), 60)
    assert (still.num_frames, still.fps) == (1, 60)


@needs_recordings
def test_mirroring_knows_the_sides_of_a_recording():
    raw = bvh.read(files("18_01"), up="z")
    names = raw.skeletons[0].names
    mirrored = mirror(raw)
    left, right = names.index("lwrist"), names.index("rwrist")
    expected = raw.positions[:, :, right] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored.positions[:, :, left], expected, atol=1e-5)


@needs_recordings
def test_placing_a_real_interaction():
    placed = place(transform(take("18_01"), yaw(1.0), np.array([3.0, 0.4, -2.0])))
    assert placed.positions[..., 1].min() == pytest.approx(0, abs=1e-5)
    assert facing(placed.positions[0, 0], SMPL22) == pytest.approx(0, abs=1e-4)
    # The two walk up to each other: the partner stands ahead and faces the other way.
    assert placed.root_positions[1, 0, 2] > 1
    assert abs(facing(placed.positions[1, 0], SMPL22)) > 2


def test_the_ground_is_where_feet_rest():
    clip = standing(frames=40)
    roots = clip.root_positions.copy()
    roots[:, :, 1] += 0.3
    roots[:, 7, 1] -= 0.2
    grounded = ground(replace(clip, root_positions=roots))
    lowest = grounded.positions[..., 1].min((0, 2))
    assert abs(lowest[0]) < 1e-6 and abs(lowest[7] + 0.2) < 1e-6
