"""Data sets in their published layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from duomotion.data import interhuman, interx, open_pairs, open_solo
from duomotion.data.interhuman import Problem


@dataclass(frozen=True)
class Dataset:
    """What can be done with a data set.

    Attributes:
        description: one line.
        prepare: (published folder, target folder) -> what had to be left out.
        check: prepared folder -> number of usable clips, and what is wrong with the others.
    """

    description: str
    prepare: Callable[[Path, Path], list[Problem]]
    check: Callable[[Path], tuple[int, list[Problem]]]


DATASETS = {
    "open-pairs": Dataset(
        "61 recordings of two people cut into 228 captioned clips (research use)",
        open_pairs.prepare,
        interhuman.check,
    ),
    "open-solo": Dataset(
        "790 captioned clips of one person, for tokenizers (research use)",
        open_solo.prepare,
        interhuman.check,
    ),
    "interhuman": Dataset(
        "7,779 interactions as published; training reads them as they are (CC BY-NC-SA 4.0)",
        interhuman.prepare,
        interhuman.check,
    ),
    "interx": Dataset(
        "11,388 interactions with hands as published, or pairs in InterHuman's layout converted",
        interx.prepare,
        interx.check,
    ),
}


def find(name: str) -> Dataset:
    """The data set called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
