"""The open pairs: recorded two-person motion anyone can have, in InterHuman's layout.

Captions, segment times and the split are ours (open_pairs.json and open_pairs_salsa.json); the
recordings are the CMU everyday takes (NN_TT_A.bvh and _B.bvh, or as the CMU site has them NN_TT.amc
and .asf of both subjects), the close-contact takes (NAME_S1.bvh and _S2.bvh), and since the second
edition the CMU salsa takes (an archive, see data/salsa.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from duomotion.data import salsa
from duomotion.data.interhuman import SPLITS, Problem, check_any, write_clip, write_splits
from duomotion.data.kinds import write_kinds
from duomotion.formats import asf, bvh
from duomotion.motion.canonical import ground, resample
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.progress import track

FILES = ("open_pairs.json", "open_pairs_salsa.json")  # what each edition adds
LATEST = len(FILES)
FPS = 30.0
CMU_TAKE = re.compile(r"\d\d_\d\d")
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
        captions: three descriptions of this stretch.
        words: other words for its kind, to train with; none outside the training split.
    """

    name: str
    take: str
    kind: str
    split: str
    start: float
    end: float
    captions: tuple[str, ...]
    words: tuple[str, ...]


def segments(edition: int = LATEST) -> list[Segment]:
    """All segments of an edition, in the order of their takes."""
    words: dict[str, tuple[str, ...]] = {}
    found = []
    for document in map(_document, FILES[:edition]):
        words |= {kind: tuple(phrases) for kind, phrases in document["words"].items()}
        for take in document["takes"]:
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
                        words[part["kind"]] if take["split"] == "train" else (),
                    )
                )
    return found


def _document(name: str) -> dict:
    return json.loads((files("duomotion.data") / name).read_text(encoding="utf-8"))


def held_out_recordings() -> frozenset[str]:
    """Recordings of single people, such as "60_05", whose takes are not trained on.

    They go by the names that the CMU database gives them. Whoever is in one of these takes must not
    be trained on alone either.
    """
    takes = {part.take.removeprefix("salsa_") for part in segments() if part.split != "train"}
    takes = {take for take in takes if CMU_TAKE.fullmatch(take)}
    return frozenset(takes | {_partner(take) for take in takes})


def prepare(source: str | Path, target: str | Path, edition: int = LATEST) -> list[Problem]:
    """Turn the folder of recordings into a data set; returns what had to be left out.

    Raises:
        ValueError: the folder holds none of the recordings, or none that can be used, or its
            archive of salsa takes is damaged.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    by_take: dict[str, list[Segment]] = {}
    for segment in segments(edition):
        by_take.setdefault(segment.take, []).append(segment)
    recordings = {take: partial(read_take, *pair) for take, pair in _pairs(source)}
    if edition > 1:
        recordings |= _dances(source)
    if not recordings.keys() & by_take.keys():
        raise ValueError(
            f"{source} holds none of the recordings: pairs of files such as 18_01_A.bvh and "
            "18_01_B.bvh, 18_01.amc and 19_01.amc, or salsa_Easy_01_S1.bvh and "
            f"salsa_Easy_01_S2.bvh, and from the second edition on {salsa.ARCHIVE}"
        )
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    kinds: dict[str, str] = {}
    problems = []
    for take, parts in track(by_take.items(), "takes", unit="take"):
        try:
            if take not in recordings:
                raise ValueError("the recording is missing")
            interaction = recordings[take]()
        except (ValueError, OSError) as error:
            problems += [Problem(part.name, str(error)) for part in parts]
            continue
        for part in parts:
            first, last = (round(second * interaction.fps) for second in (part.start, part.end))
            motion, texts = interaction.frames(first, last), part.captions + part.words
            write_clip(target, part.name, motion, texts)
            splits[part.split].append(part.name)
            kinds[part.name] = part.kind
    check_any(splits, problems, source)
    write_splits(target, splits)
    write_kinds(target, kinds)
    return problems


def _dances(folder: Path) -> dict[str, Callable[[], Interaction]]:
    """What makes each take of the archive of salsa takes, if the folder has one."""
    archives = sorted(folder.rglob(salsa.ARCHIVE))
    if not archives:
        return {}
    archive = salsa.Archive(archives[0])
    return {f"salsa_{take}": partial(archive.couple, take) for take in archive.takes}


def read_take(first: Path, second: Path) -> Interaction:
    """Two people of one recording on SMPL-22 at 30 fps, the floor at height 0."""
    files = [first, second]
    people = (
        asf.read(files) if first.suffix.lower() == ".amc" else bvh.read(files, scale=1.0, up="z")
    )
    return ground(to_smpl22(resample(people, FPS)))


def cmu_files() -> list[str]:
    """The files of the everyday takes below the subjects of the CMU site, bodies first."""
    takes = sorted({part.take for part in segments() if CMU_TAKE.fullmatch(part.take)})
    motions = [motion for take in takes for motion in (take, _partner(take))]
    subjects = sorted({motion[:2] for motion in motions})
    bodies = [f"{subject}/{subject}.asf" for subject in subjects]
    return bodies + [f"{motion[:2]}/{motion}.amc" for motion in sorted(motions)]


def _partner(take: str) -> str:
    """The other person's recording: CMU numbers the two people one after the other."""
    subject, trial = take.split("_")
    return f"{int(subject) + 1:02d}_{trial}"


def _pairs(folder: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """By take; of a recording in two formats the .bvh files come last."""
    motions = {path.stem: path for path in sorted(folder.rglob("*.amc"))}
    for name, path in motions.items():
        if CMU_TAKE.fullmatch(name) and _partner(name) in motions:
            yield name, (path, motions[_partner(name)])
    for one, other in _SUFFIXES:
        for first in sorted(folder.rglob(f"*{one}")):
            name = first.name.removesuffix(one)
            second = first.with_name(name + other)
            if second.is_file():
                yield name, (first, second)
