"""The open solo clips: captioned motion of one person, split by subject, in two layouts.

In InterHuman's, without person2, they serve tokenizers, which see one person at a time, and pairs
that are composed of them; in HumanML3D's they are what systems for one person train on. The first
edition has 790 clips, each with a caption of all of it; the second adds 1,185, and captions of
stretches.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from duomotion.data import humanml3d, open_pairs, open_solo_captions, open_solo_recordings
from duomotion.data.captions import timed_line
from duomotion.data.interhuman import (
    SPLITS,
    Problem,
    Span,
    check_any,
    write_splits,
    write_timed_clip,
)
from duomotion.data.open_solo_captions import read_captions, rules
from duomotion.data.open_solo_cuts import Cut, cut_up
from duomotion.data.open_solo_recordings import read_index, read_recordings
from duomotion.data.sources import write_sources, write_weights
from duomotion.formats import bvh
from duomotion.motion.canonical import ground
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.progress import track
from duomotion.text.augment import mirror_text

FILES = (
    (open_solo_recordings.FIRST, open_solo_captions.FIRST),
    (open_solo_recordings.MORE, open_solo_captions.MORE),
)  # what each edition adds
LATEST = len(FILES)
# Those of the first edition, and those that the second adds.
VAL_SUBJECTS = frozenset({"17", "56"}) | {"25", "27"}
TEST_SUBJECTS = frozenset({"13", "41", "86", "143"}) | {
    *("06", "28", "29", "31", "45", "46", "138"),
}
NEARLY = 0.25  # seconds; a caption of all but so much at either end is one of the whole clip


def prepare_interhuman(
    source: str | Path, target: str | Path, edition: int = LATEST
) -> list[Problem]:
    """Turn the archives and captions into a data set; returns what had to be left out.

    Clips all of whose captions say nothing are among them, for tokenizers.

    Raises:
        ValueError: the files are not there, hold something else, or nothing that can be used.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for name, clip, spans in _recordings(source, edition):
        if isinstance(clip, Problem):
            problems.append(clip)
            continue
        write_timed_clip(target, name, clip, spans)
        splits[_split_of(name)].append(name)
    check_any(splits, problems, source)
    write_splits(target, splits)
    if edition > 1:
        write_weights(target, rules().weights)
    return problems


def prepare_humanml3d(
    source: str | Path, target: str | Path, edition: int = LATEST
) -> list[Problem]:
    """The same in HumanML3D's layout, all people with the bones of SMPL-22's average adult.

    Recordings that are too long for the layout are cut, see `open_solo_cuts.cut_up`. Clips to train
    on have mirrored copies; those that are held out have sentences only. No tagger of words is at
    hand, so all words of a caption have the tag OTHER, which released evaluators know.

    Raises:
        ValueError, OSError: as `prepare_interhuman`.
    """
    layout, source, target = HUMANML3D, Path(source), Path(target)
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for name, clip, spans in _recordings(source, edition):
        if isinstance(clip, Problem):
            problems.append(clip)
            continue
        joints = layout.bodies(clip).positions[0].astype(np.float64)
        frames = len(joints) - 1
        if frames < layout.min_frames:
            reason = f"it has {frames} frames at {layout.fps:g} fps, fewer than {layout.min_frames}"
            problems.append(Problem(name, reason))
            continue
        split, phrases = _split_of(name), rules().phrases
        if split != "train":
            spans = [span for span in spans if span.source not in phrases]
        cuts = cut_up(spans, frames, seconds=_seconds(clip), phrases=phrases)
        for number, cut in enumerate(cuts):
            lines = [_line(span, cut) for span in cut.spans]
            views = humanml3d.write_clip(
                target,
                name if len(cuts) == 1 else f"{name}-{number:02d}",
                layout,
                joints[cut.start : cut.end + 1],
                lines,
                lengths_J=layout.reference_lengths,
                mirrored=list(map(mirror_text, lines)) if split == "train" else None,
            )
            if edition > 1:
                for view in views:
                    write_sources(target, view, [span.source for span in cut.spans])
            splits[split] += views
    check_any(splits, problems, source)
    humanml3d.finish(target, layout, splits)
    if edition > 1:
        write_weights(target, rules().weights)
    return problems


def _line(span: Span, cut: Cut) -> str:
    """The line of a caption in texts/."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", span.caption.lower())
    tokens = " ".join(f"{word}/OTHER" for word in words)
    if (span.start, span.end) == (0, cut.seconds):
        return timed_line(span.caption, tokens)
    return timed_line(span.caption, tokens, span.start, span.end)


def _recordings(
    source: Path, edition: int
) -> Iterator[tuple[str, Interaction | Problem, list[Span]]]:
    """Clips with their captions by name, on SMPL-22 and on the ground; none of held-out pairs.

    Raises:
        ValueError: a file is not there or holds something else.
        OSError: a file can't be read.
    """
    for name in (name for names in FILES[:edition] for name in names):
        if not (source / name).is_file():
            raise ValueError(f"{source} has no {name}")
    captions, held_out = read_captions(source, edition), open_pairs.held_out_recordings()
    index = read_index(source) if edition > 1 else {}
    known = captions.keys() | {f"{clip}.bvh" for clip in index}
    recordings = read_recordings(source, index)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "clip.bvh"
        for key, content in track(recordings, "clips", unit="clip", total=len(known)):
            name = PurePosixPath(key).stem
            if key not in known or name in held_out:
                continue
            try:
                clip = _read(content, scratch)
            except ValueError as error:
                yield name, Problem(name, str(error).replace(str(scratch), key)), []
                continue
            yield name, clip, _placed(captions.get(key, []), _seconds(clip))


def _read(content: Callable[[], bytes], scratch: Path) -> Interaction:
    scratch.write_bytes(content())
    return ground(to_smpl22(bvh.read(scratch, scale=1.0, up="z")))


def _seconds(clip: Interaction) -> float:
    return clip.num_frames / clip.fps


def _placed(spans: Sequence[Span], seconds: float) -> list[Span]:
    """Captions that end with the clip at the latest; what describes it nearly whole does so."""
    found = []
    for span in spans:
        if span.start <= NEARLY and span.end >= seconds - NEARLY:
            found.append(replace(span, start=0.0, end=seconds))
        elif min(span.end, seconds) - span.start >= rules().shortest:
            found.append(replace(span, end=min(span.end, seconds)))
    return found


def _split_of(name: str) -> str:
    subject = name.split("_")[0]
    if subject in TEST_SUBJECTS:
        return "test"
    return "val" if subject in VAL_SUBJECTS else "train"
