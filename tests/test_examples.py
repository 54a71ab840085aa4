"""Examples as a user starts them; that of a live partner is with `test_live`."""

import runpy
import sys
from pathlib import Path

import pytest
import tiny
from PIL import Image

from duomotion.config import apply_overrides
from duomotion.models import find_recipe

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_takes_differ_more_with_more_variety(monkeypatch, capsys):
    words = ["--variety", "0.1", "10", "--samples", "2", "--seconds", "1"]
    monkeypatch.setattr(sys, "argv", ["variety.py", *words])
    runpy.run_path(str(EXAMPLES / "variety.py"), run_name="__main__")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    (_, little, _), (_, much, sliding) = rows
    assert float(little) < float(much)
    assert float(sliding) >= 0


def test_what_experts_take_is_drawn(pairs, tmp_path, monkeypatch, capsys):
    words = (f"data.pairs={pairs}", "optim.steps=1", "optim.batch_size=4", *tiny.FAST)
    for part, more in (
        ("autoencoder", tiny.INTERMOE_AUTOENCODER),
        (
            "denoiser",
            (*tiny.INTERMOE_DENOISER, f"data.autoencoder={tmp_path / 'autoencoder/last'}"),
        ),
    ):
        recipe = apply_overrides(find_recipe(f"intermoe/{part}-open"), [*more, *words])
        tiny.train(recipe, tmp_path / part)
    picture = tmp_path / "experts.png"
    model = tmp_path / "denoiser" / "last"
    monkeypatch.setattr(
        sys, "argv", ["experts.py", str(model), "hi", str(picture), "--seconds", "1"]
    )
    runpy.run_path(str(EXAMPLES / "experts.py"), run_name="__main__")
    *table, gap, _ = capsys.readouterr().out.splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in table]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert all(0 <= float(value) <= 1 for row in rows for value in row[1:])
    apart, by_chance = gap.removeprefix("shares apart: ").split(", by chance ")
    assert 0 <= float(apart) <= 2 and 0 <= float(by_chance) <= 2
    with Image.open(picture) as found:
        assert found.width > 500 and len(found.getcolors(1_000_000)) > 100
    monkeypatch.setattr(sys, "argv", ["experts.py", "ild-open", "hi", str(picture)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(EXAMPLES / "experts.py"), run_name="__main__")


def test_curves_of_a_training_are_drawn(pairs, tmp_path, monkeypatch, capsys):
    words = (f"data.pairs={pairs}", "optim.steps=4", "optim.batch_size=4", *tiny.FAST)
    changes = [*tiny.INTERMAMBA, *words, "log.log_every=1"]
    tiny.train(apply_overrides(find_recipe("intermamba/denoiser-open"), changes), tmp_path / "run")

    def typed(*more):
        monkeypatch.setattr(sys, "argv", ["training_curves.py", str(tmp_path / "run"), *more])
        runpy.run_path(str(EXAMPLES / "training_curves.py"), run_name="__main__")

    typed()
    assert {"alpha", "beta", "loss", "step"} <= set(capsys.readouterr().out.split())
    picture = tmp_path / "curves.png"
    typed("alpha*", "beta", "--beside", str(tmp_path / "run"), "--out", str(picture))
    with Image.open(picture) as found:
        assert found.width > 500
    with pytest.raises(SystemExit):
        typed("gamma")
    assert "nothing called gamma" in capsys.readouterr().err
