"""Which way imports point in the evaluation."""

import ast
from pathlib import Path

import pytest

from duomotion import evaluation
from duomotion.models import systems

ROOT = Path(evaluation.__path__[0])
BELOW_METRICS = ("duomotion.body", "duomotion.motion", "duomotion.evaluation.metrics")


def imported(folder: Path) -> dict[str, set[str]]:
    """Modules of ours that each file of a folder imports, wherever in the file."""
    return {
        path.name: {
            node.module
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("duomotion")
        }
        for path in folder.rglob("*.py")
    }


@pytest.mark.parametrize(("room", "other"), [("open", "published"), ("published", "open")])
def test_the_open_and_the_published_protocols_do_not_import_each_other(room, other):
    for name, modules in imported(ROOT / room).items():
        assert not any(each.startswith(f"duomotion.evaluation.{other}") for each in modules), name


def test_metrics_import_nothing_above_them():
    for name, modules in imported(ROOT / "metrics").items():
        assert all(each.startswith(BELOW_METRICS) for each in modules), name


def test_no_system_is_imported():
    folders = tuple(f"duomotion.models.{name}" for name in systems())
    for name, modules in imported(ROOT).items():
        assert not any(each.startswith(folders) for each in modules), name
