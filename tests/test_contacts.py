from dataclasses import replace

import numpy as np
import pytest
from motions import standing
from recordings import needs_recordings, take
from scipy.spatial.transform import Rotation

from duomotion.motion.canonical import mirror, transform
from duomotion.motion.contacts import (
    SOLE,
    foot_contacts,
    foot_joints,
    foot_sliding,
    lock_feet,
    snap_to_floor,
)
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22

FEET = foot_joints(SMPL22)
LEGS = [SMPL22.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle")]


def feet_of(motion):
    return motion.positions[:, :, FEET]


def sliding(motion):
    return foot_sliding(feet_of(motion), motion.fps)


def test_feet_in_their_order():
    names = [SMPL22.names[joint] for joint in FEET]
    assert names == ["left_ankle", "left_foot", "right_ankle", "right_foot"]


def test_contacts_need_low_and_slow_joints():
    feet = np.zeros((6, 4, 3))
    feet[..., 1] = [0.119, 0.049, 0.121, 0.051]  # under and over the two heights
    np.testing.assert_array_equal(foot_contacts(feet), [[True, True, False, False]] * 6)
    feet[..., 1] = 0.01
    # 0.03 m a frame is 0.0009 m² a frame, just slow enough; 0.033 m is too fast.
    feet[:, 0, 0] = 0.03 * np.arange(6)
    feet[:, 1, 2] = 0.033 * np.arange(6)
    feet[3:, 2, 0] = 1.0  # moves once, from frame 2 to frame 3
    expected = np.ones((6, 4), bool)
    expected[:, 1] = False
    expected[2, 2] = False
    np.testing.assert_array_equal(foot_contacts(feet), expected)
    assert foot_contacts(np.stack([feet, feet]))[1].tolist() == expected.tolist()


def test_the_last_frame_repeats_the_one_before():
    feet = np.zeros((3, 4, 3))
    feet[2, 0, 0] = 1.0
    np.testing.assert_array_equal(foot_contacts(feet)[:, 0], [True, False, False])
    assert foot_contacts(feet[:1]).tolist() == [[True] * 4]  # no speed is known: low is enough


def test_sliding_is_the_speed_of_feet_on_the_floor():
    feet = np.zeros((31, 4, 3))
    feet[..., 0] = np.linspace(0, 0.6, 31)[:, None]
    assert foot_sliding(feet) == pytest.approx(0.6)
    assert foot_sliding(feet[::2], fps=15) == pytest.approx(0.6)
    feet[:, 1] += [0, 1.0, 0]  # one of four is in the air
    assert foot_sliding(feet) == pytest.approx(0.45)
    feet[:, 0, 1] = 0.12 / 2  # an ankle at half its height counts with 2 - sqrt(2)
    assert foot_sliding(feet) == pytest.approx(0.15 * (2 + 2 - 2**0.5))
    assert foot_sliding(np.stack([feet, 0 * feet])).shape == (2,)


def slid(motion, speed=0.08):
    """The people drift over the floor, each their own way, as generated ones do."""
    time = np.arange(motion.num_frames) / motion.fps
    drift = np.zeros_like(motion.root_positions)
    drift[0, :, 0] = speed * np.sin(2.0 * time) / 2
    drift[0, :, 2] = speed * time
    drift[1, :, 0] = -speed * time
    drift[1, :, 2] = speed * np.cos(2.0 * time) / 2
    return replace(motion, root_positions=motion.root_positions + drift)


TAKES = ("18_01", "20_04", "22_03", "22_20")


@needs_recordings
@pytest.mark.parametrize("name", TAKES)
def test_locking_takes_out_the_sliding_that_was_added(name):
    recorded = take(name)
    sliding_added = slid(recorded)
    locked = lock_feet(sliding_added)
    assert sliding(sliding_added).mean() > sliding(recorded).mean() + 0.01
    assert (sliding(locked) < 0.95 * sliding(sliding_added)).all()
    assert sliding(locked).mean() < sliding(recorded).mean()


@needs_recordings
def test_people_who_stand_stop_sliding_altogether():
    motion = slid(take("22_03"))
    assert (sliding(motion) > 0.045).all()
    assert (sliding(lock_feet(motion)) < 0.02).all()


@needs_recordings
@pytest.mark.parametrize("name", TAKES)
def test_locking_moves_legs_only_and_keeps_bones_and_foot_orientation(name):
    motion = slid(take(name))
    locked = lock_feet(motion)
    assert locked.skeletons == motion.skeletons
    np.testing.assert_array_equal(locked.root_positions, motion.root_positions)
    upper = [SMPL22.index(n) for n in ("pelvis", "left_hip", "right_hip", "head", "left_wrist")]
    before, after = (x.positions[:, :, upper] for x in (motion, locked))
    np.testing.assert_allclose(after, before, atol=1e-5)
    for person, skeleton in enumerate(locked.skeletons):
        for child, parent in skeleton.bones:
            bone = locked.positions[person, :, child] - locked.positions[person, :, parent]
            length = np.linalg.norm(skeleton.offsets[child])
            np.testing.assert_allclose(np.linalg.norm(bone, axis=-1), length, atol=1e-4)
    for ankle, foot in (FEET[:2], FEET[2:]):
        before = motion.positions[:, :, foot] - motion.positions[:, :, ankle]
        after = locked.positions[:, :, foot] - locked.positions[:, :, ankle]
        np.testing.assert_allclose(after, before, atol=1e-4)


def largest_acceleration(motion):
    legs = motion.positions[:, :, LEGS]
    return np.linalg.norm(np.diff(legs, 2, axis=1), axis=-1).max() * motion.fps**2


@needs_recordings
@pytest.mark.parametrize("name", [*TAKES, "18_13", "20_02", "22_08"])
@pytest.mark.parametrize("speed", [0.0, 0.08])
def test_locking_brings_no_jumps(name, speed):
    """Legs of people who walk accelerate by some 50 m/s²; a jump of 5 cm in a frame has 45 more."""
    motion = slid(take(name), speed)
    assert largest_acceleration(lock_feet(motion)) < largest_acceleration(motion) + 12


def bent(motion):
    """Standing with bent knees, feet flat on the floor again."""
    rotations = motion.rotations.copy()
    for side in ("left", "right"):
        for part, angle in (("hip", -25), ("knee", 50), ("ankle", -25)):
            joint = SMPL22.index(f"{side}_{part}")
            rotations[:, :, joint] = Rotation.from_euler("x", angle, degrees=True).as_matrix()
    motion = replace(motion, rotations=rotations)
    floor = motion.positions[..., 1].min()
    return transform(motion, np.eye(3), np.array([0, -floor, 0]))


@pytest.mark.parametrize("gap", [1, 2, 3, 5, 8, 12])
def test_between_two_holds_a_foot_goes_smoothly(gap):
    """The body drifts, makes a step within `gap` frames, and drifts on; held feet must not jump."""
    hold, drift, step = 15, 0.008, 0.04
    speeds = np.repeat([drift, step, drift], [hold, gap, hold])
    path = np.concatenate([[0], np.cumsum(speeds)])
    motion = bent(standing(1, len(path)))
    walk = np.stack([path, 0 * path, 0 * path], -1)
    walking = replace(motion, root_positions=motion.root_positions + walk)
    feet = lock_feet(walking).positions[0, :, FEET[0]]
    steps = np.linalg.norm(np.diff(feet, axis=0), axis=-1)
    still = hold - 3
    assert steps[:still].max() < 1e-3 and steps[-still:].max() < 1e-3
    # Two holds' pulls meet in the gap: each at most half a hold's drift.
    assert steps.max() < step + hold * drift * np.pi / 2 / (min(gap, 5) + 1)


def test_feet_that_stand_still_stay_as_they_are():
    for motion in (bent(standing(2, 30)), standing(2, 30)):
        locked = lock_feet(motion)
        np.testing.assert_allclose(locked.positions, motion.positions, atol=1e-4)


def test_fixed_frames_stay_and_a_foot_stands_where_they_leave_it():
    drifting = bent(standing(1, 40))
    roots = drifting.root_positions + np.linspace(0, 0.2, 40)[:, None] * [1.0, 0, 0]
    drifting = replace(drifting, root_positions=roots)
    fixed = np.arange(40)[None] < 15
    locked = lock_feet(drifting, fixed)
    np.testing.assert_allclose(locked.positions[:, :15], drifting.positions[:, :15], atol=1e-5)
    balls = feet_of(locked)[0].reshape(40, 2, 2, 3).mean(2)
    assert np.abs(balls[15:] - balls[14]).max() < 0.01


def test_a_foot_that_comes_to_rest_behind_fixed_frames_does_not_jump_there():
    walking = bent(standing(1, 60))
    speed = np.where(np.abs(np.arange(60) - 21) < 5, 0.4, 0.9)  # m/s; held from 17 to 25
    roots = walking.root_positions + (speed.cumsum() / 30)[:, None] * [1.0, 0, 0]
    walking = replace(walking, root_positions=roots)
    fixed = np.arange(60)[None] < 15
    locked = lock_feet(walking, fixed)
    np.testing.assert_allclose(locked.positions[:, :15], walking.positions[:, :15], atol=1e-5)
    before, after = (largest_acceleration(x.frames(10, 24)) for x in (walking, locked))
    assert after < before + 5


def test_a_trembling_foot_comes_to_rest():
    motion = bent(standing(2, 60))
    shake = np.random.default_rng(0).normal(0, 0.002, motion.root_positions.shape)
    trembling = replace(motion, root_positions=motion.root_positions + shake * [1, 0, 1])
    assert (sliding(lock_feet(trembling)) < 0.1 * sliding(trembling)).all()


def test_a_sunken_foot_is_lifted_to_the_floor():
    motion = transform(bent(standing(2, 30)), np.eye(3), np.array([0, -0.04, 0]))
    assert feet_of(motion)[..., 1].min() == pytest.approx(-0.04, abs=1e-5)
    assert feet_of(lock_feet(motion))[..., 1].min() > -0.005


def test_a_foot_in_the_air_is_left_alone():
    motion = transform(slid(bent(standing(2, 30))), np.eye(3), np.array([0, 0.5, 0]))
    np.testing.assert_allclose(lock_feet(motion).positions, motion.positions, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_too_short_to_hold_a_foot_come_back(frames):
    motion = standing(2, frames)
    assert lock_feet(motion) is motion


@needs_recordings
def test_locking_knows_no_direction_and_no_side():
    motion = slid(take("18_01"))
    turn, there = yaw(0.7), np.array([1.0, 0, -2.0])
    moved = lock_feet(transform(motion, turn, there))
    expected = transform(lock_feet(motion), turn, there)
    np.testing.assert_allclose(moved.positions, expected.positions, atol=1e-4)
    mirrored = lock_feet(mirror(motion))
    np.testing.assert_allclose(mirrored.positions, mirror(lock_feet(motion)).positions, atol=1e-4)


def raised(motion, height):
    return replace(motion, root_positions=motion.root_positions + np.array([0, height, 0]))


@pytest.mark.parametrize("height", [0.06, -0.06])
def test_settling_puts_people_on_the_floor(height):
    motion = raised(bent(standing(people=2, frames=60, gap=1.0)), height)
    lowest = snap_to_floor(motion).positions[..., 1].min(-1)
    np.testing.assert_allclose(lowest, SOLE, atol=0.005)


def test_settling_leaves_those_in_the_air():
    motion = raised(standing(people=2, frames=60, gap=1.0), 0.5)
    np.testing.assert_array_equal(snap_to_floor(motion).positions, motion.positions)


@needs_recordings
@pytest.mark.parametrize("name", TAKES)
def test_settling_leaves_recordings_as_they_are(name):
    motion = take(name)
    moved = snap_to_floor(motion).positions - motion.positions
    assert np.abs(moved).max() < 0.06 and np.abs(moved).mean() < 0.025
