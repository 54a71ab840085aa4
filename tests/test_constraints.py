"""Touches and paths: how they read, what they cost, and motion that is led to them."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import off, standing

import duomotion
from duomotion.body.constraints import Contact, RootPath
from duomotion.body.separation import separated
from duomotion.motion.contacts import foot_joints
from duomotion.motion.kinematics import palms
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Sampling

SHAKE = Contact(("right_hand", "right_hand"), 0.4, 0.9)


def hand(motion, person):
    wrist, elbow = (SMPL22.index(f"right_{part}") for part in ("wrist", "elbow"))
    joints = motion.positions[person]
    return palms(joints[:, wrist], joints[:, elbow])


def test_what_is_written_is_read():
    assert Contact.parse("A.right_hand B.left_shoulder 1.0:2.5") == Contact(
        ("right_hand", "left_shoulder"), 1, 2.5
    )
    assert Contact.parse("B.neck A.left_hand 0:.5") == Contact(("left_hand", "neck"), 0, 0.5)


def test_paths_that_are_written_are_read():
    path = RootPath.parse("B 0:1.5,0 2.5:-.5,+0.8")
    assert path == RootPath(1, ((0, 1.5, 0), (2.5, -0.5, 0.8)))
    path.check(SMPL22, 2.5)
    with pytest.raises(ValueError, match=r"a path until 2.5 s lies outside the clip of 2 s"):
        path.check(SMPL22, 2)


@pytest.mark.parametrize("text", ["", "C 0:1,1", "B", "B 0:1", "B 0:1,2,3", "B 0:nan,1"])
def test_other_paths_are_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="a person and places at times are expected, as in"):
        RootPath.parse(text)


def test_what_is_missing_on_a_path():
    roots = torch.zeros(31, 2)
    roots[:, 0] = torch.arange(31) / 30  # 1 m/s along x
    missing = off(RootPath(1, ((0, 0, 0), (1, 1, 0))), roots)
    torch.testing.assert_close(missing, torch.zeros(31, 2), atol=1e-6, rtol=0)
    missing = off(RootPath(1, ((0.5, 0.5, 0.5), (2 / 3, 0.6, 0.5))), roots)
    assert (missing[:, 1] == 0.5).all() and (missing[:16, 0] == 0).all()
    assert (missing[20:, 0] == missing[20, 0]).all() and missing[20, 0] < 0


@given(st.text(max_size=30))
def test_anything_else_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="a joint of each person and a time are expected"):
        Contact.parse(text)


@pytest.mark.parametrize(
    "constraint, problem",
    [
        (lambda: Contact(("head", "head"), 2, 1), "has to end after it starts"),
        (lambda: Contact.parse("A.head A.neck 0:1"), "a joint of each person"),
        (lambda: RootPath(2, ((0, 0, 0),)), "a path is for person 0 or 1, not 2"),
        (lambda: RootPath.parse("B 1:0,0 1:1,0"), "times rise from 0 s on"),
        (lambda: RootPath(1, ()), "needs points"),
        (lambda: RootPath.parse("A 0:1,0 2:0,0"), "starts at 0,0, not at 1,0"),
        (
            lambda: Sampling(paths=(RootPath(1, ((0, 1, 1),)),) * 2),
            "each person can have one path",
        ),
    ],
)
def test_constraints_that_make_no_sense_are_refused(constraint, problem):
    with pytest.raises(ValueError, match=problem):
        constraint()


def test_energies_are_zero_where_constraints_are_met_and_pull_where_not():
    joints = torch.from_numpy(standing(2, 30, 2.0).positions).double().requires_grad_()
    energy = SHAKE.energy(joints, SMPL22, 30)
    (gradient,) = torch.autograd.grad(energy, joints)
    assert energy.item() > 0.1 and gradient.abs().sum() > 0
    touching = joints.detach().clone()
    touching[1] = touching[0]
    assert SHAKE.energy(touching, SMPL22, 30).item() == 0


@pytest.mark.parametrize("times", [(0.5, 0.51), (0.99, 1.0), (0.0, 0.001)])
def test_a_contact_shorter_than_a_frame_is_of_one(times):
    people = standing(2, 30, 0.9)
    joints = torch.from_numpy(people.positions).double().requires_grad_()
    contact = Contact(SHAKE.joints, *times)
    contact.check(SMPL22, people.seconds)
    (gradient,) = torch.autograd.grad(contact.energy(joints, SMPL22, 30), joints)
    assert gradient.any((0, 2, 3)).nonzero().flatten().tolist() == [min(round(times[0] * 30), 29)]
    made = separated(people, contacts=(contact,))
    assert np.isfinite(made.positions).all()


def test_hands_come_together_and_feet_stay():
    people = standing(2, 45, 0.9)
    made = separated(people, contacts=(SHAKE,))
    gap = np.linalg.norm(hand(made, 0) - hand(made, 1), axis=-1)
    assert gap[12:27].max() < 0.12 and gap[12:27].mean() < 0.1
    assert np.linalg.norm(hand(people, 0) - hand(people, 1), axis=-1).min() > 0.6
    feet = foot_joints(SMPL22)
    assert np.abs(made.positions - people.positions)[:, :, feet].max() < 0.05
    steps = np.linalg.norm(np.diff(made.positions, n=2, axis=1), axis=-1) * 30**2
    assert steps.max() < 40
    fixed = np.zeros((2, 45), bool)
    fixed[0] = True
    kept = separated(people, fixed, contacts=(SHAKE,))
    assert np.array_equal(kept.rotations[0], people.rotations[0])


def test_models_take_constraints(tmp_path):
    model = duomotion.load(tiny.checkpoint(tmp_path / "model"))
    plain = model.generate("two people wave", seconds=1)
    constraint = Contact(("right_hand", "right_hand"), 0.3, 0.7)
    made = model.generate("two people wave", seconds=1, sampling=Sampling(contacts=(constraint,)))
    gaps = [np.linalg.norm(hand(x, 0) - hand(x, 1), axis=-1)[9:21].mean() for x in (plain, made)]
    assert gaps[1] < max(0.12, 0.5 * gaps[0])
    for constraints, problem in (
        ((Contact(("right_hand", "knee"), 0, 1),), "there is no joint 'knee'; did you mean"),
        ((Contact(("head", "head"), 0, 1.5),), "until 1.5 s lies outside the clip of 1 s"),
    ):
        with pytest.raises(ValueError, match=problem):
            model.generate("hi", seconds=1, sampling=Sampling(contacts=constraints))
    with pytest.raises(ValueError, match="contacts and paths can be given for up to 10 s"):
        model.generate("hi", seconds=12, sampling=Sampling(contacts=(constraint,)))
    with pytest.raises(ValueError, match="can't be given where motion is extended"):
        model.extend(plain, seconds=2, sampling=Sampling(contacts=(constraint,)))


def test_the_command_line(run, tmp_path):
    folder = tiny.checkpoint(tmp_path / "model")
    words = ["generate", "hi", "--seconds", 1, "--model", folder, "--formats", "npz"]
    out = ["--out", tmp_path / "out"]
    status, _, error = run(*words, "--contact", "A.right_hand B.neck 0.2:0.8", *out)
    assert status == 0, error
    status, printed, error = run(*words, "--contact", "A.right_hand neck 0.2:0.8", *out)
    assert (status, printed) == (2, "") and "a joint of each person and a time" in error
    status, printed, error = run(*words, "--path", "B 0:1,0 0.8:1,1", *out)
    assert (status, printed) == (2, "") and "has no sampling setting paths" in error
    status, printed, error = run(*words, "--path", "B 0:1", *out)
    assert (status, printed) == (2, "") and "a person and places at times" in error
