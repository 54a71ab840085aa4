"""Comparing clips without a network: contacts, roles, spread, and litres of overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motions import standing
from recordings import needs_recordings, take

from duomotion.body.limbs import distance_to_body
from duomotion.body.mesh import body_mesh, posed_bodies
from duomotion.body.overlap import CELL, collision_scores, overlap_volumes
from duomotion.evaluation.metrics import agreement, physics
from duomotion.motion.canonical import mirror, swap, transform
from duomotion.motion.interaction import together
from duomotion.motion.rotations import yaw


def apart(gap: float, frames: int = 30) -> np.ndarray:
    return standing(people=2, frames=frames, gap=gap).positions


@needs_recordings
def test_a_recording_agrees_with_itself_and_not_with_another():
    shaking, dancing = take("18_01").positions, take("20_11").positions
    assert agreement.contact_agreement(shaking, shaking) == 1
    assert agreement.contact_agreement(shaking, shaking[::-1]) == 1
    slow = shaking.repeat(2, 1)
    assert agreement.contact_agreement(shaking, slow) == pytest.approx(1, abs=0.05)
    assert agreement.contact_agreement(shaking, dancing) < 0.4
    assert 0 < agreement.contact_shares(shaking).max() <= 1


def test_agreement_without_any_contact():
    assert agreement.contact_agreement(apart(2.0), apart(3.0)) == 1
    assert agreement.contact_agreement(apart(2.0), apart(0.1)) == 0


@needs_recordings
def test_roles_are_kept_or_changed():
    clip = take("18_01").positions
    assert agreement.role_consistency(clip, clip) == 1
    assert agreement.role_consistency(clip[::-1], clip) == 1
    half = clip.shape[1] // 2
    changing = np.concatenate([clip[:, :half], clip[::-1, half:]], 1)
    assert agreement.role_consistency(changing, clip) < 0.65


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(-5, 5), st.floats(-5, 5), st.integers(10, 90))
def test_place_and_length_do_not_matter(angle, x, z, frames):
    clip = standing(people=2, frames=frames, gap=0.8)
    moved = transform(clip, yaw(angle), np.array([x, 0, z])).positions
    assert agreement.spread([clip.positions, moved]) == pytest.approx(0, abs=1e-4)
    assert agreement.role_consistency(moved, clip.positions) == 1


def test_spread_is_a_distance_in_metres():
    same = apart(1.0)
    assert agreement.spread([same, same, same]) == pytest.approx(0, abs=1e-6)
    assert agreement.spread([apart(1.0), apart(1.4)]) == pytest.approx(0.2, abs=1e-4)
    with pytest.raises(ValueError, match="at least 2"):
        agreement.spread([same])


def test_overlap_in_litres():
    body = standing(people=1, frames=3)
    whole = overlap_volumes(together([body, body]))
    assert whole.shape == (3,)
    assert 45 < whole[0] < 80  # a body of an adult
    np.testing.assert_allclose(whole, whole[0])
    assert overlap_volumes(standing(people=2, frames=3, gap=2.5)).max() == 0
    partly = overlap_volumes(standing(people=2, frames=3, gap=0.2))[0]
    assert 0 < partly < whole[0]
    with pytest.raises(ValueError, match="two people"):
        overlap_volumes(body)


@pytest.mark.slow
def test_collision_score_is_that_of_the_paper():
    pair = standing(people=2, frames=2, gap=0.25)
    mesh = body_mesh(pair.skeletons[0], CELL)
    total = 0.0
    for person in (0, 1):
        vertices, partner = next(posed_bodies(pair, person, CELL)[1]), 1 - person
        depths = [
            -distance_to_body(vertex[None], pair.frames(0, 1), partner)[0] for vertex in vertices
        ]
        total += sum(1 / (1 + np.exp(-depth)) for depth in depths if depth > 0)
    scores = collision_scores(pair)
    assert total > 0.05 * len(mesh.vertices)
    np.testing.assert_allclose(scores, total, rtol=0.03)  # vertices near joints are moved by two
    assert physics.collision(pair) == pytest.approx(scores.mean())
    assert collision_scores(standing(people=2, frames=2, gap=2.5)).max() == 0
    assert physics.collision(standing(people=2, frames=20, gap=2.5)) == 0
    with pytest.raises(ValueError, match="two people"):
        collision_scores(pair.person(0))


@needs_recordings
def test_overlap_is_nearly_the_same_from_both_sides():
    clip = take("18_01")
    one, other = overlap_volumes(clip), overlap_volumes(swap(clip))
    assert np.abs(one - other).max() < 12 * CELL**3 * 1000
    report = physics.report(clip)
    assert report["body_litres"] <= one.max() + 1e-9
    assert physics.report(mirror(clip))["body_litres"] == pytest.approx(one.max(), abs=0.6)


def test_jerk():
    times = np.arange(40) / 30
    cubic = np.zeros((1, 40, 22, 3))
    cubic[..., 0] = (times**3)[:, None]
    assert physics.jerk(cubic) == pytest.approx(6)
    assert physics.jerk(np.zeros((2, 10, 22, 3))) == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(-5, 5), st.floats(-5, 5), st.integers(10, 90))
def test_place_and_length_of_one_person_do_not_matter(angle, x, z, frames):
    clip = standing(people=1, frames=frames)
    moved = transform(standing(people=1, frames=50), yaw(angle), np.array([x, 0, z]))
    raised = transform(clip, yaw(angle), np.array([x, 0.2, z])).positions
    assert agreement.spread([clip.positions, moved.positions]) == pytest.approx(0, abs=1e-4)
    assert agreement.spread([clip.positions, raised]) == pytest.approx(0.2, abs=1e-4)
