"""Motion that goes on: seams are measured, and a window that shows is drawn again."""

from dataclasses import replace

import numpy as np
import pytest
from motions import standing
from recordings import needs_recordings, take

from duomotion.motion.seams import seams
from duomotion.sampling.request import Generator


@needs_recordings
def test_a_seam_shows_where_motion_jumps_and_nowhere_else():
    clip = take("salsa_Easy_01").frames(0, 400)
    middle = 200
    smooth = seams(clip, [middle])
    assert smooth["speed"] <= 1.05 and smooth["acceleration"] <= 1.05
    roots = clip.root_positions.copy()
    roots[:, middle:, 0] += 0.2
    torn = seams(replace(clip, root_positions=roots), [middle])
    assert torn["speed"] > 1.5 and torn["acceleration"] > 1.5
    assert torn["sliding"] > 2 * smooth["sliding"]


def test_people_who_stand_still_have_no_seams():
    assert seams(standing(2, 60), [30]) == {"speed": 0, "acceleration": 0, "sliding": 0}


class Jumpy(Generator):
    """Goes on with a jump that the seed decides."""

    name, min_frames, max_frames = "jumpy", 15, 300
    fingerprint = property(lambda self: "0" * 12)

    def __init__(self, jumps: dict[int, float]) -> None:
        self.jumps, self.asked = jumps, []

    def answer(self, requests):
        (asked,) = requests
        self.asked.append(asked.seed)
        still = standing(2, asked.frames)
        if asked.known is None:
            return [still]
        roots = still.root_positions.copy()
        roots[:, asked.mask[0].sum() :, 0] += self.jumps.get(asked.seed, 0)
        return [replace(still, root_positions=roots)]

    def reconstruct(self, features):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("jumps", "tried", "jump"),
    [
        ({}, [7, 8], 0),
        ({8: 3.0}, [7, 8, 9], 0),
        ({8: 3.0, 9: 4.0, 10: 2.0, 11: 5.0}, [7, 8, 9, 10, 11], 2.0),
    ],
)
def test_what_does_not_join_is_drawn_again(jumps, tried, jump):
    model = Jumpy(jumps)
    clip = model.generate("they wait", seconds=14, seed=7)
    assert model.asked == tried and clip.num_frames == 420
    step = np.diff(clip.root_positions[:, :, 0])
    np.testing.assert_allclose(step[:, 299], jump)
    assert (np.delete(step, 299, axis=1) == 0).all()
