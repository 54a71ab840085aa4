"""Clips that don't move as bodies do are drawn again."""

from dataclasses import replace

import numpy as np
import pytest
from motions import standing

from duomotion.models.base import MotionModel
from duomotion.models.soundness import best_draws, flaw
from duomotion.sampling.request import Request, Sampling, window_seed


def shaken(clip, metres, frame=10):
    """The first person is elsewhere for a frame."""
    roots = clip.root_positions.copy()
    roots[0, frame, 0] -= metres
    return replace(clip, root_positions=roots)


def test_a_jump_is_a_flaw_that_grows():
    clip = standing(frames=20, gap=3.0)
    assert flaw(clip) <= 1
    small, large = (flaw(shaken(clip, metres)) for metres in (0.01, 0.5))
    assert small < 1 < large


def test_bodies_in_each_other_are_a_flaw():
    assert flaw(standing(frames=20, gap=0.1)) > 1


def test_a_lone_person_has_no_overlap():
    assert flaw(standing(people=1, frames=20)) == 0


def test_what_was_given_is_not_judged():
    jump = shaken(standing(frames=20, gap=3.0), 0.5)
    known_PT = np.zeros((2, 20), bool)
    known_PT[0] = True
    assert flaw(jump, known_PT) <= 1 < flaw(jump, known_PT[::-1])


class Clumsy(MotionModel):
    """Jumps by so many metres as it is told for each seed."""

    name, min_frames, max_frames, fingerprint = "clumsy", 3, 300, "0" * 12

    def __init__(self, jumps, attempts):
        self.jumps, self.asked, self.tuned_attempts = jumps, [], attempts

    @property
    def tuned(self):
        return Sampling(attempts=self.tuned_attempts)

    def answer(self, requests, *, on_step=None):
        self.asked += [request.seed for request in requests]
        return [
            shaken(standing(frames=request.frames, gap=3.0), self.jumps[request.seed])
            for request in requests
        ]

    def reconstruct(self, features):
        return features


SECOND, THIRD = (window_seed(7, 0, attempt) for attempt in (1, 2))


@pytest.mark.parametrize(
    ("jumps", "asked", "kept"),
    [
        ((0.0, 0.0, 0.0), 1, 0.0),
        ((0.5, 0.0, 0.3), 2, 0.0),
        ((0.5, 0.7, 0.3), 3, 0.3),
        ((0.5, 0.7, 0.9), 3, 0.5),
    ],
)
def test_the_best_of_some_attempts_is_kept(jumps, asked, kept):
    seeds = (7, SECOND, THIRD)
    model = Clumsy(dict(zip(seeds, jumps, strict=True)), attempts=3)
    clip = model.generate("they stand", seconds=1, seed=7)
    assert model.asked == list(seeds[:asked])
    assert clip.root_positions[0, 10, 0] == pytest.approx(-kept)


def test_attempts_are_judged_as_they_were_drawn(monkeypatch):
    """Not as they are once all that was wrong has been taken from them."""
    finished = []

    def calmed(clip, request):
        finished.append(clip.root_positions[0, 10, 0])
        return shaken(clip, -0.5)

    model = Clumsy({7: 0.5, SECOND: 0.0}, attempts=3)
    monkeypatch.setattr(model, "finish", calmed)
    clip = model.generate("they stand", seconds=1, seed=7)
    assert model.asked == [7, SECOND] and finished == [0.0]
    assert clip.root_positions[0, 10, 0] == pytest.approx(0.5)


def test_one_attempt_is_taken_as_it_is():
    model = Clumsy({7: 0.5}, attempts=3)
    model.generate("they stand", seconds=1, seed=7, sampling=Sampling(attempts=1))
    assert model.asked == [7]


def test_a_clip_in_a_batch_is_the_one_that_comes_alone():
    jumps = {7: 0.5, SECOND: 0.0}
    alone = Clumsy(jumps, 3).generate("they stand", seconds=1, seed=7)
    batch = list(Clumsy(jumps, 3).generate_many(["they stand", "they wait"], seconds=1, seed=7))
    for clip in batch:
        np.testing.assert_array_equal(clip.root_positions, alone.root_positions)


def test_attempts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="attempts have to be 1 to"):
        Sampling(attempts=0)
    with pytest.raises(ValueError, match="no sampling setting attempts"):
        Clumsy({7: 0.0}, attempts=None).generate("x y", seed=7, sampling=Sampling(attempts=2))


def test_frames_that_are_not_kept_are_not_judged():
    """The jump is in frame 10."""
    model = Clumsy({7: 0.5, SECOND: 0.0}, attempts=2)
    asked = Request(text="hi", frames=20, seed=7)
    (after,) = best_draws(model, [asked], kept=(12, 20))
    assert after.num_frames == 8 and len(model.asked) == 1
    (around,) = best_draws(model, [asked], kept=(5, 15))
    assert around.num_frames == 10 and len(model.asked) == 3
