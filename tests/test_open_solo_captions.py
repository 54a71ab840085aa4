import json
import math

import pytest

from duomotion.data.interhuman import Span
from duomotion.data.open_solo_captions import plain_phrase, read_captions, rules

FIRST = [{"clip": "01/01_02.bvh", "caption": "A  person jumps."}]


def timed(caption, source="babel", start=0.0, end=2.0, clip="01/01_02.bvh"):
    return {"clip": clip, "caption": caption, "start": start, "end": end, "source": source}


def captions(folder, *more, edition=2):
    (folder / "captions.json").write_text(json.dumps(FIRST))
    (folder / "captions_more.json").write_text(json.dumps(more))
    return read_captions(folder, edition)


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("SmallJumpTurn", "small jump turn"),
        ("Left_Front_Kicking001", "left front kicking"),
        ("charleston_01", "charleston"),
        ("Pivoting CleanedGRS", "pivoting"),
        ("OffensiveMoveGoLeft CleanedGRs", "offensive move go left"),
        ("xtra fancY  charleston", "xtra fancy charleston"),
        (".sit down", "sit down"),
        ("turn left 100", "turn left 100"),
    ],
)
def test_lines_of_the_catalogue_are_words(line, phrase):
    assert plain_phrase(line) == phrase


@pytest.mark.parametrize(
    "phrase",
    [
        *("calibration", "Subject calibration", "T-pose", "t pose", "transition", "clean"),
        *(
            "15.5 lbs",
            "180",
            "no movie",
            "bear (human subject)",
            "Range of Motion",
            "rangeOfMotion",
        ),
        *("side step righttransition", "shave gesture series", "Story", "hand", "Happy", "_"),
    ],
)
def test_phrases_that_say_nothing_are_left_out(phrase):
    assert rules().caption(phrase, "cmu-trial") is None


@pytest.mark.parametrize(
    ("phrase", "caption"),
    [
        ("Walk", "a person walks"),
        ("hand shake", "hand shake"),
        ("cobra pose", "cobra pose"),
        ("clean area", "a person cleans area"),
        ("carry 12.5lb suitcase", "a person carries 12.5lb suitcase"),
    ],
)
def test_other_phrases_are_kept(phrase, caption):
    assert rules().caption(phrase, "babel") == caption


def test_sentences_are_kept_as_they_are():
    assert rules().caption("A person does  the T-pose.", "kit") == "A person does the T-pose."
    assert rules().caption("...", "kit") is None


def test_sentences_weigh_more_than_phrases_and_these_more_than_the_catalogue():
    weights = rules().weights
    assert weights["kit"] == weights["humanml3d"] > weights["babel"] > weights["cmu-trial"] > 0
    assert rules().phrases == {"babel", "cmu-trial"}


def test_captions_of_both_files_by_clip(tmp_path):
    found = captions(
        tmp_path,
        timed("turn left"),
        timed("turn left"),
        timed("walk", end=0.4),
        timed("transition"),
        timed("Clean", "cmu-trial", clip="02/02_01.bvh"),
        timed("a man sits.", "humanml3d", 0.5, 9, clip="02/02_03.bvh"),
    )
    assert found == {
        "01/01_02.bvh": [
            Span("A person jumps.", 0, math.inf, "kit"),
            Span("a person turns left", 0, 2, "babel"),
        ],
        "02/02_01.bvh": [],
        "02/02_03.bvh": [Span("a man sits.", 0.5, 9, "humanml3d")],
    }


def test_the_first_edition_has_the_captions_of_the_first_file(tmp_path):
    assert captions(tmp_path, timed("turn left"), edition=1) == {
        "01/01_02.bvh": [Span("A  person jumps.", 0, math.inf)]
    }


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (timed("walk", start=2.0), "entry 2: start and end should be seconds, in order"),
        (timed("walk", start=-1.0), "entry 2: start and end should be seconds, in order"),
        (timed("walk", end=None), "entry 2: start and end should be seconds, in order"),
        (timed("walk", end=math.inf), "entry 2: start and end should be seconds, in order"),
        (timed("walk", end=10**400), "entry 2: start and end should be seconds, in order"),
        (timed("walk", source="x"), "entry 2: 'x' is none of humanml3d, kit, babel, cmu-trial"),
        (timed(7), "have to be texts"),
        ({"clip": "01/01_02.bvh", "caption": "walk"}, "is not a list of clips"),
    ],
)
def test_entries_that_say_something_else_are_refused(tmp_path, entry, sentence):
    with pytest.raises(ValueError, match=rf"captions_more\.json.* {sentence}"):
        captions(tmp_path, timed("walk"), entry)
