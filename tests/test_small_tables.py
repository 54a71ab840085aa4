"""Tables of the papers at a small size: what is trained for them, and a tiny one as a whole."""

import shutil
from math import nan
from pathlib import Path

import pytest
import tiny
from recordings import needs_recordings
from test_benchmark import data, evaluator, small

from duomotion.config import apply_overrides, flatten, to_dict
from duomotion.data.interhuman import read_lines, write_splits
from duomotion.evaluation import ablations
from duomotion.evaluation.ablations import Shares, order, pending, small_rows
from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.published.numbers import PublishedRow, Table, find
from duomotion.models import find_recipe
from duomotion.models.trainings import PaperTable, Training, Trainings

__all__ = ["data", "evaluator", "small"]

TABLES = ("2a", "2b", "2c", "2d", "2e", "3")


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_trained_by_open_recipes_and_read_each_other(name):
    folder = Path("runs/small")
    for row in small_rows(find(f"ild/table{name}"), folder, Shares(0.1)).values():
        made = {each.folder for each in row.trainings}
        for each in row.trainings:
            whole = find_recipe(each.name)
            assert each.name.endswith("-open")
            assert each.words.startswith(f"duomotion train {each.name} ")
            assert each.recipe.optim.steps == round(0.1 * whole.optim.steps)
            assert each.recipe.log.validate_every == each.recipe.optim.steps
            fields = dict(flatten(to_dict(each.recipe)))
            read = {v for v in fields.values() if isinstance(v, str) and v.startswith("runs/")}
            assert {Path(v).parent for v in read - {"runs/length/open/last"}} <= made
        assert row.checkpoint.parent == row.trainings[-1].folder


def test_shared_trainings_are_made_once():
    rows = small_rows(find("ild/table3"), Path("runs/small"), Shares(0.1))
    todo = pending(rows.values())
    folders = [each.folder for each in todo]
    assert len(folders) == len(set(folders)) < sum(len(row.trainings) for row in rows.values())
    assert folders.index(Path("runs/small/momask/tokenizer-pairs")) < folders.index(
        Path("runs/small/ild/autoencoder")
    )


def test_changes_of_a_row_are_kept():
    rows = small_rows(find("ild/table2e"), Path("place"), Shares(0.5))
    autoencoder, denoiser = rows["8 × 512, without alignment"].trainings
    assert autoencoder.recipe.model.alignment is None and autoencoder.recipe.data.tokenizer is None
    assert autoencoder.recipe.model.num_latents == denoiser.recipe.model.num_latents == 8
    assert denoiser.recipe.data.autoencoder == f"{autoencoder.folder}/best"
    again = apply_overrides(find_recipe("ild/denoiser-open"), denoiser.words.split()[3:-2])
    assert again == denoiser.recipe


def test_a_recipe_can_have_a_share_of_its_own():
    shares = Shares.read(0.1, ["ild/autoencoder-open=0.5"])
    assert shares.folder == "0.1,ild-autoencoder-open=0.5"
    assert str(shares) == "10% of their steps, 50% of those of ild/autoencoder-open"
    *_, autoencoder, denoiser = small_rows(find("ild/table2a"), Path(), shares)["ILD"].trainings
    for training, share in ((autoencoder, 0.5), (denoiser, 0.1)):
        steps = find_recipe(training.name).optim.steps
        assert training.recipe.optim.steps == round(share * steps)


def test_the_order_of_rows_is_compared():
    values = {"a": 1.0, "b": 2.0, "c": 3.0}
    published = [PublishedRow(name, {"fid": value}, {}) for name, value in values.items()]
    table = Table("x/y", "title", "source", None, ("fid",), tuple(published))
    found = [Row(name, {"fid": Estimate(value % 3, nan)}) for name, value in values.items()]
    assert order(table, found, "fid") == "FID: of 3 pairs of rows, 1 are in the paper's order.\n"
    assert order(table, found[:1], "fid") == order(table, found, "collision") == ""


TWO = PaperTable(
    {
        f"ILD p={drop:.2f}, s=3.0": Trainings(
            (
                Training("ild/autoencoder", ("data.tokenizer=null", "model.alignment=null")),
                Training("ild/denoiser", (f"model.cond_drop={drop}",), f"runs/drop-{drop}", "last"),
            )
        )
        for drop in (0.2, 0.5)
    }
)


@pytest.mark.slow
@needs_recordings
def test_a_tiny_table_as_a_whole(run, data, evaluator, tmp_path, monkeypatch):
    few = shutil.copytree(data, tmp_path / "pairs")
    names = read_lines(few / "split" / "train.txt")
    write_splits(few, {"train": names, "val": names[:4], "test": names[:12]})
    fast = (f"data.pairs={few}", "optim.batch_size=8", *tiny.FAST)
    sizes = {
        "ild/autoencoder-open": (*tiny.ILD_AUTOENCODER, "optim.steps=20"),
        "ild/denoiser-open": (*tiny.ILD_DENOISER, "optim.steps=20"),
    }
    monkeypatch.setattr(ablations, "paper_table", lambda name: TWO)
    monkeypatch.setattr(
        ablations,
        "find_recipe",
        lambda name: apply_overrides(find_recipe(name), [*sizes[name], *fast]),
    )
    words = ["ablate", "ild/table4", "--data", few, "--evaluator", evaluator, "--share", "0.5"]
    words += ["--repeats", "2"]
    folders = ["--trainings", tmp_path / "runs", "--out", tmp_path / "out"]
    status, text, error = run(*words, *folders)
    assert status == 0, error
    report = (tmp_path / "out" / "ild-table4.md").read_text()
    assert report.count("| ILD p=0.20, s=3.0 |") == 2  # ours and the paper's
    assert report.count("| mean pose |") == 1
    assert "FID: of 1 pairs of rows, " in report and "by open recipes with 50% of their" in report
    assert "training 3 of 3: duomotion train ild/denoiser-open" in text
    rows = small_rows(find("ild/table4"), tmp_path / "runs" / "0.5", Shares(0.5))
    assert pending(rows.values()) == []


def test_bad_input(run, tmp_path):
    for words, sentence in (
        (("ild/table9",), "no table is called 'ild/table9'"),
        (("ild/table2a", "--share", "0"), "share has to lie above 0 and be at most 1, not 0"),
        (
            ("ild/table2a", "--shares", "ild/denoiser-open=2"),
            "the share of ild/denoiser-open has to lie above 0 and be at most 1, not 2",
        ),
        (
            ("ild/table2a", "--shares", "ild/denoiser-open"),
            "'ild/denoiser-open' has no share; ild/denoiser-open=0.5 would be half",
        ),
        (("ild/table2a", "--shares", "ild/denoiser=0.5x"), "'ild/denoiser=0.5x' has no share"),
        (
            ("ild/table2a", "--shares", "ild/denoiser=0.5"),
            "no row of ild/table2a is trained by ild/denoiser; did you mean ild/denoiser-open?",
        ),
        (("ild/table2a", "--rows", "ILB"), "ild/table2a has no row 'ILB' here; it has ILD, w/o"),
        (
            ("ild/table2a", "--repeats", "1"),
            "--repeats has to be 2 or more for confidence intervals, not 1",
        ),
    ):
        status, _, error = run("ablate", *words, "--trainings", tmp_path, "--out", tmp_path)
        assert status != 0 and sentence in error, error
