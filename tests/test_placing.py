import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from solo_motion import walking

from duomotion.body.overlap import overlap_volumes
from duomotion.composition.placing import ARRANGEMENTS, BODY_GAP, Person, _touches, placed
from duomotion.evaluation.metrics.measurements import Scene
from duomotion.evaluation.metrics.physics import body_depths
from duomotion.motion.canonical import transform
from duomotion.motion.interaction import together
from duomotion.motion.rotations import yaw

STANDING, WAVING = walking(0, 3, 0.5), walking(0, 3, 2.0, 6.0)
GOING, STROLLING, RUNNING = walking(1.2, 3, 0.7), walking(1.1, 3, -1.0, 3.0), walking(2.5, 3)
SUITING = {
    "face to face": (STANDING, WAVING),
    "towards each other": (GOING, STROLLING),
    "side by side": (GOING, STROLLING),
    "one behind the other": (GOING, STROLLING),
    "back to back": (STANDING, WAVING),
    "away from each other": (GOING, STROLLING),
    "past each other": (GOING, STROLLING),
    "in mirror image": (WAVING, WAVING),
    "around one point": (WAVING, WAVING),
    "apart": (STANDING, GOING),
}


def arranged(name, first, second, seed=0):
    one, other = Person.of(first), Person.of(second)
    arrangement = ARRANGEMENTS[name]
    if arrangement.copied is not None:
        other = arrangement.copied(one)
    assert arrangement.suits(one, other)
    return placed(one, other, arrangement, np.random.default_rng(seed))


def test_all_arrangements_are_tried_here():
    assert SUITING.keys() == ARRANGEMENTS.keys()


@examples(5)
@given(st.integers(0, 1000), st.floats(-3, 3))
@pytest.mark.parametrize("name", SUITING)
def test_people_are_arranged_and_never_touch(name, seed, angle):
    first, second = SUITING[name]
    pair = arranged(name, transform(first, yaw(angle), np.array([angle, 0, 1])), second, seed)
    assert pair is not None
    assert body_depths(pair.positions.astype(float)).max() < 0
    assert overlap_volumes(pair.frames(0, pair.num_frames)).max() == 0
    assert ARRANGEMENTS[name].fits(Scene.of(pair))


def test_people_who_meet_between_the_frames_that_are_looked_at_touch():
    runner = walking(8, 1.0)
    pair = together([runner, transform(runner, yaw(np.pi), np.array([6, 0, 4.7]))])
    depths = body_depths(pair.positions.astype(float))
    assert depths.max() > 0 > depths[::3].max() + BODY_GAP
    assert _touches(pair)


def test_two_who_go_side_by_side_stay_there():
    scene = Scene.of(arranged("side by side", GOING, STROLLING))
    assert np.ptp(scene.root_gap) < 0.5 and scene.root_gap.max() < 2
    assert scene.between_headings.max() < 10
    assert np.all(np.abs(scene.off_partner - 90) < 40)


def test_two_who_go_at_other_speeds_do_not_go_side_by_side_or_follow():
    one, other = Person.of(GOING), Person.of(RUNNING)
    for name in ("side by side", "one behind the other"):
        arrangement = ARRANGEMENTS[name]
        suits = arrangement.suits(one, other)
        assert not suits or placed(one, other, arrangement, np.random.default_rng(0)) is None


def test_the_second_of_two_follows_the_first():
    scene = Scene.of(arranged("one behind the other", GOING, STROLLING))
    assert scene.off_partner[0].min() > 150 and scene.off_partner[1].max() < 30


def test_a_mirror_image_has_the_same_pose_the_other_way_round():
    pair = arranged("in mirror image", WAVING, WAVING)
    left, right = (pair.skeletons[0].index(f"{side}_wrist") for side in ("left", "right"))
    heights = pair.positions[..., 1]
    np.testing.assert_allclose(heights[0, :, left], heights[1, :, right], atol=1e-5)


def test_the_same_seed_gives_the_same_place():
    one, again = (arranged("face to face", STANDING, WAVING, 3) for _ in range(2))
    np.testing.assert_array_equal(one.positions, again.positions)
    other = arranged("face to face", STANDING, WAVING, 4)
    assert np.abs(one.positions - other.positions).max() > 0.01


def test_only_the_whole_body_moves():
    pair = arranged("past each other", GOING, STROLLING)
    for person, source in enumerate((GOING, STROLLING)):
        np.testing.assert_allclose(pair.rotations[person, :, 1:], source.rotations[0, :, 1:])
        heights = pair.positions[person, ..., 1] - source.positions[0, ..., 1]
        np.testing.assert_allclose(heights, 0, atol=1e-5)
