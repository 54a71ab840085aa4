"""AMASS-style files, checked by a forward kinematics of their own against the positions."""

import zipfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import memory_left
from motions import CAPTION, TAIL, standing, waving
from properties import examples
from recordings import files, needs_recordings, take
from scipy.spatial.transform import Rotation

from duomotion.formats import bvh, npz, smpl
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import in_rest_of, to_smpl22
from duomotion.motion.skeleton import SMPL22

TAKES = ("18_01", "20_06", "High_five", "salsa_Easy_01")
# The parents of SMPL's body joints, as its model files list them.
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)


def posed(path):
    """Joints (T, 22, 3) in AMASS's world as SMPL's code poses them, for a body with `offsets`."""
    with np.load(path) as file:
        rest, poses, trans = file["offsets"], file["poses"], file["trans"]
    turns = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(len(poses), -1, 3, 3)
    pelvis = np.array([-0.0018, -0.2233, 0.0282])
    joints, world = [pelvis + trans], [turns[:, 0]]
    for joint in range(1, len(PARENTS)):
        parent = PARENTS[joint]
        joints.append(joints[parent] + world[parent] @ rest[joint])
        world.append(world[parent] @ turns[:, joint])
    return np.stack(joints, 1)


def assert_same_place(paths, motion):
    for path, positions_TJ3 in zip(paths, motion.positions, strict=True):
        x, y, z = np.moveaxis(posed(path), -1, 0)
        joints = np.stack([x, z, -y], -1)
        assert np.linalg.norm(joints - positions_TJ3, axis=-1).max() < 0.01


@needs_recordings
@pytest.mark.parametrize("name", TAKES)
def test_forward_kinematics_gives_the_recorded_positions(tmp_path, name):
    motion = take(name).frames(0, 200)
    paths = smpl.write(motion, tmp_path / "clip.smpl.npz")
    assert_same_place(paths, motion)
    again = smpl.read(*paths)
    assert np.abs(again.positions - motion.positions).max() < 1e-4


@needs_recordings
@pytest.mark.parametrize("name", TAKES)
def test_the_pelvis_of_the_mean_body_stands_as_the_recorded_one(tmp_path, name):
    """SMPL's own hips and spine, posed by the file, point where the recorded ones point."""
    motion = take(name).frames(0, 200)
    for path, positions in zip(
        smpl.write(motion, tmp_path / "clip.npz"), motion.positions, strict=True
    ):
        root = smpl.read(path).rotations[0, :, 0].astype(np.float64)
        left, right, spine = (SMPL22.offsets[joint] for joint in (1, 2, 3))
        for rest, seen in (
            (left - right, positions[:, 1] - positions[:, 2]),
            (spine - (left + right) / 2, positions[:, 3] - (positions[:, 1] + positions[:, 2]) / 2),
        ):
            turned = root @ rest
            cosine = (turned * seen).sum(-1) / np.linalg.norm(turned, axis=-1)
            cosine /= np.linalg.norm(seen, axis=-1)
            assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 10


def test_two_files_with_the_keys_of_amass(tmp_path):
    motion = waving(2, 7)
    paths = smpl.write(motion, tmp_path / "my.clip.smpl.npz")
    assert [path.name for path in paths] == ["my.clip_A.smpl.npz", "my.clip_B.smpl.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]
    assert_same_place(paths, motion)
    with np.load(paths[1], allow_pickle=False) as file:
        assert file["poses"].shape == (7, 156)
        assert not file["poses"][:, 66:].any() and not file["betas"].any()
        assert file["trans"].shape == (7, 3) and file["betas"].shape == (16,)
        assert str(file["gender"]) == "neutral" and str(file["surface_model_type"]) == "smplh"
        assert float(file["mocap_framerate"]) == 30


def test_each_of_many_people_has_a_file(tmp_path):
    crowd = waving(8, 2)
    paths = smpl.write(crowd, tmp_path / "clip.smpl.npz")
    assert [path.name for path in paths] == [f"clip_{name}.smpl.npz" for name in "ABCDEFGH"]
    assert_same_place(paths, crowd)
    with pytest.raises(ValueError, match="9 people; files hold at most 8"):
        smpl.write(waving(9, 2), tmp_path / "crowd.smpl.npz")


def test_files_that_unpack_to_far_more_are_refused(tmp_path):
    path = foreign(tmp_path / "amass.npz")
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    frames = {"poses": np.zeros((230_000, 66), np.float16), "trans": np.zeros((230_000, 3))}
    np.savez_compressed(path, **(kept | frames))
    with memory_left(200_000_000), pytest.raises(ValueError, match="230000 frames of 22 joints"):
        smpl.read(path)
    np.savez_compressed(path, **(kept | {"poses": np.zeros((2_000_000, 66), np.float16)}))
    with memory_left(100_000_000), pytest.raises(ValueError, match="what it holds takes 264,"):
        smpl.read(path)


def test_who_stands_in_t_pose_is_turned_up_by_the_root_alone(tmp_path):
    motion = standing(1, 3)
    (path,) = smpl.write(motion, tmp_path / "clip.npz")
    with np.load(path) as file:
        expected = np.zeros((3, 156))
        expected[:, 0] = np.pi / 2
        np.testing.assert_allclose(file["poses"], expected, atol=1e-6)
    joints = posed(path)
    assert joints[:, SMPL22.index("head"), 2].min() > 1.4  # up is Z
    toes_from_ankles = joints[:, SMPL22.index("left_foot")] - joints[:, SMPL22.index("left_ankle")]
    assert toes_from_ankles[:, 1].max() < -0.1  # facing our +Z is facing -Y
    across = joints[:, SMPL22.index("left_hip")] - joints[:, SMPL22.index("right_hip")]
    assert across[:, 0].min() > 0.1


@pytest.mark.parametrize("people", [1, 2])
def test_everything_comes_back(tmp_path, people):
    motion = waving(people, 6)
    again = smpl.read(*smpl.write(motion, tmp_path / "clip.smpl.npz"))
    np.testing.assert_allclose(again.positions, motion.positions, atol=1e-5)
    np.testing.assert_allclose(again.rotations, motion.rotations, atol=1e-5)
    assert (again.fps, again.caption, again.num_people) == (30.0, CAPTION, people)
    assert type(again.fps) is float and type(again.caption) is str


def test_another_rest_pose_is_turned_into_smpls(tmp_path):
    """A body whose rest pose is bowed, with hanging arms, is the same body in its positions."""
    motion = waving(1, 8)
    bow = Rotation.from_rotvec([0.4, 0, 0]).as_matrix()
    hang = Rotation.from_rotvec([0, 0, -1.2]).as_matrix()
    offsets = SMPL22.offsets @ bow.T
    for name in ("left_elbow", "left_wrist"):
        offsets[SMPL22.index(name)] = hang @ SMPL22.offsets[SMPL22.index(name)]
    bowed = replace(motion, skeletons=(SMPL22.with_offsets(offsets),))
    posed_like_smpl = in_rest_of(SMPL22, bowed)
    np.testing.assert_allclose(posed_like_smpl.positions, bowed.positions, atol=1e-5)
    np.testing.assert_allclose(posed_like_smpl.skeletons[0].offsets, SMPL22.offsets, atol=1e-9)
    assert_same_place(smpl.write(bowed, tmp_path / "clip.npz"), bowed)


@needs_recordings
def test_other_skeletons_are_mapped_onto_smpl(tmp_path):
    motion = bvh.read(list(files("18_01"))).frames(0, 30)
    assert not motion.skeletons[0].same_tree(SMPL22)
    paths = smpl.write(motion, tmp_path / "clip.npz")
    assert_same_place(paths, to_smpl22(motion))


def test_skeletons_without_limbs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no left knee"):
        smpl.write(waving(1, 4, TAIL), tmp_path / "clip.npz")


def foreign(path, **arrays):
    """A file as other programs write it, without our extra arrays."""
    basic = {
        "poses": np.tile([np.pi / 2, 0, 0] + [0.0] * 153, (5, 1)),
        "trans": np.tile([1.0, 2.0, 3.0], (5, 1)),
        "betas": np.zeros(16),
        "gender": np.array("female"),
        "mocap_framerate": np.float64(120),
    }
    arrays = {name: array for name, array in (basic | arrays).items() if array is not None}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "pelvis"),
    [
        ({}, [-0.0009, -0.2114, 0.0278]),
        ({"gender": np.array([b"male"]), "caption": np.array(b"\xff")}, [-0.0022, -0.2408, 0.0286]),
        ({"gender": None, "poses": np.tile([np.pi / 2] + [0.0] * 71, (5, 1))}, None),
        (
            {
                "surface_model_type": np.array("smplx_locked_head"),
                "poses": np.tile([np.pi / 2] + [0.0] * 164, (5, 1)).astype(np.float32),
                "mocap_framerate": None,
                "mocap_frame_rate": np.array(120),
            },
            [0.0031, -0.3514, 0.0120],
        ),
    ],
    ids=["smplh", "bytes", "smpl", "smplx"],
)
def test_amass_files_are_read(tmp_path, arrays, pelvis):
    motion = smpl.read(foreign(tmp_path / "amass.npz", **arrays))
    x, y, z = np.array([1.0, 2.0, 3.0]) + (pelvis or [-0.0018, -0.2233, 0.0282])
    np.testing.assert_allclose(motion.root_positions[0, 0], [x, z, -y], atol=1e-5)
    np.testing.assert_allclose(motion.rotations[0, 0], np.tile(np.eye(3), (22, 1, 1)), atol=1e-6)
    assert motion.fps == 120 and motion.num_frames == 5
    assert motion.positions[0, 0, SMPL22.index("head"), 1] > z + 0.5


def test_files_are_told_apart(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    npz.write(standing(1), tmp_path / "ours.npz")
    assert smpl.is_smpl(foreign(tmp_path / "amass.npz"))
    assert not smpl.is_smpl(tmp_path / "ours.npz")
    assert not smpl.is_smpl(tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError):
        smpl.is_smpl(tmp_path / "nothing.npz")


def spoilt(shape, value):
    array = np.zeros(shape)
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"poses": None, "trans": None}, "no array named poses, trans"),
        ({"mocap_framerate": None}, "no array named mocap_framerate"),
        ({"mocap_framerate": np.float64(0)}, "mocap_framerate is 0"),
        ({"caption": np.array(1.5)}, "caption has the wrong type"),
        ({"mocap_framerate": np.float64("nan")}, "mocap_framerate holds values"),
        ({"mocap_framerate": np.array([30.0, 30.0])}, "mocap_framerate has shape"),
        ({"mocap_framerate": np.array("fast")}, "mocap_framerate has the wrong type"),
        ({"poses": np.zeros((5, 63))}, r"poses has shape \(5, 63\)"),
        ({"poses": np.zeros((5, 67))}, r"poses has shape \(5, 67\)"),
        ({"poses": np.zeros((5, 52, 3))}, "poses has shape"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "poses has shape"),
        ({"poses": np.float64(0)}, "poses has shape"),
        ({"poses": spoilt((5, 156), np.nan)}, "poses holds values"),
        ({"poses": np.zeros((5, 156), complex)}, "poses has the wrong type"),
        ({"trans": np.zeros((4, 3))}, r"trans has shape \(4, 3\), not \(5, 3\)"),
        ({"trans": spoilt((5, 3), 1e9)}, "trans holds values"),
        ({"offsets": np.zeros((21, 3))}, "offsets has shape"),
        ({"gender": np.array(["female", None])}, "gender holds Python objects"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, arrays, sentence):
    path = foreign(tmp_path / "amass.npz", **arrays)
    with pytest.raises(ValueError, match=sentence) as raised:
        smpl.read(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_partners_of_other_length_are_refused(tmp_path):
    one = foreign(tmp_path / "one.npz")
    other = foreign(tmp_path / "other.npz", mocap_framerate=np.float64(60))
    with pytest.raises(ValueError, match="differ in length"):
        smpl.read(one, other)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "clip.npz"
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("poses.npy", "no array")
    for content in (b"", b"HIERARCHY\n", (tmp_path / "text.zip").read_bytes(), b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"clip\.npz can't be read as an SMPL \.npz file"):
            smpl.read(path)
    with pytest.raises(FileNotFoundError):
        smpl.read(tmp_path / "nothing.npz")


@examples(150)
@given(data=st.data())
def test_damaged_files_never_surprise(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(smpl.write(standing(1, 2), folder / "whole.npz")[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged.npz").write_bytes(bytes(content))
    with suppress(ValueError, OSError):
        assert isinstance(smpl.read(folder / "damaged.npz"), Interaction)
