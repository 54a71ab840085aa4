"""The captions of the open solo clips: which are used, and what they count.

captions.json has one sentence a clip, of all of it. Since the second edition captions_more.json has
captions of stretches from several sources. Those that are not sentences (BABEL's phrases, lines of
the CMU catalogue) are left out where they say nothing and become sentences where they begin with a
verb. The rules and the weights of the sources stand in open_solo.json.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from duomotion.data.interhuman import Span
from duomotion.names import check_name
from duomotion.reading import read_text
from duomotion.text.phrases import sentence

FIRST, MORE = "captions.json", "captions_more.json"
KIT = "kit"  # the source of captions.json
LATEST_TIME = 1e6  # seconds
_LETTER = re.compile(r"[^\W\d_]")
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_TAKE = re.compile(r"\s*(?:(?<!\d)0\d+|\bcleaned ?grs)$")  # what the catalogue adds to what is done


@dataclass(frozen=True)
class Rules:
    """How captions are chosen.

    Attributes:
        weights: how often a caption is drawn, by source.
        phrases: the sources whose captions are no sentences.
        shortest: seconds of the shortest stretch.
        left_out: what phrases that are left out have in them.
        says_nothing: phrases that are left out.
        verbs: in their basic form.
    """

    weights: Mapping[str, float]
    phrases: frozenset[str]
    shortest: float
    left_out: re.Pattern[str]
    says_nothing: frozenset[str]
    verbs: frozenset[str]

    def caption(self, text: str, source: str) -> str | None:
        """The caption as it is used; None where it is left out."""
        if not _LETTER.search(text):
            return None
        if source not in self.phrases:
            return " ".join(text.split())
        phrase = plain_phrase(text)
        if phrase in self.says_nothing or self.left_out.search(phrase):
            return None
        return sentence(phrase, self.verbs)


@cache
def rules() -> Rules:
    """Those of open_solo.json."""
    text = (files("duomotion.data") / "open_solo.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return Rules(
        document["weights"],
        frozenset(document["phrases"]),
        document["shortest"],
        re.compile("|".join(document["left_out"])),
        frozenset(document["says_nothing"]),
        frozenset(document["verbs"]),
    )


def plain_phrase(text: str) -> str:
    """A phrase in lower case, without the number of a take and with spaces between its words."""
    words = _CASE.sub(" ", text.replace("_", " ")).lower().split()
    return _TAKE.sub("", " ".join(words)).strip(" .")


def read_captions(source: Path, edition: int) -> dict[str, list[Span]]:
    """The captions of clips by the name of their file; those of whole clips end at infinity.

    Of some clips all captions are left out.

    Raises:
        ValueError: a file holds something else.
        OSError: a file can't be read.
    """
    if edition == 1:
        return {
            clip: [Span(caption, 0.0, math.inf)]
            for clip, caption in _of_whole_clips(source / FIRST)
        }
    captions: dict[str, list[Span]] = {}
    whole = (
        (clip, Span(caption, 0.0, math.inf, KIT))
        for clip, caption in _of_whole_clips(source / FIRST)
    )
    for clip, span in chain(whole, _of_stretches(source / MORE)):
        known = captions.setdefault(clip, [])
        text = rules().caption(span.caption, span.source)
        if text is None or span.end - span.start < rules().shortest:
            continue
        if (used := replace(span, caption=text)) not in known:
            known.append(used)
    return captions


def _of_whole_clips(path: Path) -> Iterator[tuple[str, str]]:
    for entry in _entries(path, "clip", "caption"):
        yield entry["clip"], entry["caption"]


def _of_stretches(path: Path) -> Iterator[tuple[str, Span]]:
    for number, entry in enumerate(_entries(path, "clip", "caption", "source"), start=1):
        start, end, source = entry.get("start"), entry.get("end"), entry["source"]
        if not (_is_time(start) and _is_time(end) and start < end):
            raise ValueError(f"{path}, entry {number}: start and end should be seconds, in order")
        if source not in (known := rules().weights):
            raise ValueError(f"{path}, entry {number}: {source!r} is none of {', '.join(known)}")
        yield entry["clip"], Span(entry["caption"], start, end, source)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value <= LATEST_TIME


def _entries(path: Path, *members: str) -> list[dict[str, Any]]:
    """The entries of a list, which have these texts."""
    try:
        entries = json.loads(read_text(path))
        found = [(entry, [entry[member] for member in members]) for entry in entries]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path} is not a list of clips, each with a caption") from None
    for entry, texts in found:
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{path}: names of clips and their captions have to be texts")
        check_name(PurePosixPath(entry["clip"]).stem, str(path))
    return entries
