import re
import time
from dataclasses import replace

import bvhio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import memory_left
from motions import TAIL, standing, waving
from properties import examples, matrices, skeletons, vectors
from recordings import FOLDER, files, needs_recordings
from scipy.spatial.transform import Rotation

from duomotion.formats import bvh, limits
from duomotion.motion.canonical import Z_UP_TO_Y_UP
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.skeleton import SMPL22, Skeleton

pytestmark = pytest.mark.filterwarnings("error:Gimbal lock")

ARM = """HIERARCHY
ROOT Hips
{
\tOFFSET 1 2 3
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT Arm
\t{
\t\tOFFSET 0 0.5 0
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tJOINT Hand
\t\t{
\t\t\tOFFSET 0.25 0 0
\t\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\t\tEnd Site
\t\t\t{
\t\t\t\tOFFSET 0.1 0 0
\t\t\t}
\t\t}
\t}
}
MOTION
Frames: 3
Frame Time: 0.05
0 0 0 0 0 0 0 0 0 0 0 0
4 5 6 90 0 0 0 0 0 0 0 0
4 5 6 90 0 0 0 0 90 0 0 0
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clip.bvh"


def read_text(path, text, **options):
    path.write_text(text)
    return bvh.read(path, **options)


def by_name(motion, names):
    return motion.positions[:, :, [motion.skeletons[0].index(name) for name in names]]


def same_motion(read, written, atol=1e-4):
    """Joints of the same name are in the same place; files order joints depth first."""
    names = written.skeletons[0].names
    assert sorted(read.skeletons[0].names) == sorted(names)
    np.testing.assert_allclose(by_name(read, names), written.positions, atol=atol)


# What a file means


def test_a_file_that_can_be_checked_by_hand(path):
    motion = read_text(path, ARM)
    assert motion.fps == 20
    assert motion.skeletons[0].names == ("Hips", "Arm", "Hand")
    expected = [
        [[0, 0, 0], [0, 0.5, 0], [0.25, 0.5, 0]],
        [[4, 5, 6], [3.5, 5, 6], [3.5, 5.25, 6]],
        [[4, 5, 6], [3.5, 5, 6], [3.5, 5, 5.75]],
    ]
    np.testing.assert_allclose(motion.positions[0], expected, atol=1e-6)


def test_a_root_without_position_channels_stands_at_its_offset(path):
    text = ARM.replace("6 Xposition Yposition Zposition", "3")
    text = re.sub(r"(?m)^(\d) (\d) (\d) (?=\d.*\d 0 0 0$)", "", text)
    np.testing.assert_allclose(read_text(path, text).root_positions[0], [[1, 2, 3]] * 3)


def test_units_scale_lengths_only(path):
    metres, centimetres = read_text(path, ARM), read_text(path, ARM, scale=0.01)
    np.testing.assert_allclose(centimetres.positions, metres.positions * 0.01, atol=1e-7)
    np.testing.assert_array_equal(centimetres.rotations, metres.rotations)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\t", "    "),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("MOTION", "MOTION "),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("0 0 0 0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0\n0 0 0 0 0 0"),
        lambda text: text.replace("0.5", "5e-1"),
        lambda text: text.replace("Frame Time: 0.05", "Frame Time:\t.05"),
        lambda text: "\n" + text,
    ],
)
def test_spelling_does_not_matter(path, change):
    expected = read_text(path, ARM)
    path.write_bytes(change(ARM).encode())
    np.testing.assert_array_equal(bvh.read(path).positions, expected.positions)


def test_names_with_spaces_and_none_at_all(path):
    text = ARM.replace("JOINT Arm", "JOINT Left arm (upper)").replace("JOINT Hand", "JOINT")
    assert read_text(path, text).skeletons[0].names == ("Hips", "Left arm (upper)", "joint2")


def oracle(path, frames):
    """World positions by joint name as bvhio, another reader, finds them."""
    root = bvhio.readAsHierarchy(str(path))
    found = []
    for frame in range(frames):
        root.loadPose(frame)
        found.append({joint.Name: np.array(joint.PositionWorld) for joint, *_ in root.layout()})
    return found


def agrees_with_oracle(path, frames, atol):
    motion = bvh.read(path, up="y")
    names = motion.skeletons[0].names
    for frame, joints in enumerate(oracle(path, frames)):
        for joint, name in enumerate(names):
            np.testing.assert_allclose(motion.positions[0, frame, joint], joints[name], atol=atol)


def made_up_file(rng):
    """A tree whose joints each have their own order of channels."""
    children = {0: []}
    for joint in range(1, rng.integers(2, 12)):
        children[joint] = []
        children[int(rng.integers(joint))].append(joint)
    width = 0

    def lines(joint):
        nonlocal width
        turning = [f"{axis}rotation" for axis in rng.permutation(list("XYZ"))]
        moving = [f"{axis}position" for axis in rng.permutation(list("XYZ"))]
        channels = moving + turning if joint == 0 else turning
        width += len(channels)
        offset = " ".join(f"{value:.5f}" for value in rng.normal(0, 0.5, 3))
        yield f"{'JOINT' if joint else 'ROOT'} j{joint}"
        yield "{"
        yield f"OFFSET {offset}"
        yield f"CHANNELS {len(channels)} {' '.join(channels)}"
        for child in children[joint]:
            yield from lines(child)
        if not children[joint]:
            yield "End Site\n{\nOFFSET 0 0.1 0\n}"
        yield "}"

    hierarchy = "\n".join(lines(0))
    frames = rng.uniform(-200, 200, (3, width))
    rows = "\n".join(" ".join(f"{value:.5f}" for value in frame) for frame in frames)
    return f"HIERARCHY\n{hierarchy}\nMOTION\nFrames: 3\nFrame Time: 0.033333\n{rows}\n"


@pytest.mark.parametrize("seed", range(12))
def test_another_reader_finds_the_same_joints(path, seed):
    path.write_text(made_up_file(np.random.default_rng(seed)))
    agrees_with_oracle(path, 3, atol=1e-3)  # the roots are up to 200 m away, in float32


@needs_recordings
@pytest.mark.parametrize("name", ["18_01", "High_five"])
def test_another_reader_finds_the_same_joints_in_a_recording(path, name):
    lines = files(name)[0].read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Frames:"))
    path.write_text("\n".join([*lines[:start], "Frames: 3", *lines[start + 1 : start + 5], ""]))
    agrees_with_oracle(path, 3, atol=1e-4)


# Writing


@st.composite
def motions(draw):
    skeleton = draw(skeletons())
    people = draw(st.integers(1, 2))
    return Interaction(
        draw(vectors(people, 2)),
        draw(matrices(people, 2, skeleton.num_joints)),
        (skeleton, skeleton.with_offsets(skeleton.offsets * 0.9))[:people],
        fps=draw(st.sampled_from([30.0, 24.0, 120.0, 23.976])),
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_a_scale_out_of_range_is_refused(path, scale):
    with pytest.raises(ValueError, match="the scale has to be 1e-06 to 1000 metres per unit"):
        read_text(path, ARM, scale=scale)
    with pytest.raises(ValueError, match="the scale has to be"):
        bvh.write(read_text(path, ARM), path, scale=scale)


@examples(120)
@given(motion=motions(), scale=st.sampled_from([1.0, 0.01, 0.0254]))
def test_what_is_written_is_read_back(tmp_path_factory, motion, scale):
    path = tmp_path_factory.getbasetemp() / "random.bvh"
    assert bvh.write(motion, path, scale=scale) == [path]
    read = bvh.read(path, scale=scale)
    assert (read.num_people, read.fps) == (motion.num_people, motion.fps)
    same_motion(read, motion)
    for own, original in zip(read.skeletons, motion.skeletons, strict=True):
        order = [own.index(name) for name in original.names]
        np.testing.assert_allclose(own.offsets[order], original.offsets, atol=1e-5)


def test_another_reader_finds_what_we_wrote(path):
    motion = waving(1, 4)
    bvh.write(motion, path)
    for frame, joints in enumerate(oracle(path, 4)):
        for joint, name in enumerate(SMPL22.names):
            np.testing.assert_allclose(
                joints[name], motion.positions[0, frame, joint], atol=1e-4, err_msg=name
            )
    bvh.write(waving(2, 4), path)
    first = oracle(path, 1)[0]
    for letter, person in zip("AB", waving(2, 4).positions[:, 0], strict=True):
        np.testing.assert_allclose(first[f"{letter}:left_wrist"], person[20], atol=1e-4)


@pytest.mark.parametrize("people", [3, 8])
def test_many_people_in_one_file_or_one_each(path, people):
    motion = waving(people, 3, TAIL)
    assert bvh.write(motion, path) == [path]
    same_motion(bvh.read(path), motion)
    paths = bvh.write(motion, path, split=True)
    assert [p.name for p in paths] == [f"clip_{name}.bvh" for name in "ABCDEFGH"[:people]]
    same_motion(bvh.read(paths), motion)
    with pytest.raises(ValueError, match="9 people; files hold at most 8"):
        bvh.write(waving(9, 3, TAIL), path)


def test_two_people_in_one_file_or_one_each(path, tmp_path):
    motion = waving(2, 6)
    bvh.write(motion, path)
    same_motion(bvh.read(path), motion)
    assert path.read_text().splitlines()[1] == "ROOT scene"
    paths = bvh.write(motion, path, split=True)
    assert paths == [tmp_path / "clip_A.bvh", tmp_path / "clip_B.bvh"]
    same_motion(bvh.read(paths), motion)
    same_motion(bvh.read(paths[1]), motion.person(1))
    assert bvh.write(motion.person(0), path, split=True) == [path]


def test_gimbal_lock_is_no_trouble(path):
    """Leaning by a quarter turn leaves the other two angles open."""
    motion = waving(1, 6)
    rotations = motion.rotations.copy()
    for joint, angle in ((0, 90), (4, -90)):
        lean = Rotation.from_euler("ZXY", [[20 * n, angle, 10 * n] for n in range(6)], degrees=True)
        rotations[0, :, joint] = lean.as_matrix()
    motion = replace(motion, rotations=rotations)
    bvh.write(motion, path)
    same_motion(bvh.read(path, up="y"), motion)


def test_people_who_stand_still_are_still_two(path):
    bvh.write(standing(2, 3), path)
    same_motion(bvh.read(path), standing(2, 3))


def test_our_own_files_come_back_as_smpl22(path):
    motion = waving(2, 6)
    bvh.write(motion, path)
    again = bvh.read(path)
    assert to_smpl22(again) is again
    np.testing.assert_allclose(again.positions, motion.positions, atol=1e-4)
    np.testing.assert_allclose(again.rotations, motion.rotations, atol=1e-5)


def test_smpl22_names_on_other_bones_are_left_alone(path):
    parents = list(SMPL22.parents)
    parents[13] = 12  # the left collar hangs on the neck
    motion = waving(1, 4, Skeleton(SMPL22.names, tuple(parents), SMPL22.offsets))
    bvh.write(motion, path)
    same_motion(bvh.read(path), motion)


def test_two_roots_are_two_people(path):
    second = ARM.partition("MOTION")[0].removeprefix("HIERARCHY\n")
    rows = [f"{row} {row}" for row in ARM.splitlines()[-3:]]
    rows = [row[: len(row) // 2] + " 9" + row[len(row) // 2 + 2 :] for row in rows]
    text = ARM.partition("MOTION")[0] + second + "MOTION\nFrames: 3\nFrame Time: 0.05\n"
    motion = read_text(path, text + "\n".join(rows))
    assert motion.num_people == 2
    np.testing.assert_allclose(motion.root_positions[1, :, 0], 9)
    np.testing.assert_array_equal(motion.rotations[1], motion.rotations[0])


def test_a_still_joint_above_the_hips_is_left_out(path):
    """Motion editors put a reference joint above the body, which moves by its own channels."""
    below = "\n".join(ARM.partition("MOTION")[0].splitlines()[1:]).replace(
        "ROOT Hips", "JOINT Hips"
    )
    above = "ROOT Reference\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation"
    rows = "\n".join(f"0 0 0 {row}" for row in ARM.splitlines()[-3:])
    text = f"HIERARCHY\n{above}\n{below}\n}}\nMOTION\nFrames: 3\nFrame Time: 0.05\n{rows}\n"
    motion, expected = read_text(path, text), read_text(path, ARM)
    assert motion.skeletons[0].names == ("Hips", "Arm", "Hand")
    np.testing.assert_allclose(motion.positions, expected.positions, atol=1e-6)


def test_the_offset_of_the_joint_above_two_people_counts(path):
    bvh.write(waving(2, 3), path)
    moved = path.read_text().replace("OFFSET 0 0 0", "OFFSET 1 2 -3", 1)
    expected = waving(2, 3).positions + [1, 2, -3]
    np.testing.assert_allclose(read_text(path, moved).positions, expected, atol=1e-4)
    halved = bvh.read(path, scale=0.5).positions
    np.testing.assert_allclose(halved, expected / 2, atol=1e-4)


def test_constant_position_channels_replace_the_offset(path):
    text = ARM.replace(
        "OFFSET 0 0.5 0\n\t\tCHANNELS 3", "OFFSET 9 9 9\n\t\tCHANNELS 4 Yposition", 1
    )
    rows = [row.split() for row in ARM.splitlines()[-3:]]
    rows = "\n".join(" ".join([*row[:6], "0.5", *row[6:]]) for row in rows)
    motion = read_text(path, text.partition("0.05\n")[0] + "0.05\n" + rows)
    np.testing.assert_allclose(motion.skeletons[0].offsets[1], [9, 0.5, 9])


# Which axis is up


def turned_up(motion, world, rest):
    """The motion as a file whose world or rest pose has Z up instead of Y."""
    to_z = Z_UP_TO_Y_UP.T
    turn_world, turn_rest = (to_z if world else np.eye(3)), (to_z if rest else np.eye(3))
    rotations = turn_rest @ motion.rotations @ turn_rest.T
    rotations[:, :, 0] = turn_world @ motion.rotations[:, :, 0] @ turn_rest.T
    return Interaction(
        motion.root_positions @ turn_world.T,
        rotations,
        tuple(s.with_offsets(s.offsets @ turn_rest.T) for s in motion.skeletons),
    )


@pytest.mark.parametrize(("world", "rest"), [(False, False), (True, False), (True, True)])
def test_z_up_is_seen_in_rest_pose_or_motion(path, world, rest):
    motion = standing(1, 5)
    bvh.write(turned_up(motion, world, rest), path)
    read = bvh.read(path)
    same_motion(read, motion)
    assert read.skeletons[0].rest_positions[read.skeletons[0].index("head"), 1] > 0.4
    same_motion(bvh.read(path, up="z" if world else "y"), motion)


def test_one_person_lying_down_does_not_turn_the_world(path):
    lying = standing(2, 5)
    rotations = lying.rotations.copy()
    rotations[1, :, 0] = Z_UP_TO_Y_UP.T  # on their back, head towards +Z
    lying = Interaction(lying.root_positions, rotations, lying.skeletons)
    bvh.write(lying, path)
    same_motion(bvh.read(path), lying)


def shortened(source, target):
    """A copy with some 20 frames over the whole length."""
    lines = source.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Frames:"))
    rows = lines[start + 2 :][:: max(1, len(lines) // 20)]
    count = f"Frames: {len(rows)}"
    target.write_text("\n".join([*lines[:start], count, lines[start + 1], *rows]))
    return target


@needs_recordings
def test_all_recordings_are_seen_to_have_z_up(tmp_path):
    found = sorted(FOLDER.rglob("*.bvh"))
    assert found and len(found) % 2 == 0
    for pair in zip(found[::2], found[1::2], strict=True):
        short = [shortened(path, tmp_path / path.name) for path in pair]
        expected = bvh.read(short, up="z").positions
        np.testing.assert_array_equal(bvh.read(short).positions, expected, err_msg=pair[0].name)
        assert np.median(expected[:, :, :, 1]) > 0.2  # people are above the floor


@needs_recordings
def test_recordings_with_y_up_stay_as_they_are(tmp_path):
    """The same people, written by us, have Y up and are seen to."""
    for name in ("18_01", "High_five"):
        short = [shortened(path, tmp_path / path.name) for path in files(name)]
        motion = bvh.read(short)
        bvh.write(motion, tmp_path / "ours.bvh")
        same_motion(bvh.read(tmp_path / "ours.bvh"), motion)


# Files that are broken


def replaced(old, new, count=1):
    assert old in ARM
    return ARM.replace(old, new, count)


LAST = ARM.splitlines()[-1]
BROKEN = {
    "empty": ("", "no MOTION section"),
    "blank": ("\n \n\t\n", "no MOTION section"),
    "other text": ("Dear reader,\nthis is a letter.\n", "no MOTION section"),
    "cut in the hierarchy": (ARM[: ARM.index("JOINT Hand")], "cut short"),
    "hierarchy not closed": (replaced("\t}\n}\nMOTION", "\t}\nMOTION"), "not closed before MOTION"),
    "closed too often": (replaced("}\nMOTION", "}\n}\nMOTION"), "line 21: "),
    "no hierarchy": (ARM[ARM.index("MOTION") :], "the hierarchy is not closed"),
    "cut after MOTION": (ARM[: ARM.index("Frames:")], "line 21: MOTION is followed by"),
    "cut in the frame time": (ARM[: ARM.index("0.05\n0")], "line 21: MOTION is followed by"),
    "cut in the frames": (
        ARM[: -len(LAST) - 1],
        "3 frames of 12 channels need 36 numbers, the file has 24; it may be cut short",
    ),
    "cut in a line": (ARM[:-6], "need 36 numbers, the file has 33"),
    "too many numbers": (ARM + "1 2 3\n", "need 36 numbers, the file has 39"),
    "no frames": (replaced("Frames: 3", "Frames: 0"), "zero frames"),
    "negative frames": (replaced("Frames: 3", "Frames: -3"), "line 21: MOTION is followed by"),
    "huge frames": (replaced("Frames: 3", "Frames: 999999999"), "at most 1666666 such frames"),
    "enormous frames": (replaced("Frames: 3", "Frames: " + "9" * 5000), "line 21: MOTION"),
    "frames in words": (replaced("Frames: 3", "Frames: three"), "line 21: MOTION"),
    "no time": (replaced("Frame Time: 0.05", "Frame Time: 0"), "a frame time of 0 s"),
    "backwards": (replaced("Frame Time: 0.05", "Frame Time: -0.05"), "line 21: MOTION"),
    "time in words": (replaced("Frame Time: 0.05", "Frame Time: soon"), "line 21: MOTION"),
    "two dots": (replaced("Frame Time: 0.05", "Frame Time: 0..05"), "a frame time of 0 s"),
    "endless": (replaced("Frame Time: 0.05", "Frame Time: 1e999"), "a frame time of inf s"),
    "not a number": (replaced("4 5 6", "4 nan 6"), "frame 1 holds nan"),
    "infinite": (replaced(LAST, LAST[:-1] + "-inf"), "frame 2 holds -inf"),
    "too large": (replaced(LAST, LAST[:-1] + "1e30"), "frame 2 holds 1e30"),
    "a word": (replaced("4 5 6", "4 five 6"), "no number: .*five"),
    "missing offset": (replaced("\t\tOFFSET 0 0.5 0\n", ""), "every joint needs an OFFSET"),
    "short offset": (replaced("OFFSET 0 0.5 0", "OFFSET 0 0.5"), "line 8: an OFFSET has three"),
    "offset in words": (replaced("OFFSET 0 0.5 0", "OFFSET 0 half 0"), "line 8: .*half"),
    "offset nan": (replaced("OFFSET 0 0.5 0", "OFFSET 0 nan 0"), "line 8: an OFFSET has three"),
    "offset too large": (replaced("OFFSET 0 0.5 0", "OFFSET 0 1e99 0"), "line 8: an OFFSET"),
    "offset outside": (replaced("ROOT Hips", "OFFSET 0 0 0\nROOT Hips"), "line 2: "),
    "wrong channel count": (replaced("CHANNELS 3", "CHANNELS 4"), "line 9: CHANNELS names a count"),
    "unknown channel": (replaced("6 Xposition", "6 Xscale"), "line 5: CHANNELS names a count"),
    "channel twice": (replaced("3 Zrotation X", "3 Zrotation Z"), "line 9: CHANNELS names one"),
    "count in words": (replaced("CHANNELS 3", "CHANNELS three"), "line 9: .*three"),
    "no channels": (re.sub(r"CHANNELS.*", "CHANNELS 0", ARM), "no joint has a channel"),
    "unknown word": (replaced("JOINT Arm", "BONE Arm"), "line 6: 'BONE' is no word"),
    "joint outside": (replaced("ROOT Hips", "JOINT Hips"), "line 2: a ROOT stands outside"),
    "root inside": (replaced("JOINT Arm", "ROOT Arm"), "line 6: a ROOT stands outside"),
    "same name": (replaced("JOINT Hand", "JOINT Arm"), "two joints of one figure have the same"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_in_one_sentence(path, case):
    text, sentence = BROKEN[case]
    with pytest.raises(ValueError, match=sentence) as raised:
        read_text(path, text)
    message = str(raised.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 400


def test_a_binary_file_is_no_bvh(path):
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match=r"clip\.bvh: no MOTION section"):
        bvh.read(path)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        bvh.read(path)
    with pytest.raises(ValueError, match="is a folder, not a file"):
        bvh.read(path.parent)


def chain(joints):
    skeleton = Skeleton(
        tuple(f"j{j}" for j in range(joints)),
        tuple(range(-1, joints - 1)),
        np.tile([0.0, 0.01, 0.0], (joints, 1)),
    )
    rotations = np.tile(np.eye(3), (1, 1, joints, 1, 1))
    return Interaction(np.zeros((1, 1, 3)), rotations, (skeleton,))


def test_joint_counts_have_a_limit(path):
    longest = chain(limits.MAX_JOINTS)
    bvh.write(longest, path)
    same_motion(bvh.read(path), longest)
    bvh.write(chain(limits.MAX_JOINTS + 1), path)
    with pytest.raises(ValueError, match=r"clip\.bvh: 501 joints; at most 500 are read"):
        bvh.read(path)
    joints = "JOINT\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\n" * bvh.MAX_JOINTS
    with pytest.raises(ValueError, match=r"line \d+: more than 4001 joints"):
        read_text(path, f"HIERARCHY\nROOT x\n{{\nOFFSET 0 0 0\n{joints}}}\nMOTION\n")
    three = waving(3, 1, longest.skeletons[0])
    bvh.write(three, path)
    same_motion(bvh.read(path), three)


def test_people_counts_have_a_limit(path):
    crowd = [f"ROOT r{n}\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n}}" for n in range(9)]
    text = "HIERARCHY\n" + "\n".join(crowd) + "\nMOTION\nFrames: 1\nFrame Time: 0.1\n" + "0 " * 9
    with pytest.raises(ValueError, match=r"clip\.bvh: 9 people; at most 8 are read"):
        read_text(path, text)
    bvh.write(waving(5, 2, TAIL), path)
    with pytest.raises(ValueError, match=r"clip\.bvh and .*clip\.bvh: 10 people"):
        bvh.read([path, path])


def test_frames_of_joints_have_a_limit(path):
    """A number a frame may move five hundred joints."""
    bvh.write(chain(limits.MAX_JOINTS), path)
    head = re.sub("CHANNELS.*", "CHANNELS 0", path.read_text().partition("MOTION")[0])
    head = head.replace("CHANNELS 0", "CHANNELS 1 Xrotation", 1)
    frames = limits.MAX_ROTATIONS // limits.MAX_JOINTS + 1
    with memory_left(200_000_000), pytest.raises(ValueError, match="10001 frames of 500 joints"):
        read_text(path, head + f"MOTION\nFrames: {frames}\nFrame Time: 0.1\n" + "0\n" * frames)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("{\n", "line 3: a { follows a joint"), ("\n", "after more than 10000000 characters")],
)
def test_long_headers_are_read_soon_or_not_at_all(path, line, sentence):
    text = "HIERARCHY\nROOT x\n" if line == "\n" else "HIERARCHY\n\n"
    text += line * (11_000_000 // len(line)) + "MOTION\n"
    started = time.monotonic()
    with pytest.raises(ValueError, match=sentence):
        read_text(path, text[:2_000_000] + "MOTION\n" if line == "{\n" else text)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a", "b\nMOTION"), r"can't hold a joint named 'b\\nMOTION'"),
        (("a", ""), "can't hold a joint named ''"),
        (("a", "a"), "can't hold two joints of one name"),
    ],
)
def test_names_that_bvh_cannot_hold_are_refused(path, names, sentence):
    skeleton = Skeleton(names, (-1, 0), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=sentence):
        bvh.write(waving(1, 2, skeleton), path)
    assert not path.exists()


def test_deep_trees_are_written(path):
    deep = chain(1200)
    bvh.write(deep, path)
    text = path.read_text()
    assert text.count("JOINT") == 1199 and text.count("{") == text.count("}") == 1201


def test_bones_that_change_their_length_are_refused(path):
    text = ARM.replace("CHANNELS 3", "CHANNELS 4 Yposition", 1)
    rows = [row.split() for row in ARM.splitlines()[-3:]]
    rows = "\n".join(
        " ".join([*row[:6], str(0.5 + 0.1 * n), *row[6:]]) for n, row in enumerate(rows)
    )
    with pytest.raises(ValueError, match=r"clip\.bvh: joint 'Arm' changes .* by 0\.200 m; bake"):
        read_text(path, text.partition("0.05\n")[0] + "0.05\n" + rows)


def test_people_who_do_not_fit_are_refused_with_their_files(tmp_path):
    first, second = tmp_path / "a.bvh", tmp_path / "b.bvh"
    bvh.write(waving(1, 6), first)
    bvh.write(waving(1, 5), second)
    with pytest.raises(ValueError, match=r"a\.bvh and .*b\.bvh: .* 6 frames at 30 fps and 5 at 30"):
        bvh.read([first, second])
    bvh.write(waving(1, 6, TAIL), second)
    with pytest.raises(ValueError, match=r"a\.bvh and .*b\.bvh: .* different skeletons"):
        bvh.read([first, second])


def test_figures_with_different_skeletons_are_refused(path):
    second = ARM.partition("MOTION")[0].removeprefix("HIERARCHY\n").replace("Arm", "Leg")
    rows = "\n".join(f"{row} {row}" for row in ARM.splitlines()[-3:])
    text = ARM.partition("MOTION")[0] + second + "MOTION\nFrames: 3\nFrame Time: 0.05\n"
    with pytest.raises(ValueError, match=r"clip\.bvh: .* different skeletons"):
        read_text(path, text + rows)


def never_surprises(path, content):
    """Reading gives a finite interaction or one of the two promised errors, which name the file."""
    path.write_bytes(content)
    try:
        motion = bvh.read(path)
    except OSError:
        return
    except ValueError as problem:
        assert str(path) in str(problem) and "\n" not in str(problem)
        return
    assert np.isfinite(motion.positions).all()


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    path = tmp_path_factory.mktemp("bvh") / "clip.bvh"
    bvh.write(waving(2, 2, TAIL), path)
    return path.read_text()


def test_any_cut_is_noticed(path, two_people):
    for size in range(0, len(two_people) - 10, 23):
        path.write_text(two_people[:size])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            bvh.read(path)


WORDS = re.compile(r"\S+|\n")
SPLICES = [
    *("{", "}", "ROOT x", "JOINT x", "End Site", "OFFSET 1 2 3", "CHANNELS 0", "MOTION", "\n"),
    *("Frames: 1", "nan", "-1", "1e400", "1e8", "0", "", "\x00", "½", "9" * 400, "Xposition"),
]


@examples(400)
@given(data=st.data())
def test_damaged_files_never_surprise(tmp_path_factory, two_people, data):
    words = WORDS.findall(two_people)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(words) - 1))
        action = data.draw(st.sampled_from(["drop", "put", "copy"]))
        if action == "drop":
            del words[place : place + data.draw(st.integers(1, 8))]
            words = words or ["x"]
        elif action == "put":
            words[place] = data.draw(st.sampled_from(SPLICES))
        else:
            words.insert(place, words[data.draw(st.integers(0, len(words) - 1))])
    content = " ".join(words).encode()
    never_surprises(tmp_path_factory.getbasetemp() / "damaged.bvh", content)


@examples(150)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.lists(st.sampled_from(SPLICES), max_size=40).map(lambda w: "\n".join(w).encode()),
    ),
    start=st.sampled_from([b"", b"HIERARCHY\n", b"HIERARCHY\nROOT x\n{\nOFFSET 0 0 0\n"]),
    stop=st.sampled_from([b"", b"\nMOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n"]),
)
def test_arbitrary_text_never_surprises(tmp_path_factory, content, start, stop):
    never_surprises(tmp_path_factory.getbasetemp() / "arbitrary.bvh", start + content + stop)
