"""Where each caption of a clip comes from and how much it counts, in files beside the layout.

ROOT/sources/NAME.txt   the source of each caption in turn, one a line
ROOT/weights.txt        SOURCE, a tab and a number a line, as in "babel	0.5"
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from duomotion.reading import read_text
from duomotion.storage import atomic_file

FOLDER = "sources"
WEIGHTS = "weights.txt"
LARGEST = 10_000_000  # bytes


def read_sources(root: str | Path, name: str, count: int) -> tuple[str, ...]:
    """The sources of a clip's `count` captions; empty texts where the data set does not tell.

    Raises:
        ValueError: there are more or fewer of them than captions.
    """
    path = Path(root) / FOLDER / f"{name}.txt"
    if not path.exists():
        return ("",) * count
    sources = tuple(line.strip() for line in read_text(path, limit=LARGEST).splitlines())
    if len(sources) != count:
        raise ValueError(f"{FOLDER}/{name}.txt has {len(sources)} lines for {count} captions")
    return sources


def caption_weights(root: str | Path, name: str, count: int) -> tuple[float, ...]:
    """How often each of a clip's `count` captions is drawn, 1 where the data set does not tell.

    Raises:
        ValueError: as `read_sources` and `read_weights`.
    """
    weights = read_weights(root)
    return tuple(weights.get(source, 1.0) for source in read_sources(root, name, count))


def write_sources(root: str | Path, name: str, sources: Iterable[str]) -> None:
    """What `read_sources` reads."""
    _write(Path(root) / FOLDER / f"{name}.txt", sources)


def read_weights(root: str | Path) -> dict[str, float]:
    """How often a caption is drawn, by source; none where the data set does not tell.

    Raises:
        ValueError: a line is no source, tab and number above 0.
    """
    path = Path(root) / WEIGHTS
    if not path.exists():
        return {}
    weights = {}
    for number, line in enumerate(read_text(path, limit=LARGEST).splitlines(), start=1):
        source, _, weight = line.partition("\t")
        try:
            weights[source] = float(weight)
        except ValueError:
            weights[source] = math.nan
        if not source or not 0 < weights[source] < math.inf:
            raise ValueError(f"{path}, line {number}: should be a source, a tab and a number > 0")
    return weights


def write_weights(root: str | Path, weights: Mapping[str, float]) -> None:
    """What `read_weights` reads."""
    _write(Path(root) / WEIGHTS, (f"{source}\t{weights[source]:g}" for source in sorted(weights)))


def _write(path: Path, lines: Iterable[str]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
