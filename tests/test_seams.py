"""Motion that goes on: seams are measured, and a window that shows begins earlier instead."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from motions import standing
from recordings import needs_recordings, take

import duomotion
from duomotion import cli
from duomotion.evaluation.open import long_report
from duomotion.evaluation.open.prompts import PROMPTS
from duomotion.models import windows
from duomotion.models.base import MotionModel
from duomotion.motion.seams import seams
from duomotion.sampling.request import Sampling, window_seed


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


class Jumpy(MotionModel):
    """Goes on with a jump that the seed decides."""

    name, min_frames, max_frames = "jumpy", 15, 300
    fingerprint = property(lambda self: "0" * 12)

    def __init__(self, jump: Callable[[int], float] = lambda seed: 0.0) -> None:
        self.jump, self.asked, self.settings = jump, [], set()

    def answer(self, requests, *, on_step=None):
        (asked,) = requests
        self.asked.append(asked.seed)
        self.settings.add(str(asked.sampling))
        still = standing(2, asked.frames)
        if asked.known is None:
            return [still]
        roots = still.root_positions.copy()
        roots[:, asked.mask[0].sum() :, 0] += self.jump(asked.seed)
        return [replace(still, root_positions=roots)]

    def reconstruct(self, features):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("jumps", "tries", "jump"),
    [([], 1, 0), ([3.0], 2, 0), ([3.0, 4.0, 2.0, 5.0, 3.0, 6.0], 6, 2.0)],
)
def test_what_does_not_join_begins_earlier_instead(jumps, tries, jump):
    by_seed = {window_seed(7, 1, attempt): each for attempt, each in enumerate(jumps)}
    model = Jumpy(lambda seed: by_seed.get(seed, 0.0))
    clip = model.generate("they wait", seconds=14, seed=7)
    assert model.asked == [7, *(window_seed(7, 1, attempt) for attempt in range(tries))]
    assert clip.num_frames == 420
    step = np.diff(clip.root_positions[:, :, 0])
    third_try = 300 - 2 * 30
    np.testing.assert_allclose(step[:, third_try - 1], jump)
    assert (np.delete(step, third_try - 1, axis=1) == 0).all()


def test_windows_of_near_seeds_share_no_noise():
    drawn = [window_seed(*key) for key in np.ndindex(30, 4, 6)]
    assert len(set(drawn)) == len(drawn) and min(drawn) >= 0 and max(drawn) < 2**32


def test_a_given_clip_stays_as_it_is_where_nothing_joins():
    model = Jumpy(lambda seed: 2.0)
    given = model.generate("they wait", seconds=2)
    longer = model.extend(given, seconds=14)
    assert longer.num_frames == 420
    assert np.array_equal(longer.root_positions[:, :60], given.root_positions)
    assert np.abs(np.diff(longer.root_positions[:, 59:61, 0])).max() == 2


def test_short_windows_go_on_too():
    model = Jumpy(lambda seed: float(seed % 999))
    model.max_frames = 150  # as in Inter-X
    clip, starts = model.generate_long("they wait", seconds=14)
    assert clip.num_frames == 420 and starts[0] >= 60
    assert all(later - sooner >= 60 for sooner, later in pairwise(starts))


def test_a_report_tells_seams_from_other_places():
    some = {name: PROMPTS[name] for name in list(PROMPTS)[:2]}
    farther = Jumpy(lambda seed: float(seed % 99))
    report = long_report.run(farther, some, seconds=25)
    assert len(report.seams) == len(report.elsewhere) == 6
    seen = [each["speed"] for rows in report.seams.values() for each in rows]
    others = [each["speed"] for rows in report.elsewhere.values() for each in rows]
    assert min(seen) > 1 and max(others) == 0
    text = report.markdown()
    assert f"| seams | {len(seen)} | {len(seen)} (100.0%) |" in text
    assert f"| elsewhere | {len(others)} | 0 (0.0%) |" in text
    assert all(f"| {text} |" in report.markdown() for text in some["handshake"].texts[:3])
    with pytest.raises(ValueError, match="has no seams"):
        long_report.run(Jumpy(), some, seconds=10)


class Boundless(Jumpy):
    """The same, not bound to a number of frames."""

    any_length, tuned = True, Sampling(attempts=1)

    def in_one_piece(self, max_frames):
        self.max_frames = max_frames
        return self


def test_clips_in_one_piece_are_measured_at_the_same_places():
    model = Boundless(lambda seed: 2.0)
    one = {"handshake": PROMPTS["handshake"]}
    report = long_report.run(model, one, seconds=25, sampling=Sampling(attempts=1))
    assert list(map(len, report.in_one_piece.values())) == list(map(len, report.seams.values()))
    assert max(each["speed"] for rows in report.seams.values() for each in rows) > 1
    assert {each["speed"] for rows in report.in_one_piece.values() for each in rows} == {0}
    assert "| seams' places, in one piece | 6 | 0 (0.0%) |" in report.markdown()
    assert "Sampling: attempts 1." in report.markdown() and model.settings == {"attempts 1"}
    with pytest.raises(ValueError, match="has no seams"):
        long_report.run(model, one, seconds=25)


@pytest.mark.slow
def test_the_command_writes_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(duomotion, "load", lambda name, **settings: Jumpy())
    monkeypatch.setattr(sys, "argv", f"duomotion evaluate --protocol long --out {tmp_path}".split())
    cli.main()
    assert "# jumpy: seams of clips of 60 s" in capsys.readouterr().out
    written = json.loads((tmp_path / "long.json").read_text())
    assert {len(rows) for rows in written["seams"].values()} == {7}
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--compare", "other"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()


def test_feet_that_slide_at_a_seam_count_too(monkeypatch):
    found = {"speed": 0.5, "acceleration": 0.2, "sliding": 3.0}
    monkeypatch.setattr(windows, "seams", lambda clip, starts: found)
    assert windows.seam_score(standing(2, 60), 30) == 1.5
