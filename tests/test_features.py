import numpy as np
import pytest
import torch
from motions import waving
from parity import load, one_of
from recordings import needs_recordings, take

from duomotion.motion.canonical import mirror, place, transform
from duomotion.motion.contacts import foot_contacts, foot_joints
from duomotion.motion.interhuman import (
    INTERHUMAN,
    from_interhuman_raw,
    mirror_pair,
    to_interhuman_raw,
)
from duomotion.motion.layouts import LAYOUTS, layout_named
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.rotations import (
    matrix_to_sixd_interleaved,
    sixd_concatenated_to_matrix,
    sixd_interleaved_to_matrix,
    yaw,
)
from duomotion.motion.skeleton import SMPL22


def encode(motion, **more):
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    return INTERHUMAN.encode_pair(motion.positions, sixd, **more)


def raw_pair():
    _, tensors = load(one_of("interhuman_features_*"))
    return np.stack([tensors["in/person1_raw"], tensors["in/person2_raw"]])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_blocks_are_all_features_in_their_order(layout):
    indices = np.arange(layout.num_features)
    covered = np.concatenate([indices[block] for block in layout.blocks])
    np.testing.assert_array_equal(covered, indices)
    assert layout_named(layout.name) is layout


def test_interhumans_blocks():
    assert [part.stop - part.start for part in INTERHUMAN.blocks] == [66, 66, 126, 4]


def test_a_placed_interaction_is_encoded_as_it_stands():
    motion = place(waving(2, 12))
    encoded = encode(motion, floor="keep")
    assert encoded.shape == (2, 11, 262) and encoded.dtype == np.float32
    positions = motion.positions
    flat = encoded[..., INTERHUMAN.blocks.positions].reshape(2, 11, 22, 3)
    np.testing.assert_allclose(flat, positions[:, :-1], atol=1e-5)
    speed = encoded[..., INTERHUMAN.blocks.velocities].reshape(2, 11, 22, 3)
    np.testing.assert_allclose(speed, np.diff(positions, axis=1), atol=1e-5)
    turns = encoded[..., INTERHUMAN.blocks.rotations].reshape(2, 11, 21, 6)
    np.testing.assert_allclose(
        sixd_interleaved_to_matrix(turns), motion.rotations[:, :-1, 1:], atol=1e-5
    )
    touching = foot_contacts(positions[:, :, foot_joints(SMPL22)])[:, :-1]
    np.testing.assert_array_equal(encoded[..., INTERHUMAN.blocks.contacts], touching)


def test_where_the_recording_stood_does_not_matter():
    motion = waving(2, 12)
    moved = transform(motion, yaw(2.0), np.array([3.0, 1.0, -2.0]))
    np.testing.assert_allclose(encode(moved), encode(motion), atol=2e-5)


def test_floor_each_puts_everybody_down_and_keep_nobody():
    motion = waving(2, 12)
    lowest = encode(motion)[..., INTERHUMAN.blocks.positions].reshape(2, -1, 3)[..., 1].min(1)
    # The last frame is dropped after the floor is found, so the lowest joint may be missing.
    assert (lowest >= -1e-6).all() and (lowest < 0.05).all()
    kept = encode(motion, floor="keep")[..., INTERHUMAN.blocks.positions].reshape(2, 11, 22, 3)
    np.testing.assert_allclose(kept[..., 1], motion.positions[:, :-1, :, 1], atol=1e-5)


def test_decoding_gives_real_motion_back_to_millimetres():
    positions, sixd = from_interhuman_raw(raw_pair())
    encoded = INTERHUMAN.encode_pair(positions, sixd)
    decoded = INTERHUMAN.decode(encoded, fps=30.0, caption="they meet")
    expected = encoded[..., INTERHUMAN.blocks.positions].reshape(2, -1, 22, 3)
    error = np.linalg.norm(decoded.positions - expected, axis=-1)
    assert error.max() < 5e-3 and error.mean() < 1e-3
    assert decoded.caption == "they meet"
    again = INTERHUMAN.sixd(encode(decoded, floor="keep"))
    turn = np.swapaxes(sixd_interleaved_to_matrix(again), -1, -2) @ (
        sixd_interleaved_to_matrix(INTERHUMAN.sixd(encoded[:, :-1]))
    )
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert np.median(angle) < 3 and np.percentile(angle, 95) < 15


@needs_recordings
@pytest.mark.parametrize("name", ["18_01", "High_five"])
def test_encoding_and_decoding_a_recording(name):
    motion = place(take(name).frames(0, 200))
    decoded = INTERHUMAN.decode(encode(motion, floor="keep"))
    error = np.linalg.norm(decoded.positions - motion.positions[:, :-1], axis=-1)
    assert error.max() < 3e-3


def test_the_published_mean_is_interleaved():
    """Averaged over a data set, joints are hardly turned: only one reading shows that."""
    _, tensors = load(one_of("interhuman_features_*"))
    mean = INTERHUMAN.sixd(np.asarray(tensors["in/global_mean"], np.float64))

    def off(matrices):
        return np.degrees(np.arccos((np.trace(matrices, axis1=1, axis2=2) - 1) / 2))

    assert np.median(off(sixd_interleaved_to_matrix(mean))) < 15
    assert off(sixd_interleaved_to_matrix(mean)).max() < 75
    assert np.median(off(sixd_concatenated_to_matrix(mean))) > 60


def test_mirroring_twice_changes_nothing():
    positions, sixd = from_interhuman_raw(raw_pair())
    once = mirror_pair(positions, sixd)
    twice = mirror_pair(*once)
    assert np.abs(once[0] - positions).max() > 0.1
    assert np.abs(once[1] - sixd).max() > 0.1
    np.testing.assert_array_equal(twice[0], positions)
    np.testing.assert_array_equal(twice[1], sixd)


def test_mirrored_features_are_the_mirrored_interaction():
    motion = waving(2, 12)
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    mirrored = mirror(motion)
    positions, turns = mirror_pair(motion.positions, sixd)
    np.testing.assert_allclose(positions, mirrored.positions, atol=1e-5)
    np.testing.assert_allclose(
        turns, matrix_to_sixd_interleaved(mirrored.rotations[:, :, 1:]), atol=1e-6
    )


def test_raw_arrays_round_trip():
    motion = waving(2, 8)
    raw = to_interhuman_raw(motion)
    assert raw.shape == (2, 8, 492) and raw.dtype == np.float32
    # Z is up on disk: the height of the head is its third number.
    np.testing.assert_allclose(raw[..., 15 * 3 + 2], motion.positions[..., 15, 1], atol=1e-6)
    positions, sixd = from_interhuman_raw(raw)
    np.testing.assert_allclose(positions, motion.positions, atol=1e-5)
    np.testing.assert_array_equal(sixd, matrix_to_sixd_interleaved(motion.rotations[:, :, 1:]))
    hands = sixd_interleaved_to_matrix(raw[..., 312:].reshape(2, 8, 30, 6))
    np.testing.assert_allclose(hands, np.broadcast_to(np.eye(3), hands.shape), atol=1e-6)
    still = raw_pair()
    again, _ = from_interhuman_raw(still)
    np.testing.assert_allclose(again[..., 1], still[..., 2:66:3], atol=1e-6)


def test_joint_maps_hold_position_velocity_and_rotation_of_each_joint():
    encoded = encode(waving(2, 6))
    joints = INTERHUMAN.to_joint_map(encoded)
    assert joints.shape == (2, 5, 22, 12)
    for joint in (0, 1, 21):
        np.testing.assert_array_equal(joints[:, :, joint, :3], encoded[..., 3 * joint :][..., :3])
        speed = encoded[..., INTERHUMAN.blocks.velocities][..., 3 * joint :][..., :3]
        np.testing.assert_array_equal(joints[:, :, joint, 3:6], speed)
    np.testing.assert_array_equal(joints[:, :, 21, 6:], encoded[..., 252:258])
    assert not joints[:, :, 0, 6:].any()
    back = INTERHUMAN.from_joint_map(joints)
    np.testing.assert_array_equal(back[..., :258], encoded[..., :258])
    assert not back[..., INTERHUMAN.blocks.contacts].any()
    tensor = torch.from_numpy(encoded)
    np.testing.assert_array_equal(INTERHUMAN.to_joint_map(tensor).numpy(), joints)
    np.testing.assert_array_equal(
        INTERHUMAN.from_joint_map(INTERHUMAN.to_joint_map(tensor)).numpy(), back
    )


def test_normaliser_is_undone():
    rng = np.random.default_rng(0)
    normaliser = Normaliser(rng.normal(size=262), rng.uniform(0.5, 2, 262))
    values = rng.normal(size=(3, 262))
    normal = normaliser.normalise(values)
    np.testing.assert_allclose(normal * normaliser.std + normaliser.mean, values)
    np.testing.assert_allclose(normaliser.denormalise(normal), values)
