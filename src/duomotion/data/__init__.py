"""Data sets in their published layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from duomotion.data import amass, humanml3d, interhuman, interx, open_pairs, open_solo
from duomotion.data.interhuman import Problem
from duomotion.motion.humanml3d import HUMANML3D, KIT


@dataclass(frozen=True)
class Dataset:
    """What can be done with a data set.

    Attributes:
        description: one line.
        prepare: (published folder, target folder) -> what had to be left out.
        check: prepared folder -> number of usable clips, and what is wrong with the others.
        prepare_amass: (published folder, target folder, AMASS, body models) -> what had to be left
            out; None where the data set is not from AMASS.
    """

    description: str
    prepare: Callable[[Path, Path], list[Problem]]
    check: Callable[[Path], tuple[int, list[Problem]]]
    prepare_amass: Callable[[Path, Path, Path, Path | None], list[Problem]] | None = None


DATASETS = {
    "open-pairs": Dataset(
        "61 recordings of two people cut into 228 captioned clips (research use)",
        open_pairs.prepare,
        interhuman.check,
    ),
    "solo-interhuman": Dataset(
        "1,972 clips of one person in InterHuman's layout, with timed captions (research use)",
        open_solo.prepare_interhuman,
        interhuman.check,
    ),
    "solo-interhuman-1": Dataset(
        "its first edition: 790 clips, each with one caption",
        partial(open_solo.prepare_interhuman, edition=1),
        interhuman.check,
    ),
    "solo-open": Dataset(
        "the same clips in HumanML3D's layout, for systems of one person (research use)",
        open_solo.prepare_humanml3d,
        humanml3d.check,
    ),
    "solo-open-1": Dataset(
        "the first edition of solo-open",
        partial(open_solo.prepare_humanml3d, edition=1),
        humanml3d.check,
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
    "humanml3d": Dataset(
        "14,616 captioned motions of one person, from AMASS or joints; as published it is read too",
        partial(humanml3d.prepare, layout=HUMANML3D),
        humanml3d.check,
        amass.prepare,
    ),
    "kit-ml": Dataset(
        "3,911 captioned motions of one person, from joints; training reads what is published",
        partial(humanml3d.prepare, layout=KIT),
        humanml3d.check,
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
