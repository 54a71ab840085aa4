"""Motion that is streamed: stretch by stretch, and beside a person who arrives bit by bit."""

import runpy
import sys
import threading
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from motions import waving
from test_fild import latents, student, trained

import duomotion
from duomotion.body.constraints import Contact
from duomotion.models.pair_guidance import GuidanceConfig
from duomotion.motion.canonical import transform
from duomotion.motion.interaction import joined
from duomotion.motion.rotations import yaw
from duomotion.motion.seams import seams
from duomotion.sampling.request import Sampling

__all__ = ["latents", "student", "trained"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")


EXAMPLE = Path(__file__).parents[1] / "examples" / "live_partner.py"
FAST = Sampling(avoid_collisions=False)


@pytest.fixture(scope="module")
def model(student):
    model = duomotion.load(student[1])
    few = GuidanceConfig(goal_last=4)
    model.diffusion.config = replace(model.diffusion.config, latent_guidance=few)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.9, 13])
def test_stretches_are_what_is_generated_at_once(model, seconds):
    stretches = list(model.stream("two wave", seconds=seconds, seed=1))
    whole = model.generate("two wave", seconds=seconds, seed=1)
    assert len(stretches) > (seconds > 10)
    np.testing.assert_allclose(joined(stretches).positions, whole.positions, atol=1e-6)
    assert all(stretch.caption == whole.caption for stretch in stretches)


@pytest.mark.slow
def test_a_stream_without_end_goes_on_and_stops_when_it_is_left(model, monkeypatch):
    monkeypatch.setattr("duomotion.models.windows.KEPT_SECONDS", 12.0)  # that are kept
    threads = threading.active_count()
    stream = model.stream("two wave")
    stretches = list(islice(stream, 5))
    whole = joined(stretches)
    assert whole.seconds > 15 and np.isfinite(whole.positions).all()
    steps = np.linalg.norm(np.diff(whole.positions, axis=1), axis=-1)
    ends = np.cumsum([stretch.num_frames for stretch in stretches])[:-1]
    assert steps[:, ends - 1].max() <= steps.max()
    stream.close()
    assert threading.active_count() == threads


def test_the_next_stretch_is_made_meanwhile(model, monkeypatch):
    stream = model.stream("two wave", seconds=40)
    next(stream)
    made, answer = [], model.answer

    def counted(requests, **kwargs):
        made.append(threading.current_thread())
        return answer(requests, **kwargs)

    monkeypatch.setattr(model, "answer", counted)
    deadline = time.monotonic() + 20
    while not made and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made and made[0] is not threading.current_thread()
    stream.close()


def live(model, clip, step=15, **kwargs):
    session = model.live_reaction("two wave", sampling=FAST, **kwargs)
    given = [
        clip.frames(start, min(start + step, clip.num_frames))
        for start in range(0, clip.num_frames, step)
    ]
    answers = []
    for stretch in given:
        answers.append(session.push(stretch, at=session.seconds))
    return session, answers


def test_a_partner_comes_with_each_stretch_and_stays(model):
    actor = waving(frames=70).person(0)
    session, answers = live(model, actor)
    assert session.seconds == pytest.approx(70 / 30)
    assert [answer.num_frames for answer in answers] == [15, 15, 15, 15, 10]
    partner = joined(answers)
    assert partner.num_people == 1 and np.isfinite(partner.positions).all()
    again = joined(live(model, actor)[1])
    assert np.array_equal(partner.positions, again.positions)
    other = joined(live(model, actor, seed=1)[1])
    assert not np.array_equal(partner.positions, other.positions)
    beside = live(model, elsewhere(actor).frames(0, 15))[1][0]
    np.testing.assert_allclose(beside.positions, elsewhere(answers[0]).positions, atol=5e-3)


def test_an_answer_is_drawn_once_unless_more_is_asked_for(model, monkeypatch):
    monkeypatch.setattr("duomotion.models.soundness.flaw", lambda clip, known_PT=None: 2.0)
    drawn, answer = [], model.answer

    def counted(requests, **kwargs):
        drawn.append(len(requests))
        return answer(requests, **kwargs)

    monkeypatch.setattr(model, "answer", counted)
    stretch = waving(frames=15).person(0)
    for sampling, times in ((FAST, 1), (replace(FAST, attempts=3), 3)):
        drawn.clear()
        model.live_reaction("two wave", sampling=sampling).push(stretch)
        assert sum(drawn) == times


def elsewhere(motion):
    return transform(motion, yaw(0.5), np.array([5.0, 0.0, -2.0]))


def test_no_seam_shows_between_stretches(model):
    _, answers = live(model, waving(frames=90).person(0))
    starts = np.cumsum([answer.num_frames for answer in answers])[:-1].tolist()
    assert seams(joined(answers), starts)["speed"] < 1.5


def test_other_frame_rates_are_taken(model):
    session = model.live_reaction()
    actor = waving(frames=60).person(0)
    faster = duomotion.Interaction(
        skeletons=actor.skeletons,
        root_positions=actor.root_positions,
        rotations=actor.rotations,
        fps=60,
    )
    assert session.push(faster).num_frames == 30
    assert session.seconds == 1


def test_what_does_not_fit_is_refused_and_the_stream_goes_on(model):
    clip = waving(frames=60)
    actor, session = clip.person(0), model.live_reaction("two wave")
    session.push(actor.frames(0, 15))
    with pytest.raises(ValueError, match="takes the motion of one person, not of 2"):
        session.push(clip)
    with pytest.raises(ValueError, match=r"frames from 0 s on come too late: the stream is at 0.5"):
        session.push(actor.frames(0, 15), at=0)
    with pytest.raises(ValueError, match=r"frames from 0.5 s to 1 s are missing: give them first"):
        session.push(actor.frames(30, 45), at=1)
    with pytest.raises(ValueError, match=r"a stretch of 9 s is too long: .* up to 6 s"):
        session.push(joined([actor] * 4 + [actor.frames(0, 30)]))
    assert session.seconds == 0.5
    assert session.push(actor.frames(15, 30), at=0.5).num_frames == 15


def test_requests_that_can_not_be_streamed_are_refused(model):
    contact = Sampling(contacts=(Contact.parse("A.right_hand B.right_hand 1:2"),))
    with pytest.raises(ValueError, match="where motion is streamed"):
        model.stream("two wave", sampling=contact)
    with pytest.raises(ValueError, match="where motion is streamed"):
        model.live_reaction(sampling=contact)
    with pytest.raises(ValueError, match=r"a length of 0\.01 s is not possible"):
        model.stream("two wave", seconds=0.01)
    with pytest.raises(ValueError, match="no sampling setting solver"):
        model.live_reaction(sampling=Sampling(solver="deis"))


def test_the_example_plays_a_recording(student, tmp_path, monkeypatch, capsys):
    waving(frames=40).save(tmp_path / "take.npz")
    words = [tmp_path / "take.npz", "two wave", "--model", student[1], "--out", tmp_path / "b.npz"]
    monkeypatch.setattr(sys, "argv", ["live_partner.py", *map(str, words), "--fast"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("  0.50 s: answered after ") and lines[2].startswith(
        "delay: 0.5 s + "
    )
    assert lines[-2].startswith("where stretches meet")
    both = duomotion.Interaction.load(tmp_path / "b.npz")
    assert (both.num_people, both.num_frames) == (2, 30)
