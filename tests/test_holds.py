from dataclasses import replace

import numpy as np
import pytest
from motions import point, standing

from duomotion.motion.holds import arm_accelerations, hands, held_hands, hold_hands, join_hands
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.rotations import yaw
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22

FRAMES = 120
ARMS = [SMPL22.index(f"{side}_{part}") for side in ("left", "right") for part in ("elbow", "wrist")]


def facing(apart):
    """Two people who face each other and hold out bent arms; `apart` metres, one or one a frame."""
    motion = standing(frames=FRAMES)
    roots, rotations = motion.root_positions.copy(), motion.rotations.copy()
    roots[..., 0] = 0
    roots[1, :, 2] = apart
    rotations[1, :, 0] = yaw(np.pi)
    motion = replace(motion, root_positions=roots, rotations=rotations)
    for person in (0, 1):
        for side in ("left", "right"):
            motion = point(motion, person, f"{side}_shoulder", [0, -1, 0])
            motion = point(motion, person, f"{side}_elbow", [0, 0, 1])
    return motion


def gap(motion, one=0, other=1):
    middles = hands(motion)
    return np.linalg.norm(middles[0, :, one] - middles[1, :, other], axis=-1)


@pytest.fixture(scope="module")
def reach():
    """The distance of the people at which their hands touch."""
    away = facing(3.0)
    return 3.0 - float(gap(away)[0])


def coming_and_going(reach, near=0.12, start=40, stop=80):
    frames = np.arange(FRAMES)
    outside = np.maximum(np.maximum(start - frames, frames - stop + 1), 0)
    return facing(reach + near + 0.03 * outside)


def test_hands_are_held_from_near_until_apart(reach):
    held = held_hands(coming_and_going(reach))
    left_to_right = held[:, 0, 1]
    assert np.array_equal(left_to_right, held[:, 1, 0]) and not held[:, 0, 0].any()
    # Within 30 cm, which is 5 frames more on either side.
    assert np.flatnonzero(left_to_right).tolist() == list(range(35, 85))


@pytest.mark.parametrize(
    ("near", "start", "stop"), [(0.25, 40, 80), (0.12, 40, 42)], ids=["never close", "in passing"]
)
def test_hands_that_are_not_held(reach, near, start, stop):
    frames = np.arange(FRAMES)
    outside = np.maximum(np.maximum(start - frames, frames - stop + 1), 0)
    assert not held_hands(facing(reach + near + 0.05 * outside)).any()


def test_no_hand_holds_two(reach):
    motion = coming_and_going(reach)
    # The first person's left hand is between both of the second person's.
    motion = point(motion, 0, "left_shoulder", [-0.55, -1, 0])
    held = held_hands(motion)
    assert held.any()
    assert held.sum(-1).max() == 1 and held.sum(-2).max() == 1


def test_held_hands_meet_and_nothing_else_moves(reach):
    motion = coming_and_going(reach, near=0.18)
    held = held_hands(motion)
    joined = join_hands(motion, held)
    for one, other in ((0, 1), (1, 0)):
        assert gap(motion, one, other)[held[:, one, other]].min() > 0.17
        assert gap(joined, one, other)[held[:, one, other]].max() < 0.06
    still = [joint for joint in range(22) if joint not in ARMS]
    np.testing.assert_allclose(
        joined.positions[:, :, still], motion.positions[:, :, still], atol=1e-5
    )
    before, after = (global_rotations(each.rotations, SMPL22) for each in (motion, joined))
    wrists = [SMPL22.index(f"{side}_wrist") for side in ("left", "right")]
    np.testing.assert_allclose(after[:, :, wrists], before[:, :, wrists], atol=1e-5)
    rotations = joined.rotations.astype(float)
    products = rotations @ rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-6)
    # Both go half of the way.
    moved = np.linalg.norm(hands(joined) - hands(motion), axis=-1)[:, 60]
    np.testing.assert_allclose(moved, moved[0, 0], atol=0.02)


def test_known_frames_stay_and_the_partner_goes_all_the_way(reach):
    motion = coming_and_going(reach, near=0.18)
    held = held_hands(motion)
    known = np.zeros((2, FRAMES), bool)
    known[0] = True
    joined = join_hands(motion, held, known)
    np.testing.assert_array_equal(joined.rotations[0], motion.rotations[0])
    assert gap(joined)[40:80].max() < 0.06
    known = np.tile(np.arange(FRAMES) < 50, (2, 1))
    joined = join_hands(motion, held, known)
    np.testing.assert_array_equal(joined.rotations[known], motion.rotations[known])
    assert gap(joined)[70:80].max() < 0.06
    accelerations = [joint_motion(each.positions.astype(float))[1] for each in (joined, motion)]
    assert accelerations[0].max() < accelerations[1].max() + 10


def test_hands_come_together_without_a_pop(reach):
    motion = coming_and_going(reach, near=0.18)
    joined = join_hands(motion, held_hands(motion))
    plain = joint_motion(motion.positions.astype(float))[1].max()
    assert joint_motion(joined.positions.astype(float))[1].max() < plain + 10
    np.testing.assert_allclose(joined.positions[:, :20], motion.positions[:, :20], atol=1e-5)


def test_a_hold_that_would_jerk_an_arm_is_left(reach):
    motion = coming_and_going(reach, near=0.0)
    # The first person's left arm is stretched out beyond the hand, and its elbow bends to one side
    # and the other.
    side = np.where(np.arange(FRAMES) % 2, 0.01, -0.01)
    motion = point(motion, 0, "left_shoulder", [0, -0.6, 0.8])
    ways = np.stack([side, np.full(FRAMES, -0.6), np.full(FRAMES, 0.8)], -1)
    motion = point(motion, 0, "left_elbow", ways)
    held = held_hands(motion)
    assert held[60, 0, 1] and held[60, 1, 0]
    left, right = arm_accelerations(join_hands(motion, held))[0].max(0)
    assert left > 100 > right
    joined = hold_hands(motion)
    np.testing.assert_allclose(gap(joined), gap(motion), atol=1e-5)
    np.testing.assert_allclose(gap(joined, 1, 0), gap(join_hands(motion, held), 1, 0), atol=1e-5)


def test_the_other_arm_makes_up_for_one_that_is_stretched_out(reach):
    motion = coming_and_going(reach, near=0.05)
    for side in ("left", "right"):
        motion = point(motion, 0, f"{side}_shoulder", [0, -0.6, 0.8])
        motion = point(motion, 0, f"{side}_elbow", [0, -0.6, 0.8])
    held = np.zeros((FRAMES, 2, 2), bool)
    held[40:80, 0, 1] = True
    assert gap(motion)[60] > 0.1
    assert gap(join_hands(motion, held))[40:80].max() < 0.08
