"""The protocol "stretches": whether motion of a minute stays as good as it begins.

Scores of the open benchmark over stretches of ten seconds, as Dyadic Mamba (Tanke et al. 2025)
scores long motion: a clip of a minute for the caption of each test clip, and of all of them the
first ten seconds, the next ten and so on. Models that are not bound to a number of frames make
each minute in one piece as well.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from duomotion.checkpoint import environment
from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, Motion, OpenSet, evaluator_of, open_set_of
from duomotion.evaluation.open.sources import Generated, Source, real
from duomotion.evaluation.report import Content
from duomotion.evaluation.sources import computation
from duomotion.evaluation.tables import computed, markdown, report_files
from duomotion.models.base import MotionModel
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling

SECONDS, STRETCH = 60, 10
SCORES = ("fid", "r1", "r3", "mm_dist", "foot_sliding", "jerk", "body_litres", "seconds")


class Minutes(Generated):
    """A minute for each text, whatever the length of the recorded clip."""

    def __init__(
        self,
        data: OpenSet,
        model: MotionModel,
        folder: Path,
        processes: Processes,
        *,
        sampling: Sampling,
        way: str,
    ) -> None:
        self.purpose = f"{SECONDS} s {way}"
        super().__init__(data, model, folder, processes, sampling=sampling)

    def frames(self, query: Query[Any]) -> int:
        return round(SECONDS * self.layout.fps)

    def identity(self, query: Query[Any], /) -> tuple[object, ...]:
        return query.text, query.seed


def stretch(source: Source, number: int, fps: float) -> Source:
    """One of the stretches of what a source gives."""
    length = round(STRETCH * fps)
    frames = np.arange(number * length, (number + 1) * length)

    def cut(queries: Sequence[Query[Any]]) -> list[Motion]:
        return [motion.held(frames) for motion in source(queries)]

    return cut


@dataclass(frozen=True)
class StretchReport:
    """What the protocol found.

    Attributes:
        rows: real motion, then the stretches of each model.
        facts: evaluator, data, repeats, versions, hardware.
    """

    rows: tuple[Row, ...]
    facts: dict[str, Any]

    def files(self) -> dict[str, Content]:
        """report.md, report.csv and report.json."""
        numbers = {
            "rows": {row.name: row.as_dict() for row in self.rows},
            "facts": self.facts,
        }
        return report_files(self.markdown(), numbers, self.rows, {})

    def markdown(self) -> str:
        """For a person."""
        facts = self.facts
        lines = [
            f"# Stretches of {STRETCH} s of clips of {SECONDS} s",
            "",
            f"Captions of {facts['clips']} test clips of {facts['data']}, {facts['repeats']} "
            f"repeats, evaluator {facts['evaluator']}. Real motion is as long as it was recorded; "
            "s/clip is of the whole clip.",
            "",
            markdown(self.rows, SCORES),
            computed(facts),
        ]
        return "\n".join([*lines, ""])


def run(
    models: Sequence[MotionModel],
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes,
) -> StretchReport:
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
        for way in ("by windows", *(["in one piece"] if model.any_length else []))
    ]
    total = -(-len(ways) * benchmark.repeats * len(test) // processes.size)
    with one_bar("stretches", unit="clip", total=total, is_shown=processes.is_first):
        for model, way in ways:
            if way == "in one piece":
                model.in_one_piece(round(SECONDS * model.fps))
            source = Minutes(data, model, folder, processes, sampling=sampling, way=way)
            made = [
                benchmark.row_of_any_length(
                    f"{model.name}, {way}, {number * STRETCH} to {(number + 1) * STRETCH} s",
                    stretch(source, number, model.fps),
                )
                for number in range(SECONDS // STRETCH)
            ]
            if source.seconds:
                made[0].scores["seconds"] = Estimate(median(source.seconds), nan)
            rows += made
    facts = {
        "protocol": asdict(data.protocol),
        "evaluator": embedder.name,
        "data": str(root),
        "clips": len(test),
        "repeats": benchmark.repeats,
        **computation({model.name: model for model in models}, sampling),
        **environment(torch.device(processes.device)),
    }
    return StretchReport(tuple(rows), facts)
