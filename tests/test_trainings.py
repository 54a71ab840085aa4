"""The lines that `reproduce` prints for the rows of a table: typed as they are, they fill it."""

import functools
import os
import re
import shlex

import numpy as np
import pytest
import tiny

from duomotion.config import apply_overrides, to_dict
from duomotion.models import find_recipe, systems
from duomotion.models.evaluator.t2m import HUMANML3D as HUMANML3D_SIZES
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.text import cache

ANY = (
    *tiny.FAST,
    "optim.steps=1",
    "optim.batch_size=2",
    "optim.warmup_steps=0",
    "log.validate_every=1",
)
TRANSFORMER = (
    "model.num_codes=16",
    "model.token_dim=8",
    "model.width=8",
    "model.num_heads=1",
    "model.num_blocks=1",
    "model.feedforward=8",
    "model.text_dim=384",
    "data.views=1",
    "data.text_encoder=sentence",
    *ANY,
)
SMALL = {
    "momask/tokenizer": (
        "model.width=8",
        "model.depth=1",
        "model.code_dim=8",
        "model.num_codes=16",
        "data.window=40",
        *ANY,
    ),
    "momask/residual": TRANSFORMER,
    "momask/masked": TRANSFORMER,
    "length/humanml3d": ("model.text_dim=384", "model.width=8", "data.text_encoder=sentence", *ANY),
}


TABLES = [table.rows for system in systems().values() for table in system.tables().values()]


@pytest.mark.parametrize("table", TABLES)
def test_trainings_take_what_the_ones_before_have_made(table):
    for trainings in table.values():
        made = set()
        for training in trainings.in_order:
            recipe = apply_overrides(find_recipe(training.recipe), training.changes)
            data = to_dict(recipe)["data"]
            needed = {data.get(part) for part in ("tokenizer", "residual", "length")} - {None}
            assert needed <= made, training
            made.add(training.checkpoint)
    places = {}
    for trainings in table.values():
        for training in trainings.in_order:
            assert places.setdefault(training.checkpoint, training) == training


@pytest.mark.slow
def test_every_row_of_momasks_second_table_is_filled(run, few_clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "load_encoder", functools.cache(cache.load_encoder))
    monkeypatch.setattr(os, "fsync", lambda file: None)
    data = tiny.solo_data(tmp_path / "data" / "humanml3d", HUMANML3D)
    for name, value in (("Mean", 0.0), ("Std", 1.0)):
        np.save(data / f"{name}.npy", np.full(HUMANML3D.num_features, value, np.float32))
    tiny.bigru(tmp_path / "evaluator", "t2m-evaluator", HUMANML3D_SIZES.motion_dim)
    status, text, _ = run("reproduce", "momask/table2")
    assert status == 0
    lines = re.findall(r"^ +duomotion (train .*)$", text, re.MULTILINE)
    rows = re.findall(r'--checkpoint "(.+)=(runs/\S+)"', text)
    assert len(rows) == 17 and len(set(lines)) == 37
    for line in dict.fromkeys(lines):
        command, recipe, *others = shlex.split(line)
        status, _, error = run(command, recipe, *SMALL[recipe], *others)
        assert status == 0, (line, error)

    words = ["reproduce", "momask/table2", "--data", "data/humanml3d", "--evaluator", "evaluator"]
    given = [f"{row}={folder}" for row, folder in rows]
    status, text, error = run(*words, "--checkpoint", *given)
    assert status == 0, error
    cells = {line.split(" | ")[0][2:]: line for line in text.splitlines() if " | " in line}
    for row, _ in rows:
        assert " - |" not in cells[row], cells[row]
    assert "| - |" in cells["TM2T"] and "Sampling: steps 18." in text
