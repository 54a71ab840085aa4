"""The open solo clips: captioned motion of one person, in InterHuman's layout without person2.

They serve tokenizers, which see one person at a time. Clips are split by subject.
"""

import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from duomotion.data.interhuman import SPLITS, Problem, write_clip, write_splits
from duomotion.formats import bvh
from duomotion.motion.canonical import transform
from duomotion.motion.retarget import to_smpl22

VAL_SUBJECTS = frozenset({"17", "56"})
TEST_SUBJECTS = frozenset({"13", "41", "86", "143"})


def prepare(source: str | Path, target: str | Path) -> list[Problem]:
    """Turn motions.tar.xz and captions.json into a data set; returns what had to be left out.

    Raises:
        ValueError: the two files are not there or hold something else.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    for name in ("motions.tar.xz", "captions.json"):
        if not (source / name).is_file():
            raise ValueError(f"{source} has no {name}")
    entries = json.loads((source / "captions.json").read_text(encoding="utf-8"))
    captions = {entry["clip"]: entry["caption"] for entry in entries}
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    with (
        tarfile.open(source / "motions.tar.xz") as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        for member in tqdm(archive, total=len(captions), desc="clips", unit="clip"):
            key = member.name.removeprefix("./")
            name = Path(key).stem
            file = archive.extractfile(member) if member.isfile() else None
            if file is None or key not in captions:
                continue
            scratch = Path(folder) / "clip.bvh"
            scratch.write_bytes(file.read())
            try:
                clip = to_smpl22(bvh.read(scratch, up="z"))
            except ValueError as error:
                problems.append(Problem(name, str(error).replace(str(scratch), key)))
                continue
            lowest = np.percentile(clip.positions[..., 1].min((0, 2)), 5)
            clip = transform(clip, np.eye(3), -np.array([0, lowest, 0]))
            write_clip(target, name, clip, [captions[key]])
            splits[_split_of(name.split("_")[0])].append(name)
    write_splits(target, splits)
    return problems


def _split_of(subject: str) -> str:
    if subject in TEST_SUBJECTS:
        return "test"
    return "val" if subject in VAL_SUBJECTS else "train"
