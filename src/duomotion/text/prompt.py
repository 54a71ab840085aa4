"""What a prompt must be before a model gets to see it."""

import unicodedata

MAX_CHARACTERS = 1_000
_SHOWN = 40


def check_prompt(text: str) -> str:
    """The prompt, tidied: composed characters (NFC), single spaces, nothing invisible.

    Raises:
        ValueError: the prompt is empty or too long, has no words, or most of its letters belong to
            a script other than the Latin one, which the encoders have no words for.
    """
    visible = "".join(c for c in text if c.isprintable() or c.isspace())
    tidy = " ".join(visible.split())
    if not tidy:
        raise ValueError(
            "the prompt is empty; describe what the two people do, such as 'two people shake hands'"
        )
    if len(tidy) > MAX_CHARACTERS:
        raise ValueError(
            f"the prompt has {len(tidy):,} characters; at most {MAX_CHARACTERS:,} are allowed"
        )
    tidy = unicodedata.normalize("NFC", tidy)
    letters = [c for c in tidy if c.isalpha()]
    if not letters:
        raise ValueError(
            f"the prompt has no words, only {_excerpt(tidy)}; describe in English what the two "
            "people do"
        )
    if 2 * sum(map(_is_latin, letters)) < len(letters):
        foreign = (w for w in tidy.split() if any(c.isalpha() and not _is_latin(c) for c in w))
        raise ValueError(
            "the open models understand English, and most of the prompt is in another script: "
            f"{_excerpt(' '.join(foreign))}"
        )
    return tidy


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN ")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
