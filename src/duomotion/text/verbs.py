"""The verb that says what a caption is about: "A human slowly walks in a circle." -> "walk".

A rule of thumb for plain present-tense English; no tagger of words is at hand.
"""

import re
from itertools import pairwise

from duomotion.text.conjugation import GERUNDS, PAST, PLURAL, PRESENT, third_person


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PEOPLE = _words(
    "person persons people human humans man men woman women boy girl guy lady kid child figure "
    "subject someone somebody one he she they it couple friends dancer dancers both two"
)
_PASSED_OVER = _words(
    "a an the and to is are was were be being been has have who which that while then very just "
    "also something anything first second other another each their his her its once twice again "
    "repeatedly in on with at of from for by"
)
_BEGINNING = _words("start begin continue keep try seem appear pretend want attempt proceed go")
_EMPTY = _words("do perform make execute have take give complete practice")
_VAGUE = _words("motion movement move")
_ENDS_NOUN = _words(
    "with to in on at from of by for into onto over under while and then using before after as "
    "around across through off up down forward forwards backward backwards during without"
)
# Beside the irregular ones: those whose forms look like another verb's.
_BASES = {
    "see": "seeing",
    "use": "using",
    "raise": "raising raised",
    "leave": "leaving",
    "change": "changing changed",
    "exchange": "exchanging exchanged",
    "gesture": "gesturing gestured",
    "prepare": "preparing prepared",
    "explore": "exploring explored",
    "exercise": "exercising exercised",
    "massage": "massaging massaged",
    "open": "opening opened",
    "tiptoe": "tiptoes tiptoeing tiptoed",
    "handspring": "handspring",
    "series": "series",
}
_IRREGULAR = {
    **{form: base for base, forms in _BASES.items() for form in forms.split()},
    **{form: base for forms in (PRESENT, PLURAL, PAST, GERUNDS) for base, form in forms.items()},
    **{third_person(base): base for base in ("do", "go")},
}


def main_verb(caption: str) -> str:
    """The base form of the first verb behind the subject, or what is done where the verb is empty.

    "A person performs two high kicks" is about "kick". Without words: "other".
    """
    plain = re.sub(r"'s\b|\b(kinds?|sort|couple|series) of\b", "", caption.lower())
    words = re.findall(r"[a-z]+", plain)
    start = next((i + 1 for i, word in enumerate(words[:6]) if word in _PEOPLE), 0)
    while start < len(words) and words[start] in _PEOPLE:
        start += 1
    rest = [word for word in words[start:] if not word.endswith("ly")]
    bases = [base_form(word) for word in rest]
    for index, (word, base) in enumerate(zip(rest, bases, strict=True)):
        if word in _PASSED_OVER or word in _PEOPLE:
            continue
        following = rest[index + 1] if index + 1 < len(rest) else ""
        if base in _BEGINNING and (following in ("to", "like") or following.endswith("ing")):
            continue
        return _object(rest[index + 1 :]) or base if base in _EMPTY else base
    return bases[0] if bases else "other"


def _object(words: list[str]) -> str:
    """The noun that a verb's object ends with: "a large side step to the right" -> "step"."""
    pairs = enumerate(pairwise(words), start=1)
    ends = (i for i, (a, b) in pairs if b in _ENDS_NOUN and a not in _PASSED_OVER)
    nouns = [base_form(word) for word in words[: next(ends, len(words))]]
    if len(nouns) > 1 and nouns[-1] in _VAGUE:
        nouns.pop()  # "dance moves" are about dancing
    return nouns[-1] if nouns else ""


def base_form(word: str) -> str:
    """A verb without its ending, or a noun in the singular, as English spelling has it."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(ss|sh|ch|x|zz)es$", word):
        return word[:-2]
    if re.search(r"[^siu]s$", word) and len(word) > 3:
        return word[:-1]
    for ending in ("ing", "ed"):
        stem = word.removesuffix(ending)
        if stem != word and re.search(r"[aeiouy]", stem) and len(stem) > 1:
            return f"{stem[:-1]}y" if ending == "ed" and stem.endswith("i") else _whole(stem)
    return word


def _whole(stem: str) -> str:
    """A stem as it was before "ing" or "ed": "runn" -> "run", "danc" -> "dance"."""
    if re.search(r"([bdgmnprt])\1$", stem):
        return stem[:-1]
    drops_e = (
        r"[cuvz]$",  # dance, argue, move, squeeze
        r"[bcdfgkptz]l$",  # stumble, juggle, shuffle
        r"dg$",  # dodge
        r"[aeiou].*at$",  # rotate, imitate
        r"^[^aeiou]*[aeiouy][^aeiouwxy]$",  # make, ride; of "mak" it would be "makking"
    )
    return f"{stem}e" if any(re.search(pattern, stem) for pattern in drops_e) else stem
