from dataclasses import replace

import numpy as np
import pytest
from motions import waving

from duomotion.data.interhuman import Clip
from duomotion.data.windows import SOLO_RADIUS, WindowConfig, WindowSampler, joint_map
from duomotion.motion.canonical import facing, transform
from duomotion.motion.interhuman import INTERHUMAN, mirror_pair
from duomotion.motion.rotations import (
    matrix_to_sixd_interleaved,
    yaw,
)
from duomotion.motion.skeleton import SMPL22

PLAIN = WindowConfig(frames=16, mirror=False, floor="keep")


def clip(people=2, frames=100, name="clip"):
    """People who walk about, away from the origin; each millimetre of height names a frame."""
    motion = waving(people, frames)
    motion = transform(motion, yaw(0.8), np.array([3.0, 0, -2.0]))
    positions = motion.positions.copy()
    positions[..., 1] += 2 + 1e-3 * np.arange(frames)[:, None]
    positions[..., 1] += 0.5 * np.arange(people)[:, None, None]
    positions[..., 1] -= motion.root_positions[..., None, 1]
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    return Clip(name, positions, sixd, ("they wave",))


def where_from(window, source):
    """Person and first frame of a window (frames, 22, 12), told by the height of the root."""
    height = window[0, 0, 1] - 2
    person = int(height > 0.4)
    return person, round((height - 0.5 * person) * 1000)


def view(window, source):
    """Angle and origin (x, z) of the world in which a window shows a clip's person."""
    person, start = where_from(window, source)
    original = source.positions[person, start : start + len(window)].astype(float)
    shown = window[..., :3].astype(float)
    arm, seen = (x[0, 20, [0, 2]] - x[0, 21, [0, 2]] for x in (original, shown))
    angle = np.arctan2(seen[0], seen[1]) - np.arctan2(arm[0], arm[1])
    turn = yaw(angle)
    origin = original[0, 0] - turn.T @ shown[0, 0]
    np.testing.assert_allclose((original - origin) @ turn.T, shown, atol=1e-4)
    return person, start, -angle, origin[[0, 2]]


def test_windows_are_stretches_of_the_clip_seen_by_an_earlier_leader():
    source = clip()
    config = replace(PLAIN, reach=40)
    windows = WindowSampler([source], config).draw(120, np.random.default_rng(0))
    assert windows.shape == (120, 16, 22, 12) and windows.dtype == np.float32
    seen = set()
    for window in windows:
        person, start, angle, origin = view(window, source)
        leaders = source.positions[:, :, 0, ::2]
        distance = np.linalg.norm(leaders - origin, axis=-1)
        leader, first = np.unravel_index(distance.argmin(), distance.shape)
        assert distance.min() < 1e-3
        turned = facing(source.positions[leader, first], SMPL22)
        assert np.cos(turned - angle) > 0.9999
        assert max(0, start + 16 - 40) <= first <= start
        seen.add((person, int(leader)))
        assert 0 <= start <= 100 - 17
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_rotations_and_velocities_belong_to_the_positions():
    source = clip()
    for window in WindowSampler([source], PLAIN).draw(10, np.random.default_rng(1)):
        person, start = where_from(window, source)
        np.testing.assert_array_equal(window[:, 1:, 6:], source.sixd[person, start : start + 16])
        assert not window[:, 0, 6:].any()
        np.testing.assert_allclose(window[:-1, :, 3:6], np.diff(window[..., :3], axis=0), atol=1e-5)


def test_the_same_generator_draws_the_same_windows():
    sampler = WindowSampler([clip(), clip(1, 40)], WindowConfig(frames=16))
    one, same, other = (sampler.draw(8, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_half_of_the_windows_are_mirrored_as_a_whole():
    sampler = WindowSampler([clip()], replace(PLAIN, mirror=True))
    flipped = 0
    for window in sampler.draw(200, np.random.default_rng(2)):
        chosen = clip()
        person, start = where_from(window, chosen)
        left, right = (
            np.linalg.norm(window[:, j, :3] - window[:, 0, :3], axis=-1) for j in (20, 21)
        )
        source = chosen.positions[person, start : start + 16]
        arm = np.linalg.norm(source[:, 20] - source[:, 0], axis=-1)
        is_mirrored = np.abs(right - arm).max() < np.abs(left - arm).max()
        flipped += is_mirrored
        sixd = chosen.sixd[person, start : start + 16]
        if is_mirrored:
            _, sixd = mirror_pair(np.zeros((16, 22, 3)), sixd)
        np.testing.assert_allclose(window[:, 1:, 6:], sixd, atol=1e-6)
    assert 70 < flipped < 130


def test_a_person_alone_is_also_placed_where_a_partner_would_be():
    source = clip(people=1)
    windows = WindowSampler([source], replace(PLAIN, reach=16)).draw(300, np.random.default_rng(3))
    offsets = windows[:, 0, 0, [0, 2]]
    distance = np.linalg.norm(offsets, axis=-1)
    assert 0.35 < (distance < 1e-4).mean() < 0.65
    assert np.abs(offsets).max() <= SOLO_RADIUS * 2**0.5
    assert (offsets.min(0) < -1).all() and (offsets.max(0) > 1).all()
    angles = facing(windows[:, 0, :, :3], SMPL22)[distance > 1e-4]
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 10


def test_everyone_stands_on_their_own_floor():
    motion = waving(2, 100)
    positions = motion.positions.copy()
    lowest = positions[..., 1].min((1, 2))
    positions[..., 1] += (np.array([0.5, -0.3]) - lowest)[:, None, None]
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    source = Clip("clip", positions, sixd, ("they wave",))
    for floor, expected in (("each", [0, 0]), ("keep", [0.5, -0.3])):
        config = WindowConfig(frames=99, floor=floor, mirror=False, people=2)
        pairs = WindowSampler([source], config).draw(8, np.random.default_rng(0))
        found = np.sort(pairs[..., 1].min((1, 2)).reshape(4, 2), axis=1)
        np.testing.assert_allclose(found, np.sort([expected] * 4, axis=1), atol=1e-2)
        whole = INTERHUMAN.encode_pair(positions, sixd, floor=floor)[..., :66].reshape(2, 99, 22, 3)
        heights = {tuple(window[:, 0, 1].round(4)) for window in pairs}
        assert heights <= {tuple(person[:, 0, 1].round(4)) for person in whole}


def test_heights_can_be_kept():
    source = clip(people=1)
    for window in WindowSampler([source], PLAIN).draw(20, np.random.default_rng(4)):
        _, start = where_from(window, source)
        np.testing.assert_allclose(
            window[..., 1], source.positions[0, start : start + 16, :, 1], atol=1e-5
        )


def test_clips_that_are_too_short_are_left_out():
    clips = [clip(1, 16), clip(1, 40)]
    clips[0].positions[..., 1] += 10
    windows = WindowSampler(clips, PLAIN).draw(50, np.random.default_rng(5))
    assert (windows[..., 1] < 5).all()
    assert WindowSampler([clip(1, 17)], PLAIN).draw(2, np.random.default_rng(5)).shape[1] == 16
    with pytest.raises(ValueError, match="no clip is as long as a window of 16 frames"):
        WindowSampler(clips[:1], PLAIN)


def test_longer_clips_are_drawn_more_often():
    clips = [clip(2, 30), clip(1, 120), clip(1, 60)]
    for number, source in enumerate(clips):
        source.positions[..., 1] += 10 * number
    sampler = WindowSampler(clips, PLAIN)
    assert sampler.num_windows == 2 * 2 + 11 + 5  # every 10 of the 14, 104 and 44 first frames
    assert WindowSampler(clips, replace(PLAIN, mirror=True)).num_windows == 40
    windows = sampler.draw(2000, np.random.default_rng(6))
    share = np.bincount((windows[:, 0, 0, 1] // 10).astype(int)) / 2000
    np.testing.assert_allclose(share, np.array([28, 104, 44]) / 176, atol=0.05)


def test_joint_map_of_many_people():
    source = clip()
    joints = joint_map(source.positions, source.sixd)
    assert joints.shape == (2, 99, 22, 12)
    np.testing.assert_array_equal(joints[..., :3], source.positions[:, :-1])
    np.testing.assert_allclose(
        joints[..., :3] + joints[..., 3:6], source.positions[:, 1:], atol=1e-6
    )


def test_clips_themselves_stay_as_they_were():
    source = clip()
    before = source.positions.copy(), source.sixd.copy()
    WindowSampler([source], WindowConfig(frames=16)).draw(50, np.random.default_rng(7))
    np.testing.assert_array_equal(source.positions, before[0])
    np.testing.assert_array_equal(source.sixd, before[1])


def test_a_full_sized_draw_is_quick_enough_to_feed_a_network():
    sampler = WindowSampler([clip(2, 200)], WindowConfig())
    assert sampler.draw(64, np.random.default_rng(8)).shape == (64, 64, 22, 12)
    assert sampler.num_windows == 2 * 2 * 14


def test_windows_of_both_people_show_them_in_one_world_one_after_the_other():
    source = clip()
    config = replace(PLAIN, people=2)
    windows = WindowSampler([source], config).draw(40, np.random.default_rng(0))
    assert windows.shape == (40, 16, 22, 12)
    order = set()
    for pair in windows.reshape(20, 2, 16, 22, 12):
        one, other = (view(window, source) for window in pair)
        assert {one[0], other[0]} == {0, 1} and one[1] == other[1]
        np.testing.assert_allclose(np.exp(1j * one[2]), np.exp(1j * other[2]), atol=1e-4)
        np.testing.assert_allclose(one[3], other[3], atol=1e-3)
        order.add(one[0])
    assert order == {0, 1}
    with pytest.raises(ValueError, match="1 person"):
        WindowSampler([clip(people=1)], config)
