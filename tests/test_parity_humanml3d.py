"""HumanML3D's features against the released notebooks' (fixture humanml3d_features)."""

import numpy as np
import pytest
from parity import load

from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.rotations import yaw

FIXTURE = "humanml3d_features"
CONTACTS = HUMANML3D.blocks.contacts
CLIPS = ("hml_012314", "cmu_a", "cmu_b")


def arrays(clip: str) -> dict[str, np.ndarray]:
    """Inputs and outputs of a clip; its reference bone lengths as "lengths"."""
    _, tensors = load(FIXTURE)
    found = {
        key.split("/")[-1]: value.numpy() for key, value in tensors.items() if f"/{clip}/" in key
    }
    lengths = np.linalg.norm(tensors["in/tgt_offsets"].numpy(), axis=-1)
    return {**found, "lengths": lengths.astype(np.float64)}


def test_all_clips_of_the_fixture_are_compared():
    description, _ = load(FIXTURE)
    assert set(CLIPS) == set(description["config"]["clips"])


@pytest.mark.parametrize("clip", CLIPS)
def test_every_step_equals_the_released_code(clip):
    found = arrays(clip)
    joints = found["joints"].astype(np.float64)
    uniform = HUMANML3D.retarget(joints, found["lengths"])
    np.testing.assert_allclose(uniform, found["uniform_skeleton"], atol=1e-5)
    placed = HUMANML3D.placed(uniform)
    np.testing.assert_allclose(placed, found["global_positions"], atol=1e-5)
    features = HUMANML3D.encode_joints(placed, published_turns=True)
    assert features.dtype == np.float32 and features.shape == found["features"].shape
    np.testing.assert_array_equal(features[:, CONTACTS], found["features"][:, CONTACTS])
    np.testing.assert_allclose(features, found["features"], atol=2e-5)


@pytest.mark.parametrize("clip", CLIPS)
def test_features_of_placed_joints_equal_the_released_code(clip):
    found = arrays(clip)
    placed = found["global_positions"].astype(np.float64)
    features = HUMANML3D.encode_joints(placed, published_turns=True)
    np.testing.assert_array_equal(features[:, CONTACTS], found["extract_features"][:, CONTACTS])
    np.testing.assert_allclose(features, found["extract_features"], atol=2e-5)


@pytest.mark.parametrize("clip", CLIPS)
def test_the_way_back_equals_the_released_code(clip):
    found = arrays(clip)
    turns, root = HUMANML3D.decode_root(found["features"])
    np.testing.assert_allclose(root, found["root_pos"], atol=1e-5)
    w, y = found["root_quat"][:, 0], found["root_quat"][:, 2]
    np.testing.assert_allclose(yaw(turns), yaw(2 * np.arctan2(y, w)), atol=1e-5)
    joints = HUMANML3D.decode_joints(found["features"])
    np.testing.assert_allclose(joints, found["recovered_joints"], atol=1e-5)


def test_published_vectors_give_the_published_joints():
    _, tensors = load(FIXTURE)
    joints = HUMANML3D.decode_joints(tensors["in/reference_012314_new_joint_vecs"])
    np.testing.assert_allclose(joints, tensors["out/reference/recovered_joints"], atol=1e-5)
    np.testing.assert_allclose(joints, tensors["in/reference_012314_new_joints"], atol=1e-4)
