"""The mark of composed pairs: two-person clips that nobody recorded together.

ROOT/composed.json   how they were composed, and by name of clip what each was made of

They are for training only. Readers refuse them as held-out clips, and what was trained on them says
so in its provenance.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from duomotion.reading import read_text
from duomotion.storage import atomic_file

FILE = "composed.json"


def is_composed(root: str | Path) -> bool:
    """Whether a data set is marked as composed."""
    return (Path(root) / FILE).is_file()


def check_split(root: str | Path, split: str) -> None:
    """Raises ValueError where clips of a composed data set are to be held out."""
    if split != "train" and is_composed(root):
        raise ValueError(
            f"{root} holds composed pairs, which are for training only and have no {split} split; "
            "name a data set of recorded pairs"
        )


def note(roots: Iterable[str]) -> dict[str, list[str]]:
    """What a checkpoint's provenance says of the data sets that it was trained on."""
    composed = [root for root in roots if is_composed(root)]
    return {"composed": composed} if composed else {}


def write_mark(root: Path, settings: Mapping[str, Any], clips: Mapping[str, Any] | None) -> None:
    """Mark a data set.

    Args:
        settings: how all of it is composed.
        clips: what each clip was made of, by name; None while they are being composed.
    """
    with atomic_file(root / FILE) as path:
        text = json.dumps({"settings": settings, "clips": clips}, indent=1)
        path.write_text(f"{text}\n", encoding="utf-8")


def read_mark(root: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What `write_mark` wrote: settings, and clips if they are complete.

    Raises:
        ValueError: the file holds something else.
        OSError: it can't be read.
    """
    path = root / FILE
    try:
        document = json.loads(read_text(path))
        settings, clips = document["settings"], document["clips"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path} does not say how the data set was composed") from None
    if not isinstance(settings, dict) or not isinstance(clips, dict | None):
        raise ValueError(f"{path} does not say how the data set was composed")
    return settings, clips


def copy_mark(source: Path, target: Path) -> None:
    """Mark what is made of a data set as that is, if it is."""
    if is_composed(source):
        with atomic_file(target / FILE) as path:
            shutil.copyfile(source / FILE, path)
