"""The protocol "solvers": what few steps cost a diffusion model in score, with each solver."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import torch

from duomotion.checkpoint import environment
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, evaluator_of, open_set_of
from duomotion.evaluation.open.sources import Generated, real
from duomotion.evaluation.report import Content
from duomotion.evaluation.sources import computation
from duomotion.evaluation.tables import computed, markdown, report_files
from duomotion.models.base import MotionModel
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling

SOLVERS = ("ddim", "dpmsolver++", "deis", "unipc")  # "lcm" is for students
STEPS = (50, 20, 10, 5, 2, 1)
SCORES = ("fid", "r1", "r3", "mm_dist", "foot_sliding", "jerk", "body_litres", "seconds")


@dataclass(frozen=True)
class SolverReport:
    """What the protocol found.

    Attributes:
        model: its name.
        rows: real motion, then each solver with each number of steps.
        facts: evaluator, data, repeats, versions, hardware.
    """

    model: str
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
            f"# {self.model}: solvers and steps",
            "",
            f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, "
            f"evaluator {facts['evaluator']}.",
            "",
            markdown(self.rows, SCORES),
            computed(facts),
        ]
        return "\n".join([*lines, ""])


def run(
    model: MotionModel,
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes,
    solvers: Sequence[str] = SOLVERS,
    steps: Sequence[int] = STEPS,
) -> SolverReport:
    """Score a diffusion model by the open benchmark with each solver and number of steps.

    Args:
        root: the prepared open pairs.
        embedder: the evaluator of this data set.
        folder: where generated clips are cached.
        sampling: what else differs from the model's own settings.

    Raises:
        ValueError: the model has no solvers, the data set is not there or too small, or the
            evaluator is another one.
    """
    if model.tuned.solver is None:
        raise ValueError(f"{model.name} is no diffusion model: it has no solvers to compare")
    data = OPEN_SETS[open_set_of([model])]
    train, test = (data.read(root, split) for split in ("train", "test"))
    benchmark = Benchmark(evaluator_of(data, embedder), test, train, repeats=repeats)
    rows = [benchmark.row("real motion", real(data))]
    ways = [(solver, count) for solver in solvers for count in steps]
    clips = len(ways) * benchmark.repeats * len(test)
    total = -(-clips // processes.size)
    with one_bar("solvers", unit="clip", total=total, is_shown=processes.is_first):
        for solver, count in ways:
            way = replace(sampling, solver=solver, steps=count)
            source = Generated(data, model, folder, processes, sampling=way)
            row = benchmark.row(f"{solver}, {count} {'steps' if count > 1 else 'step'}", source)
            if source.seconds:
                each = Estimate(median(source.seconds), nan)
                row = replace(row, scores={**row.scores, "seconds": each})
            rows.append(row)
    facts = {
        "protocol": asdict(data.protocol),
        "evaluator": embedder.name,
        "data": str(root),
        "clips": len(test),
        "repeats": benchmark.repeats,
        **computation({model.name: model}, sampling),
        **environment(torch.device(processes.device)),
    }
    return SolverReport(model.name, tuple(rows), facts)
