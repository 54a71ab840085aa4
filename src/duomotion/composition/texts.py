"""Captions of two people from what each of them does, in several wordings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from duomotion.composition.clauses import Clause
from duomotion.text.conjugation import third_person

BOTH, PERSON = "both", "person"
SOURCES: Mapping[str, float] = {BOTH: 1.0, PERSON: 0.25}
"""What a caption is about, as its source, and how much it counts."""


class Caption(NamedTuple):
    """A sentence, and whether it tells of both people or of one."""

    text: str
    source: str = BOTH


# a, b: what each does.
_DIFFERENT = (
    "One person {a} while the other {b}.",
    "One person {a} and the other {b}.",
    "While one person {a}, the other {b}.",
    "One {a}, the other {b}.",
    "There are two people: one {a}, the other {b}.",
    "One person {a} as the other person {b}.",
    "One person {a}; the other one {b}.",
)
_SAME = ("Two people {both}.", "Both people {both}.", "Two people {both} at the same time.")
# In the order of the people: the first is in front.
_PLACED: Mapping[str, Sequence[str]] = {
    "face to face": (
        "They face each other; one {a}, the other {b}.",
        "Facing each other, one person {a} and the other {b}.",
        "Two people are face to face: one {a}, the other {b}.",
    ),
    "towards each other": (
        "Two people come towards each other: one {a}, the other {b}.",
        "Coming towards each other, one person {a} and the other {b}.",
    ),
    "side by side": (
        "Side by side, one person {a} and the other {b}.",
        "Two people are next to each other; one {a} while the other {b}.",
        "One person {a}, and beside them the other {b}.",
    ),
    "one behind the other": (
        "One person {a}, and behind them the other {b}.",
        "Of two people, one behind the other, the one in front {a} and the one behind {b}.",
    ),
    "back to back": (
        "Back to back, one person {a} and the other {b}.",
        "They have their backs to each other; one {a}, the other {b}.",
    ),
    "away from each other": (
        "Two people move away from each other: one {a}, the other {b}.",
        "Moving apart, one person {a} and the other {b}.",
    ),
    "past each other": (
        "Two people pass each other: one {a}, the other {b}.",
        "They go past each other; one {a}, the other {b}.",
    ),
    "in mirror image": (
        "Like mirror images, one person {a} and the other {b}.",
        "One person {a}; the other, facing them, does the same in mirror image.",
    ),
    "around one point": (
        "One person {a}, and the other does the same on the opposite side.",
        "Opposite each other, one person {a} and the other {b}.",
    ),
    "apart": (),
}
_PLACED_SAME: Mapping[str, Sequence[str]] = {
    "face to face": ("Facing each other, two people {both}.", "Two people {both} face to face."),
    "towards each other": ("Two people {both}, coming towards each other.",),
    "side by side": ("Two people {both} side by side.", "Side by side, two people {both}."),
    "one behind the other": (
        "Two people {both}, one behind the other.",
        "One behind the other, two people {both}.",
    ),
    "back to back": ("Back to back, two people {both}.", "Two people {both} back to back."),
    "away from each other": ("Two people {both}, moving away from each other.",),
    "past each other": ("Two people {both}, passing each other.",),
    "in mirror image": (
        "Two people {both} in mirror image.",
        "Like mirror images of each other, two people {both}.",
    ),
    "around one point": (
        "Two people {both} opposite each other.",
        "On opposite sides of one point, two people {both}.",
    ),
    "apart": (),
}
_ORDERED = _DIFFERENT[:2] + _DIFFERENT[3:]
_JOINING = frozenset({"while", "and", "as"})
_GOING = frozenset({"walk", "run", "jog", "march", "sneak", "limp", "crawl"})
_WAYS = frozenset({"towards each other", "away from each other", "past each other"})


def pair_captions(
    first: Sequence[Clause], second: Sequence[Clause], arrangement: str, rng: np.random.Generator
) -> tuple[Caption, ...]:
    """Sentences about a clip, any of which fits: of both people, and of each.

    Args:
        first, second: descriptions of each person, any of which fits.
        arrangement: the name of one of `placing.ARRANGEMENTS`.
    """
    one, other = (_chosen(clauses, rng) for clauses in (first, second))
    lines = []
    if one.singular != other.singular:
        for _ in range(2):
            pair = _in_any_order(_chosen(first, rng), _chosen(second, rng), rng)
            lines.append(_filled(_DIFFERENT, *pair, rng))
        if one.action.phrase and other.action.phrase and one.action is not other.action:
            pair = _in_any_order(_in_short(one), _in_short(other), rng)
            lines.append(_filled(_DIFFERENT, *pair, rng))
        lines += [_filled(_PLACED[arrangement], one, other, rng) for _ in range(2)]
    if both := _both(one, other):
        lines += [_chosen(_SAME, rng).format(both=both)]
        lines += [line.format(both=both) for line in _PLACED_SAME[arrangement]]
        if arrangement in _WAYS and one.action.name in _GOING:
            lines.append(f"Two people {one.action.phrase} {arrangement}.")
    return _captions(lines, one, other)


def reaction_captions(
    shown: Sequence[Clause], first: Clause, second: Clause, rng: np.random.Generator
) -> tuple[Caption, ...]:
    """Sentences about a recorded person and a reaction.

    Args:
        shown: descriptions of the recording.
        first, second: the roles for which it was chosen and the reaction made.
    """
    one = _chosen(shown, rng)
    lines = [_filled(_ORDERED, first, second, rng) for _ in range(2)]
    lines += [_filled(_ORDERED, one, second, rng) for _ in range(2)]
    return _captions(lines, one, second)


def _captions(lines: Sequence[str], one: Clause, other: Clause) -> tuple[Caption, ...]:
    """Each line once, and those about each person."""
    alone = (f"One person {one.singular}.", f"The other person {other.singular}.")
    both = [Caption(line) for line in dict.fromkeys(lines) if line]
    return (*both, *(Caption(line, PERSON) for line in alone))


def _both(one: Clause, other: Clause) -> str:
    """What both do; nothing where they do different things."""
    if one.plural == other.plural:
        return one.plural
    return one.action.phrase if one.action is other.action else ""


def _in_short(clause: Clause) -> Clause:
    verb, _, rest = clause.action.phrase.partition(" ")
    return Clause(f"{third_person(verb)} {rest}".rstrip(), clause.action.phrase, clause.action)


def _in_any_order(one: Clause, other: Clause, rng: np.random.Generator) -> tuple[Clause, Clause]:
    return (other, one) if rng.random() < 0.5 else (one, other)


AnyOption = TypeVar("AnyOption")


def _chosen(options: Sequence[AnyOption], rng: np.random.Generator) -> AnyOption:
    return options[int(rng.integers(len(options)))]


def _filled(templates: Sequence[str], one: Clause, other: Clause, rng: np.random.Generator) -> str:
    """One of the templates whose joining words are in no clause; empty where there is none."""
    said = f"{one.singular} {other.singular}".split()
    clear = [each for each in templates if not _JOINING.intersection(each.split()) & {*said}]
    if not clear:
        return ""
    return _chosen(clear, rng).format(a=one.singular, b=other.singular)
