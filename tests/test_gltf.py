import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from glb import Glb
from motions import CAPTION, TAIL, standing, waving

from duomotion.body.limbs import body_limbs, distance_to_body, hand_points
from duomotion.body.mesh import body_mesh
from duomotion.body.parts import body_parts
from duomotion.formats import gltf
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.skeleton import SMPL22, Skeleton

WEB = Path(__file__).parent.parent / "web"
CLIPS = {
    "two": waving(),
    "one": waving(people=1, frames=7),
    "three": waving(people=3, frames=3),
    "one frame": waving(frames=1),
    "other skeleton": waving(skeleton=TAIL, frames=5),
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request):
    return CLIPS[request.param]


@pytest.fixture(scope="module")
def glb(clip):
    return Glb(gltf.encode(clip))


def test_skin_at_a_frame_gives_forward_kinematics(clip, glb):
    for frame in {0, clip.num_frames // 2, clip.num_frames - 1}:
        np.testing.assert_allclose(glb.joints(frame), clip.positions[:, frame], atol=1e-4)


def test_skinned_vertices_are_those_of_the_body_mesh(clip, glb):
    frame = clip.num_frames - 1
    for person, matrices in enumerate(glb.joint_matrices(frame)):
        attributes = glb.gltf.meshes[person].primitives[0].attributes
        vertices = np.c_[glb.array(attributes.POSITION), np.ones(len(glb.array(attributes.NORMAL)))]
        weights = glb.array(attributes.WEIGHTS_0) / 255
        joints = glb.array(attributes.JOINTS_0)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        posed = np.einsum("vk,vkab,vb->va", weights, matrices[joints], vertices)[:, :3]
        skeleton = clip.skeletons[person]
        world = global_rotations(clip.rotations[person, frame], skeleton)
        ours = body_mesh(skeleton).posed(clip.positions[person, frame], world)
        np.testing.assert_allclose(posed, ours, atol=6e-3)


def test_rotations_are_unit_and_never_flip(clip, glb):
    tracks = np.stack(list(glb.tracks("rotation").values()))
    assert len(tracks) == clip.num_people * clip.skeletons[0].num_joints
    np.testing.assert_allclose(np.linalg.norm(tracks, axis=-1), 1, atol=1e-4)
    assert ((tracks[:, 1:] * tracks[:, :-1]).sum(-1) > 0).all()


def test_keys_are_at_the_clips_frame_rate(clip, glb):
    np.testing.assert_allclose(glb.times, np.arange(clip.num_frames) / 30, atol=1e-6)
    assert all(s.interpolation == "LINEAR" for s in glb.gltf.animations[0].samplers)


def test_names_colours_and_caption(clip, glb):
    names = [node.name for node in glb.gltf.nodes]
    for person, letter in zip(range(clip.num_people), "ABC", strict=False):
        assert f"Person {letter}" in names and f"Body {letter}" in names
        joints = glb.gltf.skins[person].joints
        assert [names[joint] for joint in joints] == list(clip.skeletons[0].names)
    colours = {tuple(m.pbrMetallicRoughness.baseColorFactor) for m in glb.gltf.materials}
    assert len(colours) == clip.num_people
    assert glb.gltf.asset.extras == {"caption": CAPTION, "fps": 30.0}


def test_equal_surfaces_are_stored_once():
    meshes = Glb(gltf.encode(standing())).gltf.meshes
    attributes = [mesh.primitives[0].attributes for mesh in meshes]
    assert len({(each.NORMAL, each.JOINTS_0, each.WEIGHTS_0) for each in attributes}) == 1
    assert len({each.POSITION for each in attributes}) == 2  # they rest side by side


@pytest.mark.skipif(
    not (shutil.which("node") and (WEB / "node_modules/gltf-validator").is_dir()),
    reason="the Khronos validator needs node and `npm install` in web/",
)
@pytest.mark.parametrize("name", CLIPS)
def test_khronos_validator_finds_nothing(name, tmp_path):
    path = tmp_path / "clip.glb"
    gltf.write(CLIPS[name], path)
    command = ["node", "validate.mjs", str(path)]
    run = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    issues = json.loads(run.stdout)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


PAIR = Skeleton(("hips", "neck"), (-1, 0), np.array([[0, 0, 0], [0, 0.3, 0]]))
RAY = Skeleton(
    tuple(f"joint{j}" for j in range(200)),
    tuple(range(-1, 199)),
    np.random.default_rng(1).normal(0, 0.1, (200, 3)),
)


@pytest.mark.parametrize(
    "skeleton", [SMPL22, TAIL, PAIR, RAY], ids=["SMPL22", "other", "two joints", "200 joints"]
)
@pytest.mark.parametrize("size", [1.0, 100.0], ids=["metres", "large"])
def test_mesh_is_closed_and_faces_outward(skeleton, size):
    mesh = body_mesh(skeleton.with_offsets(skeleton.offsets * size))
    triangles = mesh.triangles
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    forward, counts = np.unique(sides, axis=0, return_counts=True)
    backward, other = np.unique(sides[:, ::-1], axis=0, return_counts=True)
    np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(counts, other)
    a, b, c = mesh.vertices[triangles].transpose(1, 0, 2)
    assert (a * np.cross(b, c)).sum() / 6 > 1e-4 * size**3
    assert (np.cross(b - a, c - a) * mesh.normals[triangles[:, 0]]).sum(-1).mean() > 0
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=-1), 1, atol=1e-3)
    assert 100 < len(mesh.vertices) < 8000


def test_body_has_the_volume_of_a_person():
    mesh = body_mesh(SMPL22)
    a, b, c = mesh.vertices[mesh.triangles].astype(float).transpose(1, 0, 2)
    assert 0.05 < (a * np.cross(b, c)).sum() / 6 < 0.09
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert 1.70 < high[1] - low[1] < 1.85
    # Left is +x, and the body is as symmetric as its skeleton.
    assert abs(low[0] + high[0]) < 0.005


def test_rest_pose_leaves_the_mesh_alone_and_weights_stay_on_their_side():
    mesh = body_mesh(SMPL22)
    rotations = np.tile(np.eye(3), (22, 1, 1))
    np.testing.assert_allclose(mesh.posed(mesh.rest, rotations), mesh.vertices, atol=1e-6)
    np.testing.assert_allclose(mesh.weights.sum(-1), 1, atol=1e-6)
    side = np.array([name.split("_")[0] for name in SMPL22.names])
    lower = np.isin(SMPL22.names, ["left_knee", "right_knee", "left_ankle", "right_ankle"])
    for this, x in (("left", mesh.vertices[:, 0]), ("right", -mesh.vertices[:, 0])):
        moved_by = (mesh.weights * (lower & (side == this))[mesh.joints]).sum(-1)
        assert moved_by[x < -0.01].max() == 0
        assert moved_by[x > 0.03].max() == pytest.approx(1)


def test_parts_in_other_conventions():
    def parts(names: str) -> dict[str, str]:
        joints = names.split()
        chain = tuple(range(-1, len(joints) - 1))
        skeleton = Skeleton(tuple(joints), chain, np.zeros((len(joints), 3)))
        return dict(zip(joints, body_parts(skeleton), strict=True))

    assert parts("LeftShoulder LeftArm LeftForeArm LeftHand LeftHandThumb1") == {
        "LeftShoulder": "collar", "LeftArm": "shoulder", "LeftForeArm": "elbow",
        "LeftHand": "wrist", "LeftHandThumb1": "finger",
    }  # fmt: skip
    assert list(parts("Hips RightUpLeg RightLeg RightFoot RightToeBase").values()) == [
        "pelvis", "hip", "knee", "ankle", "toe",
    ]  # fmt: skip
    assert list(parts("left_hip left_knee left_ankle left_foot").values()) == [
        "hip", "knee", "ankle", "toe",
    ]  # fmt: skip
    assert list(parts("root lowerback thorax lowerneck upperneck").values()) == [
        "pelvis", "spine", "spine", "neck", "head",
    ]  # fmt: skip
    assert set(parts("a1 b2").values()) == {"other"}


def test_any_tree_has_a_mesh_soon_and_small():
    rng = np.random.default_rng(0)
    for joints, parents in ((1, [-1]), (500, range(-1, 499)), (500, [-1, *[0] * 499])):
        for size in (0, 1e-9, 1.0, 1e6):
            offsets = rng.normal(0, 0.2, (joints, 3)) * size
            skeleton = Skeleton(tuple(map(str, range(joints))), tuple(parents), offsets)
            started = time.monotonic()
            mesh = body_mesh(skeleton)
            assert time.monotonic() - started < 5
            assert 8 <= len(mesh.vertices) <= 65536 and np.isfinite(mesh.vertices).all()
    far = SMPL22.offsets.copy()
    far[SMPL22.index("left_wrist")] = 1e6
    assert len(body_mesh(SMPL22.with_offsets(far)).vertices) == 8 * 21


def test_a_spine_below_the_pelvis_stays_where_it_is():
    names = ("pelvis", "spine", "chest", "neck")
    offsets = np.array([[0, 0, 0], [0, -0.2, 0.1], [0, -0.2, 0.1], [0, -0.2, 0.1]])
    mesh = body_mesh(Skeleton(names, (-1, 0, 1, 2), offsets))
    assert np.abs(mesh.vertices).max() < 1


def test_distance_to_a_body():
    pair = standing(gap=3.0)
    (hand, _) = hand_points(pair, 0)
    assert hand.shape == (4, 3)
    # 3 m less one arm to the middle of the hand (0.815 m) and one to the fingertips (0.895 m).
    away = distance_to_body(hand, pair, 1)
    np.testing.assert_allclose(away, 1.29, atol=0.01)
    chest = pair.positions[1, :, SMPL22.index("spine2")]
    assert (distance_to_body(chest, pair, 1) < -0.05).all()
    assert {limb.joint for limb in body_limbs(SMPL22)} <= set(range(22))
