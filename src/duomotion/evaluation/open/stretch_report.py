"""The protocol "stretches": whether motion of a minute stays as good as it begins.

Scores of the open benchmark over stretches of ten seconds, as Dyadic Mamba (Tanke et al. 2025)
scores long motion: a clip of a minute for the caption of each test clip, and of all of them the
first ten seconds, the next ten and so on. Models that are not bound to a number of frames make
each minute in one piece as well.
"""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, Motion, evaluator_of, open_set_of
from duomotion.evaluation.open.row_report import RowReport, facts_of
from duomotion.evaluation.open.sources import Generated, Source, real
from duomotion.models.base import MotionModel
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling

SECONDS, STRETCH = 60, 10


class Minutes(Generated):
    """A minute for each text, whatever the length of the recorded clip."""

    way = "by windows"
    purpose = f"{SECONDS} s {way}"

    def frames(self, query: Query[Any]) -> int:
        return round(SECONDS * self.layout.fps)

    def identity(self, query: Query[Any], /) -> tuple[object, ...]:
        return query.text, query.seed


class MinutesInOnePiece(Minutes):
    """The same without windows."""

    way = "in one piece"
    purpose = f"{SECONDS} s {way}"

    def make(self, queries: Sequence[Query[Any]], /) -> list[Motion]:
        self.model.in_one_piece(self.frames(queries[0]))
        return super().make(queries)


def stretch(source: Source, number: int, fps: float) -> Source:
    """One of the stretches of what a source gives."""
    length = round(STRETCH * fps)
    frames = np.arange(number * length, (number + 1) * length)

    def cut(queries: Sequence[Query[Any]]) -> list[Motion]:
        return [motion.held(frames) for motion in source(queries)]

    return cut


def run(
    models: Sequence[MotionModel],
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes,
) -> RowReport:
    """Score minutes by their stretches.

    Args:
        root: the prepared data set of the evaluator.
        folder: where generated clips are cached.

    Raises:
        ValueError: the data set is not there or too small, the evaluator is another one, or some
            models make two people and others one.
    """
    data = OPEN_SETS[open_set_of(models)]
    train, test = (data.read(root, split) for split in ("train", "test"))
    benchmark = Benchmark(evaluator_of(data, embedder), test, train, repeats=repeats)
    rows = [benchmark.row_of_any_length("real motion", real(data))]
    ways = [
        (model, way)
        for model in models
        for way in (Minutes, *([MinutesInOnePiece] if model.any_length else []))
    ]
    total = -(-len(ways) * benchmark.repeats * len(test) // processes.size)
    with one_bar("stretches", unit="clip", total=total, is_shown=processes.is_first):
        for model, way in ways:
            source = way(data, model, folder, processes, sampling=sampling)
            made = [
                benchmark.row_of_any_length(
                    f"{model.name}, {way.way}, {number * STRETCH} to {(number + 1) * STRETCH} s",
                    stretch(source, number, model.fps),
                )
                for number in range(SECONDS // STRETCH)
            ]
            if source.seconds:
                made[0].scores["seconds"] = Estimate(median(source.seconds), nan)
            rows += made
    facts = facts_of(benchmark, root, models, sampling, processes.device)
    return RowReport(
        f"Stretches of {STRETCH} s of clips of {SECONDS} s",
        "Real motion is as long as it was recorded; s/clip is of the whole clip.",
        tuple(rows),
        facts,
    )
