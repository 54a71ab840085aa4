"""Scores as Markdown, CSV and a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

from duomotion.evaluation.metrics.distributions import Estimate
from duomotion.evaluation.open.benchmark import OpenReport, Row, Separation
from duomotion.evaluation.open.opensets import PAIRS
from duomotion.evaluation.published.numbers import PublishedRow, published
from duomotion.evaluation.published.procedure import MEASURED, Report
from duomotion.official.states import join_names
from duomotion.sampling.request import Sampling
from duomotion.storage import atomic_file

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
    "root_aligned_mpjpe_mm": ("MPJPE around the root mm", 1, "-"),
    "root_aligned_mpjpe_kit": ("MPJPE around the root mm of KIT-ML's reference body", 1, "-"),
    "mpjve_mm": ("MPJVE mm a frame", 2, "-"),
    "reaction_fid": ("FID of reactions", 3, "-"),
    "reaction_r1": ("R@1 of reactions", 3, "+"),
    "collision": ("collision", 3, "-"),
    "seconds": ("s a clip", 3, "-"),
    "params_m": ("parameters M", 1, "-"),
    "flops_g": ("GFLOP", 1, "-"),
    "fps": ("frames a second", 0, "+"),
    "batch_size": ("batch", 0, ""),
    "random_mask_prob": ("p_r", 1, ""),
    "steps": ("steps", 0, ""),
    "latent_tokens": ("latent tokens", 0, ""),
    "cfg_dropout": ("p", 2, ""),
    "cfg_scale": ("s", 1, ""),
}
ERRORS = ("mpjpe_mm", "root_aligned_mpjpe_kit", "root_aligned_mpjpe_mm", "mpjve_mm")
ARROWS = {"+": " ↑", "-": " ↓", "=": " →", "": ""}


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
        markdown(found.rows, [*PAIRS.agreement, "spread", *PAIRS.physics, "nearest_mm"]),
    ]
    if found.layers:
        lines += [
            f"{COLUMNS['root_aligned_mpjpe_mm'][0]} of reconstructions of the test clips, by the "
            "number of residual layers behind the base layer:",
            "",
            by_layers(found.layers),
        ]
    if found.seconds:
        lines += [_seconds(found.seconds), ""]
    return "\n".join([*lines, computed(facts), ""])


def by_layers(errors: Mapping[str, Sequence[float]]) -> str:
    """A line a model: errors of reconstructions with 0, 1, 2, ... residual layers."""
    most = max(map(len, errors.values()))
    lines = ["| model | " + " | ".join(map(str, range(most))) + " |", "|---" * (most + 1) + "|"]
    for name, row in errors.items():
        cells = [f"{error:.1f}" for error in row] + [""] * (most - len(row))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def published_report(found: Report, data: str) -> str:
    """What a published protocol found, with the papers' own rows, for a person.

    Args:
        data: the data set, as the papers' tables call it.
    """
    facts, name = found.facts, found.facts["protocol"]["name"]
    lines = [
        f"# The protocol {name} on {facts['data_set']}",
        "",
        f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, evaluator "
        f"{facts['evaluator']}; ± is a 95 % interval over the repeats. ↑ more is better, ↓ less is "
        "better, → as the recorded motion.",
        "",
        markdown([*found.rows, *published_rows(data)], [*MEASURED, *ERRORS]),
        "Published rows are copied from the papers; their MultiModality is not always on the same "
        "scale.",
        "",
    ]
    if facts["protocol"]["is_paired"]:
        lines += [
            "FID of models compares with the recorded motion of the same clips, that of the ground "
            "truth with another draw of them.",
            "",
        ]
    if facts["without_actor"]:
        lines += [
            f"The data does not say who acts in {facts['without_actor']} clips; there the other "
            "person reacts to the first.",
            "",
        ]
    if facts["untagged"]:
        lines += [
            f"{facts['untagged']} captions have no tagged words, so all of their words were read "
            "as of the kind OTHER: numbers that depend on texts are not those of the paper.",
            "",
        ]
    if found.seconds:
        lines += [_seconds(found.seconds), ""]
    if facts["unusable"]:
        lines += [f"Left out as unusable: {join_names(facts['unusable'])}.", ""]
    return "\n".join([*lines, computed(facts), ""])


def _seconds(seconds: Mapping[str, float]) -> str:
    times = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    return f"Seconds a clip (median): {times}."


def published_rows(data: str) -> list[Row]:
    """The papers' main results on a data set, marked as published; the same numbers only once."""
    found: dict[tuple[str, str], Row] = {}
    for table in published().values():
        if table.data == data and table.is_main:
            for row in table.rows:
                name = f"{row.name} (published: {table.source})"
                found.setdefault((row.name, str(row.values)), Row(name, estimates(row)))
    return list(found.values())


def estimates(row: PublishedRow) -> dict[str, Estimate]:
    """What a paper printed, as what is measured."""
    return {key: Estimate(value, row.spread.get(key, nan)) for key, value in row.values.items()}


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


def plot(found: OpenReport | Report, path: Path) -> None:
    """FID of models against seconds a clip, as the papers draw it: a .png, best at lower left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    for row in found.rows:
        if row.name in found.seconds:
            place = found.seconds[row.name], row.scores["fid"].mean
            axes.scatter(*place)
            axes.annotate(Path(row.name).name, place, xytext=(5, 5), textcoords="offset points")
    axes.set(xlabel="seconds a clip", ylabel="FID", xscale="log", ylim=(0, None))
    axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
