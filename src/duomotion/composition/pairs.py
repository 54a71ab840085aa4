"""Two recordings of one person each, placed in one world and described together."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from duomotion.composition.clauses import Clause
from duomotion.composition.placing import ARRANGEMENTS, Arrangement, Person, placed
from duomotion.composition.recordings import FPS, Catalogue, Take, read_motion
from duomotion.composition.texts import Caption, pair_captions
from duomotion.evaluation.metrics.physics import hover
from duomotion.motion.canonical import mirror
from duomotion.motion.interaction import Interaction

SAME_ACTION = 0.3  # share of the pairs that are drawn with one kind of action for both
TRIES = 60  # pairs that are drawn for one clip, at most
APART = 0.3  # share of the pairs that fit no other arrangement and are placed anywhere
WEIGHTS = {  # how often an arrangement is tried first
    "face to face": 3.0,
    "side by side": 2.5,
    "towards each other": 2.0,
    "one behind the other": 1.5,
    "past each other": 1.0,
    "away from each other": 0.7,
    "back to back": 0.4,
}
COPIES = ("in mirror image", "around one point")
COPIED = 0.06  # share of the pairs in which the second person is a copy of the first
HOVER = 0.3  # metres that nobody stays over the floor for longer than a jump

NO_LENGTH = "the recordings have no length in common"
DAMAGED = "a recording is damaged"
STILL = "somebody does not go along although that is described"
NO_FLOOR = "somebody hangs on or stands on what is not recorded"
NO_PLACE = "no arrangement fits the two without contact"


@dataclass(frozen=True)
class Composed:
    """A clip, and what it was made of, as JSON holds it."""

    motion: Interaction
    captions: tuple[Caption, ...]
    kind: str
    record: dict[str, Any]


class _Role(NamedTuple):
    """What one person does, and which part of which recording that is."""

    person: Person
    clauses: tuple[Clause, ...]
    record: dict[str, Any]


def compose_pair(
    root: Path, catalogue: Catalogue, *, seed: int, number: int
) -> tuple[Composed | None, Counter[str]]:
    """A clip, the same for the same arguments, and why the pairs drawn before it were dropped.

    Args:
        root: the data set of one person.
        number: the clip's, of all with this seed.
    """
    dropped: Counter[str] = Counter()
    for attempt in range(TRIES):
        rng = np.random.default_rng((seed, number, attempt))
        found = _drawn(root, catalogue, rng)
        if isinstance(found, Composed):
            return found, dropped
        dropped[found] += 1
    return None, dropped


def kind_of(first: str, second: str) -> str:
    """The kind of a clip from what each of the two does."""
    return " + ".join(sorted((first, second)))


def _drawn(root: Path, catalogue: Catalogue, rng: np.random.Generator) -> Composed | str:
    """A clip of two stretches drawn at random, or why there is none."""
    one = catalogue.draw(rng)
    other = catalogue.draw(rng, one.action if rng.random() < SAME_ACTION else None)
    low, high = zip(one.lengths, other.lengths, strict=True)
    if max(low) > min(high) or one.clip == other.clip:
        return NO_LENGTH
    seconds = int(max(rng.uniform(max(low), min(high), 2)) * FPS) / FPS
    first, partner = (_role(root, take, seconds, rng) for take in (one, other))
    if first is None or partner is None:
        return DAMAGED
    if any(role.person.speed < role.clauses[0].action.speed for role in (first, partner)):
        return STILL
    if max(hover(role.person.motion.positions) for role in (first, partner)) > HOVER:
        return NO_FLOOR
    for arrangement in _arrangements(rng):
        copied = arrangement.copied
        second = partner if copied is None else _copy(first, copied)
        if not arrangement.suits(first.person, second.person):
            continue
        motion = placed(first.person, second.person, arrangement, rng)
        if motion is not None:
            captions = pair_captions(first.clauses, second.clauses, arrangement.name, rng)
            actions = [role.clauses[0].action.name for role in (first, second)]
            record = {"arrangement": arrangement.name, "people": [first.record, second.record]}
            return Composed(
                motion.with_caption(captions[0].text), captions, kind_of(*actions), record
            )
    return NO_PLACE


def _role(root: Path, take: Take, seconds: float, rng: np.random.Generator) -> _Role | None:
    """What is seen of a stretch; None where the recording is damaged."""
    start, end = take.window(seconds, rng)
    motion, clauses = read_motion(root, take.clip, start, end), take.clauses
    is_mirrored = bool(rng.random() < 0.5)
    if motion is None:
        return None
    if is_mirrored:
        motion, clauses = mirror(motion), tuple(clause.mirrored() for clause in clauses)
    record = {
        "clip": take.clip,
        "start": round(start, 3),
        "end": round(end, 3),
        "is_mirrored": is_mirrored,
    }
    return _Role(Person.of(motion), clauses, record)


def _copy(role: _Role, copied: Callable[[Person], Person]) -> _Role:
    """The other person where both do the same."""
    person = copied(role.person)
    if person is role.person:
        return role
    clauses = tuple(clause.mirrored() for clause in role.clauses)
    return _Role(person, clauses, {**role.record, "is_mirrored": not role.record["is_mirrored"]})


def _arrangements(rng: np.random.Generator) -> list[Arrangement]:
    """Those that are tried for a pair, in a random order."""
    if rng.random() < COPIED:
        return [ARRANGEMENTS[name] for name in rng.permutation(COPIES)]
    weights = np.array(list(WEIGHTS.values()))
    order = np.argsort(rng.exponential(size=len(weights)) / weights)
    names = [list(WEIGHTS)[place] for place in order]
    return [ARRANGEMENTS[name] for name in names + ["apart"] * int(rng.random() < APART)]
