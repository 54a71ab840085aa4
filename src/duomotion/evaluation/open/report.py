"""The protocol "open": models, and what is none, on the test clips of an open data set."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import torch

from duomotion.checkpoint import size_mb
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.open.benchmark import Benchmark, multimodality
from duomotion.evaluation.open.opensets import OPEN_SETS, PAIRS, evaluator_of, open_set_of
from duomotion.evaluation.open.row_report import facts_of
from duomotion.evaluation.open.separation import Separation, separation
from duomotion.evaluation.open.sources import (
    Generated,
    Reactions,
    mean_pose,
    real,
    reconstructed,
    retrieval,
    retrieved_partners,
)
from duomotion.evaluation.report import Content
from duomotion.evaluation.sources import (
    GENERATION,
    REACTION,
    RECONSTRUCTION,
    SUFFIX,
)
from duomotion.evaluation.tables import (
    COLUMNS,
    by_layers,
    computed,
    markdown,
    report_files,
    seconds_a_clip,
)
from duomotion.loading import folder_of
from duomotion.models.base import MotionModel
from duomotion.models.timing import start_up
from duomotion.motion.errors import errors_by_layers
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model takes.

    Attributes:
        size_mb: of its weights on disk.
        start_up: seconds from import to the first clip of 3 s, in a fresh process.
        memory_gb: the most that this process holds.
    """

    size_mb: float
    start_up: float
    memory_gb: float


@dataclass(frozen=True)
class OpenReport:
    """What the open benchmark found.

    Attributes:
        rows: real motion first, then what is no model, then models.
        separations: of each candidate for a score of quality.
        seconds: per clip, for each model; the median.
        layers: by model with several layers of tokens, the error in mm around the root of a
            reconstruction from the first of them, from the first two, and so on.
        facts: evaluator, data, repeats, versions, hardware.
        costs: of models, by name.
    """

    rows: tuple[Row, ...]
    separations: dict[str, Separation]
    seconds: dict[str, float]
    layers: dict[str, list[float]]
    facts: dict[str, Any]
    costs: dict[str, Cost] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        return {
            "rows": {row.name: row.as_dict() for row in self.rows},
            "separation": {name: asdict(each) for name, each in self.separations.items()},
            "seconds": self.seconds,
            "layers": self.layers,
            "costs": {name: asdict(cost) for name, cost in self.costs.items()},
            "facts": self.facts,
        }

    def markdown(self) -> str:
        """All of it, for a person.

        A candidate for a score of quality that does not tell real motion from something worse is
        left out of the first table.
        """
        quality = [name for name, each in self.separations.items() if each.is_significant]
        facts = self.facts
        lines = [
            "# The open benchmark",
            "",
            f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, "
            f"evaluator {facts['evaluator']}; ± is a 95 % interval over the repeats. ↑ more is "
            "better, ↓ less is better, → as the real motion.",
            "",
            markdown(self.rows, [*quality, "diversity", "multimodality"]),
            separations(self.separations),
            "Without a network:",
            "",
            markdown(self.rows, [*PAIRS.agreement, "spread", *PAIRS.physics, "nearest_mm"]),
        ]
        if self.layers:
            lines += [
                f"{COLUMNS['root_aligned_mpjpe_mm'][0]} of reconstructions of the test clips, by "
                "the number of residual layers behind the base layer:",
                "",
                by_layers(self.layers),
            ]
        if self.costs:
            lines += [
                "What models take, on this machine:",
                "",
                costs_table(self.costs, self.seconds),
            ]
        elif self.seconds:
            lines += [seconds_a_clip(self.seconds), ""]
        return "\n".join([*lines, computed(facts), ""])

    def files(self) -> dict[str, Content]:
        """report.md, report.csv, report.json, and a picture where models are compared."""
        return report_files(self.markdown(), self.as_dict(), self.rows, self.seconds)


def run(
    models: Sequence[MotionModel],
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    tasks: Collection[str] = (GENERATION,),
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes | None = None,
) -> OpenReport:
    """Score models by the open benchmark.

    Args:
        models: of two people, or of one.
        root: the prepared open pairs, or the open solo clips.
        embedder: the evaluator of this data set.
        folder: where generated clips are cached, in one folder per model.
        tasks: of GENERATION, RECONSTRUCTION, which comes with it, and REACTION.
        repeats: see `Benchmark`.
        sampling: of the models.

    Raises:
        ValueError: the data set is not there or too small, the evaluator is another one, some
            models make two people and others one, or one person is asked for reactions.
    """
    data = OPEN_SETS[open_set_of(models)]
    if REACTION in tasks and data.num_people != PAIRS.num_people:
        raise ValueError(f"reactions need models of two people; {models[0].name} makes one person")
    evaluator = evaluator_of(data, embedder)
    processes = processes or Processes(torch.device("cpu"))
    train, test = (data.read(root, split) for split in ("train", "test"))
    benchmark = Benchmark(evaluator, test, train, repeats=repeats)
    rows = baselines(benchmark, train, tasks)
    seconds, layers = {}, {}
    asked = benchmark.num_asked * (GENERATION in tasks)
    asked += benchmark.repeats * len(test) * (REACTION in tasks)
    total = -(-len(models) * asked // processes.size)
    with one_bar("evaluation", unit="clip", total=total, is_shown=processes.is_first):
        for model in models:
            if GENERATION in tasks or RECONSTRUCTION in tasks:
                name = model.name + SUFFIX[RECONSTRUCTION]
                rows.append(benchmark.row(name, reconstructed(data, model)))
            if GENERATION in tasks:
                source = Generated(data, model, folder, processes, sampling=sampling)
                row = benchmark.row(model.name, source)
                spread = Estimate(multimodality(benchmark, source), nan)
                rows.append(replace(row, scores={**row.scores, "multimodality": spread}))
                if source.seconds:
                    seconds[model.name] = median(source.seconds)
            if REACTION in tasks:
                source = Reactions(data, model, folder, processes, sampling=sampling)
                rows.append(benchmark.row(model.name + SUFFIX[REACTION], source))
            if errors := errors_by_layers(model, map(data.whole, test), data.layout):
                layers[model.name] = errors
    facts = facts_of(benchmark, root, models, sampling, processes.device)
    separated = separation(benchmark, mean_pose(data, train))
    return OpenReport(tuple(rows), separated, seconds, layers, facts)


def baselines(
    benchmark: Benchmark, train: Sequence[Any], tasks: Collection[str] = (GENERATION,)
) -> list[Row]:
    """Rows that are no model: what scores mean."""
    data = benchmark.data
    nearest = retrieval(data, train, benchmark.embedder)
    rows = [
        benchmark.row("real motion", real(data)),
        benchmark.row("real motion, other captions", real(data), shuffled=True),
        benchmark.row("mean pose", mean_pose(data, train)),
        benchmark.row("training clip of the nearest caption", nearest),
    ]
    if REACTION in tasks:
        partners = retrieved_partners(data, train, benchmark.embedder)
        rows.append(benchmark.row("partner of the nearest caption", partners))
    return rows


def cost(model: str) -> Cost:
    """Of a model by name or folder; processes of their own make clips."""
    seconds, memory = start_up(model, repeats=1)
    return Cost(size_mb=size_mb(folder_of(model)), start_up=seconds, memory_gb=memory)


def costs_table(costs: Mapping[str, Cost], seconds: Mapping[str, float]) -> str:
    """A line a model.

    Args:
        seconds: per clip, of models that were timed.
    """
    lines = ["| model | s/clip ↓ | import to first clip s ↓ | peak memory GB ↓ | weights MB ↓ |"]
    lines += ["|---" * 5 + "|"]
    for name, each in costs.items():
        time = f"{seconds[name]:.2f}" if name in seconds else ""
        lines.append(
            f"| {name} | {time} | {each.start_up:.1f} | {each.memory_gb:.2f} | {each.size_mb:.1f} |"
        )
    return "\n".join(lines) + "\n"


def separations(found: Mapping[str, Separation]) -> str:
    """A line a metric: whether it says anything on these clips."""
    lines = ["| metric | p against other captions | p against the mean pose | a quality score |"]
    lines += ["|---|---|---|---|"]
    for name, each in found.items():
        shuffled = "" if each.shuffled is None else f"{each.shuffled:.3f}"
        verdict = "yes" if each.is_significant else "no"
        lines.append(f"| {COLUMNS[name][0]} | {shuffled} | {each.mean_pose:.3f} | {verdict} |")
    return "\n".join(lines) + "\n"
