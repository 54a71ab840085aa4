"""A report of the open benchmark that is one table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from duomotion.checkpoint import environment
from duomotion.evaluation.metrics.estimates import Row
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.report import Content
from duomotion.evaluation.sources import computation
from duomotion.evaluation.tables import computed, markdown, report_files
from duomotion.models.base import MotionModel
from duomotion.sampling.request import Sampling

SCORES = ("fid", "r1", "r3", "mm_dist", "foot_sliding", "jerk", "body_litres", "seconds")


@dataclass(frozen=True)
class RowReport:
    """What a protocol found.

    Attributes:
        title: of the table.
        note: a sentence on what rows are.
        rows: real motion first.
        facts: evaluator, data, repeats, versions, hardware.
    """

    title: str
    note: str
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
            f"# {self.title}",
            "",
            f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, "
            f"evaluator {facts['evaluator']}. {self.note}",
            "",
            markdown(self.rows, SCORES),
            computed(facts),
        ]
        return "\n".join([*lines, ""])


def facts_of(
    benchmark: Benchmark,
    root: str | Path,
    models: Sequence[MotionModel],
    sampling: Sampling,
    device: torch.device,
) -> dict[str, Any]:
    """Where numbers come from."""
    return {
        "protocol": asdict(benchmark.protocol),
        "evaluator": benchmark.embedder.name,
        "data": str(root),
        "clips": len(benchmark.test),
        "repeats": benchmark.repeats,
        **computation({model.name: model for model in models}, sampling),
        **environment(device),
    }
