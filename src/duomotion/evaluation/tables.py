"""Scores as Markdown, CSV and a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from duomotion.evaluation.benchmark import PHYSICS, OpenReport, Row, Separation
from duomotion.storage import atomic_file

# By metric: heading, digits behind the point, and which way is better; "=" is as the real motion.
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
}
ARROWS = {"+": "↑", "-": "↓", "=": "→"}


def report(found: OpenReport) -> str:
    """Everything that the open benchmark found, for a person.

    A candidate for a score of quality that does not tell real motion from something worse is left
    out of the first table.
    """
    quality = [name for name, each in found.separations.items() if each.is_significant]
    facts = found.facts
    lines = [
        "# The open benchmark",
        "",
        f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, evaluator "
        f"{facts['evaluator']}; ± is a 95 % interval over the repeats. ↑ more is better, ↓ less is "
        "better, → as the real motion.",
        "",
        markdown(found.rows, [*quality, "diversity", "multimodality"]),
        separations(found.separations),
        "Without a network:",
        "",
        markdown(found.rows, ["contacts", "roles", "spread", *PHYSICS, "nearest_mm"]),
    ]
    if found.seconds:
        times = ", ".join(f"{name} {value:.2f}" for name, value in found.seconds.items())
        lines += [f"Seconds a clip (median): {times}.", ""]
    versions = (f"{name} {facts[name]}" for name in ("duomotion", "torch", "hardware", "date"))
    return "\n".join([*lines, ", ".join(versions), ""])


def markdown(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """A line a row; margins of 95 % behind the means, where there is one."""
    present = [name for name in metrics if any(name in row.scores for row in rows)]
    headings = [f"{COLUMNS[name][0]} {ARROWS[COLUMNS[name][2]]}" for name in present]
    lines = ["| motion | " + " | ".join(headings) + " |", "|---" * (len(present) + 1) + "|"]
    for row in rows:
        cells = [_cell(row, name) for name in present]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: Row, name: str) -> str:
    if name not in row.scores:
        return ""
    score, digits = row.scores[name], COLUMNS[name][1]
    margin = "" if isnan(score.margin) else f" ± {score.margin:.{digits}f}"
    return f"{score.mean:.{digits}f}{margin}"


def separations(found: Mapping[str, Separation]) -> str:
    """A line a metric: whether it says anything on these clips."""
    lines = ["| metric | p against other captions | p against the mean pose | a quality score |"]
    lines += ["|---|---|---|---|"]
    for name, each in found.items():
        shuffled = "" if each.shuffled is None else f"{each.shuffled:.3f}"
        verdict = "yes" if each.is_significant else "no"
        lines.append(f"| {COLUMNS[name][0]} | {shuffled} | {each.mean_pose:.3f} | {verdict} |")
    return "\n".join(lines) + "\n"


def comma_separated(rows: Sequence[Row]) -> str:
    """Columns motion, metric, mean, margin."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["motion", "metric", "mean", "margin"])
    for row in rows:
        for name, score in row.scores.items():
            writer.writerow([row.name, name, score.mean, score.margin])
    return text.getvalue()


def plot(found: OpenReport, path: Path) -> None:
    """FID of models against seconds a clip, as the papers draw it: a .png, best at lower left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    for row in found.rows:
        if row.name in found.seconds:
            place = found.seconds[row.name], row.scores["fid"].mean
            axes.scatter(*place)
            axes.annotate(row.name, place, xytext=(5, 5), textcoords="offset points")
    axes.set(xlabel="seconds a clip", ylabel="FID", xscale="log", ylim=(0, None))
    axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
