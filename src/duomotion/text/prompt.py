"""What a prompt must be before a model gets to see it."""

import re
import unicodedata

MAX_CHARACTERS = 1_000
_SHOWN = 40
_SUBJECT = re.compile(
    r"((a|an|the|one|another) )?((first|second|other) )?"
    r"(person|man|woman|boy|girl|dancer|friend|one|other|someone|somebody|he|she|they) ",
    re.IGNORECASE,
)
_NOUNS = "person|human|man|woman|boy|girl|guy|lady|kid|child|friend"
_PERSON = re.compile(rf"\b({_NOUNS})\b", re.IGNORECASE)
_TWO = re.compile(
    r"\b(two|both) ([\w-]+ )?(people|persons|humans|men|women|boys|girls|guys|ladies|kids|children|"
    r"friends|partners|dancers|soldiers|players|boxers|strangers|colleagues|neighbou?rs|of them)\b"
    r"|\b(each other|one another|partners?|someone else|somebody else)\b"
    rf"|\b(another|the other|the second) ({_NOUNS}|dancer)\b|\bthe other's\b"
    r"|\bone (person|dancer|of them)\b.*\bthe other\b"
    r"|^(they|people|friends|a couple|a pair|[\w-]+ (people|men|women|friends))\b"
    r"|^both (?!the\b|arm|hand|leg|foot|feet|knee)"
    r"|\b(he|man|guy|boy)\b.*\b(she|her)\b|\b(she|woman|girl|lady)\b.*\b(he|him|his)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"((a|an|the|some) ([\w-]+ )?)?({_NOUNS}|dancer|soldier|player|boxer|athlete)\b"
    r"|someone\b|somebody\b|he\b|she\b",
    re.IGNORECASE,
)
_COMPANY = re.compile(
    r"\b(other|another|opponent|buddy|date|wife|husband|friend|sweetheart|salsa|joined|somebody)\b",
    re.IGNORECASE,
)


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


def roles(first: str, second: str) -> str:
    """One prompt from what each of two people does: "waves" and "a person bows".

    Models are trained on sentences about both people, so separate instructions (Javed et al. 2025,
    section 4.3) become one of them: "one person waves and the other person bows".

    Raises:
        ValueError: one of the two is no usable prompt.
    """
    return check_prompt(f"one person {_act(first)} and the other person {_act(second)}")


def of_partner(text: str) -> str:
    """A prompt from what one of two people does, of whom the other is given: "a person bows".

    Raises:
        ValueError: it is no usable prompt.
    """
    return check_prompt(f"the other person {_act(text)}")


def _act(text: str) -> str:
    """What somebody does, without who it is."""
    return _SUBJECT.sub("", check_prompt(text), count=1).rstrip(" .;,")


def people_in(text: str) -> int | None:
    """How many people a sentence is about, one or two; None where its words leave it open."""
    if _TWO.search(text) or len({noun.lower() for noun in _PERSON.findall(text)}) > 1:
        return 2
    alone = _ALONE.match(text)
    return 1 if alone is not None and not _COMPANY.search(text, alone.end()) else None


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN ")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
