"""Captions of mirrored motions."""

import re

# Whole words in any case, ASCII letters only. The turning words come with their prefix in the one
# match, so that the "clockwise" inside "counterclockwise" is never taken for a word of its own.
_SIDED = re.compile(
    r"\b(?:"
    r"(?P<side>(?ai:left|right))(?P<end>(?ai:s|wards?|most|hand(?:ed)?)?)"
    r"|(?P<against>(?ai:counter|anti)[-\s]?)?(?P<turn>(?ai:clockwise))"
    r")\b"
)


def mirror_text(text: str) -> str:
    """The caption of the motion reflected left to right.

    Swaps left and right, also in lefts, leftward, leftmost and left-handed, and clockwise and
    counterclockwise; lower case, Capitals and UPPER CASE are kept. Twice gives the text back,
    except that anticlockwise, counter-clockwise and the like return as counterclockwise. Words are
    not understood: the left of "he left the room" is swapped too.
    """
    return _SIDED.sub(_mirror_word, text)


def _mirror_word(match: re.Match[str]) -> str:
    if match["side"]:
        other = "right" if match["side"].lower() == "left" else "left"
        return _in_case_of(match["side"], other) + match["end"]
    other = "clockwise" if match["against"] else "counterclockwise"
    return _in_case_of(match[0], other)


def _in_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
