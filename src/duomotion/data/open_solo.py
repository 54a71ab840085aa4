"""The open solo clips: captioned motion of one person, in InterHuman's layout without person2.

They serve tokenizers, which see one person at a time. Clips are split by subject.
"""

import json
import lzma
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from duomotion.data.interhuman import SPLITS, Problem, write_clip, write_splits
from duomotion.formats import bvh
from duomotion.motion.canonical import ground
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
    captions = _read_captions(source / "captions.json")
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    recordings = _unpacked(source / "motions.tar.xz")
    with tempfile.TemporaryDirectory() as folder:
        for key, content in tqdm(recordings, total=len(captions), desc="clips", unit="clip"):
            name = Path(key).stem
            if key not in captions:
                continue
            scratch = Path(folder) / "clip.bvh"
            scratch.write_bytes(content)
            try:
                clip = ground(to_smpl22(bvh.read(scratch, up="z")))
            except ValueError as error:
                problems.append(Problem(name, str(error).replace(str(scratch), key)))
                continue
            write_clip(target, name, clip, [captions[key]])
            splits[_split_of(name.split("_")[0])].append(name)
    write_splits(target, splits)
    return problems


def _read_captions(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["clip"]: entry["caption"] for entry in entries}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a list of clips, each with a caption") from None


def _unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in the archive."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name.removeprefix("./"), file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError):
        raise ValueError(f"{path} is not a whole archive of recordings") from None


def _split_of(subject: str) -> str:
    if subject in TEST_SUBJECTS:
        return "test"
    return "val" if subject in VAL_SUBJECTS else "train"
