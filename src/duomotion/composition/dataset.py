"""A data set of composed pairs: the work on all cores, and what is written.

ROOT/composed.json   the mark, with settings, and in the end what each clip was made of
ROOT/tries/          what became of each clip, until all are done
ROOT/report.md       how many were kept, and why the others were dropped; report.json as data

Every clip follows from the settings and its number alone, so that the result is the same however
many processes there are and however often the work is interrupted.
"""

import hashlib
import json
import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from duomotion.composition.pairs import compose_pair
from duomotion.composition.recordings import Catalogue, Take, read_takes
from duomotion.composition.report import Report
from duomotion.composition.sentences import Sentence, read_sentences
from duomotion.composition.texts import SOURCES
from duomotion.data.composed import FILE, read_mark, write_mark
from duomotion.data.interhuman import Span, write_splits, write_timed_clip
from duomotion.data.kinds import write_kinds
from duomotion.data.sources import write_weights
from duomotion.progress import track
from duomotion.reading import read_text
from duomotion.storage import atomic_file, locked

if TYPE_CHECKING:
    from duomotion.composition.reactions import Reactor

COMPOSED, REACTED = "composed", "reaction"
TRIES = "tries"
MOST = 999_999  # clips of either sort: their names have six digits


@dataclass(frozen=True, kw_only=True)
class CompositionConfig:
    """What defines a data set of composed pairs.

    Attributes:
        solo: folder of a data set of one person in InterHuman's layout.
        count: clips of two recordings.
        seed: of everything that is drawn.
        reactions: tries at clips of a recording and a model's reaction to it.
        model: what reacts, by name or folder.
        sentences: a JSON list of objects with text_person1 and text_person2; empty for none.
        pairs: folder of the recorded pairs whose training captions tell of two people, and on which
            the evaluator's threshold is set.

    Raises:
        ValueError: a number is out of its range.
    """

    solo: str
    count: int
    seed: int = 0
    reactions: int = 0
    model: str = ""
    sentences: str = ""
    pairs: str = ""

    def __post_init__(self) -> None:
        for name, least in (("count", 0), ("reactions", 0), ("seed", 0)):
            value, most = getattr(self, name), 2**32 - 1 if name == "seed" else MOST
            if not least <= value <= most:
                raise ValueError(f"{name} has to be {least} to {most:,}, not {value}")
        if not self.count + self.reactions:
            raise ValueError("count or reactions has to be 1 at least, for a data set of something")


class _Task(NamedTuple):
    """A clip to be made, by its sort and number."""

    sort: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.sort}-{self.number:06d}"


def compose(config: CompositionConfig, out: Path, *, processes: int = 1) -> Report:
    """Make a data set, or go on where the work was interrupted.

    Raises:
        ValueError: there is no such data set of one person, nothing in it can be used, sentences
            can't be read, or the folder holds something else or is of other settings.
        OSError: the folder can't be written.
    """
    if processes < 1:
        raise ValueError(f"processes has to be 1 at least, not {processes}")
    takes, captions = read_takes(Path(config.solo))
    sentences: list[Sentence] = []
    weights = None
    if config.reactions:
        from duomotion.composition.reactions import load_reacting

        sentences = read_sentences(config.sentences, config.pairs)
        # Before the other clips, which would be made in vain.
        weights = load_reacting(config.model).fingerprint
    with locked(out):
        settings = {**asdict(config), "recordings": _fingerprint(takes), "weights": weights}
        if _clips(out, settings) is None:
            write_mark(out, settings, None)
            tasks = [_Task(COMPOSED, number) for number in range(config.count)]
            tasks += [_Task(REACTED, number) for number in range(config.reactions)]
            todo = [task for task in tasks if not _try_path(out, task.name).is_file()]
            made = _worked(_Work(config, out, takes, sentences), todo, processes)
            for _ in track(made, "clips", unit="clip", total=len(todo)):
                pass
            _finish(out, settings, [task.name for task in tasks], len(takes), captions)
        shutil.rmtree(out / TRIES, ignore_errors=True)
        return Report.read(out)


def _fingerprint(takes: Sequence[Take]) -> str:
    """Twelve hexadecimal digits that change with the split and the captions of the recordings."""
    return hashlib.sha256(repr(takes).encode()).hexdigest()[:12]


def _clips(out: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What the folder's clips were made of, if it is complete.

    Raises:
        ValueError: it holds something else, or is of other settings.
    """
    if not (out / FILE).is_file():
        if (out / "motions_processed").exists() or (out / "split").exists():
            raise ValueError(f"{out} holds a data set that is not composed; name another folder")
        return None
    before, clips = read_mark(out)
    if before != settings:
        other = [name for name in settings if before.get(name) != settings[name]]
        was = ", ".join(f"{name} {before.get(name)!r}" for name in other)
        raise ValueError(f"{out} is composed with other settings ({was}); name another folder")
    return clips


def _try_path(out: Path, name: str) -> Path:
    return out / TRIES / f"{name}.json"


@dataclass(frozen=True)
class _Work:
    """What a process needs to make any of the clips."""

    config: CompositionConfig
    out: Path
    takes: Sequence[Take]
    sentences: Sequence[Sentence]


class _Worker:
    """Makes clips, each of which is written before it is noted as done."""

    def __init__(self, work: _Work) -> None:
        self.work, self.catalogue = work, Catalogue(work.takes)

    @cached_property
    def reactor(self) -> "Reactor":
        from duomotion.composition.reactions import Reactor

        config = self.work.config
        return Reactor.read(
            Path(config.solo), self.work.takes, self.work.sentences, config.model, config.pairs
        )

    def make(self, task: _Task) -> None:
        config, out = self.work.config, self.work.out
        if task.sort == COMPOSED:
            found, dropped = compose_pair(
                Path(config.solo), self.catalogue, seed=config.seed, number=task.number
            )
        else:
            found, dropped = self.reactor.react(seed=config.seed, number=task.number)
        clip = None
        if found is not None:
            seconds = found.motion.seconds
            spans = [Span(caption.text, 0, seconds, caption.source) for caption in found.captions]
            write_timed_clip(out, task.name, found.motion, spans)
            clip = {"kind": found.kind, **found.record}
        with atomic_file(_try_path(out, task.name)) as path:
            path.write_text(json.dumps({"clip": clip, "dropped": dropped}), encoding="utf-8")


_worker: _Worker | None = None


def _start(work: _Work) -> None:
    """Make a process ready; its parent decides when it ends."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = _Worker(work)


def _make(task: _Task) -> None:
    assert _worker is not None
    _worker.make(task)


def _worked(work: _Work, tasks: Sequence[_Task], processes: int) -> Iterator[None]:
    """Makes the clips; an item for each that is done."""
    processes = min(processes, len(tasks))
    if processes <= 1:
        worker = _Worker(work)
        yield from map(worker.make, tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (work,))
    try:
        for done in as_completed([pool.submit(_make, task) for task in tasks]):
            yield done.result()
    except BrokenProcessPool:
        raise ValueError(
            "a process that composes clips was ended, perhaps for lack of memory: start fewer "
            "with --processes; what is made is kept, and the same command goes on from there"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _finish(
    out: Path, settings: dict[str, Any], names: Sequence[str], takes: int, captions: int
) -> None:
    """Write what is about all clips; the mark comes last and says that it is complete."""
    tries = {name: json.loads(read_text(_try_path(out, name))) for name in names}
    clips = {name: entry["clip"] for name, entry in tries.items() if entry["clip"] is not None}
    write_splits(out, {"train": list(clips), "val": [], "test": []})
    write_kinds(out, {name: clip["kind"] for name, clip in clips.items()})
    write_weights(out, SOURCES)
    Report.of(tries, takes=takes, captions=captions).write(out)
    write_mark(out, settings, clips)
