"""Motion on users' rigs: their bones, feet on the floor, hands that still touch."""

import numpy as np
import pytest
from glb import Glb
from motions import TAIL, point, standing, waving
from recordings import needs_recordings, take
from scipy.spatial.transform import Rotation
from test_gltf_reading import glb, parts, placed
from test_retarget import STYLES, built

from duomotion.formats import bvh, gltf_rig, load
from duomotion.motion.canonical import Z_UP_TO_Y_UP
from duomotion.motion.contacts import FOOT_JOINTS, foot_contacts
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import match_joints
from duomotion.motion.rig import to_rig
from duomotion.motion.rotations import normalise, yaw

# Bones that bend the mesh in Blender's Rigify: limbs are in two pieces.
RIGIFY = """
    DEF-spine - pelvis               DEF-spine.001 DEF-spine spine1
    DEF-spine.002 DEF-spine.001 spine2  DEF-spine.003 DEF-spine.002 spine3
    DEF-spine.004 DEF-spine.003 neck    DEF-spine.005 DEF-spine.004 head
    DEF-shoulder.! DEF-spine.003 <_collar        DEF-upper_arm.! DEF-shoulder.! <_shoulder
    DEF-upper_arm.!.001 DEF-upper_arm.! <_shoulder  DEF-forearm.! DEF-upper_arm.!.001 <_elbow
    DEF-forearm.!.001 DEF-forearm.! <_elbow      DEF-hand.! DEF-forearm.!.001 <_wrist
    DEF-thigh.! DEF-spine <_hip                  DEF-thigh.!.001 DEF-thigh.! <_hip
    DEF-shin.! DEF-thigh.!.001 <_knee            DEF-shin.!.001 DEF-shin.! <_knee
    DEF-foot.! DEF-shin.!.001 <_ankle            DEF-toe.! DEF-foot.! <_foot
"""
RIGS = {**STYLES, "rigify": built(RIGIFY)}


def posed(rig, size, droop, turn):
    """A rig of another size, whose arms hang by an angle in its rest pose, that faces elsewhere."""
    offsets, joints = rig.offsets * size, match_joints(rig)
    for side, sign in (("left", -1), ("right", 1)):
        c, s = np.cos(sign * droop), np.sin(sign * droop)
        shoulder = joints[f"{side}_shoulder"]
        for joint in range(rig.num_joints):
            if joint != shoulder and shoulder in rig.path_to_root(joint):
                offsets[joint] = [[c, -s, 0], [s, c, 0], [0, 0, 1]] @ offsets[joint]
    return rig.with_offsets(offsets @ yaw(turn).T)


def joints_of(motion, *names):
    match = match_joints(motion.skeletons[0])
    return motion.positions[:, :, [match[name] for name in names]].astype(float)


def bones(motion, ends):
    starts, stops = (joints_of(motion, *names) for names in zip(*ends, strict=True))
    return normalise(stops - starts)


LIMBS = [
    (f"{side}_{start}", f"{side}_{stop}")
    for side in ("left", "right")
    for start, stop in (
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("hip", "knee"),
        ("knee", "ankle"),
    )
]


@pytest.mark.parametrize("style", RIGS)
@pytest.mark.parametrize(("size", "droop", "turn"), [(1, 0, 0), (1.2, 0.8, 0), (0.7, 0.4, 2)])
def test_limbs_point_where_they_pointed(style, size, droop, turn):
    motion = standing(2, 6, gap=2.0)
    for side, sign in (("left", 1), ("right", -1)):
        motion = point(motion, 0, f"{side}_shoulder", [0.3 * sign, -1, 0.4])
        motion = point(motion, 1, f"{side}_elbow", [0, 1, 0])
    rig = posed(RIGS[style], size, droop, turn)
    found = to_rig(motion, rig)
    assert found.skeletons == (rig, rig) and found.num_frames == 6
    np.testing.assert_allclose(bones(found, LIMBS), bones(motion, LIMBS), atol=0.02)
    np.testing.assert_allclose(found.positions[..., 1].min((1, 2)), 0, atol=0.01)
    distance = joints_of(found, "pelvis")[1, 0, 0] - joints_of(found, "pelvis")[0, 0, 0]
    np.testing.assert_allclose(distance, [2 * size, 0, 0], atol=0.02)


@needs_recordings
@pytest.mark.parametrize("style", ["mixamo", "unreal", "rigify"])
def test_hands_that_shake_meet_and_feet_stay_on_the_floor(style):
    motion = take("18_01")
    rig = posed(RIGS[style], 1.15, 0.7, 0)
    # Arms of other proportions, by a tenth longer.
    elbow = match_joints(rig)["left_elbow"]
    rig.offsets[elbow] *= 1.1
    found = to_rig(motion, rig)

    def gaps(clip):
        ends = joints_of(clip, "left_wrist", "right_wrist")
        return np.linalg.norm(ends[0][:, :, None] - ends[1][:, None], axis=-1).min((1, 2))

    before, after = gaps(motion), gaps(found)
    touching = before < 0.25
    assert touching.sum() > 10
    scale = np.median(after[touching] / before[touching])
    assert 1.0 < scale < 1.3
    np.testing.assert_allclose(after[touching], scale * before[touching], atol=0.02)
    feet = joints_of(found, *FOOT_JOINTS)
    contact = foot_contacts(joints_of(motion, *FOOT_JOINTS))
    assert abs(np.median(feet[..., 1][contact]) / 1.15 - 0.04) < 0.04
    step = np.linalg.norm(np.diff(feet, axis=1), axis=-1)[contact[:, 1:] & contact[:, :-1]]
    original = np.linalg.norm(np.diff(joints_of(motion, *FOOT_JOINTS), axis=1), axis=-1)
    original = original[contact[:, 1:] & contact[:, :-1]]
    assert step.mean() < 1.3 * original.mean()
    assert np.abs(np.diff(found.rotations, axis=1)).max() < 0.6


def test_a_rig_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no left knee that can be told by its name"):
        to_rig(standing(), TAIL)


def test_the_command_line_takes_a_rig(run, tmp_path):
    rig, source, target = (tmp_path / name for name in ("rig.bvh", "clip.npz", "out.bvh"))
    skeleton = posed(RIGS["mixamo"], 1.1, 0.5, 0)
    still = np.tile(np.eye(3), (1, 1, skeleton.num_joints, 1, 1))
    bvh.write(Interaction(np.zeros((1, 1, 3)), still, (skeleton,)), rig, scale=0.01)
    standing().save(source)
    status, _, said = run("convert", source, target, "--retarget", rig, "--unit", "cm", "--split")
    assert status == 0 and "rig.bvh: read in cm" in said
    written = bvh.read([tmp_path / "out_A.bvh", tmp_path / "out_B.bvh"])
    assert set(written.skeletons[0].names) == set(skeleton.names)
    order = [written.skeletons[0].index(name) for name in skeleton.names]
    np.testing.assert_allclose(written.skeletons[0].offsets[order], skeleton.offsets, atol=1e-4)
    bvh.write(
        Interaction(np.zeros((1, 1, 3)), np.eye(3)[None, None, None].repeat(5, 2), (TAIL,)), rig
    )
    status, _, error = run("convert", source, target, "--retarget", rig)
    assert status == 2 and "--retarget" in error and "no left knee" in error
    assert run("convert", source, target, "--retarget", tmp_path / "gone.glb")[0] == 2


@pytest.mark.parametrize("size", [0.01, 1.0])
@pytest.mark.parametrize("turn", [np.eye(3), Z_UP_TO_Y_UP], ids=["y", "z"])
def test_a_glb_rig_moves_with_its_own_mesh(tmp_path, size, turn):
    """As Blender exports Mixamo's: an armature that scales and turns what is below it."""
    skeleton = posed(RIGS["mixamo"], 1.1 / size, 0.6, 0.0)
    skeleton = skeleton.with_offsets(skeleton.offsets @ turn)
    still = np.tile(np.eye(3), (1, 1, skeleton.num_joints, 1, 1))
    document, binary = parts(Interaction(np.zeros((1, 1, 3)), still, (skeleton,)))
    document = placed(
        document,
        rotation=Rotation.from_matrix(turn).as_quat().tolist(),
        scale=[size] * 3,
        translation=[0, 1, 0],
    )
    hips = document["nodes"][document["skins"][0]["joints"][0]]
    matrix = np.eye(4)
    matrix[3, :3] = hips.pop("translation")
    hips.pop("rotation")
    hips["matrix"] = matrix.ravel().tolist()
    rig = tmp_path / "rig.glb"
    rig.write_bytes(glb(document, binary))
    motion = waving(2, 8)
    clip = to_rig(motion, load(rig).skeletons[0])
    paths = gltf_rig.write(clip, rig, tmp_path / "out.glb")
    assert [path.name for path in paths] == ["out_A.glb", "out_B.glb"]
    for person, path in enumerate(paths):
        again = load(path)
        assert (again.num_people, again.num_frames, again.fps) == (1, 8, 30)
        np.testing.assert_allclose(again.positions[0], clip.positions[person], atol=2e-3)
        np.testing.assert_allclose(again.rotations[0], clip.rotations[person], atol=1e-3)
        found = Glb(path.read_bytes())
        before = Glb(rig.read_bytes())
        vertices = [
            each.array(each.gltf.meshes[0].primitives[0].attributes.POSITION)
            for each in (found, before)
        ]
        np.testing.assert_array_equal(*vertices)
