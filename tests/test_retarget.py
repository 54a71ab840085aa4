from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from motions import waving
from recordings import files, needs_recordings
from scipy.spatial.transform import Rotation

from duomotion.formats import bvh
from duomotion.motion.contacts import FOOT_JOINTS, foot_contacts
from duomotion.motion.interaction import Interaction, Reading
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.retarget import match_joints, to_smpl22
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22, Skeleton

# Joint, its parent, and the SMPL-22 joint in whose place it is; < and ^ stand for left and right
# in lower case and Capitals, ? and ! for their first letters in lower case and Capitals.
MIXAMO = """
    Hips - pelvis            Spine Hips spine1          Spine1 Spine spine2
    Spine2 Spine1 spine3     Neck Spine2 neck           Head Neck head
    HeadTop_End Head head    ^Shoulder Spine2 <_collar  ^Arm ^Shoulder <_shoulder
    ^ForeArm ^Arm <_elbow    ^Hand ^ForeArm <_wrist     ^HandThumb1 ^Hand <_wrist
    ^HandIndex1 ^Hand <_wrist  ^UpLeg Hips <_hip        ^Leg ^UpLeg <_knee
    ^Foot ^Leg <_ankle       ^ToeBase ^Foot <_foot      ^Toe_End ^ToeBase <_foot
"""
# The CMU database as most people have it: the bones that leave the chest have no length.
CMU = """
    Hips - pelvis            ^HipJoint Hips pelvis      ^UpLeg ^HipJoint <_hip
    ^Leg ^UpLeg <_knee       ^Foot ^Leg <_ankle         ^ToeBase ^Foot <_foot
    LowerBack Hips pelvis    Spine LowerBack spine2     Spine1 Spine spine3
    Neck Spine1 spine3       Neck1 Neck neck            Head Neck1 head
    ^Shoulder Spine1 spine3  ^Arm ^Shoulder <_shoulder  ^ForeArm ^Arm <_elbow
    ^Hand ^ForeArm <_wrist   ^FingerBase ^Hand <_wrist  ^Thumb ^Hand <_wrist
"""
CMU_ASF = """
    root - pelvis            ?hipjoint root pelvis      ?femur ?hipjoint <_hip
    ?tibia ?femur <_knee     ?foot ?tibia <_ankle       ?toes ?foot <_foot
    lowerback root spine1    upperback lowerback spine2 thorax upperback spine3
    lowerneck thorax neck    upperneck lowerneck head   head upperneck head
    ?clavicle thorax <_collar  ?humerus ?clavicle <_shoulder  ?radius ?humerus <_elbow
    ?wrist ?radius <_wrist   ?hand ?wrist <_wrist       ?thumb ?wrist <_wrist
    ?fingers ?hand <_wrist
"""
UNREAL = """
    pelvis - pelvis          spine_01 pelvis spine1     spine_02 spine_01 spine2
    spine_03 spine_02 spine3 neck_01 spine_03 neck      head neck_01 head
    clavicle_? spine_03 <_collar     upperarm_? clavicle_? <_shoulder
    lowerarm_? upperarm_? <_elbow    lowerarm_twist_01_? lowerarm_? <_elbow
    hand_? lowerarm_? <_wrist        index_01_? hand_? <_wrist
    thigh_? pelvis <_hip             calf_? thigh_? <_knee
    calf_twist_01_? calf_? <_knee    foot_? calf_? <_ankle      ball_? foot_? <_foot
"""


def is_sided(row):
    return any(sign in word for sign in "<^?!" for word in row)


def built(description, prefix=""):
    """The skeleton of a description in T-pose, on the average body."""
    words = description.split()
    rows = []
    for row in zip(words[::3], words[1::3], words[2::3], strict=True):
        sides = ("left", "right") if is_sided(row) else ("",)
        for side in sides:
            signs = {"<": side, "^": side.title(), "?": side[:1], "!": side[:1].upper()}
            rows.append([word.translate(str.maketrans(signs)) for word in row])
    table = {name: (parent, place) for name, parent, place in rows}
    order = []

    def visit(name):
        order.append(name)
        for child, (parent, _) in table.items():
            if parent == name:
                visit(child)

    visit(rows[0][0])
    rest = dict(zip(SMPL22.names, SMPL22.rest_positions, strict=True))
    offsets = [rest[table[n][1]] - rest[table[table[n][0]][1]] for n in order[1:]]
    parents = (-1, *(order.index(table[name][0]) for name in order[1:]))
    return Skeleton(tuple(prefix + n for n in order), parents, np.array([[0, 0, 0], *offsets]))


def dancing(skeleton, people=2, frames=8):
    """All joints turn but the ones that no skeleton moves: between pelvis and hip."""
    motion = waving(people, frames, skeleton)
    rotations = motion.rotations.copy()
    stiff = [joint for joint, name in enumerate(skeleton.names) if "hipjoint" in name.lower()]
    rotations[:, :, stiff] = np.eye(3)
    return replace(motion, rotations=rotations)


ENDS = ("ankle", "foot", "shoulder", "elbow", "wrist", "hip", "knee")
STYLES = {
    "mixamo": built(MIXAMO, "mixamorig:"),
    "mixamo without a prefix": built(MIXAMO),
    "cmu": built(CMU),
    "cmu asf": built(CMU_ASF),
    "unreal": built(UNREAL),
}


@pytest.mark.parametrize("style", STYLES)
def test_common_skeletons_are_matched_by_name_and_place(style):
    skeleton = STYLES[style]
    match = match_joints(skeleton)
    rest = skeleton.rest_positions
    for name, expected in zip(SMPL22.names, SMPL22.rest_positions, strict=True):
        if name.split("_")[-1] in ENDS or name in ("pelvis", "spine3"):
            np.testing.assert_allclose(rest[match[name]], expected, atol=1e-9, err_msg=name)
    motion = replace(dancing(skeleton), reading=Reading("dance", 0.8, True))
    smpl = to_smpl22(motion)
    assert smpl.skeletons[0].same_tree(SMPL22)
    assert (smpl.fps, smpl.caption) == (motion.fps, motion.caption)
    assert smpl.reading == motion.reading
    for name in SMPL22.names:
        if match[name] is not None:
            found = smpl.positions[:, :, SMPL22.index(name)]
            np.testing.assert_allclose(
                found, motion.positions[:, :, match[name]], atol=0.01, err_msg=name
            )


def test_names_that_are_expected():
    names = built(MIXAMO).names
    match = {name: names[joint] for name, joint in match_joints(built(MIXAMO)).items()}
    assert match["left_collar"] == "LeftShoulder" and match["left_shoulder"] == "LeftArm"
    assert match["right_wrist"] == "RightHand" and match["right_foot"] == "RightToeBase"
    assert [match[f"spine{n}"] for n in (1, 2, 3)] == ["Spine", "Spine1", "Spine2"]
    assert (match["neck"], match["head"], match["pelvis"]) == ("Neck", "Head", "Hips")
    asf = built(CMU_ASF)
    match = {name: asf.names[joint] for name, joint in match_joints(asf).items()}
    assert match["left_hip"] == "lfemur" and match["left_knee"] == "ltibia"
    assert match["right_elbow"] == "rradius" and match["right_wrist"] == "rwrist"
    assert match["spine3"] == "thorax" and match["neck"] == "lowerneck"


def test_a_chest_whose_bones_have_no_length_still_turns():
    skeleton = STYLES["cmu"]
    motion = dancing(skeleton, people=1)
    smpl = to_smpl22(motion)
    assert np.isfinite(smpl.rotations).all()
    source = global_rotations(motion.rotations[0], skeleton)[:, skeleton.index("Spine1")]
    found = global_rotations(smpl.rotations[0], SMPL22)[:, SMPL22.index("spine3")]
    apart = Rotation.from_matrix(np.swapaxes(source, -1, -2) @ found).magnitude()
    assert np.degrees(Rotation.from_matrix(source).magnitude()).max() > 60
    assert np.degrees(apart).max() < 15  # the two rest poses bend the back differently


@pytest.mark.parametrize("angle", [0, 1.2, np.pi])
def test_turns_about_a_bone_are_taken_over(angle):
    """A rolled forearm moves no joint of SMPL-22, yet the hand has to turn."""
    skeleton = STYLES["mixamo"]
    skeleton = skeleton.with_offsets(skeleton.offsets @ yaw(angle).T)
    roll = Rotation.from_rotvec(np.radians(70) * yaw(angle)[:, 0]).as_matrix()
    rotations = np.tile(np.eye(3), (1, 3, skeleton.num_joints, 1, 1))
    rotations[:, 1:, skeleton.index("mixamorig:LeftForeArm")] = roll
    motion = Interaction(np.zeros((1, 3, 3)), rotations, (skeleton,))
    smpl = to_smpl22(motion)
    world = global_rotations(smpl.rotations[0], SMPL22)[:, SMPL22.index("left_wrist")]
    turn = np.degrees(Rotation.from_matrix(world[1] @ world[0].T).as_rotvec())
    np.testing.assert_allclose(turn, 70 * yaw(angle)[:, 0], atol=5)
    np.testing.assert_allclose(smpl.positions[0, 1], smpl.positions[0, 0], atol=0.02)


@pytest.mark.parametrize("angle", [0, 1.2, np.pi, -np.pi / 2])
def test_a_rest_pose_may_face_anywhere(angle):
    """In T-pose, whichever way it faces, SMPL-22's rotations are those of a T-pose."""
    skeleton = STYLES["mixamo"]
    skeleton = skeleton.with_offsets(skeleton.offsets @ yaw(angle).T)
    rotations = np.tile(np.eye(3), (1, 2, skeleton.num_joints, 1, 1))
    smpl = to_smpl22(Interaction(np.zeros((1, 2, 3)), rotations, (skeleton,)))
    np.testing.assert_allclose(smpl.rotations[0, 0, 0], yaw(angle), atol=1e-3)
    np.testing.assert_allclose(
        smpl.rotations[0, :, 1:], np.broadcast_to(np.eye(3), (2, 21, 3, 3)), atol=1e-2
    )


def without(skeleton, *names):
    """Joints taken out; their children hang on their parents."""
    gone = {skeleton.index(name) for name in names}
    kept = [joint for joint in range(skeleton.num_joints) if joint not in gone]
    parents, rest = [], skeleton.rest_positions
    for joint in kept:
        parent = skeleton.parents[joint]
        while parent in gone:
            parent = skeleton.parents[parent]
        parents.append(-1 if parent < 0 else kept.index(parent))
    offsets = np.array(
        [
            rest[joint] - (rest[kept[p]] if p >= 0 else 0)
            for joint, p in zip(kept, parents, strict=True)
        ]
    )
    return Skeleton(tuple(skeleton.names[joint] for joint in kept), tuple(parents), offsets)


def test_missing_spine_joints_divide_the_way():
    skeleton = without(STYLES["mixamo without a prefix"], "Spine", "Spine1")
    match = match_joints(skeleton)
    assert match["spine1"] is None and match["spine2"] is None
    motion = waving(1, 5, skeleton)
    smpl = to_smpl22(motion)
    joints = [SMPL22.index(name) for name in ("pelvis", "spine1", "spine2", "spine3")]
    low, one, two, high = smpl.positions[0, :, joints]
    np.testing.assert_allclose(one, low + (high - low) / 3, atol=1e-3)
    np.testing.assert_allclose(two, low + (high - low) * 2 / 3, atol=1e-3)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["LeftForeArm"], "no left elbow that can be told by its name; its joints are Hips, "),
        (["RightLeg"], "no right knee"),
        (["LeftHand", "LeftHandThumb1", "LeftHandIndex1"], "ends at joint 'LeftForeArm'"),
        (["RightToeBase", "RightToe_End"], "ends at joint 'RightFoot'"),
        (["Neck", "Head", "HeadTop_End"], "no neck above"),
    ],
)
def test_a_skeleton_that_lacks_something_is_refused(names, sentence):
    skeleton = without(STYLES["mixamo without a prefix"], *names)
    with pytest.raises(ValueError, match=sentence) as raised:
        to_smpl22(waving(1, 3, skeleton))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("names", "parents", "sentence"),
    [
        (("LeftKnee", "RightKnee", "LeftElbow", "RightElbow"), (-1, 0, 0, 0), "at the root"),
        (
            ("hips", "legs", "chest")
            + ("LeftLeg", "LeftFoot", "LeftToe", "RightLeg", "RightFoot", "RightToe")
            + ("LeftArm", "LeftElbow", "LeftHand", "RightArm", "RightElbow", "RightHand")
            + ("Neck", "Head"),
            (-1, 0, 0, 1, 3, 4, 1, 6, 7, 2, 9, 10, 2, 12, 13, 2, 15),
            "arms do not meet above its pelvis",
        ),
    ],
)
def test_a_skeleton_that_is_joined_otherwise_is_refused(names, parents, sentence):
    skeleton = Skeleton(names, parents, np.full((len(names), 3), 0.1))
    with pytest.raises(ValueError, match=sentence) as raised:
        to_smpl22(waving(1, 3, skeleton))
    assert "\n" not in str(raised.value)


def test_smpl22_comes_back_as_it_is():
    motion = waving()
    assert to_smpl22(motion) is motion


def test_bone_lengths_are_each_persons_own():
    motion = waving(2, 5, STYLES["unreal"])
    smpl = to_smpl22(motion)
    one, other = (np.linalg.norm(s.offsets, axis=-1)[1:] for s in smpl.skeletons)
    np.testing.assert_allclose(other, 0.9 * one, atol=1e-5)


# Recordings

CONTACT = ("High_five", "salsa_Easy_02", "push_up001")


@cache
def recorded(name):
    source = bvh.read(files(name), up="z")
    source = source.frames(0, 1000)
    match = match_joints(source.skeletons[0])
    joints = [match[joint] for joint in SMPL22.names]
    return source.positions[:, :, joints], to_smpl22(source).positions


@needs_recordings
@pytest.mark.parametrize("name", CONTACT)
def test_joints_of_a_recording_stay_in_their_places(name):
    source, smpl = recorded(name)
    assert np.linalg.norm(smpl - source, axis=-1).max() < 0.01


@needs_recordings
@pytest.mark.parametrize("name", CONTACT)
def test_bones_of_a_recording_keep_their_directions(name):
    source, smpl = recorded(name)
    for child, parent in SMPL22.bones:
        one, other = (x[:, :, child] - x[:, :, parent] for x in (source, smpl))
        cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1)
        cosine /= np.linalg.norm(other, axis=-1)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        assert angle.max() < 1, SMPL22.names[child]


@needs_recordings
@pytest.mark.parametrize("name", CONTACT)
def test_feet_of_a_recording_keep_their_contacts(name):
    feet = [SMPL22.index(joint) for joint in FOOT_JOINTS]
    source, smpl = (foot_contacts(x[:, :, feet]) for x in recorded(name))
    assert source.any() and not source.all()
    assert (source == smpl).mean() > 0.99


@needs_recordings
def test_hands_that_meet_still_meet():
    hands = [SMPL22.index(f"{side}_wrist") for side in ("left", "right")]
    gaps = []
    for positions in recorded("High_five"):
        one, other = positions[:, :, hands]
        gaps.append(np.linalg.norm(one[:, :, None] - other[:, None], axis=-1))
    assert gaps[0].min() < 0.2
    assert np.abs(gaps[1] - gaps[0]).max() < 0.02
