"""Examples as a user starts them; that of a live partner is with `test_live`."""

import runpy
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_takes_differ_more_with_more_variety(monkeypatch, capsys):
    words = ["--variety", "0.1", "10", "--samples", "2", "--seconds", "1"]
    monkeypatch.setattr(sys, "argv", ["variety.py", *words])
    runpy.run_path(str(EXAMPLES / "variety.py"), run_name="__main__")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    (_, little, _), (_, much, sliding) = rows
    assert float(little) < float(much)
    assert float(sliding) >= 0
