"""What a published protocol found, beside what the papers printed."""

from dataclasses import dataclass, field
from math import nan
from typing import Any

from duomotion.evaluation.metrics.estimates import Estimate, Row
from duomotion.evaluation.published.numbers import PublishedRow, published
from duomotion.evaluation.report import Content
from duomotion.evaluation.tables import ERRORS, computed, markdown, report_files, seconds_a_clip
from duomotion.official.states import join_names

MEASURED = ("r1", "r2", "r3", "fid", "mm_dist", "diversity", "multimodality")
"""Metrics of generated motion."""


@dataclass(frozen=True)
class PublishedReport:
    """What a published protocol found: the recorded motion first, then models.

    Attributes:
        data: the data set, as the papers' tables call it.
        seconds: per clip, for each model; the median of those made in this run.
    """

    rows: tuple[Row, ...]
    data: str
    facts: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        rows = {row.name: row.as_dict() for row in self.rows}
        return {"rows": rows, "seconds": self.seconds, "facts": self.facts}

    def markdown(self) -> str:
        """What was found, with the papers' own rows, for a person."""
        facts, name = self.facts, self.facts["protocol"]["name"]
        lines = [
            f"# The protocol {name} on {facts['data_set']}",
            "",
            f"{facts['clips']} test clips of {facts['data']}, {facts['repeats']} repeats, "
            f"evaluator {facts['evaluator']}; ± is a 95 % interval over the repeats. ↑ more is "
            "better, ↓ less is better, → as the recorded motion.",
            "",
            markdown([*self.rows, *published_rows(self.data)], [*MEASURED, *ERRORS]),
            "Published rows are copied from the papers; their MultiModality is not always on the "
            "same scale.",
            "",
        ]
        if facts["protocol"]["is_paired"]:
            lines += [
                "FID of models compares with the recorded motion of the same clips, that of the "
                "ground truth with another draw of them.",
                "",
            ]
        if facts["without_actor"]:
            lines += [
                f"The data does not say who acts in {facts['without_actor']} clips; there the "
                "other person reacts to the first.",
                "",
            ]
        if facts["untagged"]:
            lines += [
                f"{facts['untagged']} captions have no tagged words, so all of their words were "
                "read as of the kind OTHER: numbers that depend on texts are not those of the "
                "paper.",
                "",
            ]
        if self.seconds:
            lines += [seconds_a_clip(self.seconds), ""]
        if facts["unusable"]:
            lines += [f"Left out as unusable: {join_names(facts['unusable'])}.", ""]
        return "\n".join([*lines, computed(facts), ""])

    def files(self) -> dict[str, Content]:
        """report.md, report.csv, report.json, and a picture where models are compared."""
        return report_files(self.markdown(), self.as_dict(), self.rows, self.seconds)


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
