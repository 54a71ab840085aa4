"""The papers' tables, measured again: what that takes, and what came of it beside the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from duomotion.data.testsets import TEST_SETS
from duomotion.evaluation.metrics.estimates import Row
from duomotion.evaluation.published.numbers import Table
from duomotion.evaluation.published.procedure import GROUND_TRUTH
from duomotion.evaluation.published.report import MEASURED, PublishedReport, estimates
from duomotion.evaluation.sources import GENERATION, REACTION, RECONSTRUCTION, SUFFIX
from duomotion.evaluation.tables import COLUMNS, ERRORS, cell, computed, heading
from duomotion.loading import load_reconstructor
from duomotion.models import systems
from duomotion.models.reconstructor import Reconstructor
from duomotion.models.trainings import PaperTable, Trainings
from duomotion.precision import Precision
from duomotion.sampling.request import AS_TUNED, Sampling

Measured = tuple[str, tuple[str, ...]]
"""What is done, and the metrics of its row."""

SCORES: dict[str, Measured] = {name: (GENERATION, (name,)) for name in MEASURED} | {
    "rfid": (RECONSTRUCTION, ("fid",)),
    "mpjpe": (RECONSTRUCTION, ("mpjpe_mm",)),
    "mpjve": (RECONSTRUCTION, ("mpjve_mm",)),
    "reaction_fid": (REACTION, ("fid",)),
    "reaction_r1": (REACTION, ("r1",)),
}
"""By a paper's column."""
# Released code of Guo et al. 2024; KIT-ML's errors also in the unit in which the paper gives them.
ONE_PERSON: Measured = (RECONSTRUCTION, ("root_aligned_mpjpe_mm",))
ONE_PERSON_OF_KIT: Measured = (
    RECONSTRUCTION,
    ("root_aligned_mpjpe_kit", "root_aligned_mpjpe_mm"),
)


def protocol_of(table: Table) -> str:
    """The published protocol that a table was measured with."""
    assert table.data is not None
    protocols = TEST_SETS[table.data].protocols
    own = table.name.partition("/")[0]
    return own if own in protocols else protocols[0]


def measured_columns(table: Table) -> dict[str, Measured]:
    """Those that can be measured here."""
    if table.data is None or table.data not in TEST_SETS:
        return {}
    known = SCORES
    if protocol_of(table) == "t2m":
        is_kit = TEST_SETS[table.data].unit_mm is not None
        known = {**SCORES, "mpjpe": ONE_PERSON_OF_KIT if is_kit else ONE_PERSON}
    return {name: known[name] for name in table.columns if name in known}


def tasks(table: Table) -> set[str]:
    """What has to be done with a model to fill its row."""
    return {task for task, _ in measured_columns(table).values()}


def checkpoints(table: Table, given: Sequence[str]) -> dict[str, Path]:
    """Folders by row, from ROW=FOLDER.

    Raises:
        ValueError: a text reads otherwise, or the table has no such row that a model could fill.
    """
    known = [row.name for row in table.rows if row.name != GROUND_TRUTH]
    found = {}
    for text in given:
        row = next((name for name in known if text.startswith(f"{name}=")), None)
        if row is None:
            raise ValueError(
                f"--checkpoint {text}: ROW=FOLDER is expected, with one of the rows of "
                f"{table.name}: {', '.join(known)}"
            )
        found[row] = Path(text.removeprefix(f"{row}="))
    return found


def paper_table(name: str) -> PaperTable:
    """A published table with the rows that systems here can train."""
    rows: dict[str, Trainings] = {}
    sampling = AS_TUNED
    for system in systems().values():
        table = system.tables().get(name)
        if table is not None:
            rows |= table.rows
            sampling = sampling if table.sampling == AS_TUNED else table.sampling
    return PaperTable(rows, sampling)


def sampling_of(table: Table, asked: Sampling) -> Sampling:
    """What is asked for and, where nothing is, what the table's paper says."""
    return replace(paper_table(table.name).sampling, **asked.given())


def models(
    table: Table, folders: Mapping[str, Path], *, device: str, precision: Precision
) -> dict[str, Reconstructor]:
    """The model of each row.

    Raises:
        ValueError: a folder is no checkpoint of one, or the row needs one of another system.
    """
    found, rows = {}, paper_table(table.name).rows
    for row, folder in folders.items():
        model = load_reconstructor(folder, device=device, precision=precision)
        trainings = rows.get(row)
        if trainings is not None and trainings.adapt is not None:
            model = trainings.adapt(model)
        found[row] = model
    return found


def needs(
    table: Table,
    folders: Mapping[str, Path],
    *,
    sampling: Sampling,
    data: bool,
    evaluator: bool,
) -> str:
    """What the table takes, and what of it is missing."""
    columns = measured_columns(table)
    lines = [f"# {table.name}: {table.title}", "", f"{table.source}.", ""]
    if table.note:
        lines += [table.note, ""]
    if table.data is None or not columns:
        where = f"on the data set {table.data}" if table.data else "of this kind"
        lines += [f"Numbers {where} can't be measured here; below is what was published."]
    else:
        if others := [heading(name) for name in table.columns if name not in columns]:
            lines += [f"Only as published, not measured here: {', '.join(others)}.", ""]
        metrics = [metric for _, found in columns.values() for metric in found]
        if units := [heading(metric) for metric in metrics if metric in ERRORS]:
            lines += [
                f"Measured as {', '.join(units)}, whatever the paper's unit is; not all say it.",
                "",
            ]
        if str(sampling):
            lines += [f"Models sample with {sampling}.", ""]
        state, test_set = {True: "given", False: "missing"}, TEST_SETS[table.data]
        lines += [
            f"- data set {table.data} ({state[data]}): --data PATH",
            f"- evaluator, {test_set.evaluator} ({state[evaluator]}): --evaluator FOLDER, made by "
            f"`duomotion import-official {test_set.importer}`",
        ]
    trained = paper_table(table.name).rows
    for row in table.rows if columns else ():
        if row.name == GROUND_TRUTH:
            continue
        trainings = trained.get(row.name)
        asks = f"- {row.name} ({'given' if row.name in folders else 'missing'}): --checkpoint"
        if trainings is None:
            lines.append(f'{asks} "{row.name}=FOLDER"; no recipe here trains it')
            continue
        note = f", {trainings.note}" if trainings.note else ""
        lines += [
            f'{asks} "{row.name}={trainings.checkpoint}"{note}',
            "",
            *(f"      {training}" for training in trainings.in_order),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def report(
    table: Table,
    folders: Mapping[str, Path],
    found: PublishedReport | None,
    *,
    sampling: Sampling,
    data: bool,
    evaluator: bool,
) -> str:
    """All of it, for a person; without measurements where nothing was found."""
    parts = [
        needs(table, folders, sampling=sampling, data=data, evaluator=evaluator),
        markdown(table, found.rows if found is not None else ()),
    ]
    if found is not None:
        parts.append(computed(found.facts) + "\n")
    return "\n".join(parts)


def markdown(table: Table, rows: Sequence[Row]) -> str:
    """The paper's table; behind each column that is measured here, what came of it."""
    by_name, columns = {row.name: row.scores for row in rows}, measured_columns(table)
    headings = []
    for name in table.columns:
        _, metrics = columns.get(name, ("", ()))
        several = [f"measured {heading(metric)}" for metric in metrics]
        headings += [heading(name), *(several if len(several) > 1 else ["measured"] * len(several))]
    lines = ["| | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for row in table.rows:
        cells = []
        for name in table.columns:
            cells.append(cell(estimates(row).get(name)))
            if name in columns:
                task, metrics = columns[name]
                found = by_name.get(row.name + SUFFIX[task], {})
                cells += [cell(found.get(each), COLUMNS[each][1], empty="-") for each in metrics]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
