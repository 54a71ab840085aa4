"""Bodies that don't pass through each other: what is moved apart, and what stays where it was."""

import numpy as np
import pytest
import torch
from motions import point, standing, swaying, waving

import duomotion
from duomotion.body.limbs import distance_to_body
from duomotion.body.overlap import overlap_volumes
from duomotion.body.separation import separated
from duomotion.models.intermask.generate import InterMask
from duomotion.motion.contacts import foot_joints
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.kinematics import palms
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Sampling


def close_together(gap=0.25, frames=40):
    """Two people who stand side by side with raised arms, nearer than they are wide."""
    people = standing(2, frames, gap)
    for person in (0, 1):
        for side, out in (("left", 0.2), ("right", -0.2)):
            people = point(people, person, f"{side}_shoulder", (out, 1, 0))
    return people


def hand(motion: Interaction, person: int, side: str) -> np.ndarray:
    wrist, elbow = (SMPL22.index(f"{side}_{part}") for part in ("wrist", "elbow"))
    joints = motion.positions[person]
    return palms(joints[:, wrist], joints[:, elbow])


def test_they_come_apart_and_their_feet_stay():
    people = close_together(gap=0.35)
    apart = separated(people)
    assert overlap_volumes(people).max() > 2
    assert overlap_volumes(apart).max() < 0.35 * overlap_volumes(people).max()
    feet = foot_joints(SMPL22)
    moved = np.linalg.norm((apart.positions - people.positions)[:, :, feet], axis=-1)
    assert moved.max() < 0.05
    steps = np.linalg.norm(np.diff(apart.positions, n=2, axis=1), axis=-1) * 30**2
    assert steps.max() < 5


def test_people_apart_stay_as_they_are():
    people = standing(2, 10, gap=3.0)
    assert separated(people) is people


def test_a_hand_stays_where_it_touches():
    people = standing(2, 40, gap=0.95)
    people = point(people, 0, "left_shoulder", (0.3, -1, 0))
    people = point(people, 1, "right_hip", (-1, -0.3, 0))  # a leg into the other's
    assert distance_to_body(hand(people, 1, "right"), people, 0).max() < 0.05
    apart = separated(people)
    assert overlap_volumes(apart).max() < 0.5 * overlap_volumes(people).max()
    assert distance_to_body(hand(apart, 1, "right"), apart, 0).max() < 0.08
    neck = SMPL22.index("left_collar")
    places = [hand(x, 1, "right") - x.positions[0][:, neck] for x in (people, apart)]
    assert np.linalg.norm(places[0] - places[1], axis=-1).max() < 0.03


def test_known_frames_are_exact():
    people = close_together()
    fixed = np.zeros((2, 40), bool)
    fixed[0], fixed[1, :10] = True, True
    apart = separated(people, fixed)
    for name in ("root_positions", "rotations"):
        assert np.array_equal(getattr(apart, name)[fixed], getattr(people, name)[fixed])
    litres = overlap_volumes(apart)
    assert litres[25:].max() < 0.3 * overlap_volumes(people).max()
    assert np.abs(np.diff(apart.positions, axis=1)).max() < 0.1


def test_it_does_not_depend_on_threads():
    joints = swaying(0)
    joints[1] += np.array([-0.1, 0.0, -0.85])
    people, threads, found = Interaction.from_positions(joints), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(separated(people))
    finally:
        torch.set_num_threads(threads)
    assert not np.array_equal(found[0].positions, people.positions)
    np.testing.assert_allclose(found[0].positions, found[1].positions, atol=1e-5)


def test_only_two_people_can_be_separated():
    with pytest.raises(ValueError, match="this motion has 1"):
        separated(waving(1))


def test_models_do_it_unless_told_not_to(monkeypatch):
    features = INTERHUMAN.encode(close_together(frames=41))
    monkeypatch.setattr(InterMask, "sample", lambda *_, **__: [features])
    model, litres = duomotion.load("intermask-open"), []
    for constraint in (None, True, False):
        sampling = Sampling(avoid_collisions=constraint, attempts=1)
        clip = model.generate("they hug", seconds=40 / 30, sampling=sampling)
        litres.append(overlap_volumes(clip).max())
    assert litres[0] == litres[1] < 0.2 * litres[2]
    assert str(Sampling(avoid_collisions=False)) == "avoid collisions off"
    single = duomotion.load("momask-open")
    with pytest.raises(ValueError, match="momask-open has no sampling setting avoid_collisions"):
        single.generate("a person walks", sampling=Sampling(avoid_collisions=False))
