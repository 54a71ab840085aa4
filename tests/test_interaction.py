import numpy as np
import pytest
from motions import TAIL, standing, waving

from duomotion.motion.canonical import resample
from duomotion.motion.interaction import Interaction, Reading, together
from duomotion.motion.kinematics import forward_kinematics
from duomotion.motion.retarget import to_kit21
from duomotion.motion.skeleton import SMPL22, Skeleton


def test_positions_follow_from_rotations_and_own_bone_lengths():
    motion = waving()
    assert motion.positions.shape == (2, 20, 22, 3)
    assert motion.positions.dtype == np.float32
    for person, skeleton in enumerate(motion.skeletons):
        expected = forward_kinematics(
            motion.root_positions[person], motion.rotations[person], skeleton.offsets, skeleton
        )
        np.testing.assert_allclose(motion.positions[person], expected, atol=1e-5)


def test_identity_rotations_are_a_t_pose_that_faces_z():
    positions = standing(1, 1).positions[0, 0]
    joint = {name: positions[index] for index, name in enumerate(SMPL22.names)}
    assert joint["left_wrist"][0] > 0.6 and joint["right_wrist"][0] < -0.6
    assert joint["left_wrist"][1] == pytest.approx(joint["left_shoulder"][1], abs=0.05)
    assert joint["left_foot"][2] > joint["left_ankle"][2]
    assert joint["head"][1] > 1.4
    assert positions[:, 1].min() == pytest.approx(0, abs=1e-6)


def test_the_average_body_is_symmetric():
    mirrored = SMPL22.offsets[SMPL22.mirrored] * [-1, 1, 1]
    np.testing.assert_array_equal(mirrored, SMPL22.offsets)
    assert sorted(SMPL22.mirrored) == list(range(22))


def test_counts_and_stretches():
    motion = waving(2, 20)
    assert (motion.num_people, motion.num_frames) == (2, 20)
    assert motion.seconds == pytest.approx(20 / 30)
    part = motion.frames(5, 12)
    np.testing.assert_array_equal(part.positions, motion.positions[:, 5:12])
    second = motion.person(1)
    assert second.num_people == 1 and second.skeletons == (motion.skeletons[1],)
    np.testing.assert_array_equal(second.positions[0], motion.positions[1])
    assert part.caption == second.caption == motion.caption
    assert motion.with_caption("they wave").caption == "they wave"


def test_what_a_caption_was_read_as_goes_with_it():
    reading = Reading("wave", 0.8, True)
    motion = waving(2, 20).with_caption("they wave", reading)
    bodies = (motion.frames(5, 12), motion.person(1), resample(motion, 20), to_kit21(motion))
    for other in bodies:
        assert (other.caption, other.reading) == ("they wave", reading)
    assert motion.with_caption("they bow").reading is None


def test_reordering_joints_changes_no_position():
    motion = waving(2, 5, TAIL)
    names = ("base", "link_a", "fork", "link_b", "tip")
    other = Skeleton(names, (-1, 0, 1, 1, 3), TAIL.offsets[[0, 1, 4, 2, 3]])
    reordered = motion.reordered(other)
    assert reordered.skeletons[0].same_tree(other)
    order = [TAIL.index(name) for name in names]
    np.testing.assert_allclose(reordered.positions, motion.positions[:, :, order], atol=1e-6)


def test_together_undoes_person():
    motion = waving()
    both = together([motion.person(0), motion.person(1)])
    np.testing.assert_array_equal(both.positions, motion.positions)
    assert both.skeletons == motion.skeletons


def test_people_who_do_not_fit_are_refused():
    motion = waving(1, 20)
    with pytest.raises(ValueError, match="20 frames at 30 fps and 19 at 30"):
        together([motion, waving(1, 19)])
    with pytest.raises(ValueError, match="different skeletons"):
        together([motion, waving(1, 20, TAIL)])


def test_from_positions_meets_the_positions():
    motion = waving(2, 15)
    twisted = Interaction.from_positions(
        motion.positions, motion.rotations.astype(float), fps=24.0, caption="wave"
    )
    np.testing.assert_allclose(twisted.positions, motion.positions, atol=2e-3)
    assert (twisted.fps, twisted.caption) == (24.0, "wave")
    plain = Interaction.from_positions(motion.positions)
    np.testing.assert_allclose(plain.positions, motion.positions, atol=2e-3)


def test_save_and_load_choose_by_suffix(tmp_path):
    motion = waving(2, 5)
    for suffix in (".npz", ".bvh", ".NPZ"):
        path = tmp_path / f"clip{suffix}"
        motion.save(path)
        again = Interaction.load(path)
        assert again.skeletons[0].same_tree(SMPL22)
        np.testing.assert_allclose(again.positions, motion.positions, atol=1e-4)
    for path in ("clip.obj", "clip"):
        with pytest.raises(ValueError, match=r"suffix must be one of \.smpl\.npz, \.npz, \.bvh"):
            motion.save(tmp_path / path)
    with pytest.raises(ValueError, match=r"can't read \.obj"):
        Interaction.load(tmp_path / "clip.obj")
    with pytest.raises(FileNotFoundError):
        Interaction.load(tmp_path / "nothing.bvh")


def test_unknown_joints_are_named():
    with pytest.raises(ValueError, match="no joint 'tail' in this skeleton; it has pelvis, "):
        SMPL22.index("tail")


def test_skeleton_facts():
    assert TAIL.bones == [(1, 0), (2, 1), (3, 2), (4, 1)]
    assert TAIL.children == ((1,), (2, 4), (3,), (), ())
    assert [level.tolist() for level in TAIL.levels] == [[0], [1], [2, 4], [3]]
    np.testing.assert_allclose(TAIL.rest_positions[3], [0.6, 0.5, 0.1])
    longer = TAIL.with_offsets(TAIL.offsets * 2)
    assert longer.same_tree(TAIL) and not longer.same_tree(SMPL22)
    with pytest.raises(AssertionError):
        Skeleton(("a", "b"), (-1, 1), np.zeros((2, 3)))
