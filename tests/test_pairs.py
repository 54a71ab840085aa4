import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import waving

from duomotion.data.interhuman import Clip
from duomotion.data.pairs import PairConfig, draw_example, replay_times
from duomotion.motion.interhuman import INTERHUMAN, mirror_pair
from duomotion.motion.rotations import matrix_to_sixd_interleaved

PLAIN = PairConfig(mirror=False)


@pytest.fixture(scope="module")
def clip():
    motion = waving(2, 60)
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    captions = ("One lifts the left arm.", "A left turn of both.")
    return Clip("dance", motion.positions, sixd, captions)


def draws(clip, config, count=60):
    rng = np.random.default_rng(0)
    return [draw_example(clip, config, rng) for _ in range(count)]


def test_both_orders_of_the_people_come_with_all_captions(clip):
    one = INTERHUMAN.encode_pair(clip.positions, clip.sixd)
    other = INTERHUMAN.encode_pair(clip.positions[::-1], clip.sixd[::-1])
    seen = set()
    for example in draws(clip, PLAIN):
        order = next(
            k for k, pair in enumerate((one, other)) if np.allclose(pair, example.features)
        )
        seen.add(order)
        assert example.captions == clip.captions
        assert example.name == "dance" and example.features.dtype == np.float32
    assert seen == {0, 1}


def test_motion_and_caption_are_mirrored_together(clip):
    plain = [
        INTERHUMAN.encode_pair(clip.positions[o], clip.sixd[o])
        for o in (slice(None), slice(None, None, -1))
    ]
    positions, sixd = mirror_pair(clip.positions, clip.sixd)
    mirrored = [
        INTERHUMAN.encode_pair(positions[o], sixd[o]) for o in (slice(None), slice(None, None, -1))
    ]
    sides = []
    for example in draws(clip, PairConfig()):
        left = "left" in example.captions[0]
        assert all(("left" in c) == left and ("right" in c) != left for c in example.captions)
        expected = plain if left else mirrored
        assert any(np.allclose(pair, example.features, atol=1e-5) for pair in expected)
        sides.append(left)
    assert 0.3 < np.mean(sides) < 0.7


def stretch(clip, order, start, frames):
    cut = slice(start, start + frames)
    return INTERHUMAN.encode_pair(
        clip.positions[::order, cut], clip.sixd[::order, cut], floor="keep"
    )


def test_long_clips_are_cut_to_a_random_stretch(clip):
    examples = draws(clip, PairConfig(max_frames=20, mirror=False, floor="keep"))
    assert all(example.features.shape == (2, 20, 262) for example in examples)
    stretches = {
        (order, start): stretch(clip, order, start, 21) for order in (1, -1) for start in range(40)
    }
    starts = set()
    for example in examples:
        found = [
            key for key, pair in stretches.items() if np.allclose(example.features, pair, atol=1e-5)
        ]
        assert len(found) == 1
        starts.update(found)
    assert len(starts) > 20


def test_shares_of_a_clip(clip):
    lengths = [
        example.features.shape[1]
        for example in draws(clip, PairConfig(shortest=0.5, mirror=False), 200)
    ]
    assert 29 <= min(lengths) <= 32 and 57 <= max(lengths) <= 59


def test_floors(clip):
    raised = clip.positions + np.array([0, 1.0, 0])
    lifted = Clip(clip.name, raised, clip.sixd, clip.captions)
    for floor, height in (("each", 0.0), ("keep", raised[..., 1].min())):
        example = draw_example(
            lifted, PairConfig(mirror=False, floor=floor), np.random.default_rng(0)
        )
        lowest = example.features[..., INTERHUMAN.blocks.positions].reshape(-1, 3)[:, 1].min()
        assert lowest == pytest.approx(height, abs=0.05)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_another_tempo_changes_length_and_velocity(clip, speed):
    config = PairConfig(mirror=False, tempo=(speed, speed), floor="keep")
    example = draw_example(clip, config, np.random.default_rng(3))
    played = INTERHUMAN.encode_pair(clip.positions, clip.sixd, floor="keep")
    if not np.allclose(example.features[0, 0, :66], played[0, 0, :66], atol=1e-5):
        played = INTERHUMAN.encode_pair(clip.positions[::-1], clip.sixd[::-1], floor="keep")
    frames = example.features.shape[1]
    assert frames == pytest.approx(59 / speed, abs=1.5)
    at = np.arange(frames) * speed
    low = np.minimum(at.astype(int), 57)
    part = (at - low)[:, None]
    for person in (0, 1):
        between = played[person, low] * (1 - part) + played[person, low + 1] * part
        np.testing.assert_allclose(example.features[person, :-1, :66], between[:-1, :66], atol=1e-4)
    inner = slice(66, 132)
    ratio = np.abs(example.features[..., inner]).sum() / np.abs(played[..., inner]).sum()
    assert ratio == pytest.approx(1.0, abs=0.05)  # shorter by as much as it is faster


def test_tempo_is_drawn_between_its_bounds(clip):
    config = PairConfig(mirror=False, tempo=(0.5, 2.0))
    lengths = [example.features.shape[1] for example in draws(clip, config, 200)]
    assert 28 <= min(lengths) < 35 and 100 < max(lengths) <= 118


def test_the_same_generator_draws_the_same_example(clip):
    config = PairConfig(tempo=(0.8, 1.2), shortest=0.7)
    one, same = (draw_example(clip, config, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.features, same.features)
    assert one.captions == same.captions


def test_sizes_scale_people_and_what_is_between_them(clip):
    config = PairConfig(mirror=False, scale=(0.8, 0.8), floor="keep")
    made = draw_example(clip, config, np.random.default_rng(3)).features
    positions = [0.8 * clip.positions[order] for order in ([0, 1], [1, 0])]
    expected = [
        INTERHUMAN.encode_pair(scaled, clip.sixd[order], floor="keep")
        for scaled, order in zip(positions, ([0, 1], [1, 0]), strict=True)
    ]
    assert any(np.allclose(pair, made, atol=1e-5) for pair in expected)


@given(
    frames=st.integers(2, 400),
    seed=st.integers(0, 2**32 - 1),
    change=st.sampled_from([0.0, 0.1, 0.3]),
    tempo=st.sampled_from([(1.0, 1.0), (0.7, 1.4)]),
)
def test_replayed_time_goes_on_within_the_recording(frames, seed, change, tempo):
    config = PairConfig(tempo=tempo, tempo_change=change)
    times = replay_times(frames, config, np.random.default_rng(seed))
    assert times[0] == 0 and times[-1] <= frames - 1
    assert (np.diff(times) > 0).all()
    if len(times) > 30:
        assert 0.2 < np.diff(times).mean() < 5


def test_the_tempo_changes_within_an_example():
    config = PairConfig(tempo_change=0.2)
    speeds = np.diff(replay_times(300, config, np.random.default_rng(0)))
    assert 0.05 < np.log(speeds).std() < 0.4
    assert np.abs(np.diff(np.log(speeds))).max() < 0.05


def test_as_recorded_is_the_clip_itself(clip):
    config = PairConfig(tempo=(0.5, 2), tempo_change=0.2, scale=(0.5, 2), shortest=0.3)
    made = draw_example(clip, config.as_recorded, np.random.default_rng(3)).features
    plain = [
        INTERHUMAN.encode_pair(clip.positions[order], clip.sixd[order])
        for order in ([0, 1], [1, 0])
    ]
    assert any(np.array_equal(pair, made) for pair in plain)
