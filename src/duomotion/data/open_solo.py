"""The open solo clips: captioned motion of one person, split by subject, in two layouts.

In InterHuman's, without person2, they serve tokenizers, which see one person at a time; in
HumanML3D's they are what systems for one person train on.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from duomotion.data import humanml3d
from duomotion.data.humanml3d import TOO_LONG
from duomotion.data.interhuman import SPLITS, Problem, check_any, write_clip, write_splits
from duomotion.formats import bvh
from duomotion.motion.canonical import ground
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.names import check_name
from duomotion.progress import track
from duomotion.reading import read_text, unpacked
from duomotion.text.augment import mirror_text

VAL_SUBJECTS = frozenset({"17", "56"})
TEST_SUBJECTS = frozenset({"13", "41", "86", "143"})


def prepare_interhuman(source: str | Path, target: str | Path) -> list[Problem]:
    """Turn motions.tar.xz and captions.json into a data set; returns what had to be left out.

    Raises:
        ValueError: the two files are not there, hold something else, or nothing that can be used.
        OSError: the target can't be written.
    """
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for name, clip in _recordings(Path(source)):
        if isinstance(clip, Problem):
            problems.append(clip)
            continue
        write_clip(Path(target), name, clip, [clip.caption])
        splits[_split_of(name)].append(name)
    check_any(splits, problems, source)
    write_splits(Path(target), splits)
    return problems


def prepare_humanml3d(source: str | Path, target: str | Path) -> list[Problem]:
    """The same in HumanML3D's layout, all people with the bones of SMPL-22's average adult.

    Clips that are too long for the layout are cut into stretches of equal length, each with the
    caption; clips to train on have mirrored copies. No tagger of words is at hand, so all words of
    a caption have the tag OTHER, which released evaluators know.

    Raises:
        ValueError, OSError: as `prepare_interhuman`.
    """
    layout, target = HUMANML3D, Path(target)
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for name, clip in _recordings(Path(source)):
        if isinstance(clip, Problem):
            problems.append(clip)
            continue
        joints = layout.bodies(clip).positions[0].astype(np.float64)
        frames = len(joints) - 1
        if frames < layout.min_frames:
            reason = f"it has {frames} frames at {layout.fps:g} fps, fewer than {layout.min_frames}"
            problems.append(Problem(name, reason))
            continue
        split, line = _split_of(name), _tagged(clip.caption)
        bounds = np.linspace(0, frames, 1 + -(-frames // (TOO_LONG - 1))).round().astype(int)
        for number, (start, end) in enumerate(pairwise(bounds)):
            splits[split] += humanml3d.write_clip(
                target,
                name if len(bounds) == 2 else f"{name}-{number:02d}",
                layout,
                joints[start : end + 1],
                [line],
                lengths_J=layout.reference_lengths,
                mirrored=[mirror_text(line)] if split == "train" else None,
            )
    check_any(splits, problems, source)
    humanml3d.finish(target, layout, splits)
    return problems


def _tagged(caption: str) -> str:
    """The line of a caption in texts/."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", caption.lower())
    return f"{caption}#{' '.join(f'{word}/OTHER' for word in words)}#0.0#0.0"


def _recordings(source: Path) -> Iterator[tuple[str, Interaction | Problem]]:
    """The captioned clips by name, on SMPL-22 and on the ground.

    Raises:
        ValueError: a file is not there or holds something else.
        OSError: a file can't be read.
    """
    for name in ("motions.tar.xz", "captions.json"):
        if not (source / name).is_file():
            raise ValueError(f"{source} has no {name}")
    captions = _read_captions(source / "captions.json")
    recordings = unpacked(source / "motions.tar.xz")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "clip.bvh"
        for key, content in track(recordings, "clips", unit="clip", total=len(captions)):
            if key not in captions:
                continue
            name = PurePosixPath(key).stem
            scratch.write_bytes(content)
            try:
                clip = ground(to_smpl22(bvh.read(scratch, up="z")))
            except ValueError as error:
                yield name, Problem(name, str(error).replace(str(scratch), key))
                continue
            yield name, clip.with_caption(captions[key])


def _read_captions(path: Path) -> dict[str, str]:
    try:
        captions = {entry["clip"]: entry["caption"] for entry in json.loads(read_text(path))}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path} is not a list of clips, each with a caption") from None
    for clip, caption in captions.items():
        if not isinstance(clip, str) or not isinstance(caption, str):
            raise ValueError(f"{path}: names of clips and their captions have to be texts")
        check_name(PurePosixPath(clip).stem, str(path))
    return captions


def _split_of(name: str) -> str:
    subject = name.split("_")[0]
    if subject in TEST_SUBJECTS:
        return "test"
    return "val" if subject in VAL_SUBJECTS else "train"
