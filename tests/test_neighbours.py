import numpy as np
import pytest
from motions import swaying
from recordings import needs_recordings, take

from duomotion.evaluation.metrics.neighbours import Library, nearest, windows
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22


def elsewhere(positions: np.ndarray) -> np.ndarray:
    return positions @ yaw(2.0).T + np.array([3.0, 0, -4.0])


def mirrored(positions: np.ndarray) -> np.ndarray:
    return (positions * np.array([-1.0, 1, 1]))[:, :, SMPL22.mirrored]


CLIPS = {f"clip{seed}": swaying(seed) for seed in range(5)}


@pytest.mark.parametrize(
    "view",
    [elsewhere, mirrored, lambda p: p[::-1], lambda p: elsewhere(mirrored(p)[::-1])],
    ids=["moved and turned", "mirrored", "swapped", "all of it"],
)
def test_a_copy_is_found_however_it_is_shown(view):
    name, distance = nearest(view(CLIPS["clip3"]), CLIPS)
    assert name == "clip3"
    assert distance < 0.01


def test_distance_is_the_mean_distance_of_joints_in_mm():
    clip = CLIPS["clip1"]
    raised = clip + np.array([0, 0.05, 0])
    assert nearest(raised, {"clip1": clip})[1] == pytest.approx(50, abs=0.1)
    tall = clip.copy()
    tall[1, :, :11, 1] += 0.08  # half of the second person's joints: a quarter of all
    assert nearest(tall, {"clip1": clip})[1] == pytest.approx(20, abs=0.1)


def test_a_noisy_copy_out_of_phase_is_nearer_than_other_clips():
    noisy = CLIPS["clip2"][:, 4:] + np.random.default_rng(0).normal(0, 0.01, (2, 71, 22, 3))
    name, distance = nearest(noisy, CLIPS)
    others = {other: clip for other, clip in CLIPS.items() if other != "clip2"}
    assert name == "clip2"
    assert distance < 50 < 2 * distance + 50 < nearest(noisy, others)[1]


def test_the_bound_loses_no_neighbour():
    library, query = Library.of(CLIPS.items()), swaying(9)
    every = [
        np.linalg.norm(window - library.windows, axis=-1).mean((1, 2))
        for seen in (query, query[::-1], mirrored(query), mirrored(query)[::-1])
        for window in windows(seen)
    ]
    best = np.min(every, axis=0)
    name, distance = library.nearest(query)
    assert distance == pytest.approx(best.min() * 1000, rel=1e-5)
    assert name == library.names[best.argmin()]


@pytest.mark.parametrize("fps", [20.0, 30.0])
def test_one_person(fps):
    clips = {name: clip[:1] for name, clip in CLIPS.items()}
    library = Library.of(clips.items(), fps)
    assert library.windows.shape[1:] == (15, 22, 3)
    for view in (elsewhere, mirrored, lambda p: elsewhere(mirrored(p))):
        name, distance = library.nearest(view(clips["clip3"]))
        assert name == "clip3"
        assert distance < 0.01
    query = swaying(9)[:1]
    every = [
        np.linalg.norm(window - library.windows, axis=-1).mean((1, 2))
        for seen in (query, mirrored(query))
        for window in windows(seen, fps)
    ]
    assert library.nearest(query)[1] == pytest.approx(np.min(every) * 1000, rel=1e-5)


def test_windows_start_at_the_origin_facing_ahead():
    shown = windows(elsewhere(SMPL22.rest_positions + np.array([[[[0, 1.0, 0]]]] * 2)[:, [0] * 60]))
    assert shown.shape == (3, 15, 44, 3)
    np.testing.assert_allclose(shown[:, :, 0], [[[0, 1, 0]] * 15] * 3, atol=1e-5)
    left, right = SMPL22.index("left_hip"), SMPL22.index("right_hip")
    across = shown[:, :, left] - shown[:, :, right]
    np.testing.assert_allclose(across, [[[0.118, 0, 0]] * 15] * 3, atol=1e-5)


def test_the_end_of_a_short_clip_is_held():
    short = swaying(0, frames=40)
    (window,) = windows(short)
    assert window.shape == (15, 44, 3)
    np.testing.assert_array_equal(window[-1], window[-2])  # frames 42 and 39
    assert nearest(short, {"clip0": short})[1] < 0.01


def test_without_clips_there_is_none_nearest():
    with pytest.raises(ValueError, match="no clips"):
        nearest(CLIPS["clip0"], {})


@needs_recordings
def test_real_neighbours():
    clips = {name: take(name).positions for name in ("20_01", "18_03", "22_05", "20_06", "18_01")}
    dance = take("18_15").positions
    name, distance = nearest(dance, clips)
    assert name == "20_01"  # the chicken dance too
    assert 25 < distance < 60
    noise = np.random.default_rng(0).normal(0, 0.01, clips["18_03"].shape)
    name, distance = nearest(clips["18_03"] + noise, clips)
    assert name == "18_03"
    assert distance < 25
