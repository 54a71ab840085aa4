"""Editions of the open data: what is measured on one can't be compared with another."""

from typing import Literal

LATEST: Literal[2] = 2


def of_edition(name: str, edition: int) -> str:
    """The name of an edition of a data set or evaluator; only earlier ones are numbered.

    >>> of_edition("open-pairs", 1)
    'open-pairs-1'
    """
    return name if edition == LATEST else f"{name}-{edition}"
