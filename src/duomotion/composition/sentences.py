"""Sentences about what each of two people does."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from duomotion.composition.clauses import Clause, clause
from duomotion.data.interhuman import read_split
from duomotion.reading import read_text

# What each of the two is called, and what is theirs, where the other one speaks of them.
FIRST_CALLS, SECOND_CALLS = ("the other", "the other's"), ("them", "their")

_ROLES = re.compile(
    r"(?P<first>(?:one|a|the first) (?:person|man|woman|friend|one)\b.+?)[,;]? (?:while|and|as) "
    r"(?P<second>(?:the other|another)(?: person| one| man| woman)? .+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """What each of two people does."""

    first: Clause
    second: Clause

    @property
    def text(self) -> str:
        return f"One person {self.first.singular} and the other {self.second.singular}."


def read_sentences(path: str, pairs: str) -> list[Sentence]:
    """Sentences about two roles that can be turned, each once.

    Args:
        path: a JSON list of objects with text_person1 and text_person2; empty for none.
        pairs: a data set of pairs, whose training captions may tell of two roles.

    Raises:
        ValueError: a file holds something else, or there is no such sentence.
        OSError: a file can't be read.
    """
    roles = [*_planned(Path(path))] if path else []
    clips, _ = read_split(pairs, "train")
    matches = (_ROLES.fullmatch(text.rstrip(".")) for clip in clips for text in clip.captions)
    roles += [(match["first"], match["second"]) for match in matches if match]
    found: dict[str, Sentence] = {}
    for one, other in roles:
        first, second = clause(one, partner=FIRST_CALLS), clause(other, partner=SECOND_CALLS)
        if first is not None and second is not None:
            sentence = Sentence(first, second)
            found.setdefault(sentence.text, sentence)
    if not found:
        raise ValueError(
            f"neither {path or 'a file of sentences'} nor the training captions of {pairs} say "
            "what each of two people does, as 'One person bows and the other waves.' does"
        )
    return list(found.values())


def _planned(path: Path) -> list[tuple[str, str]]:
    try:
        return [
            (str(e["text_person1"]), str(e["text_person2"])) for e in json.loads(read_text(path))
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f"{path} is not a JSON list of objects with text_person1 and text_person2"
        ) from None
