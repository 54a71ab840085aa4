"""The papers' tables, measured again: what that takes, and what came of it beside the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from duomotion.evaluation.benchmark import Row
from duomotion.evaluation.procedure import (
    GENERATION,
    GROUND_TRUTH,
    MEASURED,
    REACTION,
    RECONSTRUCTION,
    SUFFIX,
)
from duomotion.evaluation.published import Table
from duomotion.evaluation.tables import COLUMNS, cell, estimates, heading
from duomotion.evaluation.testsets import TEST_SETS

# Column of a paper -> what is done, and the metric of its row.
SCORES = {name: (GENERATION, name) for name in MEASURED} | {
    "rfid": (RECONSTRUCTION, "fid"),
    "mpjpe": (RECONSTRUCTION, "mpjpe_mm"),
    "mpjve": (RECONSTRUCTION, "mpjve_mm"),
    "reaction_fid": (REACTION, "fid"),
    "reaction_r1": (REACTION, "r1"),
}
ONE_PERSON = {"mpjpe": (RECONSTRUCTION, "root_aligned_mpjpe_mm")}  # MoMask's code

# Words after `duomotion train` that train a row, by table; the switches are the papers' ablations.
# Of a switch of the tokenizer, the tokenizer is trained; its transformers are trained as without.
GENERATOR = "intermask/generator"
TOKENIZER = "intermask/tokenizer"
RESIDUAL_TOKENIZER = "momask/tokenizer"
MASKED, MASKED_KIT = "momask/masked", "momask/masked-kit"
BASE = "data.residual=null"
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
    "momask/table1-humanml3d": {"MoMask": MASKED, "MoMask (base)": f"{MASKED} {BASE}"},
    "momask/table1-kit": {"MoMask": MASKED_KIT, "MoMask (base)": f"{MASKED_KIT} {BASE}"},
    "momask/table2": {
        "MoMask": MASKED,
        "w/o RQ": f"{RESIDUAL_TOKENIZER} model.num_layers=1",
        "w/o QDropout": f"{RESIDUAL_TOKENIZER} model.quantize_dropout=0",
        "w/o RRemask": f"{MASKED} model.random_id_prob=0 model.mask_token_prob=1",
        **{
            f"MoMask (V, {layers})": f"{RESIDUAL_TOKENIZER} model.num_layers={layers + 1}"
            for layers in range(8)
        },
        **{
            f"MoMask (q, {share})": f"{RESIDUAL_TOKENIZER} model.quantize_dropout={share}"
            for share in (0, 0.2, 0.4, 0.6, 0.8)
        },
    },
    "momask/table2-kit": {"MoMask": MASKED_KIT},
    "ild/table1-interhuman": {"InterMask": GENERATOR},
    "ild/table1-interx": {"InterMask": "intermask/generator-interx"},
}


def protocol_of(table: Table) -> str:
    """The published protocol that a table was measured with."""
    assert table.data is not None
    protocols = TEST_SETS[table.data].protocols
    own = table.name.partition("/")[0]
    return own if own in protocols else protocols[0]


def measured_columns(table: Table) -> dict[str, tuple[str, str]]:
    """Those that can be measured here: what is done for it, and the metric of its row."""
    if table.data not in TEST_SETS:
        return {}
    known = SCORES | (ONE_PERSON if protocol_of(table) == "t2m" else {})
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


def needs(table: Table, folders: Mapping[str, Path], *, data: bool, evaluator: bool) -> str:
    """What the table takes, and what of it is missing."""
    columns = measured_columns(table)
    lines = [f"# {table.name}: {table.title}", "", f"{table.source}.", ""]
    if table.data is None or not columns:
        where = f"on the data set {table.data}" if table.data else "of this kind"
        lines += [f"Numbers {where} can't be measured here; below is what was published."]
    else:
        if others := [heading(name) for name in table.columns if name not in columns]:
            lines += [f"Only as published, not measured here: {', '.join(others)}.", ""]
        if units := [heading(metric) for _, metric in columns.values() if metric.endswith("_mm")]:
            lines += [
                f"Measured as {', '.join(units)}, whatever the paper's unit is; not all say it.",
                "",
            ]
        state, test_set = {True: "given", False: "missing"}, TEST_SETS[table.data]
        lines += [
            f"- data set {table.data} ({state[data]}): --data PATH",
            f"- evaluator, {test_set.evaluator} ({state[evaluator]}): --evaluator FOLDER, made by "
            f"`duomotion import-official {test_set.importer}`",
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
    by_name, columns = {row.name: row.scores for row in rows}, measured_columns(table)
    headings = []
    for name in table.columns:
        headings += [heading(name), "measured"] if name in columns else [heading(name)]
    lines = ["| | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for row in table.rows:
        cells = []
        for name in table.columns:
            cells.append(cell(estimates(row).get(name)))
            if name in columns:
                task, metric = columns[name]
                found = by_name.get(row.name + SUFFIX[task], {})
                cells.append(cell(found.get(metric), COLUMNS[metric][1], empty="-"))
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
