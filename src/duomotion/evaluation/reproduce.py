"""The papers' tables, measured again: what that takes, and what came of it beside the paper."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from duomotion.evaluation.benchmark import Row
from duomotion.evaluation.interhuman import GROUND_TRUTH, MEASURED
from duomotion.evaluation.published import PublishedRow, Table
from duomotion.evaluation.tables import heading

DATA = "interhuman"  # the only data set whose published protocol runs here

# Words after `duomotion train` that train a row, by table; the switches are the papers' ablations.
GENERATOR = "intermask/generator"
TOKENIZER = "intermask/tokenizer"
TRAINING = {
    "intermask/table1-interhuman": {"InterMask": GENERATOR},
    "intermask/table1-interx": {"InterMask": "intermask/generator-interx"},
    "intermask/table2": {
        "Individual Motion, 1d": f"{TOKENIZER} model.token_map=1d",
        "Two-Person Interaction, 2d": f"{TOKENIZER} model.num_people=2",
        "Individual Motion, 2d": TOKENIZER,
    },
    "intermask/table3": {
        "Alternative Modeling": f"{GENERATOR} model.alternating=true model.random_mask_prob=1",
        "w/o Self Attention": f"{GENERATOR} model.self_attention=false",
        "w/o Cross Attention": f"{GENERATOR} model.cross_attention=false",
        "w/o Spatio-Temporal Attention": f"{GENERATOR} model.spatio_temporal_attention=false",
        "w/o Step Unroll and Interaction Masking": (
            f"{GENERATOR} model.unroll_weight=0 model.random_mask_prob=1"
        ),
        "InterMask": GENERATOR,
    },
    "intermask/table4": {
        f"p_r = {share}": f"{GENERATOR} model.random_mask_prob={share}" for share in (0.7, 0.8, 0.9)
    },
    "ild/table1-interhuman": {"InterMask": GENERATOR},
    "ild/table1-interx": {"InterMask": "intermask/generator-interx"},
}


def protocol_of(table: Table) -> str:
    """The published protocol that a table was measured with."""
    return "intermask" if table.name.startswith("intermask/") else "intergen"


def measured_columns(table: Table) -> list[str]:
    """Those that can be measured here."""
    return [name for name in table.columns if table.data == DATA and name in MEASURED]


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


def needs(table: Table, folders: Mapping[str, Path], *, data: bool, evaluator: bool) -> str:
    """What the table takes, and what of it is missing."""
    columns = measured_columns(table)
    lines = [f"# {table.name}: {table.title}", "", f"{table.source}.", ""]
    if not columns:
        where = f"on the data set {table.data}" if table.data else "of this kind"
        lines += [f"Numbers {where} can't be measured here yet; below is what was published."]
    else:
        if others := [heading(name) for name in table.columns if name not in columns]:
            lines += [f"Only as published, not measured here: {', '.join(others)}.", ""]
        state = {True: "given", False: "missing"}
        lines += [
            f"- data set {table.data} ({state[data]}): --data PATH",
            f"- evaluator InterCLIP ({state[evaluator]}): --evaluator FOLDER, made by "
            "`duomotion import-official interclip`",
        ]
    for row in table.rows:
        if row.name == GROUND_TRUTH:
            continue
        words = TRAINING.get(table.name, {}).get(row.name)
        recipe = f"`duomotion train {words}`" if words else "no recipe here trains it"
        if columns:
            state = "given" if row.name in folders else "missing"
            lines.append(f'- {row.name} ({state}): --checkpoint "{row.name}=FOLDER"; {recipe}')
        elif words:
            lines.append(f"- {row.name}: {recipe}")
    return "\n".join(lines) + "\n"


def markdown(table: Table, rows: Sequence[Row]) -> str:
    """The paper's table; behind each column that is measured here, what came of it."""
    by_name, columns = {row.name: row for row in rows}, measured_columns(table)
    headings = []
    for name in table.columns:
        headings += [heading(name), "measured"] if name in columns else [heading(name)]
    lines = ["| | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for row in table.rows:
        cells = []
        for name in table.columns:
            cells.append(_published(row, name))
            if name in columns:
                cells.append(_measured(by_name.get(row.name), name))
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _published(row: PublishedRow, name: str) -> str:
    if name not in row.values:
        return ""
    margin = f" ± {row.spread[name]:g}" if name in row.spread else ""
    return f"{row.values[name]:g}{margin}"


def _measured(row: Row | None, name: str) -> str:
    if row is None or name not in row.scores:
        return "-"
    score = row.scores[name]
    return f"{score.mean:.3f}" + ("" if isnan(score.margin) else f" ± {score.margin:.3f}")
