"""The open pairs: recorded two-person motion anyone can have, in InterHuman's layout.

Captions, segment times and the split are ours (open_pairs.json); the recordings are the CMU
everyday takes (NN_TT_A.bvh and _B.bvh) and the close-contact takes (NAME_S1.bvh and _S2.bvh).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tqdm import tqdm

from duomotion.data.interhuman import SPLITS, Problem, write_clip, write_splits
from duomotion.formats import bvh
from duomotion.motion.canonical import ground
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22

_SUFFIXES = (("_A.bvh", "_B.bvh"), ("_S1.bvh", "_S2.bvh"))


@dataclass(frozen=True)
class Segment:
    """A captioned stretch of a take.

    Attributes:
        name: take and running number, the clip's name in the data set.
        take: name of the recording.
        kind: the family of the action, as in "handshake" or "salsa".
        split: train, val or test; the same for all segments of a take.
        start, end: seconds.
        captions: three descriptions.
    """

    name: str
    take: str
    kind: str
    split: str
    start: float
    end: float
    captions: tuple[str, ...]


def segments() -> list[Segment]:
    """All segments, in the order of their takes."""
    text = (files("duomotion.data") / "open_pairs.json").read_text(encoding="utf-8")
    found = []
    for take in json.loads(text)["takes"]:
        for number, part in enumerate(take["segments"]):
            name = f"{take['name']}-{number:02d}"
            found.append(
                Segment(
                    name,
                    take["name"],
                    part["kind"],
                    take["split"],
                    part["start"],
                    part["end"],
                    tuple(part["captions"]),
                )
            )
    return found


def prepare(source: str | Path, target: str | Path) -> list[Problem]:
    """Turn the folder of recordings into a data set; returns what had to be left out.

    Raises:
        ValueError: the folder holds none of the recordings.
        OSError: the target can't be written.
    """
    recordings = dict(_pairs(Path(source)))
    by_take: dict[str, list[Segment]] = {}
    for segment in segments():
        by_take.setdefault(segment.take, []).append(segment)
    if not recordings.keys() & by_take.keys():
        raise ValueError(
            f"{source} holds none of the recordings: pairs of files such as "
            "18_01_A.bvh and 18_01_B.bvh, or salsa_Easy_01_S1.bvh and salsa_Easy_01_S2.bvh"
        )
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for take, parts in tqdm(by_take.items(), desc="takes", unit="take"):
        try:
            if take not in recordings:
                raise ValueError("the recording is missing")
            interaction = read_take(*recordings[take])
        except (ValueError, OSError) as error:
            problems += [Problem(part.name, str(error)) for part in parts]
            continue
        for part in parts:
            first, last = (round(second * interaction.fps) for second in (part.start, part.end))
            write_clip(Path(target), part.name, interaction.frames(first, last), part.captions)
            splits[part.split].append(part.name)
    write_splits(Path(target), splits)
    return problems


def read_take(first: Path, second: Path) -> Interaction:
    """Two people of one recording on SMPL-22, the floor at height 0."""
    return ground(to_smpl22(bvh.read([first, second], up="z")))


def _pairs(folder: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    for one, other in _SUFFIXES:
        for first in sorted(folder.rglob(f"*{one}")):
            name = first.name.removesuffix(one)
            second = first.with_name(name + other)
            if second.is_file():
                yield name, (first, second)
