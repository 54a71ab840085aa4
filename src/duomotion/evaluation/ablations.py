"""The papers' tables at a small size: rows trained alike on the open data, scored by the open
benchmark.

Each training of a row becomes that of the recipe of the same name and "-open", with the same
changes and a share of its steps, so that rows differ in nothing but what the table is about.
Trainings that rows share are made once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import torch

from duomotion.checkpoint import PROVENANCE, environment, read_json, read_recipe
from duomotion.config import apply_overrides, flatten, nearest, to_dict
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, evaluator_of
from duomotion.evaluation.open.report import baselines
from duomotion.evaluation.open.sources import Generated, reconstructed
from duomotion.evaluation.published.numbers import Table
from duomotion.evaluation.published.reproduce import paper_table
from duomotion.evaluation.sources import computation
from duomotion.evaluation.tables import COLUMNS, cell, computed, heading, markdown
from duomotion.loading import load, load_trainer
from duomotion.models import find_recipe
from duomotion.models.base import MotionModel
from duomotion.models.trainings import Training, Trainings
from duomotion.sampling.request import AS_TUNED
from duomotion.training.config import Recipe
from duomotion.training.trainer import OnProgress

SCORES = ("fid", "r1", "r3", "mm_dist", "rfid", "body_litres", "collision", "seconds")
"""Columns of a small table."""


@dataclass(frozen=True)
class Shares:
    """Of the steps of open recipes, what is taken.

    Attributes:
        most: of a recipe that is not in `own`.
        own: by the name of an open recipe.
    """

    most: float
    own: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of = {"share": self.most, **{f"the share of {name}": own for name, own in self.own.items()}}
        for what, share in of.items():
            if not 0 < share <= 1:
                raise ValueError(f"{what} has to lie above 0 and be at most 1, not {share:g}")

    @classmethod
    def read(cls, most: float, words: Iterable[str]) -> "Shares":
        """Shares of recipes from NAME=SHARE; raises ValueError where one is none."""
        own = {}
        for word in words:
            name, _, share = word.partition("=")
            try:
                own[name] = float(share)
            except ValueError as error:
                raise ValueError(f"{word!r} has no share; {name}=0.5 would be half") from error
        return cls(most, own)

    def of(self, recipe: str) -> float:
        return self.own.get(recipe, self.most)

    @property
    def folder(self) -> str:
        """A name for trainings with these shares."""
        own = (f"{name.replace('/', '-')}={share:g}" for name, share in sorted(self.own.items()))
        return ",".join((f"{self.most:g}", *own))

    def __str__(self) -> str:
        own = (f"{share:.0%} of those of {name}" for name, share in sorted(self.own.items()))
        return ", ".join((f"{self.most:.0%} of their steps", *own))


@dataclass(frozen=True)
class SmallTraining:
    """What is trained for a row, and where."""

    name: str  # of the recipe
    recipe: Recipe
    words: str
    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether its last step was saved, and by this recipe."""
        last = self.folder / "last"
        if not (last / PROVENANCE).exists():
            return False
        steps = read_json(last / PROVENANCE)["step"]
        return steps >= self.recipe.optim.steps and read_recipe(last) == to_dict(self.recipe)

    def run(self, on_progress: OnProgress | None, device: str | None) -> None:
        """Train, or go on; raises as `Trainer.run`."""
        load_trainer(self.recipe, self.folder, device=device).run(on_progress)


@dataclass(frozen=True)
class SmallRow:
    """A row: its trainings in order, the model's checkpoint, and what is done with the model."""

    trainings: tuple[SmallTraining, ...]
    checkpoint: Path
    adapt: Callable[[Any], Any] | None

    def model(self, *, device: str) -> MotionModel:
        """Raises ValueError where what the row is about does not generate."""
        model = load(self.checkpoint, device=device)
        made = model if self.adapt is None else self.adapt(model)
        if not isinstance(made, MotionModel):
            raise ValueError(f"{self.checkpoint} does not generate as this row does")
        return made


def small_rows(table: Table, folder: Path, shares: Shares) -> dict[str, SmallRow]:
    """The rows of a table that systems here train.

    Args:
        folder: of the trainings.

    Raises:
        ValueError: there is none, a recipe has no open form, a row's changes don't fit that, or
            there is a share of a recipe that no row takes.
    """
    rows = paper_table(table.name).rows
    if not rows:
        raise ValueError(f"no row of {table.name} is trained here")
    made = {name: _small_row(trainings, folder, shares) for name, trainings in rows.items()}
    taken = dict.fromkeys(each.name for row in made.values() for each in row.trainings)
    for name in shares.own:
        if name not in taken:
            raise ValueError(
                f"no row of {table.name} is trained by {name}; {nearest(name, [*taken])}"
            )
    return made


def _small_row(trainings: Trainings, folder: Path, shares: Shares) -> SmallRow:
    made: list[SmallTraining] = []
    moved: dict[str, str] = {}  # checkpoints that are named so, and where they are
    for training in trainings.in_order:
        small = _small_training(training, moved, folder, shares)
        made.append(small)
        for kept in ("best", "last"):
            for place in (training.out or f"runs/{training.recipe}", f"runs/{small.name}"):
                moved[f"{place}/{kept}"] = str(small.folder / kept)
    checkpoint = made[-1].folder / trainings.in_order[-1].goes_on
    return SmallRow(tuple(made), checkpoint, trainings.adapt)


def _small_training(
    training: Training, moved: Mapping[str, str], folder: Path, shares: Shares
) -> SmallTraining:
    place = folder / (training.out or f"runs/{training.recipe}").removeprefix("runs/")
    name = f"{training.recipe}-open"
    chosen = apply_overrides(find_recipe(name), training.changes)
    steps = max(1, round(chosen.optim.steps * shares.of(name)))
    changes = [f"optim.steps={steps}", f"log.validate_every={steps}"]
    for path, value in flatten(to_dict(chosen)):
        if isinstance(value, str) and value in moved:
            changes.append(f"{path}={moved[value]}")
    own = [each for each in training.changes if each.partition("=")[2] not in moved]
    words = Training(name, (*own, *changes), str(place))
    return SmallTraining(name, apply_overrides(chosen, changes), str(words), place)


def pending(rows: Iterable[SmallRow]) -> list[SmallTraining]:
    """Trainings that are not done, each once, in an order in which they can be made."""
    every = {each.folder: each for row in rows for each in row.trainings}
    return [each for each in every.values() if not each.is_done]


@dataclass(frozen=True)
class SmallTable:
    """What came of a table's rows.

    Attributes:
        trainings: what was typed, by row.
    """

    table: Table
    rows: tuple[Row, ...]
    trainings: Mapping[str, tuple[str, ...]]
    facts: dict[str, Any]

    def markdown(self) -> str:
        """For a person: scores beside baselines, what the paper has, what was trained."""
        facts = self.facts
        lines = [
            f"# {self.table.name}, small: {self.table.title}",
            "",
            f"{self.table.source}, by open recipes with {facts['shares']}; "
            f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, "
            f"evaluator {facts['evaluator']}.",
            "",
            markdown(self.rows, SCORES),
            *self._published(),
            *(order(self.table, self.rows, name) for name in ("fid", "rfid", "collision")),
            "",
        ]
        for name, words in self.trainings.items():
            lines += [f"{name}:", "", *(f"    {each}" for each in words), ""]
        return "\n".join([*lines, computed(facts), ""])

    def _published(self) -> list[str]:
        """The paper's numbers of these rows."""
        own = {row.name for row in self.rows}
        columns = [name for name in self.table.columns if name in COLUMNS]
        headings = " | ".join(map(heading, columns))
        lines = [f"| published | {headings} |", "|---" * (len(columns) + 1) + "|"]
        for row in self.table.rows:
            if row.name in own:
                values = [row.values.get(name) for name in columns]
                cells = ["" if v is None else cell(Estimate(v, nan)) for v in values]
                lines.append(f"| {row.name} | {' | '.join(cells)} |")
        return [*lines, ""]


def order(table: Table, rows: Iterable[Row], metric: str) -> str:
    """A sentence on how many pairs of rows a metric orders as the paper does; "" without any."""
    published = {row.name: row.values[metric] for row in table.rows if metric in row.values}
    found = {row.name: float(row.scores[metric].mean) for row in rows if metric in row.scores}
    pairs = [
        (published[one] - published[other], found[one] - found[other])
        for one, other in combinations([name for name in found if name in published], 2)
        if published[one] != published[other]
    ]
    if not pairs:
        return ""
    same = sum(theirs * ours > 0 for theirs, ours in pairs)
    title = COLUMNS[metric][0]
    return f"{title}: of {len(pairs)} pairs of rows, {same} are in the paper's order.\n"


def score(
    table: Table,
    rows: Mapping[str, SmallRow],
    root: Path,
    embedder: Embedder,
    *,
    folder: Path,
    shares: Shares,
    repeats: int | None,
    device: str = "cpu",
) -> SmallTable:
    """Score models that are trained.

    Args:
        root: the open data set of the evaluator.
        folder: where generated clips are cached.

    Raises:
        ValueError: as `report.run`, or a row's model does not generate.
    """
    data = OPEN_SETS[embedder.data]
    evaluator = evaluator_of(data, embedder)
    train, test = (data.read(root, split) for split in ("train", "test"))
    benchmark = Benchmark(evaluator, test, train, repeats=repeats)
    models = {name: row.model(device=device) for name, row in rows.items()}
    scored = baselines(benchmark, train)
    for name, model in models.items():
        source = Generated(data, model, folder, Processes(torch.device(device)))
        row = benchmark.row(name, source)
        more = {"rfid": benchmark.row(name, reconstructed(data, model)).scores["fid"]}
        if source.seconds:
            more["seconds"] = Estimate(median(source.seconds), nan)
        scored.append(replace(row, scores={**row.scores, **more}))
    facts = {
        "shares": str(shares),
        "evaluator": evaluator.name,
        "data": str(root),
        "clips": len(test),
        "repeats": benchmark.repeats,
        **computation(models, AS_TUNED),
        **environment(torch.device(device)),
    }
    words = {name: tuple(each.words for each in row.trainings) for name, row in rows.items()}
    return SmallTable(table, tuple(scored), words, facts)
