"""HumanML3D's and KIT-ML's layouts of one person."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import TAIL, standing, waving
from properties import examples, is_rotation
from recordings import needs_recordings, take

from duomotion.motion.canonical import facing, transform
from duomotion.motion.humanml3d import (
    HUMANML3D,
    KIT,
    SOLO_LAYOUTS,
)
from duomotion.motion.retarget import to_kit21
from duomotion.motion.rotations import sixd_concatenated_to_matrix, yaw
from duomotion.motion.skeleton import KIT21, SMPL22

both = pytest.mark.parametrize("layout", SOLO_LAYOUTS, ids=lambda layout: layout.name)


def person(layout, frames=45):
    """Someone on the layout's skeleton, where its features should say; no half turn."""
    moving = waving(1, 2 * frames, layout.skeleton).frames(0, frames)
    return transform(moving, *layout.placing(moving))


@both
def test_sizes_of_the_blocks(layout):
    joints = layout.num_joints
    assert [block.stop - block.start for block in layout.blocks] == [
        1, 2, 1, 3 * joints - 3, 6 * joints - 6, 3 * joints, 4
    ]  # fmt: skip
    assert joints == layout.skeleton.num_joints == len(layout.rest.split())


@both
def test_features_and_back(layout):
    motion = person(layout)
    features = layout.encode(motion)
    assert features.shape == (1, 44, layout.num_features) and features.dtype == np.float32
    np.testing.assert_allclose(layout.positions(features), motion.positions[:, :-1], atol=2e-4)
    back = layout.decode(features, caption="waves")
    np.testing.assert_allclose(back.positions, motion.positions[:, :-1], atol=1e-3)
    assert (back.fps, back.caption) == (layout.fps, "waves")
    assert back.skeletons[0].same_tree(layout.skeleton)
    height = features[0, :, layout.blocks.root_height][:, 0] * layout.metres
    np.testing.assert_allclose(height, motion.root_positions[0, :-1, 1], atol=1e-5)
    sixd = features[..., layout.blocks.rotations].reshape(1, 44, -1, 6)
    assert is_rotation(sixd_concatenated_to_matrix(sixd.astype(float)), atol=1e-5)


@both
def test_feet_in_contact_stay_where_they_are(layout):
    """Someone who is carried along by their features, with one foot, all feet, and none at rest."""
    features = layout.encode(person(layout, frames=65)).astype(np.float64)
    features[..., layout.blocks.contacts] = 0
    features[..., layout.blocks.root_velocity] += 0.05 / layout.metres
    np.testing.assert_array_equal(layout.fix_root_from_contacts(features), features)
    feet = [layout.skeleton.index(f"{s}_{part}") for s in ("left", "right") for part in layout.feet]
    for number, flag in ((1, 1.2), (slice(None), 0.7)):  # decoded flags are not sharp
        resting = features.copy()
        resting[:, 20:50, np.arange(layout.num_features)[layout.blocks.contacts][number]] = flag
        fixed = layout.fix_root_from_contacts(resting)
        before, after = (
            layout.positions(x)[0, :, feet, ::2][number].reshape(-1, 64, 2).mean(0)
            for x in (resting, fixed)
        )
        drift = [np.linalg.norm(place[45] - place[25]) for place in (before, after)]
        assert drift[0] > 1 and drift[1] < 0.02
        changed = (fixed != resting).any((0, 1))
        assert list(np.flatnonzero(changed)) == [1, 2]
        far = np.r_[:10, 60 : features.shape[1]]
        np.testing.assert_array_equal(fixed[:, far], resting[:, far])


@both
def test_positions_are_the_same_in_torch_and_have_a_gradient(layout):
    features = layout.encode(person(layout))
    tensor = torch.from_numpy(features).requires_grad_()
    positions = layout.positions(tensor)
    np.testing.assert_allclose(positions.detach(), layout.positions(features), atol=1e-4)
    positions.square().sum().backward()
    assert tensor.grad is not None and tensor.grad.isfinite().all()
    assert (tensor.grad[..., : layout.blocks.local_positions.stop] != 0).float().mean() > 0.9


@both
@examples(10)
@given(
    angle=st.floats(-3, 3), x=st.floats(-5, 5), y=st.floats(-1, 1), z=st.floats(-5, 5)
)  # fmt: skip
def test_placed_people_do_not_depend_on_where_they_were(layout, angle, x, y, z):
    motion = person(layout)
    moved = transform(motion, yaw(angle), np.array([x, y, z]))
    placed = transform(moved, *layout.placing(moved))
    np.testing.assert_allclose(placed.positions, motion.positions, atol=1e-4)
    joints = layout.placed(moved.positions[0].astype(float) / layout.metres) * layout.metres
    np.testing.assert_allclose(joints, motion.positions[0], atol=1e-4)
    assert placed.positions[..., 1].min() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(placed.root_positions[0, 0, [0, 2]], 0, atol=1e-5)


@both
def test_mirrored_twice_is_the_same_and_once_swaps_the_sides(layout):
    joints = person(layout).positions[0]
    mirrored = layout.mirror(joints)
    np.testing.assert_array_equal(layout.mirror(mirrored), joints)
    left, right = (layout.skeleton.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_array_equal(mirrored[:, left], joints[:, right] * [-1, 1, 1])


@both
def test_retargeting_gives_the_bones_and_scales_the_way(layout):
    joints = person(layout).positions[0].astype(float)
    own = layout.lengths(joints[0])
    np.testing.assert_allclose(layout.retarget(joints, own), joints, atol=1e-4)
    big = layout.retarget(joints, 1.3 * own)
    np.testing.assert_allclose(big, 1.3 * joints, atol=1e-4)
    other = layout.retarget(joints, layout.reference_lengths)
    expected = np.broadcast_to(layout.reference_lengths, other.shape[:2])
    np.testing.assert_allclose(layout.lengths(other), expected, atol=1e-6 / layout.metres)


@both
def test_contacts_are_where_feet_are_slow_at_any_height(layout):
    feet = [layout.skeleton.index(f"{s}_{part}") for s in ("left", "right") for part in layout.feet]
    joints = np.repeat(person(layout, 3).positions[0, :1] + [0.0, 5, 0], 6, 0) / layout.metres
    step = np.sqrt(layout.contact_speed)
    joints[3:, feet[1], 0] += 1.1 * step
    joints[4:, feet[2], 2] += 0.9 * step
    contacts = layout.encode_joints(joints)[:, layout.blocks.contacts]
    expected = np.ones((5, 4))
    expected[2, 1] = 0
    np.testing.assert_array_equal(contacts, expected)


def literal_turns(forward):
    """The released code's turns of forward directions (T, 3), by quaternions (w, x, y, z)."""
    w = 1 + forward[:, 2]
    quaternion = np.stack([w, 0 * w, -forward[:, 0], 0 * w], -1)
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    (w0, y0), (w1, y1) = quaternion[:-1, [0, 2]].T, quaternion[1:, [0, 2]].T
    return np.arcsin(y1 * w0 - w1 * y0)


def test_turning_through_the_back_comes_back_or_has_the_released_codes_sign():
    spin = yaw(np.linspace(0, 6, 120))
    joints = SMPL22.rest_positions @ np.swapaxes(spin, -1, -2)
    joints[..., 2] += np.linspace(0, 3, 120)[:, None]
    features = HUMANML3D.encode_joints(joints)
    np.testing.assert_allclose(HUMANML3D.decode_joints(features), joints[:-1], atol=1e-4)
    published = HUMANML3D.encode_joints(joints, published_turns=True)
    assert (features[1:, 0] < 0).all() and (published[1:, 0] > 0).sum() == 1
    np.testing.assert_array_equal(features[:, 1:], published[:, 1:])
    facing_back = -HUMANML3D._turns(joints)
    forward = np.stack([np.sin(facing_back), 0 * facing_back, np.cos(facing_back)], -1)
    np.testing.assert_allclose(published[:, 0], literal_turns(forward), atol=1e-6)


@both
def test_bodies_are_brought_to_skeleton_and_frame_rate(layout):
    motion = waving(1, 61)
    body = layout.bodies(motion)
    assert body.skeletons[0].same_tree(layout.skeleton) and body.fps == layout.fps
    assert body.num_frames == 1 + int(2 * layout.fps)
    assert layout.bodies(body) is not None and layout.grounded(body) is body
    knee = SMPL22.index("left_knee"), layout.skeleton.index("left_knee")
    np.testing.assert_allclose(
        body.positions[0, 0, knee[1]], motion.positions[0, 0, knee[0]], atol=1e-4
    )
    with pytest.raises(ValueError, match=rf"{layout.name} describes one person; the motion has 2"):
        layout.bodies(waving(2))
    with pytest.raises(ValueError, match="left knee"):
        layout.bodies(waving(1, 20, TAIL))


def test_kits_skeleton_is_smpls_with_other_joints():
    body = to_kit21(standing(1))
    np.testing.assert_allclose(
        body.positions[0, 0] - body.root_positions[0, 0], KIT21.rest_positions, atol=1e-3
    )
    assert facing(KIT21.rest_positions, KIT21) == pytest.approx(0, abs=1e-6)
    # The released code's indices: hips and shoulders, feet, leg.
    names = ("right_hip", "left_hip", "right_shoulder", "left_shoulder")
    assert [KIT21.index(name) for name in names] == [11, 16, 5, 8]
    assert KIT._feet == [19, 20, 14, 15] and HUMANML3D._feet == [7, 10, 8, 11]
    assert [KIT21.index(name) for name in KIT.leg] == [17, 18]


def test_kits_unit_is_a_millimetre_of_a_small_body():
    motion = person(KIT)
    assert KIT.encode(motion)[0, 0, 3] == pytest.approx(motion.root_positions[0, 0, 1] * 640)


@needs_recordings
@both
def test_recorded_people_come_back(layout):
    body = layout.bodies(take("18_01").person(0))
    placed = transform(body, *layout.placing(body))
    back = layout.decode(layout.encode(placed))
    error = np.linalg.norm(back.positions - placed.positions[:, :-1], axis=-1)
    assert error.mean() < 2e-3
