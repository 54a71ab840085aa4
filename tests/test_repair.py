from dataclasses import replace

import numpy as np
import pytest
from motions import waving
from scipy.spatial.transform import Rotation

from duomotion.motion.repair import remove_spikes, smooth, spikes
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22

LEFT_ELBOW, SPINE1 = SMPL22.index("left_elbow"), SMPL22.index("spine1")
JUMP = Rotation.from_rotvec([0, 0, 0.6]).as_matrix()


def jumping(motion, person, joint, frames):
    rotations = motion.rotations.copy()
    rotations[person, frames, joint] = rotations[person, frames, joint] @ JUMP
    return replace(motion, rotations=rotations)


def off(motion, other):
    """The largest angle in degrees between the joints of two motions."""
    turn = motion.rotations.swapaxes(-1, -2).astype(float) @ other.rotations
    return np.degrees(Rotation.from_matrix(turn.reshape(-1, 3, 3)).magnitude().max())


@pytest.mark.parametrize("frames", [[30], [30, 31], [30, 45]])
def test_a_joint_that_jumps_is_interpolated(frames):
    sound = waving(2, 90)
    broken = jumping(sound, 1, LEFT_ELBOW, frames)
    assert off(broken, sound) > 30
    mended = remove_spikes(broken)
    assert off(mended, sound) < 1
    assert spikes(broken.rotations)[1, :, LEFT_ELBOW].any()
    assert not spikes(mended.rotations).any()


def test_what_does_not_jump_stays_as_it_is():
    sound = waving(2, 90)
    assert np.array_equal(remove_spikes(sound).rotations, sound.rotations)
    mended = remove_spikes(jumping(sound, 1, LEFT_ELBOW, [30]))
    far = [joint for joint, name in enumerate(SMPL22.names) if "right" in name or "hip" in name]
    assert np.array_equal(mended.rotations[0], sound.rotations[0])
    assert np.array_equal(mended.rotations[1][:, far], sound.rotations[1][:, far])
    assert np.array_equal(mended.rotations[1, :25], sound.rotations[1, :25])


def test_joints_that_make_up_for_a_jump_are_mended_with_it():
    """The pelvis jumps and moves, the joints around it take the jump back: nothing is seen."""
    sound = waving(1, 90)
    rotations, roots = sound.rotations.copy(), sound.root_positions.copy()
    rotations[0, 40:, 0] = rotations[0, 40:, 0] @ JUMP
    roots[0, 40] += 0.02
    for joint in SMPL22.children[0]:
        rotations[0, 40:, joint] = JUMP.T @ rotations[0, 40:, joint]
    broken = replace(sound, rotations=rotations, root_positions=roots)
    acceleration = joint_motion(remove_spikes(broken).positions.astype(float))[1].max()
    assert acceleration < 2 * joint_motion(broken.positions.astype(float))[1].max()
    assert not spikes(remove_spikes(broken).rotations).any()


def test_at_an_end_the_nearest_sound_frame_is_repeated():
    mended = remove_spikes(jumping(waving(1, 90), 0, LEFT_ELBOW, [1]))
    own = mended.rotations[0, :, LEFT_ELBOW]
    same = [np.allclose(own[0], frame, atol=1e-6) for frame in own[:10]]
    assert same == [True] * 6 + [False] * 4
    assert off(mended.frames(5, 90), waving(1, 90).frames(5, 90)) < 1e-2


def test_smoothing_takes_out_trembling_and_leaves_rotations():
    sound = waving(1, 90)
    noise = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.03, (90 * 22, 3)))
    rotations = sound.rotations @ noise.as_matrix().reshape(1, 90, 22, 3, 3)
    calm = smooth(replace(sound, rotations=rotations), 1.0)
    trembling = joint_motion(replace(sound, rotations=rotations).positions.astype(float))[1].mean()
    assert joint_motion(calm.positions.astype(float))[1].mean() < 0.4 * trembling
    product = calm.rotations @ calm.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-5)
