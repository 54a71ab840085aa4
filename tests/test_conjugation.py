import pytest

from duomotion.text.conjugation import gerund, past, plural, third_person


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("walk", "walks"),
        ("carry", "carries"),
        ("play", "plays"),
        ("reach", "reaches"),
        ("push", "pushes"),
        ("toss", "tosses"),
        ("box", "boxes"),
        ("go", "goes"),
        ("do", "does"),
        ("be", "is"),
        ("have", "has"),
    ],
)
def test_verbs_in_the_third_person(verb, form):
    assert third_person(verb) == form


@pytest.mark.parametrize(
    ("verb", "forms"),
    {
        "run": ("runs", "run", "running", "ran"),
        "wave": ("waves", "wave", "waving", "waved"),
        "carry": ("carries", "carry", "carrying", "carried"),
        "play": ("plays", "play", "playing", "played"),
        "punch": ("punches", "punch", "punching", "punched"),
        "lie": ("lies", "lie", "lying", "lay"),
        "do": ("does", "do", "doing", "did"),
        "jump": ("jumps", "jump", "jumping", "jumped"),
    }.items(),
)
def test_verbs_are_inflected(verb, forms):
    assert (third_person(verb), plural(verb), gerund(verb), past(verb)) == forms
