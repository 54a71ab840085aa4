"""The kind of action that each clip of a data set shows, in a file beside the published layout.

ROOT/kinds.txt   NAME, a tab and the kind a line, as in "18_01-00	handshake"
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from duomotion.reading import read_text
from duomotion.storage import atomic_file
from duomotion.text.learned import Described
from duomotion.text.verbs import main_verb

FILE = "kinds.txt"
LARGEST = 10_000_000  # bytes


def read_kinds(root: str | Path) -> dict[str, str]:
    """Kinds by name of clip; none where the data set does not tell.

    Raises:
        ValueError: a line is no name, tab and kind.
    """
    path = Path(root) / FILE
    if not path.exists():
        return {}
    kinds = {}
    for number, line in enumerate(read_text(path, limit=LARGEST).splitlines(), start=1):
        name, _, kind = line.partition("\t")
        if not name or not kind.strip():
            raise ValueError(f"{path}, line {number}: should be a clip's name, a tab and a kind")
        kinds[name] = kind.strip()
    return kinds


def write_kinds(root: str | Path, kinds: Mapping[str, str]) -> None:
    """What `read_kinds` reads."""
    with atomic_file(Path(root) / FILE) as path:
        lines = (f"{name}\t{kind}\n" for name, kind in sorted(kinds.items()))
        path.write_text("".join(lines), encoding="utf-8")


def kinds_of(
    root: str | Path, clips: Iterable[Any], captions: Callable[[Any], Sequence[str]]
) -> dict[str, str]:
    """Kinds by name of clip: where nobody has given it one, the main verb of its first caption.

    Args:
        captions: what the captions of a clip say.

    Raises:
        ValueError: as `read_kinds`.
    """
    kinds = read_kinds(root)
    return {
        clip.name: kinds.get(clip.name) or main_verb(said[0])
        for clip in clips
        if (said := captions(clip))
    }


def describe(
    root: str | Path, clips: Iterable[Any], captions: Callable[[Any], Iterable[str]]
) -> list[Described]:
    """The captions of a data set's clips, as `Learned.of` takes them.

    A caption is of its clip's kind, or where nobody has given the clip one, of its own main verb's.

    Args:
        captions: what the captions of a clip say.

    Raises:
        ValueError: as `read_kinds`.
    """
    kinds = read_kinds(root)
    return [
        Described(caption, kinds.get(clip.name) or main_verb(caption), clip.name)
        for clip in clips
        for caption in captions(clip)
    ]
