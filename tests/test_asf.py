"""ASF and AMC files: what they mean, and every way in which they can be broken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples, vectors
from scipy.spatial.transform import Rotation

from duomotion import cli
from duomotion.data import open_pairs
from duomotion.data.interhuman import read_split
from duomotion.formats import asf, load
from duomotion.motion.retarget import match_joints, to_smpl22
from duomotion.motion.skeleton import SMPL22

# One unit is an inch by 0.0254: a metre.
LEG = """# a comment
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.0254
  angle deg
:documentation
   made by hand
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -2 0
     length 0.5
     axis 0 0 90  XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 0.25
     axis 0 0 0  XYZ
    dof rx
    limits (-10.0 170.0)
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
MOTION = """#!OML:ASF F:\\VICON\\leg.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 0 0 0
shin 0
2
root 1 2 3 0 0 0
thigh 0 90 0
shin 90
3
root 1 2 3 0 90 0
thigh 0 90 0
shin 0
"""

LIMBS = {
    "root": ["lhipjoint", "rhipjoint", "lowerback"],
    "lhipjoint": ["lfemur"],
    "lfemur": ["ltibia"],
    "ltibia": ["lfoot"],
    "lfoot": ["ltoes"],
    "rhipjoint": ["rfemur"],
    "rfemur": ["rtibia"],
    "rtibia": ["rfoot"],
    "rfoot": ["rtoes"],
    "lowerback": ["upperback"],
    "upperback": ["thorax"],
    "thorax": ["lowerneck", "lclavicle", "rclavicle"],
    "lowerneck": ["upperneck"],
    "upperneck": ["head"],
    "lclavicle": ["lhumerus"],
    "lhumerus": ["lradius"],
    "lradius": ["lwrist"],
    "rclavicle": ["rhumerus"],
    "rhumerus": ["rradius"],
    "rradius": ["rwrist"],
}
WAYS = {
    "hipjoint": (0.8, -0.5, 0),
    "femur": (0.2, -1, 0),
    "tibia": (0, -1, 0),
    "foot": (0, -0.5, 1),
}
WAYS |= {"toes": (0, 0, 1), "clavicle": (1, 0.2, 0), "humerus": (1, 0, 0), "radius": (1, 0, 0)}
WAYS |= {"wrist": (1, 0, 0)}
TURNS = {"tibia": "rx", "foot": "rx rz", "toes": "rx", "clavicle": "ry rz", "radius": "rx"}


def body_text(axes: np.ndarray) -> str:
    """The bones that CMU's files have, but for hands, with the same degrees of freedom."""
    bones, hierarchy = [], []
    names = [name for children in LIMBS.values() for name in children]
    for number, name in enumerate(names):
        plain = name[1:] if name[1:] in WAYS else name
        way = np.array(WAYS.get(plain, (0, 1, 0))) * ([-1, 1, 1] if name[0] == "r" else 1)
        turns = "" if plain == "hipjoint" else TURNS.get(plain, "rx ry rz")
        axis = " ".join(map(str, axes[number]))
        bones += ["begin", f"id {number + 1}", f"name {name}", f"length {3 + number % 4}"]
        bones += [f"direction {way[0]} {way[1]} {way[2]}", f"axis {axis} XYZ"]
        bones += [f"dof {turns}"] * bool(turns) + ["end"]
    for parent, children in LIMBS.items():
        hierarchy.append(" ".join([parent, *children]))
    head = LEG[: LEG.index(":bonedata")].replace("0.0254", "0.45")
    return "\n".join([head, ":bonedata", *bones, ":hierarchy", "begin", *hierarchy, "end"])


def motion_text(body: asf.Body, values: np.ndarray) -> str:
    """Frames (T, channels) of all bones."""
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(values, start=1):
        lines.append(str(number))
        rest = iter(frame)
        for bone in body.bones:
            if bone.channels:
                numbers = [f"{next(rest):.6f}" for _ in bone.channels]
                lines.append(" ".join([bone.name, *numbers]))
    return "\n".join(lines)


def person(folder, seed=0, frames=5, subject="18", trial="01"):
    rng = np.random.default_rng(seed)
    path = folder / f"{subject}.asf"
    path.write_text(body_text(np.random.default_rng(9).uniform(-90, 90, (len(LIMBS) + 5, 3))))
    body = asf.read_body(path)
    channels = sum(len(bone.channels) for bone in body.bones)
    values = rng.uniform(-30, 30, (frames, channels))
    motion = folder / f"{subject}_{trial}.amc"
    motion.write_text(motion_text(body, values))
    return body, values, motion


@pytest.fixture
def leg(tmp_path):
    (tmp_path / "leg.asf").write_text(LEG)
    motion = tmp_path / "leg_01.amc"
    motion.write_text(MOTION)
    return motion


def test_a_file_that_can_be_checked_by_hand(leg):
    """The thigh turns about its own y, which the axis line lays along the world's -x."""
    motion = asf.read(leg)
    assert motion.fps == 120 and motion.skeletons[0].names == ("root", "thigh", "shin", "shin_end")
    expected = [
        [[1, 2, 3], [1, 2, 3], [1, 1.5, 3], [1, 1.25, 3]],
        [[1, 2, 3], [1, 2, 3], [1, 2, 3.5], [1, 1.75, 3.5]],
        [[1, 2, 3], [1, 2, 3], [1.5, 2, 3], [1.75, 2, 3]],
    ]
    np.testing.assert_allclose(motion.positions[0], expected, atol=1e-6)


def literal_ends(body: asf.Body, values: np.ndarray) -> dict[str, np.ndarray]:
    """Ends of the bones in one frame by the recipe of the CMU site: C M C^-1, parent by parent."""
    rest = iter(values)
    given = {bone.name: [next(rest) for _ in bone.channels] for bone in body.bones}
    world, ends = {}, {}
    for bone, parent in zip(body.bones, body.parents, strict=True):
        angles = dict.fromkeys("xyz", 0.0)
        for channel, value in zip(bone.channels, given[bone.name], strict=True):
            if channel[0] == "r":
                angles[channel[1]] = value
        x, y, z = (Rotation.from_euler(a, angles[a], degrees=True).as_matrix() for a in "xyz")
        turn = bone.axes @ (z @ y @ x) @ np.linalg.inv(bone.axes)
        if parent < 0:
            world[bone.name], ends[bone.name] = turn, np.array(given["root"][:3]) * body.unit
            continue
        above = body.bones[parent].name
        world[bone.name] = world[above] @ turn
        ends[bone.name] = ends[above] + world[bone.name] @ bone.vector
    return ends


@given(seed=st.integers(0, 10**6))
@examples(10)
def test_bones_end_where_the_literal_recipe_says(tmp_path_factory, seed):
    body, values, path = person(tmp_path_factory.mktemp("asf"), seed, frames=2)
    motion = asf.read(path)
    skeleton = motion.skeletons[0]
    for frame in range(2):
        ends = literal_ends(body, values[frame])
        for joint, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
            bone = name.removesuffix("_end") if "_end" in name else skeleton.names[max(parent, 0)]
            end = ends[bone]
            np.testing.assert_allclose(motion.positions[0, frame, joint], end, atol=1e-5)


def test_lengths_are_inches_by_the_files_unit(tmp_path):
    body, _, _ = person(tmp_path)
    thigh = body.bones[[bone.name for bone in body.bones].index("lfemur")]
    np.testing.assert_allclose(np.linalg.norm(thigh.vector), (3 + 3 % 4) / 0.45 * 0.0254)


def test_two_people_of_the_cmu_database_become_smpl(tmp_path):
    paths = [person(tmp_path, seed, subject=name)[2] for seed, name in enumerate(("18", "19"))]
    pair = asf.read(paths)
    assert pair.num_people == 2 and pair.num_frames == 5
    skeleton = pair.skeletons[0]
    names = {joint: skeleton.names[at] for joint, at in match_joints(skeleton).items()}
    assert names["left_hip"] == "lfemur" and names["right_wrist"] == "rwrist"
    assert (
        names["pelvis"] == "root" and names["neck"] == "lowerneck" and names["head"] == "upperneck"
    )
    mapped = to_smpl22(pair)
    assert mapped.skeletons[0].same_tree(SMPL22)
    for ours, theirs in names.items():
        np.testing.assert_allclose(
            mapped.positions[:, :, SMPL22.index(ours)],
            pair.positions[:, :, skeleton.index(theirs)],
            atol=0.02,
        )


def test_a_motion_finds_its_body(leg, tmp_path):
    here = asf.read(leg).positions
    (tmp_path / "other.asf").write_text(LEG.replace("length 0.5", "length 0.7"))
    np.testing.assert_array_equal(asf.read(leg).positions, here)
    stranger = leg.with_name("walk.amc")
    stranger.write_text(MOTION)
    with pytest.raises(ValueError, match=r"walk.asf, is not beside it"):
        asf.read(stranger)
    assert asf.read(stranger, body=tmp_path / "leg.asf", fps=60).fps == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[: t.index(":hierarchy")], "no section :hierarchy"),
        (lambda t: t[: t.rindex("end")], "begin has no end"),
        (lambda t: t.replace("name shin", "name thigh"), "same name"),
        (lambda t: t.replace("    thigh shin\n", ""), "'shin' is missing in the hierarchy"),
        (lambda t: t.replace("thigh shin", "foot shin"), "'foot' has not been joined"),
        (lambda t: t.replace("thigh shin", "thigh root"), "'root' is no bone that still"),
        (lambda t: t.replace("length 0.25", "length much"), "line 31: could not convert"),
        (lambda t: t.replace("length 0.25", "length nan"), "line 31: 'nan' should be 1 finite"),
        (lambda t: t.replace("direction 0 -1 0", "direction 0 -1"), "should be 3 finite"),
        (lambda t: t.replace("0 0 90  XYZ", "0 0 90  XYY"), "no order of axes"),
        (lambda t: t.replace("0 0 90  XYZ", "0 0 90"), "a value is missing"),
        (lambda t: t.replace("dof rx\n", "dof bend\n"), "'bend' should be different ones of"),
        (lambda t: t.replace("length 0.0254", "length 0"), "line 6: a length"),
        (lambda t: t.replace("length 0.0254", "length 1e-300"), "line 6: a length must be above"),
        (lambda t: t.replace("length 0.25", "length 1e8"), "a bone holds values that are .* large"),
        (lambda t: t.replace("shin", "s" * 201), "a joint's name has more than 200 characters"),
        (lambda t: t.replace("  begin\n     id 1", "     id 1"), "stands outside begin and end"),
        (lambda t: t.replace("     name shin\n", ""), "a bone needs a name"),
        (lambda t: "HIERARCHY\nROOT hips\n", "no section :units"),
    ],
)
def test_broken_bodies_are_refused(leg, change, message):
    path = leg.with_name("leg.asf")
    path.write_text(change(LEG))
    with pytest.raises(ValueError, match=message) as caught:
        asf.read(leg)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "no frames"),
        (lambda t: t[: t.index("1\nroot")], "no frames"),
        (lambda t: t[: t.rindex("shin 0")], "3 frames, but 2 of shin"),
        (lambda t: t[: t.rindex(" 90 0\nshin")], "line 14: thigh has 3 numbers a frame, not 1"),
        (lambda t: t.replace("shin 90", "shin ninety"), "line 11: could not convert"),
        (lambda t: t.replace("shin 90", "shin nan"), "no position or angle"),
        (lambda t: t.replace("shin 90", "shin 1e12"), "no position or angle"),
        (lambda t: t.replace("shin 90", "tail 90"), "no bone 'tail'"),
        (lambda t: t.replace("root 1", "root 1e8"), "the root's path holds values"),
    ],
)
def test_broken_motions_are_refused(leg, change, message):
    leg.write_text(change(MOTION))
    with pytest.raises(ValueError, match=message) as caught:
        asf.read(leg)
    assert str(leg) in str(caught.value) and "\n" not in str(caught.value)


@given(text=st.text(max_size=300), cut=st.integers(0, len(LEG)), drop=vectors(3, limit=9))
@examples(60)
def test_no_text_does_worse_than_a_sentence(tmp_path_factory, text, cut, drop):
    folder = tmp_path_factory.mktemp("any")
    (folder / "leg.asf").write_text(LEG[:cut] + text + LEG[cut:], encoding="utf-8")
    motion = folder / "leg.amc"
    motion.write_text(MOTION + text + " ".join(map(str, drop)), encoding="utf-8")
    try:
        asf.read(motion)
    except ValueError as problem:
        assert str(folder) in str(problem)


def test_people_of_different_length_are_refused(tmp_path):
    paths = [
        person(tmp_path, frames=frames, subject=name)[2] for frames, name in ((5, "18"), (6, "19"))
    ]
    with pytest.raises(ValueError, match=r"18_01.amc and"):
        asf.read(paths)


def test_motions_are_converted_from_the_command_line(tmp_path, monkeypatch, capsys):
    one, other = (str(person(tmp_path, seed, subject=str(18 + seed))[2]) for seed in (0, 1))
    target = tmp_path / "both.npz"
    command = ["duomotion", "convert", one, str(target), "--second", other, "--smpl"]
    monkeypatch.setattr("sys.argv", command)
    cli.main()
    clip = load(target)
    assert clip.num_people == 2 and clip.fps == 120 and clip.skeletons[0].same_tree(SMPL22)


def test_takes_of_the_cmu_site_become_open_pairs(tmp_path):
    """Both subjects of 18_01; the other takes are missing and named."""
    source, target = tmp_path / "cmu", tmp_path / "pairs"
    for seed, subject in enumerate(("18", "19")):
        (source / subject).mkdir(parents=True)
        person(source / subject, seed, frames=1300, subject=subject)
    problems = open_pairs.prepare(source, target)
    parts = [part for part in open_pairs.segments() if part.take == "18_01"]
    assert len(problems) == len(open_pairs.segments()) - len(parts)
    clips, _ = read_split(target, parts[0].split)
    assert [clip.name for clip in clips] == [part.name for part in parts]
    for clip, part in zip(clips, parts, strict=True):
        assert clip.num_frames == pytest.approx((part.end - part.start) * 30, abs=2)
