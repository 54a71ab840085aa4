"""The protocol "solvers": what few steps cost a diffusion model in score, with each solver."""

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from statistics import median

from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, evaluator_of, open_set_of
from duomotion.evaluation.open.row_report import RowReport, facts_of
from duomotion.evaluation.open.sources import Generated, real
from duomotion.models.base import MotionModel
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling

SOLVERS = ("ddim", "dpmsolver++", "deis", "unipc")  # "lcm" is for students
STEPS = (50, 20, 10, 5, 2, 1)


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
) -> RowReport:
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
    facts = facts_of(benchmark, root, [model], sampling, processes.device)
    return RowReport(
        f"{model.name}: solvers and steps",
        "Each row samples with another solver and number of steps.",
        tuple(rows),
        facts,
    )
