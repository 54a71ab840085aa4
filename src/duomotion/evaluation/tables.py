"""Scores as Markdown, CSV and a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.report import Content
from duomotion.sampling.request import Sampling

# By metric: heading, digits behind the point, and which way is better; "=" is as the real motion,
# and a setting has no better way.
COLUMNS = {
    "fid": ("FID", 3, "-"),
    "r1": ("R@1", 3, "+"),
    "r2": ("R@2", 3, "+"),
    "r3": ("R@3", 3, "+"),
    "mm_dist": ("MM-Dist", 3, "-"),
    "diversity": ("Diversity", 3, "="),
    "multimodality": ("MultiModality", 3, "+"),
    "contacts": ("contact agreement", 2, "+"),
    "roles": ("role consistency", 2, "+"),
    "spread": ("spread m", 2, "="),
    "foot_sliding": ("sliding m/s", 3, "="),
    "floor_depth": ("in floor m", 3, "-"),
    "hover": ("hover m", 3, "-"),
    "jerk": ("jerk m/s^3", 0, "="),
    "bone_drift": ("bone drift", 4, "-"),
    "body_depth": ("overlap m", 3, "="),
    "body_litres": ("overlap l", 2, "="),
    "nearest_mm": ("nearest training clip mm", 0, "="),
    "r_precision": ("R-precision", 3, "+"),
    "rfid": ("FID of reconstruction", 3, "-"),
    "mpjpe": ("MPJPE", 3, "-"),
    "mpjve": ("MPJVE", 3, "-"),
    "mpjpe_mm": ("MPJPE mm", 1, "-"),
    "root_aligned_mpjpe_mm": ("root-aligned MPJPE mm", 1, "-"),
    "root_aligned_mpjpe_kit": ("root-aligned MPJPE mm of KIT-ML's reference body", 1, "-"),
    "mpjve_mm": ("MPJVE mm/frame", 2, "-"),
    "reaction_fid": ("FID of reactions", 3, "-"),
    "reaction_r1": ("R@1 of reactions", 3, "+"),
    "collision": ("collision", 3, "-"),
    "seconds": ("s/clip", 3, "-"),
    "params_m": ("parameters M", 1, "-"),
    "flops_g": ("GFLOP", 1, "-"),
    "fps": ("frames/s", 0, "+"),
    "batch_size": ("batch", 0, ""),
    "random_mask_prob": ("p_r", 1, ""),
    "steps": ("steps", 0, ""),
    "latent_tokens": ("latent tokens", 0, ""),
    "cfg_dropout": ("p", 2, ""),
    "cfg_scale": ("s", 1, ""),
}
ERRORS = ("mpjpe_mm", "root_aligned_mpjpe_kit", "root_aligned_mpjpe_mm", "mpjve_mm")
"""Those of reconstructions, whatever the unit of a paper is."""
ARROWS = {"+": " ↑", "-": " ↓", "=": " →", "": ""}


def by_layers(errors: Mapping[str, Sequence[float]]) -> str:
    """One line per model: errors of reconstructions with 0, 1, 2, ... residual layers."""
    most = max(map(len, errors.values()))
    lines = ["| model | " + " | ".join(map(str, range(most))) + " |", "|---" * (most + 1) + "|"]
    for name, row in errors.items():
        cells = [f"{error:.1f}" for error in row] + [""] * (most - len(row))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def seconds_a_clip(seconds: Mapping[str, float]) -> str:
    times = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    return f"s/clip, median: {times}."


def computed(facts: Mapping[str, Any]) -> str:
    """How models sampled, in which number formats, and what else says where numbers come from."""
    precision = ", ".join(f"{name} in {each}" for name, each in facts["precision"].items())
    sampling = str(Sampling(**facts["sampling"])) or "as each model was tuned"
    return f"Computed: {precision}. Sampling: {sampling}.\n\n{_versions(facts)}"


def _versions(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {facts[name]}" for name in ("duomotion", "torch", "hardware", "date"))


def markdown(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """A line for each row that has any of the metrics; margins of 95 % behind the means."""
    rows = [row for row in rows if row.scores.keys() & set(metrics)]
    present = [name for name in metrics if any(name in row.scores for row in rows)]
    headings = [heading(name) for name in present]
    lines = ["| motion | " + " | ".join(headings) + " |", "|---" * (len(present) + 1) + "|"]
    for row in rows:
        cells = [cell(row.scores.get(name), COLUMNS[name][1]) for name in present]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def heading(metric: str) -> str:
    """Its name, and an arrow to the better side."""
    name, _, better = COLUMNS[metric]
    return f"{name}{ARROWS[better]}"


def cell(score: Estimate | None, digits: int | None = None, empty: str = "") -> str:
    """A mean with its 95 % margin, where there is one; as many digits as it has if None."""
    if score is None:
        return empty
    form = "g" if digits is None else f".{digits}f"
    margin = "" if isnan(score.margin) else f" ± {score.margin:{form}}"
    return f"{score.mean:{form}}{margin}"


def comma_separated(rows: Sequence[Row]) -> str:
    """Columns motion, metric, mean, margin."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["motion", "metric", "mean", "margin"])
    for row in rows:
        for name, score in row.scores.items():
            writer.writerow([row.name, name, score.mean, score.margin])
    return text.getvalue()


def scatter_plot(rows: Sequence[Row], seconds: Mapping[str, float]) -> bytes:
    """FID of models against seconds/clip, as the papers draw it: a PNG, best at lower left."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        if row.name in seconds:
            place = seconds[row.name], row.scores["fid"].mean
            axes.scatter(*place, label=Path(row.name).name)
    axes.set(xlabel="s/clip", ylabel="FID", xscale="log", ylim=(0, None))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()


def report_files(
    text: str, numbers: dict[str, Any], rows: Sequence[Row], seconds: Mapping[str, float]
) -> dict[str, Content]:
    """The files of a report on several models, and a picture where all of these were timed.

    Args:
        numbers: all that was found; those in `facts` name the models.
        seconds: per clip, of rows that were timed.
    """
    files: dict[str, Content] = {
        "report.md": text,
        "report.csv": comma_separated(rows),
        "report.json": numbers,
    }
    if 1 < len(numbers["facts"]["precision"]) <= len(seconds):
        files["fid-against-time.png"] = scatter_plot(rows, seconds)
    return files
