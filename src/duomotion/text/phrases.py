"""Phrases that begin with a verb, as sentences about one person."""

import re
from collections.abc import Set

from duomotion.text.conjugation import third_person

SUBJECT = "a person"
JOINS = frozenset({"and", "or", "then", "to", ",", ";", "/"})  # a verb behind one has the subject
_PARTS = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*|[,;/]")
_GERUND = re.compile(r"[a-z]*[aeiouy][a-z]*ing")
_NOUNS = frozenset({"motion", "motions", "movement", "stance", "jacks"})  # behind what is no gerund


def sentence(phrase: str, verbs: Set[str]) -> str:
    """ "turn left" as "a person turns left", "walking" as "a person is walking".

    Other phrases stay as they are: those that begin with no verb, and those in which it is not
    plain what the subject does, as in "jump kick".

    Args:
        phrase: in lower case.
        verbs: the verbs that are known, in their basic form.
    """
    parts = list(_PARTS.finditer(phrase))
    words = [part[0] for part in parts]
    if not parts or parts[0].start():
        return phrase
    known = [number for number, word in enumerate(words) if word in verbs]
    if any(number and words[number - 1] not in JOINS for number in known):
        return phrase
    inflected = phrase
    for number in reversed(known):
        if number and words[number - 1] == "to":  # "to" and a verb is an infinitive
            continue
        start, end = parts[number].span()
        inflected = inflected[:start] + third_person(words[number]) + inflected[end:]
    if words[0] in verbs or words[0] in {third_person(verb) for verb in verbs}:
        return f"{SUBJECT} {inflected}"
    if _GERUND.fullmatch(words[0]) and not _NOUNS.intersection(words[1:2]):
        return f"{SUBJECT} is {inflected}"
    return phrase
