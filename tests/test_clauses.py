import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.composition.clauses import clause
from duomotion.composition.verbs import ACTIONS, FORMS
from duomotion.text.conjugation import gerund, past, third_person

TURNED = {
    "A person walks forward slowly.": ("walks forward slowly", "walk forward slowly"),
    "A human is slowly walking": ("slowly walks", "slowly walk"),
    "walk": ("walks", "walk"),
    "turning left": ("turns left", "turn left"),
    "a person running": ("runs", "run"),
    "Someone who sits down.": ("sits down", "sit down"),
    "A man jumped and waved.": ("jumps and waves", "jump and wave"),
    "A person walks, then he turns around.": ("walks, then turns around", "walk, then turn around"),
    "A woman waves with her right hand": (
        "waves with their right hand",
        "wave with their right hand",
    ),
    "a person dances while she walks forward": (
        "dances while they walk forward",
        "dance while they walk forward",
    ),
    "raise left hand": ("raises their left hand", "raise their left hand"),
    "throwing": ("throws something", "throw something"),
    "a person turns 90 degree rightwards": (
        "turns 90 degrees rightwards",
        "turn 90 degrees rightwards",
    ),
    "extend item": ("extends an item", "extend an item"),
    "kick ball": ("kicks a ball", "kick a ball"),
    "A person lies down and gets up": ("lies down and gets up", "lie down and get up"),
    "a person carries a box": ("carries a box", "carry a box"),
    "A person is doing punches while walking": (
        "does punches while walking",
        "do punches while walking",
    ),
    "a person appears to be boxing": ("boxes", "box"),
}
LEFT_OUT = (
    "transition",
    "basketball signals",
    "t-pose",
    "prairie dog (human subject)",
    "jump kick",
    "A person pulls another person.",
    "A person walks. He then stops.",
    "A person wakls forward",
    "A person walks and then the",
    "A person that is going forward stops immediately.",
    "A person walks and juggles",
    "12.5lb",
    "A person picks something up from the ground and using a shovel",
    "a person limps away",
    "a person hugs",
    "a person runs, leaps",
    "a person steps over",
    "holding with hands",
    "",
    "歩く",
    " ".join(["A person walks", *["and walks"] * 20]),
)


@pytest.mark.parametrize("caption", TURNED)
def test_captions_become_clauses(caption):
    found = clause(caption)
    assert found is not None and (found.singular, found.plural) == TURNED[caption]


@pytest.mark.parametrize("caption", LEFT_OUT)
def test_what_cannot_be_turned_safely_is_left_out(caption):
    assert clause(caption) is None


@pytest.mark.parametrize(
    ("caption", "action"),
    [
        ("A person walks and waves", "wave"),
        ("a person takes a step back", "step back"),
        ("a person does a cartwheel", "cartwheel"),
        ("a person starts to run", "run"),
        ("stand up", "get up"),
        ("a person performs a kick", "kick"),
        ("a person stands still", "stand"),
        ("a person waves their left leg", "move"),
        ("throw out arms", "move"),
        ("a person turns their head to the left", "move"),
    ],
)
def test_the_action_is_what_is_most_asked_for(caption, action):
    found = clause(caption)
    assert found is not None and found.action.name == action


def test_what_may_be_cut_anywhere_is_steady():
    steady = ("A person walks forward.", "dance", "a person is waving their arms")
    others = ("A person walks three steps.", "jump", "a person walks and then waves")
    assert all(found.is_steady for found in map(clause, steady) if found)
    assert not any(found.is_steady for found in map(clause, others) if found)


def test_the_other_of_two_people_is_called_as_told():
    calls = ("the other", "the other's")
    first = clause("A person takes another person's hand.", partner=calls)
    assert first is not None and first.singular == "takes the other's hand"
    second = clause("A person steps back from the other person.", partner=("them", "their"))
    assert second is not None and second.singular == "steps back from them"
    assert clause("A person waits while another person bows.", partner=calls) is None


def test_a_mirrored_clause_swaps_the_sides():
    found = clause("a person kicks with the left foot")
    assert found is not None
    mirrored = found.mirrored()
    assert mirrored.singular == "kicks with the right foot"
    assert mirrored.plural == "kick with the right foot"
    assert mirrored.mirrored() == found


VERBS = sorted({form.verb for form in FORMS.values()})
ADVERBS = ("", " slowly", " forward", " to the left", " with their left hand")


@examples(200)
@given(st.sampled_from(VERBS), st.sampled_from(ADVERBS))
def test_every_form_of_a_verb_gives_the_same_clause(verb, rest):
    captions = [
        f"A person {third_person(verb)}{rest}.",
        f"a man is {gerund(verb)}{rest}",
        f"{gerund(verb)}{rest}",
        f"someone {past(verb)}{rest}",
    ]
    found = {clause(caption) for caption in captions if FORMS[caption_verb(caption)].verb == verb}
    assert len(found) == 1


def caption_verb(caption):
    words = [word.strip(".") for word in caption.lower().split()]
    return next(word for word in words if word in FORMS)


@examples(300)
@given(st.lists(st.sampled_from([*FORMS, "a", "person", "and", "while", "his", "is", ",", "ball"])))
def test_any_words_give_a_sound_clause_or_none(words):
    found = clause(" ".join(words))
    if found is not None:
        for text in (found.singular, found.plural):
            assert text == " ".join(text.split()) and text[-1] not in ".,"
            assert not re.search(r"\b(?:his|her|its|he|she|person|his|is)\b", text)
        assert found.action in ACTIONS.values()
