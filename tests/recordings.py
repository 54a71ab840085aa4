"""The open recordings, for tests that need real people.

They are looked for in the folder that the environment variable DUOMOTION_OPEN_PAIRS names, else
beside the repository; tests marked `needs_recordings` are skipped where there are none.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from duomotion.data import humanml3d, open_pairs
from duomotion.data.interhuman import write_splits
from duomotion.data.open_pairs import read_take
from duomotion.data.salsa import ARCHIVE
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.interaction import Interaction

_BESIDE = Path(__file__).parents[2] / "shared" / "data" / "pairs"
FOLDER = Path(os.environ.get("DUOMOTION_OPEN_PAIRS") or _BESIDE)

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no recordings: DUOMOTION_OPEN_PAIRS names no folder"
)

SALSA = FOLDER / "salsa" / ARCHIVE
needs_salsa = pytest.mark.skipif(not SALSA.is_file(), reason="no salsa takes among the recordings")

SOLO = FOLDER.parent / "solo"
needs_solo = pytest.mark.skipif(
    not (SOLO / "motions.tar.xz").is_file(), reason="no solo recordings beside the pairs"
)


@cache
def files(name: str) -> tuple[Path, Path]:
    """Both people's BVH files of a recording such as "18_01" or "High_five"."""
    first, second = sorted(FOLDER.rglob(f"{name}_[ABS]*.bvh"))
    return first, second


@cache
def take(name: str) -> Interaction:
    """A recording on SMPL-22 with the floor at height 0; tests must not write into it."""
    return read_take(*files(name))


def prepare(folder: Path, takes: tuple[str, ...]) -> Path:
    """A data set of the first clip of each take: all to train on, the first one to validate."""
    recordings = folder.with_name(f"{folder.name}-recordings")
    recordings.mkdir()
    for name in takes:
        for path in files(name):
            (recordings / path.name).symlink_to(path)
    open_pairs.prepare(recordings, folder)
    names = [f"{name}-00" for name in takes]
    write_splits(folder, {"train": names, "val": names[:1], "test": []})
    return folder


def prepare_solo(folder: Path, takes: tuple[str, ...]) -> Path:
    """The same of each person alone, in HumanML3D's layout, with a caption of their own."""
    names = []
    for name in takes:
        for person, who in enumerate("AB"):
            body = HUMANML3D.bodies(take(name).person(person))
            joints = HUMANML3D.retarget(
                body.positions[0, :199].astype(float), HUMANML3D.reference_lengths
            )
            lines = [f"person {who} of {name}#person/NOUN#0.0#0.0"]
            names += humanml3d.write_clip(folder, f"{name}_{who}", HUMANML3D, joints, lines)
    splits = {"train": names, "val": names[:2], "test": names[:2]}
    humanml3d.finish(folder, HUMANML3D, splits)
    return folder
