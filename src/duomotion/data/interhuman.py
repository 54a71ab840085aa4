"""InterHuman's published layout on disk: reading, writing, checking.

ROOT/motions_processed/person1/NAME.npy   (T, 492) float, 30 fps, Z up (see motion/interhuman.py)
ROOT/motions_processed/person2/NAME.npy   the partner, same length; absent for one person
ROOT/annots/NAME.txt                      one caption a line (data/captions.py)
ROOT/split/{train,val,test}.txt           one NAME a line (also found directly in ROOT)
ROOT/split/ignore_list.txt                NAMEs to leave out, optional

Motions may be in shards instead (data/shards.py), as positions and sixd of `Clip`.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from duomotion.data import composed, kinds, shards, sources
from duomotion.data.captions import is_plain_line, parse_line, timed_line, untagged
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN, from_interhuman_raw, to_interhuman_raw
from duomotion.names import check_name
from duomotion.reading import read_array, read_text
from duomotion.storage import atomic_file

SPLITS = ("train", "val", "test")
PEOPLE = ("person1", "person2")
RAW_DIM = 492
LARGEST_LIST = 10_000_000  # bytes of names or captions
SHAPES = {"positions": (None, None, 22, 3), "sixd": (None, None, 21, 6)}


@dataclass(frozen=True)
class Span:
    """A caption and the stretch of a clip that it describes.

    Attributes:
        caption: what happens.
        start, end: seconds.
        source: where the caption comes from; empty where the data set does not tell.
        weight: how often it is drawn, compared with others of the same stretch.
    """

    caption: str
    start: float
    end: float
    source: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Clip:
    """One recording of P people.

    Attributes:
        name: its file name without suffix.
        positions: (P, T, 22, 3) float32, metres, Y up, in the recording's world.
        sixd: (P, T, 21, 6) float32 local rotations without the root, interleaved.
        captions: descriptions of the whole clip, any of which fits.
        weights: how often each of them is drawn; empty where all are drawn alike.
        parts: captions of stretches.
    """

    name: str
    positions: np.ndarray
    sixd: np.ndarray
    captions: tuple[str, ...]
    weights: tuple[float, ...] = ()
    parts: tuple[Span, ...] = ()

    @property
    def num_frames(self) -> int:
        return self.positions.shape[1]


@dataclass(frozen=True)
class Problem:
    """Why a clip is skipped."""

    name: str
    reason: str


def read_split(root: str | Path, split: str) -> tuple[list[Clip], list[Problem]]:
    """All clips of a split that can be used, and why the others can't.

    Raises:
        ValueError: the folder has no such split file, none of its clips can be used, or they are
            composed and the split is not the training split.
    """
    return split_with(read_clip, root, split)


def read_motions(root: str | Path, split: str) -> tuple[list[Clip], list[Problem]]:
    """The same, captioned or not, which is what a tokenizer is trained on.

    Raises:
        ValueError: as `read_split`.
    """
    return split_with(read_motion, root, split)


def read_captioned(root: str | Path, split: str) -> tuple[list[Clip], list[Problem]]:
    """Those of `read_split`, with captions of all that they show: stretches are clips of their own.

    Raises:
        ValueError: as `read_split`, or none of the clips has a caption.
    """
    clips, problems = read_split(root, split)
    found = [item for clip in clips for item in captioned(clip)]
    # pyrefly: ignore[bad-return]
    return apart([*found, *problems], f"{root}: split {split!r}")


def captioned(clip: Clip) -> Iterator[Clip | Problem]:
    """A clip if captions describe all of it, and its captioned stretches, with numbers behind."""
    if clip.captions:
        yield replace(clip, parts=())
    stretches: dict[tuple[float, float], list[Span]] = {}
    for span in clip.parts:
        stretches.setdefault((span.start, span.end), []).append(span)
    for number, (times, spans) in enumerate(stretches.items(), start=1):
        name, cut = f"{clip.name}-{number}", slice(*(round(t * INTERHUMAN.fps) for t in times))
        positions, sixd = clip.positions[:, cut], clip.sixd[:, cut]
        if positions.shape[1] < (shortest := INTERHUMAN.min_frames):
            yield Problem(name, f"it has {positions.shape[1]} frames, fewer than {shortest}")
            continue
        yield Clip(name, positions, sixd, *_texts(spans))


AnyClip = TypeVar("AnyClip")


def split_with(
    read: Callable[[Path, str], AnyClip | Problem], root: str | Path, split: str
) -> tuple[list[AnyClip], list[Problem]]:
    """`read_split` of a layout whose clips `read` reads."""
    composed.check_split(root, split)
    names = split_names(root, split)
    return apart((read(Path(root), name) for name in names), f"{root}: split {split!r}")


def apart(found: Iterable[AnyClip | Problem], where: str) -> tuple[list[AnyClip], list[Problem]]:
    """Clips and problems, each in a list of their own.

    Raises:
        ValueError: there is no clip.
    """
    clips: list[AnyClip] = []
    problems: list[Problem] = []
    for item in found:
        if isinstance(item, Problem):
            problems.append(item)
        else:
            clips.append(item)
    if not clips:
        raise ValueError(_nothing(where, problems))
    return clips, problems


def check_any(
    splits: Mapping[str, Sequence[str]], problems: Sequence[Problem], source: str | Path
) -> None:
    """Make sure that something of a data set that is prepared could be used.

    Args:
        splits: names of what could, by split.
        problems: why the others could not.

    Raises:
        ValueError: nothing could.
    """
    if not any(splits.values()):
        raise ValueError(_nothing(str(source), problems))


def _nothing(where: str, problems: Sequence[Problem]) -> str:
    reasons = "; ".join(f"{problem.name}: {problem.reason}" for problem in problems[:3])
    return f"{where} has no usable clip ({reasons or 'it is empty'})"


def split_names(root: str | Path, split: str) -> list[str]:
    """Names in a split without the ignored ones.

    Raises:
        ValueError: there is no such file, or it holds something else than names.
    """
    root = Path(root)
    listing = find_list(root, f"{split}.txt")
    if listing is None:
        raise ValueError(
            f"{root} has no split/{split}.txt; is it a data set? `duomotion data prepare` makes one"
        )
    ignore = find_list(root, "ignore_list.txt")
    ignored = set(read_lines(ignore)) if ignore else set()
    names = [name for name in read_lines(listing) if name not in ignored]
    for name in names:
        check_name(name, str(listing))
    return names


def read_clip(root: Path, name: str) -> Clip | Problem:
    """One clip with captions, or what is wrong with it."""
    found = read_motion(root, name)
    if isinstance(found, Problem) or found.captions or found.parts:
        return found
    return Problem(name, "it has no caption in annots/")


def read_motion(root: Path, name: str) -> Clip | Problem:
    """One clip, captioned or not, or what is wrong with it."""
    try:
        positions, sixd = clip_arrays(root, name).values()
        seconds = positions.shape[1] / INTERHUMAN.fps
        spans = read_spans(root, name, seconds=seconds)
    except ValueError as error:
        return Problem(name, str(error))
    whole = [span for span in spans if (span.start, span.end) == (0, seconds)]
    parts = tuple(span for span in spans if span not in whole)
    return Clip(name, positions, sixd, *_texts(whole), parts=parts)


def clip_arrays(root: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a `Clip`.

    Raises:
        ValueError: what is wrong with them.
    """
    stored = shards.find(root)
    if stored is not None:
        arrays = stored.read(name, SHAPES)
        num_people, frames = arrays["positions"].shape[:2]
        if not 1 <= num_people <= len(PEOPLE):
            raise ValueError(f"it has {num_people} people, not 1 or {len(PEOPLE)}")
        _check_frames(frames, "it")
        return arrays
    people = []
    for person in PEOPLE:
        path = root / "motions_processed" / person / f"{name}.npy"
        if not path.is_file() and person == "person2" and not path.parent.is_dir():
            continue
        raw = read_floats(path, person, (RAW_DIM,))
        _check_frames(len(raw), person)
        people.append(raw)
    if len({len(raw) for raw in people}) != 1:
        raise ValueError(f"the people have {' and '.join(str(len(p)) for p in people)} frames")
    positions, sixd = from_interhuman_raw(np.stack(people).astype(np.float32))
    return {"positions": positions.astype(np.float32), "sixd": sixd}


def _check_frames(count: int, label: str) -> None:
    if count < (shortest := INTERHUMAN.min_frames):
        raise ValueError(f"{label} has {count} frames, fewer than {shortest}")


def read_spans(root: Path, name: str, *, seconds: float) -> tuple[Span, ...]:
    """All captions of a clip, in the order of their lines.

    Args:
        seconds: how long the clip is; captions of the whole clip go from 0 to there.

    Raises:
        ValueError: a line can't be read or describes what comes after the clip, or the sources
            of the captions or their weights can't be read.
    """
    path = root / "annots" / f"{name}.txt"
    lines = read_lines(path) if path.is_file() else []
    origins, weights = sources.read_sources(root, name, len(lines)), sources.read_weights(root)
    spans = []
    for number, (line, source) in enumerate(zip(lines, origins, strict=True), start=1):
        try:
            caption, start, end = parse_line(line)
            if start >= seconds:
                length = round(seconds, 3)
                raise ValueError(f"it begins at {start:g} s, and the clip ends at {length} s")
        except ValueError as error:
            raise ValueError(f"annots/{name}.txt, line {number}: {error}") from None
        end = seconds if start == end == 0 else min(end, seconds)
        spans.append(Span(caption, start, end, source, weights.get(source, 1.0)))
    return tuple(spans)


def _texts(spans: Sequence[Span]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Captions and their weights."""
    return tuple(span.caption for span in spans), tuple(span.weight for span in spans)


def read_floats(path: Path, label: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The floats (T, *shape) of a .npy file; None stands for any size.

    Raises:
        ValueError: what is wrong with the file, which `label` names.
    """
    if not path.is_file():
        raise ValueError(f"{label} is missing")
    try:
        raw = read_array(path)
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(str(path), label)) from None
    fits = raw.ndim == 1 + len(shape) and all(
        size in (None, has) for size, has in zip(shape, raw.shape[1:], strict=True)
    )
    if not fits or not np.issubdtype(raw.dtype, np.floating):
        wanted = ", ".join("any" if size is None else str(size) for size in ("T", *shape))
        raise ValueError(f"{label} is {raw.dtype} {raw.shape}, not float ({wanted})")
    broken = np.flatnonzero(~np.isfinite(raw).all(tuple(range(1, raw.ndim))))
    if len(broken):
        raise ValueError(f"{label} is not finite at frame {broken[0]}")
    return raw


def write_clip(root: Path, name: str, interaction: Interaction, captions: Iterable[str]) -> None:
    """Add an SMPL-22 interaction to a data set."""
    _write_motions(root, name, interaction)
    write_lines(root / "annots" / f"{name}.txt", captions)


def write_timed_clip(
    root: Path, name: str, interaction: Interaction, spans: Sequence[Span]
) -> None:
    """The same with captions of stretches, which `read_spans` reads, and their sources."""
    _write_motions(root, name, interaction)
    seconds = interaction.num_frames / interaction.fps
    lines = []
    for span in spans:
        is_plain = (span.start, span.end) == (0, seconds) and is_plain_line(span.caption)
        words = untagged(span.caption)
        line = timed_line(span.caption, words, span.start, span.end)
        lines.append(span.caption if is_plain else line)
    write_lines(root / "annots" / f"{name}.txt", lines)
    if any(span.source for span in spans):
        sources.write_sources(root, name, [span.source for span in spans])


def _write_motions(root: Path, name: str, interaction: Interaction) -> None:
    raw = to_interhuman_raw(interaction)
    for person, array in zip(PEOPLE, raw, strict=False):
        with atomic_file(root / "motions_processed" / person / f"{name}.npy") as path:
            np.save(path.with_suffix(".npy"), array)


def write_splits(root: Path, splits: dict[str, list[str]]) -> None:
    """Write the split files and an empty ignore list."""
    for split in SPLITS:
        write_lines(root / "split" / f"{split}.txt", splits[split])
    write_lines(root / "split" / "ignore_list.txt", [])


def prepare(source: str | Path, target: str | Path) -> list[Problem]:
    """Copy a published data set, leaving out what can't be used; returns what that was.

    Raises:
        ValueError: the folder is not in InterHuman's layout or has its motion in shards, or
            nothing in it can be used.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    shards.refuse(source)
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for split in SPLITS:
        for name in split_names(source, split):
            found = read_clip(source, name)
            if isinstance(found, Problem):
                problems.append(found)
                continue
            for person in PEOPLE[: len(found.positions)]:
                _copy(source, target, f"motions_processed/{person}/{name}.npy")
            annotation = f"annots/{name}.txt"
            write_lines(target / annotation, read_lines(source / annotation))
            _copy(source, target, f"{sources.FOLDER}/{name}.txt")
            splits[split].append(name)
    check_any(splits, problems, source)
    write_splits(target, splits)
    for beside in (kinds.FILE, sources.WEIGHTS, composed.FILE):
        _copy(source, target, beside)
    return problems


def _copy(source: Path, target: Path, part: str) -> None:
    """A file below the one folder to the same place below the other, if there is one."""
    if (source / part).is_file():
        with atomic_file(target / part) as path:
            shutil.copyfile(source / part, path)


def check(
    root: str | Path, read: Callable[[Path, str], Any] = read_clip
) -> tuple[int, list[Problem]]:
    """How many clips of all splits can be used, and what is wrong with the others."""
    usable, problems = 0, []
    for split in SPLITS:
        for name in split_names(root, split):
            found = read(Path(root), name)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                usable += 1
    return usable, problems


def find_list(root: Path, name: str) -> Path | None:
    """The file of a data set that lists clips, by its name, where there is one."""
    places = (root / "split", root / "splits", root)
    return next((place / name for place in places if (place / name).is_file()), None)


def read_lines(path: Path) -> list[str]:
    """The lines of a text that are not empty; raises as `reading.read_text`."""
    text = read_text(path, limit=LARGEST_LIST, errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
