"""Copying a prepared data set with its arrays in shards, for trainings that read it from disk."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from duomotion.data import humanml3d, interhuman, interx, shards
from duomotion.data.interhuman import SPLITS, Problem
from duomotion.progress import track
from duomotion.storage import atomic_folder, check_replaceable

Arrays = Mapping[str, np.ndarray]

Read = Callable[[str], Arrays]
"""The arrays of a clip by its name; raises ValueError where they can't be used."""

READERS: Mapping[str, Callable[[Path], Read]] = {
    "motions_processed": lambda root: partial(interhuman.clip_arrays, root),
    "motions": lambda root: partial(interx.clip_arrays, root),
    "new_joint_vecs": lambda root: partial(
        humanml3d.clip_arrays, root, layout=humanml3d.layout_of(root)
    ),
}
"""Of a data set, by the folder in which its layout has arrays."""


def shard(source: str | Path, target: str | Path) -> list[Problem]:
    """Copy a prepared data set; returns what is left out since it can't be used.

    Raises:
        ValueError: the source has no arrays of a known layout or holds the target, the target holds
            something else, or none of the clips can be used.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    folder = next((name for name in READERS if (source / name).is_dir()), None)
    if folder is None:
        raise ValueError(
            f"{source} has none of the folders {', '.join(READERS)}: name a prepared data set, "
            "such as data/interhuman"
        )
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise ValueError(f"{target} lies in {source}, which is copied: choose another folder")
    check_replaceable(target, shards.FOLDER)
    problems: list[Problem] = []
    with atomic_folder(target) as made:
        left_out = shutil.ignore_patterns(folder, shards.FOLDER)
        shutil.copytree(source, made, ignore=left_out, dirs_exist_ok=True)
        shards.write(made, _clips(source, READERS[folder](source), problems))
        if not any((made / shards.FOLDER).glob("*.safetensors")):
            interhuman.check_any({}, problems, source)
    return problems


def _clips(source: Path, read: Read, problems: list[Problem]) -> Iterator[tuple[str, Arrays]]:
    splits = (interhuman.split_names(source, split) for split in SPLITS)
    for name in track(sorted({name for names in splits for name in names}), "clips", unit="clip"):
        try:
            yield name, read(name)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
