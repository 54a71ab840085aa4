"""Known motion: filling gaps, joining without jumps, tokens that are kept."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from motions import standing
from scipy.spatial.transform import Rotation

from duomotion.motion.canonical import facing, transform
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.rotations import yaw
from duomotion.motion.runs import runs
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.known import align_root_path, filled, impose, kept_tokens

MASKS = arrays.arrays(bool, st.integers(3, 50)).filter(lambda mask: mask.any())


def moving(frames, seed):
    """A smooth motion of one person."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, frames / 30, frames)[:, None]
    phase, rate = rng.uniform(0, 6, (2, 22 * 3))
    turns = Rotation.from_rotvec((0.3 * np.sin(phase + rate * time)).reshape(-1, 3)).as_matrix()
    roots = np.array([0, 0.9, 0]) + 0.3 * np.sin(time * rng.uniform(0.5, 3, 3))
    return Interaction(roots[None], turns.reshape(1, frames, 22, 3, 3), (SMPL22,))


@given(mask=MASKS)
def test_runs_cover_the_flags(mask):
    rebuilt = np.zeros_like(mask)
    for start, stop in runs(mask):
        assert start < stop and mask[start:stop].all()
        assert start == 0 or not mask[start - 1]
        rebuilt[start:stop] = True
    assert (rebuilt == mask).all()


@given(mask=MASKS, seed=st.integers(0, 9))
@settings(deadline=None)
def test_gaps_are_filled_between_known_frames(mask, seed):
    clip = moving(len(mask), seed)
    given_frames = np.flatnonzero(mask)
    whole = filled(clip, mask[None])
    np.testing.assert_allclose(
        whole.root_positions[0, mask], clip.root_positions[0, mask], atol=1e-6
    )
    np.testing.assert_allclose(whole.rotations[0, mask], clip.rotations[0, mask], atol=1e-5)
    for axis in range(3):
        literal = np.interp(
            np.arange(len(mask)), given_frames, clip.root_positions[0, given_frames, axis]
        )
        np.testing.assert_allclose(whole.root_positions[0, :, axis], literal, atol=1e-6)


@given(mask=MASKS, seeds=st.tuples(st.integers(0, 9), st.integers(10, 19)))
@settings(deadline=None)
def test_known_frames_are_exact_and_seams_do_not_show(mask, seeds):
    known, generated = (moving(len(mask), seed) for seed in seeds)
    made = impose(generated, known, mask[None])
    np.testing.assert_array_equal(made.root_positions[0, mask], known.root_positions[0, mask])
    np.testing.assert_array_equal(made.rotations[0, mask], known.rotations[0, mask])
    speed = np.linalg.norm(np.diff(made.root_positions[0], axis=0), axis=-1)
    both = np.concatenate([x.root_positions[0] for x in (known, generated)])
    apart = np.abs(known.root_positions - generated.root_positions).max()
    fastest = np.linalg.norm(np.diff(both, axis=0), axis=-1)[: len(mask) - 1].max()
    gaps = runs(~mask)
    shortest = min((stop - start for start, stop in gaps), default=99)
    # An offset fades over a few frames, or over the gap where that is shorter.
    assert speed.max() <= 6 * fastest + 4 * apart / min(shortest + 1, 4)


def test_an_open_end_goes_on_as_generated_from_where_the_known_motion_leaves_it():
    known, generated = moving(160, 1), moving(160, 2)
    mask = np.arange(160) < 30
    made = impose(generated, known, mask[None])
    off = (known.root_positions - generated.root_positions)[0, 29] * [1, 0, 1]
    there = generated.positions[:, 140:] + off
    np.testing.assert_allclose(made.positions[:, 140:], there, atol=1e-3)
    jump = np.linalg.norm(np.diff(made.positions[0], 2, axis=0), axis=-1).max(-1)
    apart = np.linalg.norm(known.positions - generated.positions, axis=-1).max()
    assert jump[28:31].max() < 0.15 * apart


def test_two_people_go_on_together_and_at_the_generated_distance():
    known, generated = (together([moving(160, seed), moving(160, seed + 5)]) for seed in (1, 2))
    mask = np.tile(np.arange(160) < 30, (2, 1))
    made = impose(generated, known, mask)
    off = (made.root_positions - generated.root_positions)[:, 140:]
    middle = (known.root_positions - generated.root_positions)[:, 29].mean(0) * [1, 0, 1]
    np.testing.assert_allclose(off, np.broadcast_to(middle, off.shape), atol=1e-3)


def test_a_bone_that_turns_about_itself_takes_nothing_along():
    known, generated = moving(90, 1), moving(90, 2)
    shoulder, elbow = SMPL22.index("left_shoulder"), SMPL22.index("left_elbow")
    along = SMPL22.offsets[elbow] / np.linalg.norm(SMPL22.offsets[elbow])
    half = Rotation.from_rotvec(np.pi * along).as_matrix()
    rotations = generated.rotations.copy()
    rotations[:, 35:, shoulder] = rotations[:, 35:, shoulder] @ half
    rotations[:, 35:, elbow] = half.T @ rotations[:, 35:, elbow]
    flipped = replace(generated, rotations=rotations)
    np.testing.assert_allclose(flipped.positions, generated.positions, atol=1e-5)
    mask = (np.arange(90) < 30)[None]
    made = impose(flipped, known, mask)
    np.testing.assert_allclose(made.positions, impose(generated, known, mask).positions, atol=1e-5)


def test_people_of_whom_nothing_is_known_stay_as_generated():
    generated = standing(people=2, frames=20)
    known = standing(people=2, frames=20)
    mask = np.zeros((2, 20), bool)
    mask[0, :5] = True
    made = impose(generated, known, mask)
    np.testing.assert_array_equal(made.positions[1], generated.positions[1])


@given(mask=MASKS, seed=st.integers(0, 9), angle=st.floats(-3, 3))
@settings(deadline=None, max_examples=30)
def test_a_way_that_began_elsewhere_is_led_back(mask, seed, angle):
    known = moving(len(mask), seed)
    elsewhere = transform(known, yaw(angle), np.array([3.0, 0, -2]))
    made = align_root_path(elsewhere, known, mask[None])
    np.testing.assert_allclose(made.positions, known.positions, atol=1e-4)


def test_what_is_generated_goes_from_one_known_place_to_the_other():
    known, generated = moving(90, 1), moving(90, 2)
    mask = (np.arange(90) < 20) | (np.arange(90) >= 70)
    made = align_root_path(generated, known, mask[None])
    apart = (made.root_positions - known.root_positions)[0, :, ::2]
    assert np.abs(apart[mask]).max() < 1e-6
    turned = (facing(x.positions[0], SMPL22) for x in (made, known))
    first, second = (np.exp(1j * each) for each in turned)
    assert np.abs((first - second)[mask]).max() < 1e-4
    step = np.linalg.norm(np.diff(made.root_positions[0], axis=0), axis=-1)
    usual = np.linalg.norm(np.diff(generated.root_positions[0], axis=0), axis=-1).max()
    assert step.max() < 3 * usual
    np.testing.assert_allclose(
        made.root_positions[0, 20:70, 1], generated.root_positions[0, 20:70, 1]
    )


@given(mask=MASKS, unit=st.integers(1, 9))
def test_every_known_stretch_keeps_a_token(mask, unit):
    kept = kept_tokens(mask, unit)
    assert len(kept) == -(-len(mask) // unit)
    for start, stop in runs(mask):
        assert kept[start // unit : -(-stop // unit)].any()
    for token in np.flatnonzero(kept):
        assert mask[token * unit : (token + 1) * unit].any()
    assert kept_tokens(np.ones_like(mask), unit).all()
