from dataclasses import fields, replace

import numpy as np
import pytest
from motions import TAIL, standing, waving
from recordings import needs_recordings, take

from duomotion.evaluation.metrics import physics
from duomotion.evaluation.metrics.physics import Limits
from duomotion.motion.canonical import transform
from duomotion.motion.skeleton import SMPL22

STILL = standing(frames=60, gap=2.5)


def moved(motion, person, frames, by):
    """One person somewhere else in some frames."""
    roots = motion.root_positions.copy()
    roots[person, frames] += by
    return replace(motion, root_positions=roots)


def raised(motion, height):
    return transform(motion, np.eye(3), np.array([0, height, 0]))


def test_people_who_stand_are_sound():
    report = physics.report(STILL)
    assert report.keys() == {field.name for field in fields(Limits)} | {"jerk", "body_litres"}
    assert max(report.values()) < 1e-4
    assert Limits().broken(report) == ()


def test_one_person_is_measured_too():
    report = physics.report(raised(STILL, -0.05).person(0))
    assert Limits().broken(report) == ("floor_depth",)
    assert report["body_depth"] == report["body_overlap"] == 0


def test_limits_of_one_person_are_other_ones():
    slide = np.arange(60)[:, None] / 30 * np.array([-0.25, 0, 0])
    report = physics.report(moved(STILL, 0, slice(None), slide).person(0))
    assert physics.SOLO_LIMITS.broken(report) == ("foot_sliding",)
    assert physics.PAIR_LIMITS.broken(report) == ()
    fast = np.arange(60)[:, None] / 30 * np.array([5.0, 0, 0])
    racing = moved(STILL, 0, slice(None), fast)
    assert physics.report(racing)["jumpy"] == pytest.approx(0.5)
    assert physics.report(racing.person(0))["jumpy"] == 0


def test_a_jump_in_time():
    report = physics.report(moved(STILL, 1, slice(30, None), [0.5, 0, 0]))
    assert report["top_speed"] == pytest.approx(15, rel=1e-3)
    assert report["top_acceleration"] == pytest.approx(450, rel=1e-3)
    assert report["jumpy"] == pytest.approx(2 / 58 / 2)  # two of 58 frames of one of two people
    assert set(Limits().broken(report)) == {"top_speed", "top_acceleration"}


def test_sliding_people():
    slide = np.arange(60)[:, None] / 30 * np.array([-1.0, 0, 0])
    report = physics.report(moved(STILL, 0, slice(None), slide))
    assert 0.5 < report["foot_sliding"] <= 1
    assert Limits().broken(report) == ("foot_sliding",)


def test_bones_that_stretch():
    positions = STILL.positions.astype(float)
    assert physics.bone_drift(positions) < 1e-5
    wrist, elbow = SMPL22.index("left_wrist"), SMPL22.index("left_elbow")
    positions[1, 7, wrist] += 0.2 * (positions[1, 7, wrist] - positions[1, 7, elbow])
    assert physics.bone_drift(positions) == pytest.approx(0.2, abs=1e-4)


def test_below_and_above_the_floor():
    assert physics.report(raised(STILL, -0.07))["floor_depth"] == pytest.approx(0.07, abs=1e-5)
    report = physics.report(raised(STILL, 0.3))
    assert report["hover"] == pytest.approx(0.3, abs=1e-5)
    assert Limits().broken(report) == ("hover",)


def test_a_jump_into_the_air_is_no_hovering():
    time = np.arange(18) / 30
    height = np.maximum(0, 2.9 * time - 9.81 / 2 * time**2)
    leap = moved(STILL, 0, slice(20, 38), height[:, None] * np.array([0, 1.0, 0]))
    assert leap.positions[0, ..., 1].min(-1).max() > 0.4
    assert physics.hover(leap.positions) < 0.01
    assert physics.hover(moved(STILL, 0, slice(20, 45), [0, 0.4, 0]).positions) > 0.39


def test_who_is_carried_does_not_hover():
    carried = moved(STILL, 1, slice(None), [-2.5, 0.9, -0.15])
    assert physics.report(carried)["hover"] < 0.01
    alone = moved(STILL, 1, slice(None), [0, 0.9, -0.15])
    assert physics.report(alone)["hover"] == pytest.approx(0.9, abs=1e-5)


def test_gaps_between_segments():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 200, 3))
    c[:20] = a[:20] + (b[:20] - a[:20]) * 0.3  # these touch
    d[20:40] = c[20:40] + (b[20:40] - a[20:40])  # these are parallel
    b[40:50] = a[40:50]  # these are points
    share = np.linspace(0, 1, 201)[:, None, None]
    first, second = a + share * (b - a), c + share * (d - c)
    sampled = np.min([np.linalg.norm(point - second, axis=-1).min(0) for point in first], axis=0)
    exact = physics.segment_gaps(a, b, c, d).diagonal()
    np.testing.assert_allclose(exact, sampled, atol=0.02)
    assert (exact <= sampled + 1e-6).all()


def test_bodies_inside_each_other():
    inside = moved(STILL, 1, slice(0, 15), [-2.5, 0, 0.1])
    depths = physics.body_depths(inside.positions)
    radius = physics.RADII["spine1"]
    np.testing.assert_allclose(depths[:15], 2 * radius - 0.1, atol=0.05)
    assert (depths[15:] < -0.5).all()
    report = physics.report(inside)
    assert report["body_overlap"] == 0.25
    assert report["body_depth"] == pytest.approx(depths.max())


def test_what_is_not_finite_is_broken():
    report = physics.report(STILL) | {"hover": float("nan")}
    assert Limits().broken(report) == ("hover",)


def test_other_skeletons_and_stills_are_refused():
    with pytest.raises(ValueError, match="5 joints"):
        physics.report(waving(skeleton=TAIL))
    with pytest.raises(ValueError, match="2 frames"):
        physics.report(standing(frames=2))
    with pytest.raises(ValueError, match="this motion has 3"):
        physics.report(standing(people=3))


@needs_recordings
def test_real_people():
    for name in ("18_01", "20_06", "20_11", "22_05"):
        broken = Limits().broken(physics.report(take(name)))
        assert set(broken) <= {"jumpy"}, name
    # An elbow leaps by 16 cm for one frame of this recording.
    assert "top_acceleration" in Limits().broken(physics.report(take("22_03")))
