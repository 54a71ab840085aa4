"""Captioned stretches of one person's recordings, by the kind of action that they show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from duomotion.composition.clauses import Clause, clause
from duomotion.data import shards
from duomotion.data.interhuman import PEOPLE, Clip, Problem, read_clip, read_spans, split_names
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN, twist
from duomotion.progress import track
from duomotion.reading import array_shape

FPS = INTERHUMAN.fps
SHORTEST, LONGEST = 2.0, 10.0  # seconds of a clip
BRIEFEST = 0.4  # seconds of what a caption describes, at least
BRIEFEST_STEADY = 1.2  # where it is of a kind that goes on for longer
AROUND = 1.5  # seconds that a clip may go on before and after what its caption describes
AROUND_STEADY = 0.5  # where that fills the clip
ALIKE = 0.7  # share of their union that two captions of one stretch have in common, at least


@dataclass(frozen=True)
class Take:
    """A stretch of a recording, and what the person does in it.

    Attributes:
        clip: the recording's name in the data set.
        start, end: of what is described, in seconds.
        seconds: of the whole recording.
        clauses: descriptions, any of which fits; all of one kind of action.
    """

    clip: str
    start: float
    end: float
    seconds: float
    clauses: tuple[Clause, ...]

    @property
    def action(self) -> str:
        return self.clauses[0].action.name

    @property
    def is_steady(self) -> bool:
        """Whether any part of it can be described in the same way."""
        return all(clause.is_steady for clause in self.clauses)

    @property
    def lengths(self) -> tuple[float, float]:
        """The shortest and the longest clip of it that the descriptions fit, in seconds."""
        described = self.end - self.start
        least = SHORTEST if self.is_steady else max(SHORTEST, described)
        most = described + (AROUND_STEADY if self.is_steady else AROUND)
        return least, min(LONGEST, self.seconds, max(SHORTEST, most))

    def window(self, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
        """Start and end in seconds of a clip of it."""
        ends = self.end - seconds, self.start
        earliest, latest = max(0.0, min(ends)), min(self.seconds - seconds, max(ends))
        start = rng.uniform(earliest, max(earliest, latest))
        return start, start + seconds


def read_takes(root: Path) -> tuple[list[Take], int]:
    """What the training split of a data set of one person shows, and how many captions it has.

    Clips that can't be used, which `duomotion data check` names, are passed over.

    Raises:
        ValueError: the folder is no such data set or has its motion in shards, or none of its
            captions can be used.
    """
    shards.refuse(root)
    if (root / "motions_processed" / PEOPLE[1]).is_dir():
        raise ValueError(
            f"{root} is a data set of two people; pairs are composed of one of one person, such as "
            "`duomotion data prepare solo-interhuman` makes"
        )
    takes: list[Take] = []
    captions = 0
    for name in track(split_names(root, "train"), "captions", unit="clip", is_kept=False):
        try:
            path = root / "motions_processed" / PEOPLE[0] / f"{name}.npy"
            seconds = array_shape(path)[0] / FPS
            spans = read_spans(root, name, seconds=seconds)
        except (ValueError, OSError):
            continue
        captions += len(spans)
        found: list[Take] = []
        for span in spans:
            made = clause(span.caption)
            if made is None:
                continue
            if span.end - span.start >= (BRIEFEST_STEADY if made.is_steady else BRIEFEST):
                _add(found, Take(name, span.start, span.end, seconds, (made,)))
        takes += [take for take in map(_fitting, found) if take.lengths[0] <= take.lengths[1]]
    if not takes:
        raise ValueError(
            f"{root} has no clip in its training split with a caption about one person's motion, "
            "such as 'A person walks forward.'"
        )
    return takes, captions


def _fitting(take: Take) -> Take:
    """A stretch that is too long for a clip, with those descriptions that fit a part of it."""
    steady = tuple(clause for clause in take.clauses if clause.is_steady)
    is_too_long = take.lengths[0] > LONGEST
    return replace(take, clauses=steady) if steady and is_too_long else take


def _add(takes: list[Take], take: Take) -> None:
    """Add a stretch, or what it says to one that is nearly the same."""
    for place, other in enumerate(takes):
        common = min(take.end, other.end) - max(take.start, other.start)
        union = max(take.end, other.end) - min(take.start, other.start)
        if other.action == take.action and common >= ALIKE * union:
            start, end = min(take.start, other.start), max(take.end, other.end)
            said = tuple(dict.fromkeys((*other.clauses, *take.clauses)))
            takes[place] = replace(other, start=start, end=end, clauses=said)
            return
    takes.append(take)


class Catalogue:
    """Stretches to draw from: first a kind of action, then a recording, then a stretch of it.

    What people ask for is drawn more often, and what many recordings show less often than these
    recordings would be.
    """

    def __init__(self, takes: Sequence[Take]) -> None:
        self.takes: dict[str, dict[str, list[Take]]] = {}
        for take in takes:
            self.takes.setdefault(take.action, {}).setdefault(take.clip, []).append(take)
        self.actions = sorted(self.takes)
        weights = [
            next(iter(self.takes[name].values()))[0].clauses[0].action.weight
            * np.sqrt(len(self.takes[name]))
            for name in self.actions
        ]
        self.shares = np.array(weights) / sum(weights)

    def draw(self, rng: np.random.Generator, action: str | None = None) -> Take:
        """A stretch, of that kind of action if one is named."""
        name = action or self.actions[rng.choice(len(self.actions), p=self.shares)]
        clips = self.takes[name]
        takes = clips[list(clips)[rng.integers(len(clips))]]
        return takes[rng.integers(len(takes))]


@lru_cache(maxsize=16)
def _clip(root: Path, name: str) -> Clip | Problem:
    return read_clip(root, name)


def read_motion(root: Path, name: str, start: float, end: float) -> Interaction | None:
    """One person's motion between two times in seconds, None where the recording is damaged.

    The difference of the times alone determines how many frames there are.
    """
    clip = _clip(root, name)
    if isinstance(clip, Problem):
        return None
    frames = round((end - start) * FPS)
    first = min(round(start * FPS), clip.num_frames - frames)
    cut = slice(first, first + frames)
    return Interaction.from_positions(clip.positions[:, cut], twist(clip.sixd[:, cut]), fps=FPS)
