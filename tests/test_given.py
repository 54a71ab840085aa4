"""Known motion that is longer than a model's window: reactions and inpainting of any length."""

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from motions import waving

import duomotion
from duomotion.motion.runs import runs
from duomotion.motion.seams import seams
from duomotion.sampling.gaps import Gaps

pytestmark = pytest.mark.usefixtures("hardly_separated")
FPS = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUOMOTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield duomotion.load(tiny.checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def windows(model, monkeypatch):
    """The requests that the model is asked."""
    asked, answer = [], model.answer
    monkeypatch.setattr(
        model, "answer", lambda requests, **more: asked.extend(requests) or answer(requests, **more)
    )
    monkeypatch.setattr("duomotion.models.windows.MAX_TRIES", 1)
    return asked


@pytest.mark.slow
def test_a_reaction_to_motion_of_any_length(model, windows):
    actor = waving(people=1, frames=25 * FPS)
    reports = []
    clip = model.react(actor, "they wave", seed=2, callback=reports.append)
    assert (clip.num_people, clip.num_frames, clip.caption) == (2, 750, "they wave")
    np.testing.assert_array_equal(clip.positions[0], actor.positions[0])
    assert [request.frames for request in windows] == [300, 300, 270]
    assert windows[1].mask[0].all() and windows[1].mask[1].sum() == 60
    shares = [report.share for report in reports]
    assert shares == sorted(shares) and shares[-1] == 1 and reports[-1].windows == 3
    again = model.react(actor, "they wave", seed=2)
    np.testing.assert_array_equal(again.positions, clip.positions)
    assert max(seams(clip, [300, 540]).values()) < 10


def test_gaps_anywhere_in_long_motion(model, windows):
    clip = waving(frames=30 * FPS)
    gaps = [(2.0, 3.0), (4.0, 5.0), (20.0, 21.0)]
    made = model.inpaint(clip, unknown=gaps, person=1)
    assert made.num_frames == 900 and len(windows) == 2
    unknown = np.zeros(900, bool)
    for start, stop in gaps:
        unknown[round(start * FPS) : round(stop * FPS)] = True
    np.testing.assert_allclose(made.positions[0], clip.positions[0], atol=1e-5)
    np.testing.assert_allclose(made.positions[1, ~unknown], clip.positions[1, ~unknown], atol=1e-5)
    for start, stop in runs(unknown):
        assert np.abs(made.positions - clip.positions)[1, start:stop].max() > 1e-3


@pytest.mark.slow
def test_a_gap_that_is_longer_than_a_window(model, windows):
    clip = waving(frames=40 * FPS)
    made = model.inpaint(clip, "they wave", unknown=(1, 31))
    assert made.num_frames == 1200
    np.testing.assert_allclose(made.positions[:, :30], clip.positions[:, :30], atol=1e-5)
    np.testing.assert_allclose(made.positions[:, 930:], clip.positions[:, 930:], atol=1e-5)
    known_behind = windows[-1].mask[:, 60:].sum(1)
    assert (known_behind >= FPS).all()  # the last window sees where it is to lead to
    with pytest.raises(ValueError, match="stay known of the clip's first 10 s"):
        model.inpaint(clip, unknown=(0, 30))


@pytest.mark.parametrize("partner", ["a person bows", "bows."])
def test_a_partner_without_a_text(model, partner):
    actor = waving(people=1, frames=30)
    assert model.react(actor, partner=partner).caption == "the other person bows"
    both = model.react(actor, "waves", partner=partner)
    assert both.caption == "one person waves and the other person bows"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 90)), min_size=1, max_size=6),
    st.integers(0, 5),
    st.booleans(),
)
def test_windows_fill_every_gap(lengths, context, is_known_first):
    flags = [length for pair in lengths for length in pair]
    unknown = np.repeat((np.arange(len(flags)) + is_known_first) % 2 == 0, flags)
    gaps = Gaps.of(unknown)
    longest, overlap, start, count = 40, 8, 0, 0
    while (gap := gaps.at(start)) is not None:
        start = max(start, gap[0])
        end = min(len(unknown), start - min(overlap, start) + longest)
        stop = gaps.window_stop(start, end, context=context)
        assert start < stop <= end
        for first, last in gaps.spans:
            # No gap is left with less than some context to go, and none is begun in vain.
            assert not first < stop < last or last - stop >= min(context, 1) or first == gap[0]
        start, count = stop, count + 1
    assert not unknown[start:].any()
    options = {"longest": longest, "overlap": overlap, "context": context}
    assert gaps.count_windows(0, **options) == count
