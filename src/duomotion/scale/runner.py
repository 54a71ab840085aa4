"""The clips of a job: planned shard by shard, made and kept batch by batch."""

import datetime
import json
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from duomotion.checkpoint import read_json, write_json
from duomotion.formats import shard
from duomotion.formats.shard import Entry, Index
from duomotion.models.batches import BATCH_SIZE
from duomotion.motion.interaction import Interaction
from duomotion.progress import counter
from duomotion.scale import work
from duomotion.scale.job import LEFT_OUT, REPORT, Job
from duomotion.scale.lines import Prompt, parse, read_lines
from duomotion.scale.processes import LostWorkError, Workers
from duomotion.scale.work import OutOfMemoryError, Plan
from duomotion.storage import atomic_file

PLANNED_AT_ONCE = 64  # clips, by one worker
AHEAD = 2  # pieces of work per worker that are given out, so that none waits for the next
MOST_LOST = 3  # pieces of work in a row that workers end over


@dataclass
class _Shard:
    """A shard that is not finished.

    Attributes:
        left_out: why there is no clip, by number of the line.
        missing: batches that are not made yet.
    """

    number: int
    left_out: dict[int, str]
    missing: int = 0


@dataclass(frozen=True)
class _Batch:
    """Clips that are made at once: number, prompt and plan of each."""

    shard: _Shard
    clips: tuple[tuple[int, Prompt, Plan], ...]


def run(job: Job, workers: Workers) -> dict[str, Any]:
    """Make all clips of a job that are not there yet, and write what has become of it.

    Returns:
        What the report holds.

    Raises:
        ValueError: the folder is another job's, the model can't be had, or workers lack memory.
        OSError: a file can't be read or written.
    """
    try:
        job.begin()
        return _Run(job, workers).run()
    except (OutOfMemoryError, LostWorkError) as error:
        detail = f" ({error})" if str(error) else ""
        raise ValueError(
            f"workers lack memory, as it seems{detail}: start fewer with --processes; what is made "
            "is kept, and the same command goes on from there"
        ) from None


class _Run:
    def __init__(self, job: Job, workers: Workers) -> None:
        self._job, self._workers = job, workers
        self._entries = {each.file: each for each in job.finished().shards}
        self._done: Callable[[int], object] = lambda count: None
        self._clips, self._motion, self._lost = 0, 0.0, 0

    def run(self) -> dict[str, Any]:
        finished = sum(map(_num_lines, self._entries.values()))
        begun = datetime.datetime.now(datetime.UTC)
        start = time.perf_counter()
        left = self._job.summary.lines - finished
        try:
            if left:
                model = self._workers.submit(work.fingerprint, self._job.settings)
                self._job.begin(model.result())
                with counter("clips", unit="clip", total=left) as self._done:
                    self._make()
        finally:
            report = self._report(begun, time.perf_counter() - start)
        return report

    def _make(self) -> None:
        given: dict[Future[Any], _Batch] = {}
        for batch in self._batches():
            while len(given) >= AHEAD * max(1, self._workers.count):
                self._take(given)
            clips = [list(each) for each in zip(*batch.clips, strict=True)]
            given[self._workers.submit(work.make, self._job.settings, *clips[1:])] = batch
        while given:
            self._take(given)

    def _take(self, given: dict[Future[Any], _Batch]) -> None:
        """Keep what has been made since."""
        for future in wait(given, return_when=FIRST_COMPLETED).done:
            batch = given.pop(future)
            numbers = [number for number, _, _ in batch.clips]
            made: dict[int, Interaction] = {}
            for number, outcome in zip(numbers, self._outcomes(future, numbers), strict=True):
                if isinstance(outcome, str):
                    batch.shard.left_out[number] = f"line {number}: {outcome}"
                else:
                    made[number] = outcome
            self._job.keep(batch.shard.number, made)
            self._clips += len(made)
            self._motion += sum(clip.seconds for clip in made.values())
            self._done(len(numbers))
            batch.shard.missing -= 1
            if not batch.shard.missing:
                self._finish(batch.shard)

    def _outcomes(self, future: Future[Any], numbers: list[int]) -> list[Any]:
        """What a worker returns for lines; where it is lost, why.

        Raises:
            LostWorkError: others were lost before, one after the other.
        """
        try:
            outcomes = future.result()
        except LostWorkError as error:
            self._lost += 1
            if self._lost == MOST_LOST:
                raise
            return [str(error)] * len(numbers)
        self._lost = 0
        return outcomes

    def _batches(self) -> Iterator[_Batch]:
        """Of all shards that are not finished, one shard after the other."""
        lines = read_lines(self._job.prompts)
        size = self._job.shard_size
        for number, own in groupby(lines, key=lambda line: (line[0] - 1) // size):
            if self._job.shard(number).name not in self._entries:
                yield from self._planned(number, dict(own))

    def _planned(self, number: int, lines: dict[int, bytes]) -> Iterator[_Batch]:
        """The batches of a shard, those of like clips together."""
        unfinished, prompts = _Shard(number, {}), {}
        there = self._job.made(number)
        for line, content in lines.items():
            if line in there:
                continue
            try:
                prompts[line] = self._found(parse(line, content))
            except ValueError as error:
                unfinished.left_out[line] = str(error)
        self._done(len(lines) - len(prompts))
        alike: dict[Hashable, list[tuple[int, Prompt, Plan]]] = {}
        for line, planned in self._plans(prompts):
            if isinstance(planned, str):
                unfinished.left_out[line] = f"line {line}: {planned}"
                self._done(1)
            else:
                alike.setdefault(planned.key, []).append((line, prompts[line], planned))
        batches = [
            _Batch(unfinished, tuple(clips[start : start + BATCH_SIZE]))
            for clips in alike.values()
            for start in range(0, len(clips), BATCH_SIZE)
        ]
        unfinished.missing = len(batches)
        if not batches:
            self._finish(unfinished)
        yield from batches

    def _plans(self, prompts: dict[int, Prompt]) -> Iterator[tuple[int, Plan | str]]:
        numbers = list(prompts)
        pieces = [
            numbers[start : start + PLANNED_AT_ONCE]
            for start in range(0, len(numbers), PLANNED_AT_ONCE)
        ]
        given = [
            self._workers.submit(work.plan, self._job.settings, [prompts[each] for each in piece])
            for piece in pieces
        ]
        for piece, future in zip(pieces, given, strict=True):
            yield from zip(piece, self._outcomes(future, piece), strict=True)

    def _found(self, prompt: Prompt) -> Prompt:
        """With the path of given motion as it is found from here."""
        if prompt.known is None:
            return prompt
        path = self._job.prompts.parent / prompt.known
        return replace(prompt, known=str(path.absolute()))

    def _finish(self, finished: _Shard) -> None:
        entry = self._job.finish(finished.number, finished.left_out)
        self._entries[entry.file] = entry
        shard.write_index(self._job.folder, self._index)

    @property
    def _index(self) -> Index:
        return Index(tuple(self._entries[file] for file in sorted(self._entries)))

    def _report(self, begun: datetime.datetime, seconds: float) -> dict[str, Any]:
        """Write what there is, what is left out, and how fast this run was."""
        job, index = self._job, self._index
        shard.write_index(job.folder, index)
        num_left_out = 0
        with atomic_file(job.folder / LEFT_OUT) as temporary, temporary.open("w") as file:
            for number, reason in job.left_out(index):
                num_left_out += 1
                file.write(json.dumps({"line": number, "reason": reason}) + "\n")
        path = job.folder / REPORT
        earlier = read_json(path)["runs"] if path.exists() else []
        own = {
            "began": begun.isoformat(timespec="seconds"),
            "workers": self._workers.count,
            "seconds": round(seconds, 1),
            "clips": self._clips,
            "clips_per_second": round(self._clips / seconds, 3),
            "motion_seconds_per_second": round(self._motion / seconds, 3),
        }
        report = {
            "lines": job.summary.lines,
            "lines_of_finished_shards": sum(_num_lines(each) for each in index.shards),
            "clips": sum(each.clips for each in index.shards),
            "left_out": num_left_out,
            "motion_seconds": round(sum(each.seconds for each in index.shards), 1),
            "runs": [*earlier, own],
        }
        with atomic_file(path) as temporary:
            write_json(temporary, report)
        return report


def _num_lines(entry: Entry) -> int:
    return entry.last - entry.first + 1
