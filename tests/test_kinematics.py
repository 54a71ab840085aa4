import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, waving
from properties import examples, is_rotation, matrices, skeletons, vectors
from recordings import needs_recordings, take

from duomotion.motion.kinematics import (
    fit_rotations,
    fit_skeleton,
    forward_kinematics,
    global_rotations,
    local_rotations,
)
from duomotion.motion.skeleton import SMPL22, Skeleton


@st.composite
def poses(draw):
    """A skeleton, two frames of root positions (2, 3) and rotations (2, J, 3, 3)."""
    skeleton = draw(skeletons())
    return skeleton, draw(vectors(2)), draw(matrices(2, skeleton.num_joints))


def joint_by_joint(roots, rotations, skeleton):
    """What forward kinematics means, one joint after the other."""
    positions, world = np.empty((len(roots), skeleton.num_joints, 3)), {}
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            positions[:, joint], world[joint] = roots, rotations[:, joint]
        else:
            positions[:, joint] = positions[:, parent] + world[parent] @ skeleton.offsets[joint]
            world[joint] = world[parent] @ rotations[:, joint]
    return positions, np.stack([world[j] for j in range(skeleton.num_joints)], 1)


@examples(60)
@given(pose=poses())
def test_forward_kinematics_is_the_literal_loop(pose):
    skeleton, roots, rotations = pose
    positions, world = joint_by_joint(roots, rotations, skeleton)
    found = forward_kinematics(roots, rotations, skeleton.offsets, skeleton)
    np.testing.assert_allclose(found, positions, atol=1e-10)
    np.testing.assert_allclose(global_rotations(rotations, skeleton), world, atol=1e-10)


@examples(60)
@given(pose=poses())
def test_bones_keep_their_lengths(pose):
    skeleton, roots, rotations = pose
    positions = forward_kinematics(roots, rotations, skeleton.offsets, skeleton)
    for child, parent in skeleton.bones:
        length = np.linalg.norm(positions[:, child] - positions[:, parent], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(skeleton.offsets[child]), atol=1e-9)


@examples(40)
@given(pose=poses())
def test_numpy_and_torch_agree(pose):
    skeleton, roots, rotations = pose
    tensors = [torch.from_numpy(x) for x in (roots, rotations, skeleton.offsets)]
    np.testing.assert_allclose(
        forward_kinematics(*tensors, skeleton).numpy(),
        forward_kinematics(roots, rotations, skeleton.offsets, skeleton),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        local_rotations(tensors[1], skeleton).numpy(),
        local_rotations(rotations, skeleton),
        atol=1e-12,
    )


@examples(40)
@given(pose=poses())
def test_world_and_local_rotations_are_inverse(pose):
    skeleton, _, rotations = pose
    back = local_rotations(global_rotations(rotations, skeleton), skeleton)
    np.testing.assert_allclose(back, rotations, atol=1e-9)


def test_each_item_may_have_its_own_bone_lengths():
    motion = waving(2, 5, TAIL)
    offsets = np.stack([skeleton.offsets for skeleton in motion.skeletons])[:, None]
    both = forward_kinematics(motion.root_positions, motion.rotations, offsets, TAIL)
    for person, skeleton in enumerate(motion.skeletons):
        alone, _ = joint_by_joint(motion.root_positions[person], motion.rotations[person], skeleton)
        np.testing.assert_allclose(both[person], alone, atol=1e-6)


def test_gradients_reach_roots_rotations_and_offsets():
    torch.manual_seed(0)
    inputs = (torch.randn(2, 3), torch.randn(2, 5, 3, 3), torch.randn(5, 3))
    inputs = tuple(x.double().requires_grad_() for x in inputs)
    assert torch.autograd.gradcheck(lambda *x: forward_kinematics(*x, TAIL), inputs)


@examples(40)
@given(pose=poses())
def test_fitted_rotations_point_bones_where_they_pointed(pose):
    skeleton, roots, rotations = pose
    positions = forward_kinematics(roots, rotations, skeleton.offsets, skeleton)
    fitted = fit_rotations(positions, skeleton)
    assert is_rotation(fitted)
    # Branches whose rest pose lies on a line leave a turn about it open, and the pull towards the
    # start decides it; positions are met all the same.
    again = forward_kinematics(roots, fitted, skeleton.offsets, skeleton)
    np.testing.assert_allclose(again, positions, atol=2e-3)


@pytest.mark.parametrize("skeleton", [SMPL22, TAIL], ids=["smpl22", "tail"])
def test_fitted_rotations_with_the_true_twist_are_the_true_rotations(skeleton):
    motion = waving(2, 12, skeleton)
    for person, own in enumerate(motion.skeletons):
        rotations = motion.rotations[person].astype(float)
        positions = motion.positions[person]
        fitted = fit_rotations(positions, own, rotations)
        np.testing.assert_allclose(fitted, rotations, atol=2e-4)
        untwisted = fit_rotations(positions, own)
        assert np.abs(untwisted - rotations).max() > 0.1  # the twist did decide something


def test_a_joint_whose_bones_have_no_length_follows_the_twist():
    offsets = TAIL.offsets.copy()
    offsets[[2, 4]] = 0  # both children of link_a lie in it
    skeleton = TAIL.with_offsets(offsets)
    motion = waving(1, 6, skeleton)
    rotations = motion.rotations[0].astype(float)
    fitted = fit_rotations(motion.positions[0], skeleton, rotations)
    np.testing.assert_allclose(fitted, rotations, atol=1e-3)


def test_half_turns_are_fitted():
    """A leg that is lifted straight over the head turns by exactly half a turn."""
    skeleton = Skeleton(("a", "b"), (-1, 0), np.array([[0, 0, 0], [0, -0.4, 0.0]]))
    for tilt in (0, 1e-9, 1e-6, 1e-4):
        positions = np.array([[[0, 0, 0], [tilt, 0.4, tilt]]])
        fitted = fit_rotations(positions, skeleton)
        assert is_rotation(fitted)
        again = forward_kinematics(positions[:, 0], fitted, skeleton.offsets, skeleton)
        np.testing.assert_allclose(again, positions, atol=1e-6)


def test_a_fitted_skeleton_has_the_bone_lengths_that_were_seen():
    motion = waving(2, 30)
    for person, own in enumerate(motion.skeletons):
        fitted = fit_skeleton(motion.positions[person], SMPL22)
        seen, true = (np.linalg.norm(s.offsets, axis=-1) for s in (fitted, own))
        np.testing.assert_allclose(seen, true, atol=1e-4)
        # Where several bones leave a joint, their shape is the body's own.
        chest = [SMPL22.index(name) for name in ("neck", "left_collar", "right_collar")]
        np.testing.assert_allclose(fitted.offsets[chest], own.offsets[chest], atol=1e-3)


def test_a_single_odd_frame_does_not_change_the_skeleton():
    positions = waving(1, 30).positions[0].copy()
    expected = fit_skeleton(positions, SMPL22).offsets
    positions[7] *= 3
    np.testing.assert_allclose(fit_skeleton(positions, SMPL22).offsets, expected, atol=2e-3)


@needs_recordings
def test_real_people_are_fitted_to_millimetres():
    motion = take("18_01")
    for person in range(2):
        positions = motion.positions[person]
        skeleton = fit_skeleton(positions, SMPL22)
        fitted = fit_rotations(positions, skeleton)
        again = forward_kinematics(positions[:, 0], fitted, skeleton.offsets, skeleton)
        assert np.linalg.norm(again - positions, axis=-1).max() < 2e-3
