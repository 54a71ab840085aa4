import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.data.open_solo_captions import rules
from duomotion.text.conjugation import third_person
from duomotion.text.phrases import sentence

VERBS = frozenset(
    [
        "bow",
        "bring",
        "carry",
        "do",
        "go",
        "jump",
        "kick",
        "reach",
        "run",
        "step",
        "swing",
        "turn",
        "walk",
    ]
)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("turn left", "a person turns left"),
        ("turning left", "a person is turning left"),
        ("turns left", "a person turns left"),
        ("carry 5.5lb suitcase", "a person carries 5.5lb suitcase"),
        ("walk, turn around and run", "a person walks, turns around and runs"),
        ("run/jump", "a person runs/jumps"),
        ("jump up to reach", "a person jumps up to reach"),
        ("walking, jumping, run", "a person is walking, jumping, runs"),
        ("bring arms inward", "a person brings arms inward"),  # no gerund
        ("swing arms", "a person swings arms"),
        ("jump kick", "jump kick"),
        ("walk crawl walk", "walk crawl walk"),
        ("high kick", "high kick"),
        ("right arm up", "right arm up"),
        ("spring", "spring"),
        ("rowing motion", "rowing motion"),
        ("jumping jacks", "jumping jacks"),
        ("(standing) still", "(standing) still"),
        ("2 jump", "2 jump"),
        ("", ""),
    ],
)
def test_phrases_become_sentences_where_they_begin_with_a_verb(phrase, expected):
    assert sentence(phrase, VERBS) == expected


@examples(100)
@given(st.lists(st.sampled_from([*VERBS, "left", "and", ",", "/", "walking"]), max_size=5))
def test_what_a_phrase_says_is_kept(words):
    phrase = " ".join(words)
    found = sentence(phrase, VERBS)
    kept = found.removeprefix("a person ")
    assert found == phrase or len(kept.split()) - kept.startswith("is ") == len(words)


def test_verbs_of_the_data_are_in_their_basic_form():
    verbs = rules().verbs
    assert not verbs & {third_person(verb) for verb in verbs}
    assert all(sentence(verb, verbs) == f"a person {third_person(verb)}" for verb in verbs)
