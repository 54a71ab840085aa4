"""Verbs of captions."""

import pytest

from duomotion.text.verbs import base_form, main_verb

CAPTIONS = {
    "A human slowly walks in a circle.": "walk",
    "A person is walking and then shaking hands": "walk",
    "a person who is laughing hard": "laugh",
    "A person starts to run and stumbles": "run",
    "someone running figure eight": "run",
    "picking up something from the ground": "pick",
    "turn left": "turn",
    "Two people walk up to each other and shake hands.": "walk",
    "The first person throws the other a ball.": "throw",
    "A person performs two high kicks with the right leg": "kick",
    "A human does a forward roll.": "roll",
    "A person is performing driving motions with its arms": "drive",
    "A person performs some kind of dance": "dance",
    "A person takes 3 steps to the left.": "step",
    "they hug": "hug",
    "…": "other",
    "": "other",
}

# Each with a form in -s, in -ing and in -ed.
FORMS = """\
    walk walks walking walked
    jump jumps jumping jumped
    hop hops hopping hopped
    dance dances dancing danced
    move moves moving moved
    rotate rotates rotating rotated
    stumble stumbles stumbling stumbled
    stretch stretches stretching stretched
    kiss kisses kissing kissed
    box boxes boxing boxed
    carry carries carrying carried
    play plays playing played
    roll rolls rolling rolled
    crawl crawls crawling crawled
    kick kicks kicking kicked
    wave waves waving waved
    lean leans leaning leaned
    raise raises raising raised
    argue argues arguing argued
    dodge dodges dodging dodged
    throw throws throwing threw
    lie lies lying lie
"""


@pytest.mark.parametrize(("caption", "verb"), CAPTIONS.items())
def test_the_verb_of_a_caption(caption, verb):
    assert main_verb(caption) == verb


@pytest.mark.parametrize("forms", [line.split() for line in FORMS.splitlines()])
def test_forms_of_one_verb_have_one_base(forms):
    assert {base_form(form) for form in forms} == {forms[0]}
