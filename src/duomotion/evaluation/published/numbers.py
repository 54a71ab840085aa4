"""The tables of the papers, as they are printed there."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from duomotion.config import nearest


@dataclass(frozen=True)
class PublishedRow:
    """A method, and by column what was published: values and, where given, 95 % margins.

    Raises:
        ValueError: a margin belongs to no value.
    """

    name: str
    values: dict[str, float]
    spread: dict[str, float]

    def __post_init__(self) -> None:
        if unknown := self.spread.keys() - self.values.keys():
            raise ValueError(f"row {self.name!r}: a margin without a value: {sorted(unknown)}")


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: paper/table.
        source: authors, year and number.
        data: the data set; None where there is none.
        columns: in the paper's order.
        is_main: it compares whole methods, not variants of one.
        note: where it contradicts other papers, or leaves a number out.

    Raises:
        ValueError: a row has a value that no column has, or two rows have the same name.
    """

    name: str
    title: str
    source: str
    data: str | None
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    is_main: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if unknown := row.values.keys() - set(self.columns):
                raise ValueError(
                    f"table {self.name}, row {row.name!r}: no column {sorted(unknown)}"
                )
        if len({row.name for row in self.rows}) != len(self.rows):
            raise ValueError(f"table {self.name}: two rows have the same name")


@cache
def published() -> dict[str, Table]:
    """All tables by name."""
    text = (files("duomotion.evaluation.published") / "numbers.json").read_text(encoding="utf-8")
    return {name: table_of(name, content) for name, content in json.loads(text).items()}


def table_of(name: str, content: dict[str, Any]) -> Table:
    """A table of numbers.json.

    Raises:
        ValueError: something is missing, or it contradicts itself.
    """
    try:
        rows = tuple(
            PublishedRow(row["name"], row["values"], row.get("spread", {}))
            for row in content["rows"]
        )
        return Table(
            name,
            content["title"],
            content["source"],
            content["data"],
            tuple(content["columns"]),
            rows,
            is_main=content.get("main", False),
            note=content.get("note", ""),
        )
    except KeyError as missing:
        raise ValueError(f"table {name}: the field {missing} is missing") from None


def find(name: str) -> Table:
    """The table called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in published():
        raise ValueError(f"no table is called {name!r}; {nearest(name, list(published()))}")
    return published()[name]
