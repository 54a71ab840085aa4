"""HumanML3D from AMASS's files: index, calibration, frame rates, body models, HumanAct12."""

import re
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from motions import waving
from recordings import SOLO, needs_solo

from duomotion.data import amass, humanml3d
from duomotion.data.humanml3d import read_split
from duomotion.formats import bvh, smpl
from duomotion.motion.canonical import resample
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.skeleton import SMPL22

LINE = "he raises the left hand#he/PRON raise/VERB the/DET left/ADJ hand/NOUN#0.0#0.0\n"
HEADER = "source_path,start_frame,end_frame,new_name\n"


def recording(frames=720, fps=120.0):
    return replace(waving(1, frames), fps=fps)


def repository(root, rows):
    """HumanML3D's repository with an index of (source_path, start, end, name)."""
    lists = root / "HumanML3D"
    (lists / "texts").mkdir(parents=True)
    names = [row[-1] for row in rows]
    for name in names:
        (lists / "texts" / f"{name}.txt").write_text(LINE)
    lines = (
        f"./pose_data/{source}.npy,{start},{end},{name}.npy" for source, start, end, name in rows
    )
    (root / "index.csv").write_text(HEADER + "\n".join(lines) + "\n")
    (lists / "train.txt").write_text("".join(f"{name}\nM{name}\n" for name in names))
    return root


def write(folder, source, motion, **changes):
    """A file of AMASS; `changes` are arrays to be replaced, None for those to be left out."""
    path = folder / f"{source}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    smpl.write(motion, path)
    if changes:
        with np.load(path) as file:
            arrays = {**file, **changes}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def from_joints(folder, clips):
    """What `humanml3d.prepare` makes of joints, by name."""
    (folder / "joints").mkdir(parents=True)
    (folder / "texts").mkdir()
    for name, joints in clips.items():
        np.save(folder / "joints" / f"{name}.npy", joints)
        (folder / "texts" / f"{name}.txt").write_text(LINE)
    humanml3d.prepare(folder, folder / "made", HUMANML3D)
    return {clip.name: clip.features for clip in read_split(folder / "made", "train")[0]}


def from_amass(folder, rows, models=None):
    source = repository(folder / "repository", rows)
    assert amass.prepare(source, folder / "out", folder / "amass", models) == []
    return {clip.name: clip.features for clip in read_split(folder / "out", "train")[0]}


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, features in wanted.items():
        np.testing.assert_allclose(found[name], features, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(
    ("fps", "every"), [(120.0, 6), (100.0, 5), (59.94, 2), (60.0, 3), (250.0, 12), (20.0, 1)]
)
def test_every_sixth_frame_of_120_and_no_frame_between_two(tmp_path, fps, every):
    motion = recording(60 * every, fps)
    write(tmp_path / "amass", "KIT/3/walk_poses", motion)
    found = from_amass(tmp_path, [("KIT/3/walk_poses", 3, 53, "000000")])
    joints = motion.positions[0, ::every][3:53]
    same(found, from_joints(tmp_path / "joints", {"000000": joints}))


@pytest.mark.parametrize("folder", [*amass.CALIBRATION, "CMU"])
def test_poses_for_calibration_are_left_out_before_frames_are_counted(tmp_path, folder):
    skipped = {"Eyes_Japan_Dataset": 60, "MPI_HDM05": 60, "TotalCapture": 20, "MPI_Limits": 20}
    skipped = {**skipped, "Transitions_mocap": 10, "CMU": 0}[folder]
    motion = recording(720)
    write(tmp_path / "amass", f"{folder}/a/look at_poses", motion)
    found = from_amass(tmp_path, [(f"{folder}/a/look at_poses", 2, 52, "000000")])
    joints = motion.positions[0, ::6][skipped + 2 : skipped + 52]
    same(found, from_joints(tmp_path / "joints", {"000000": joints}))


def test_stretches_that_end_behind_the_recording_end_with_it(tmp_path):
    write(tmp_path / "amass", "CMU/01/01_01_poses", recording(360))
    found = from_amass(tmp_path, [("CMU/01/01_01_poses", 10, 200, "000000")])
    assert {len(features) for features in found.values()} == {49}


def test_clips_of_humanact12_are_taken_whole_and_as_they_are(tmp_path):
    joints = np.concatenate([waving(1, 50).positions[0], np.zeros((50, 2, 3), np.float32)], 1)
    folder = tmp_path / "repository" / "pose_data" / "humanact12" / "humanact12"
    folder.mkdir(parents=True)
    np.save(folder / "P11.npy", joints)
    found = from_amass(tmp_path, [("humanact12/humanact12/P11", 0, -1, "000001")])
    same(found, from_joints(tmp_path / "joints", {"000001": joints}))


def body_model(folder, gender, *, scale=1.0, tall=0.1, layout="{}/model.npz"):
    """A model file: a vertex a joint, whose first shape makes the body larger."""
    joints = np.zeros((52, 3))
    joints[:22] = SMPL22.rest_positions * scale + [0, -0.2, 0.03]
    shapes = np.zeros((52, 3, 16))
    shapes[..., 0] = tall * joints
    shapes[..., 12] = 7  # of no use: bodies have ten shapes
    path = folder / layout.format(gender)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, J_regressor=np.eye(52), v_template=joints, shapedirs=shapes)
    return folder


@pytest.mark.parametrize(
    ("gender", "scale"), [("male", 1.5), (b"male", 1.5), ("female", 1.2), ("neutral", 1.2)]
)
def test_bones_are_those_of_gender_and_shape(tmp_path, gender, scale):
    models = body_model(tmp_path / "models", "male", scale=1.5)
    body_model(models, "female", scale=1.2, layout="SMPLH_FEMALE.npz")
    betas = np.zeros(16)
    betas[[0, 12]] = 2.0
    write(tmp_path / "amass", "KIT/3/a_poses", recording(), betas=betas, gender=np.array(gender))
    index = [("KIT/3/a_poses", 0, 50, "000021")]  # the reference: its bones stay
    found = from_amass(tmp_path, index, models)["000021"]
    lengths = HUMANML3D.lengths(HUMANML3D.decode_joints(found))[0]
    np.testing.assert_allclose(
        lengths, HUMANML3D.reference_lengths * scale * 1.2, rtol=1e-3, atol=1e-5
    )


def test_without_body_models_bones_are_an_average_adults(tmp_path):
    write(tmp_path / "amass", "KIT/3/a_poses", recording(), betas=np.full(16, 3.0), offsets=None)
    found = from_amass(tmp_path, [("KIT/3/a_poses", 0, 50, "000021")])["000021"]
    lengths = HUMANML3D.lengths(HUMANML3D.decode_joints(found))[0]
    np.testing.assert_allclose(lengths, HUMANML3D.reference_lengths, atol=1e-4)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.unlink(), "KIT/3/a_poses.npz can't be read: No such file"),
        (lambda path: path.write_bytes(b"no archive"), "KIT/3/a_poses.npz .*no|not an SMPL"),
        (
            lambda path: write(path.parent, "a_poses", recording(fps=15.0)),
            "15 frames a second, few",
        ),
        (lambda path: write(path.parent, "a_poses", recording(60)), "it has 0 frames of joints"),
        (lambda path: write(path.parent, "a_poses", recording(), gender=None), "gender of float64"),
        (
            lambda path: write(path.parent, "a_poses", recording(), betas=np.full(16, np.nan)),
            "KIT/3/a_poses.npz has betas of float64",
        ),
    ],
)
def test_recordings_that_cant_be_used_are_named(tmp_path, harm, reason):
    models = body_model(body_model(tmp_path / "models", "male"), "female")
    write(tmp_path / "amass", "KIT/3/b_poses", recording())
    harm(write(tmp_path / "amass", "KIT/3/a_poses", recording()))
    rows = [("KIT/3/a_poses", 20, 70, "000000"), ("KIT/3/b_poses", 20, 70, "000002")]
    source = repository(tmp_path / "repository", rows)
    (problem,) = amass.prepare(source, tmp_path / "out", tmp_path / "amass", models)
    assert problem.name == "000000" and re.search(reason, problem.reason), problem.reason


def test_without_the_reference_clip_nothing_is_made(tmp_path):
    write(tmp_path / "amass", "KIT/3/a_poses", recording())
    rows = [("KIT/3/a_poses", 0, 50, "000000"), ("KIT/4/b_poses", 0, 50, "000021")]
    source = repository(tmp_path / "repository", rows)
    with pytest.raises(ValueError, match=r"bones of 000021, but KIT/4/b_poses\.npz can't be read"):
        amass.prepare(source, tmp_path / "out", tmp_path / "amass", None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("source_path,new_name\n", "has no column start_frame, end_frame"),
        (f"{HEADER}./pose_data/../a/b.npy,0,9,a.npy\n", "line 2: '..' is not the name of a file"),
        (f"{HEADER}./pose_data/a/b.npy,0,9,/a.npy\n", "line 2: '/a' is not the name of a file"),
        (f"{HEADER}/etc/a/b.npy,0,9,a.npy\n", "line 2: '/etc/a/b.npy' where ./pose_data/FOLDER"),
        (f"{HEADER}./pose_data/a/b.npy,0,x,a.npy\n", "line 2: '0' and 'x' where frames are"),
        (f"{HEADER}./pose_data/a/b.npy,9,9,a.npy\n", "line 2: it begins at frame 9 and ends at"),
        (
            f"{HEADER}./pose_data/a/b.npy\n",
            "line 2: '' is not the name of a file",
        ),
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path, index, sentence):
    source = repository(tmp_path / "repository", [])
    (source / "index.csv").write_text(index)
    with pytest.raises(ValueError, match=sentence):
        amass.prepare(source, tmp_path / "out", tmp_path, None)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "is no SMPL-H model: it has nothing"),
        ({"v_template": np.float64(3)}, "is no SMPL-H model"),
        ({"J_regressor": np.eye(20)}, r"it has J_regressor float64 \(20, 20\)"),
        ({"v_template": np.full((52, 3), np.nan)}, "not finite numbers in"),
        ({"shapedirs": np.zeros((52, 3))}, r"shapedirs float64 \(52, 3\)"),
    ],
)
def test_files_that_are_no_body_models_are_refused(tmp_path, arrays, sentence):
    models = body_model(body_model(tmp_path, "male"), "female")
    with np.load(models / "male" / "model.npz") as file:
        held = {**file, **arrays} if arrays else {}
    np.savez(models / "male" / "model.npz", **held)
    with pytest.raises(ValueError, match=sentence):
        amass.read_body(models, "male")
    with pytest.raises(ValueError, match=r"neither neutral/model.npz nor SMPLH_NEUTRAL.npz"):
        amass.read_body(models, "neutral")


def test_by_command(run, tmp_path):
    write(tmp_path / "amass", "KIT/3/a_poses", recording())
    source = repository(tmp_path / "repository", [("KIT/3/a_poses", 0, 60, "000000")])
    command = ("data", "prepare", "humanml3d", source, "--out", tmp_path / "out")
    status, output, _ = run(*command, "--amass", tmp_path / "amass")
    assert status == 0 and "bones of an average adult" in output
    status, output, _ = run("data", "check", "humanml3d", tmp_path / "out")
    assert status == 0 and "2 clips can be used, 0 can't" in output
    models = body_model(body_model(tmp_path / "models", "male"), "female")
    status, output, _ = run(*command, "--amass", tmp_path / "amass", "--body-model", models)
    assert status == 0 and "average adult" not in output
    for wrong, sentence in (
        (("data", "prepare", "kit-ml", source, "--amass", tmp_path), "--amass goes with humanml3d"),
        ((*command, "--body-model", models), "--body-model goes with --amass"),
        ((*command, "--amass", tmp_path, "--body-model", tmp_path), "neither male/model.npz nor"),
    ):
        status, _, errors = run(*wrong)
        assert status == 2 and sentence in errors
    shutil.rmtree(source / "HumanML3D" / "texts")
    status, _, errors = run(*command, "--amass", tmp_path / "amass")
    assert status == 2 and "unpack texts.zip" in errors


@needs_solo
def test_recorded_people_come_back_as_their_joints(tmp_path):
    """Clips of CMU, written as AMASS has them at 120 frames a second."""
    rows, clips = [], {}
    with tarfile.open(SOLO / "motions.tar.xz") as archive:
        while len(rows) < 2 and (member := archive.next()) is not None:
            if not member.name.endswith(".bvh"):
                continue
            path = tmp_path / "clip.bvh"
            path.write_bytes(archive.extractfile(member).read())
            motion = resample(to_smpl22(bvh.read(path, up="z")), 120.0)
            if motion.num_frames < 360:
                continue
            name = f"{len(rows):06d}"
            write(tmp_path / "amass", f"CMU/{name}/{name}_poses", motion)
            rows.append((f"CMU/{name}/{name}_poses", 5, 55, name))
            clips[name] = motion.positions[0, ::6][5:55]
    assert rows
    same(from_amass(tmp_path, rows), from_joints(tmp_path / "joints", clips))
