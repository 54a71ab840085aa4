"""HumanML3D's features against the released notebooks' (fixture humanml3d_features)."""

import numpy as np
import pytest
from parity import fixtures, load

from duomotion.motion.humanml3d import HUMANML3D, KIT, SoloLayout
from duomotion.motion.rotations import yaw

NAMES = fixtures("humanml3d_features*")
CLIPS = [(name, clip) for name in NAMES for clip in load(name)[0]["config"]["clips"]]
REFERENCE = "in/reference_"


def layout_of(name: str) -> SoloLayout:
    config = load(name)[0]["config"]
    layout = {layout.num_joints: layout for layout in (HUMANML3D, KIT)}[config["joints_num"]]
    assert layout.contact_speed == config["feet_thre"]
    return layout


def arrays(name: str, clip: str) -> dict[str, np.ndarray]:
    """Inputs and outputs of a clip; its reference bone lengths as "lengths"."""
    _, tensors = load(name)
    found = {
        key.split("/")[-1]: value.numpy() for key, value in tensors.items() if f"/{clip}/" in key
    }
    lengths = np.linalg.norm(tensors["in/tgt_offsets"].numpy(), axis=-1)
    return {**found, "lengths": lengths.astype(np.float64)}


@pytest.mark.parametrize("name", NAMES)
def test_all_clips_of_the_fixture_are_compared(name):
    recorded = {key.split("/")[1] for key in load(name)[1] if key.endswith("/features")}
    assert recorded == {clip for other, clip in CLIPS if other == name}


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_every_step_equals_the_official_code(name, clip):
    layout, found = layout_of(name), arrays(name, clip)
    joints = found["joints"].astype(np.float64)
    uniform = layout.retarget(joints, found["lengths"])
    np.testing.assert_allclose(uniform, found["uniform_skeleton"], atol=1e-5)
    placed = layout.placed(uniform)
    np.testing.assert_allclose(placed, found["global_positions"], atol=1e-5)
    features = layout.encode_joints(placed, published_turns=True)
    assert features.dtype == np.float32 and features.shape == found["features"].shape
    np.testing.assert_array_equal(
        features[:, layout.blocks.contacts], found["features"][:, layout.blocks.contacts]
    )
    np.testing.assert_allclose(features, found["features"], atol=2e-5)


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_features_of_placed_joints_equal_the_official_code(name, clip):
    layout, found = layout_of(name), arrays(name, clip)
    placed = found["global_positions"].astype(np.float64)
    features = layout.encode_joints(placed, published_turns=True)
    np.testing.assert_array_equal(
        features[:, layout.blocks.contacts], found["extract_features"][:, layout.blocks.contacts]
    )
    np.testing.assert_allclose(features, found["extract_features"], atol=2e-5)


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_the_way_back_equals_the_official_code(name, clip):
    layout, found = layout_of(name), arrays(name, clip)
    turns, root = layout.decode_root(found["features"])
    np.testing.assert_allclose(root, found["root_pos"], atol=1e-5)
    w, y = found["root_quat"][:, 0], found["root_quat"][:, 2]
    np.testing.assert_allclose(yaw(turns), yaw(2 * np.arctan2(y, w)), atol=1e-5)
    joints = layout.decode_joints(found["features"])
    np.testing.assert_allclose(joints, found["recovered_joints"], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_published_vectors_give_the_published_joints(name):
    _, tensors = load(name)
    vectors = [key for key in tensors if key.startswith(REFERENCE) and key.endswith("_joint_vecs")]
    if not vectors:
        pytest.skip(f"{name} holds no published clip")
    for key in vectors:
        joints = layout_of(name).decode_joints(tensors[key])
        np.testing.assert_allclose(joints, tensors["out/reference/recovered_joints"], atol=1e-5)
        published = tensors[key.replace("_joint_vecs", "_joints")]
        np.testing.assert_allclose(joints, published, atol=1e-4)
