from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.data.interhuman import Span
from duomotion.data.open_solo_cuts import LONGEST, SHORTEST, Cut, cut_up

PHRASES = frozenset({"phrases"})


def cut(*spans, frames=300, seconds=None):
    seconds = frames / 20 if seconds is None else seconds
    return cut_up(spans, frames, seconds=seconds, phrases=PHRASES)


def test_a_recording_that_fits_is_one_clip():
    whole = Span("he walks", 0, 9.9, "kit")
    assert cut(whole, frames=197, seconds=9.9) == [
        Cut(0, 197, (Span("he walks", 0, 197 / 20, "kit"),))
    ]


def test_what_is_too_long_is_cut_into_equal_clips():
    found = cut(Span("he walks", 0, 23), frames=459, seconds=23)
    assert [(each.start, each.end) for each in found] == [(0, 153), (153, 306), (306, 459)]
    assert all(each.spans == (Span("he walks", 0, each.seconds),) for each in found)


def test_the_stretch_of_a_sentence_is_a_clip():
    sits, rests = (Span(text, 3.0, 8.0, "x") for text in ("he sits", "he rests"))
    found = cut(sits, rests, Span("he is there", 0, 15, "kit"))
    assert [(each.start, each.end) for each in found] == [(0, 60), (60, 160), (160, 300)]
    there = [[span.caption for span in each.spans] for each in found]
    assert there == [["he is there"], ["he is there", "he sits", "he rests"], ["he is there"]]
    assert {(span.start, span.end) for span in found[1].spans} == {(0, 5)}


def test_sentences_about_ten_seconds_end_a_frame_earlier_and_may_overlap():
    found = cut(Span("he sits", 1.0, 11.0), Span("he rises", 4.0, 9.0), frames=230)
    assert [(each.start, each.end) for each in found] == [(20, 219), (80, 180)]
    assert [each.spans[0].caption for each in found] == ["he sits", "he rises"]


def test_phrases_belong_to_clips_that_show_half_of_them():
    found = cut(
        Span("he sits", 5.0, 10.0),
        Span("walks", 1.0, 4.0, "phrases"),
        Span("crosses", 3.0, 8.0, "phrases"),
        Span("is short", 6.0, 7.0, "phrases"),
        Span("goes on", 0.0, 14.0, "phrases"),
    )
    assert [(each.start, each.end) for each in found] == [(0, 100), (100, 200), (200, 300)]
    assert found[0].spans == (Span("walks", 1.0, 4.0, "phrases"), Span("goes on", 0, 5, "phrases"))
    assert found[1].spans[1:] == (
        Span("crosses", 0.0, 3.0, "phrases"),
        Span("goes on", 0.0, 5.0, "phrases"),
    )
    assert found[2].spans == ()


def test_a_list_of_a_whole_recording_says_nothing_about_its_parts():
    line = Span("walk, sit, jump", 0, 15, "phrases")
    assert not any(each.spans for each in cut(line))
    assert cut(Span("walk, sit, jump", 0, 9, "phrases"), frames=180)[0].spans
    assert all(each.spans for each in cut(Span("He walks, sits and jumps.", 0, 15, "kit")))


@examples(100)
@given(
    frames=st.integers(SHORTEST, 1000),
    spans=st.lists(
        st.builds(
            lambda start, length, source: Span("x", start, start + length, source),
            st.floats(0, 40),
            st.floats(0.1, 30),
            st.sampled_from(["x", "phrases"]),
        ),
        max_size=6,
    ),
)
def test_clips_fit_the_layout_and_captions_fit_the_clips(frames, spans):
    for each in cut(*spans, frames=frames):
        assert each.start >= 0 and each.end <= frames
        assert SHORTEST <= each.end - each.start <= LONGEST
        for span in each.spans:
            assert span.start >= 0 and span.end <= each.seconds
            assert (span.end - span.start) * 20 >= SHORTEST - 1e-6
