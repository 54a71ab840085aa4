"""Many clips in one safetensors file, of which each is read on its own, as SHARD:ID.

ID/root_positions  (P, T, 3) float32     metres, Y up
ID/rotations       (P, T, J, 4) float32  unit quaternions x, y, z, w; the root's in the world
ID/offsets         (P, J, 3) float32     metres, rest pose
metadata "ID"        JSON: names, parents, fps, caption and, where a model has read the caption, its
                     reading: kind, score and known, as in .npz files
metadata "left_out"  JSON: why there is no clip, by id

Ids are whole numbers. A folder of shards has an index.json that says which ids each shard is for;
in FOLDER:ID it finds the shard.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from duomotion.config import Within, from_dict, to_dict
from duomotion.formats import limits, npz
from duomotion.motion.interaction import Interaction, Reading
from duomotion.motion.rotations import matrix_to_quaternion, quaternion_to_matrix
from duomotion.reading import brief, open_file, read_text
from duomotion.storage import atomic_file

SUFFIX = ".safetensors"
INDEX = "index.json"
LEFT_OUT = "left_out"
TENSORS = ("root_positions", "rotations", "offsets")
LONGEST_HEADER = 100_000_000  # bytes; safetensors reads no longer one

Id = Annotated[int, Within(1, 10**12)]


@dataclass(frozen=True)
class Entry:
    """What an index says of a shard.

    Attributes:
        file: its name.
        first, last: the ids that it is for.
        clips: those that it holds.
        seconds: of motion.
    """

    file: str
    first: Id
    last: Id
    clips: int
    seconds: float


@dataclass(frozen=True)
class Index:
    """All shards of a folder, in the order of their ids."""

    shards: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a shard's metadata say of a clip."""

    names: Annotated[tuple[str, ...], Within(1, limits.MAX_JOINTS)]
    parents: tuple[int, ...]
    fps: float
    caption: str
    reading: Reading | None = None


def is_member(path: str | Path) -> bool:
    """Whether this is SHARD:ID or FOLDER:ID and no file of this name."""
    holder, colon, number = str(path).rpartition(":")
    is_id = bool(colon) and number.isascii() and number.isdigit()
    named = holder.endswith(SUFFIX) or (is_id and Path(holder).is_dir())
    return is_id and named and not Path(path).exists()


def check_named(path: str | Path) -> None:
    """Raises ValueError where a clip of a shard was probably meant and is not named."""
    holder, colon, number = str(path).rpartition(":")
    if str(path).endswith(SUFFIX) or (Path(path) / INDEX).is_file():
        raise ValueError(f"{path} holds many clips; choose one by its number, as in {path}:1")
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder, not a file of motion")
    if colon and number.isascii() and number.isdigit():
        is_there = Path(holder).exists()
        reason = "is no shard, and holds no clips by number" if is_there else "is not there"
        raise ValueError(f"{holder} {reason}")


def file_path(path: Path) -> Path:
    """A path by which files that are made of a clip can be named: of SHARD:ID SHARD-ID."""
    if not is_member(path):
        return path
    holder, _, number = str(path).rpartition(":")
    return Path(f"{holder.removesuffix(SUFFIX)}-{number}{SUFFIX}")


def read(path: str | Path) -> Interaction:
    """Read the clip SHARD:ID or FOLDER:ID.

    Raises:
        ValueError: the shard is none, is damaged or holds no such clip; the sentence says why where
            the shard does.
        OSError: the shard can't be read.
    """
    holder, _, number = str(path).rpartition(":")
    folder, clip = Path(holder), int(number)
    shard = _find(folder, clip) if folder.is_dir() else folder
    with _opened(shard) as file:
        facts = _facts(path, file.metadata() or {}, clip)
        names = [f"{clip}/{name}" for name in TENSORS]
        if missing := [name for name in names if name not in file.keys()]:  # noqa: SIM118
            raise ValueError(f"{shard} holds no tensor named {', '.join(missing)}")
        slices = [file.get_slice(name) for name in names]
        for name, each in zip(names, slices, strict=True):
            if each.get_dtype() != "F32":
                raise ValueError(f"{path}: {name} has the wrong type, {each.get_dtype()}")
        shape = slices[1].get_shape()
        if len(shape) != 4 or shape[3] != 4 or 0 in shape:
            raise ValueError(
                f"{path}: {names[1]} has shape {tuple(shape)}, not people x frames x joints x 4"
            )
        limits.check_rotations(path, shape[1], shape[0] * shape[2])
        roots, quaternions, offsets = (file.get_tensor(name) for name in names)
    lengths = np.linalg.norm(quaternions.astype(np.float64), axis=-1)
    if not (np.abs(lengths - 1) < 1e-3).all():
        raise ValueError(f"{path}: {names[1]} holds values that are no unit quaternions")
    reading = {} if facts.reading is None else asdict(facts.reading)
    arrays = {
        "root_positions": roots,
        "rotations": quaternion_to_matrix(quaternions).astype(np.float32),
        "offsets": offsets,
        "names": np.array(facts.names),
        "parents": np.array(facts.parents),
        "fps": np.float64(facts.fps),
        "caption": np.array(facts.caption),
        **reading,
    }
    return npz.checked(path, {name: np.asarray(array) for name, array in arrays.items()})


def write(clips: Mapping[int, Interaction], path: str | Path) -> None:
    """Write clips by id.

    Raises:
        OSError: the file can't be written.
    """
    tensors, metadata = {}, {}
    for clip, motion in clips.items():
        skeleton = motion.skeletons[0]
        tensors[f"{clip}/root_positions"] = motion.root_positions
        tensors[f"{clip}/rotations"] = np.float32(matrix_to_quaternion(motion.rotations))
        tensors[f"{clip}/offsets"] = np.stack([each.offsets for each in motion.skeletons]).astype(
            np.float32
        )
        facts = Facts(skeleton.names, skeleton.parents, motion.fps, motion.caption, motion.reading)
        metadata[str(clip)] = json.dumps(to_dict(facts))
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(contiguous, temporary, metadata)


def join(shards: Sequence[Path], left_out: Mapping[int, str], path: str | Path) -> None:
    """Write one shard that holds the clips of several, which don't go through memory as a whole.

    Args:
        left_out: why there is no clip, by id.

    Raises:
        ValueError: one is no shard.
        OSError: a file can't be read or written.
    """
    metadata = {LEFT_OUT: json.dumps(left_out)}
    header: dict[str, Any] = {"__metadata__": metadata}
    starts, size = [], 0
    for shard in shards:
        with _opened(shard):  # its header is one that safetensors takes
            own, start = _header(shard)
        metadata.update(own.pop("__metadata__", {}))
        for name, tensor in own.items():
            ends = [size + end for end in tensor["data_offsets"]]
            header[name] = {**tensor, "data_offsets": ends}
        starts.append(start)
        size += shard.stat().st_size - start
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as temporary, temporary.open("wb") as joined:
        joined.write(len(text).to_bytes(8, "little") + text)
        for shard, start in zip(shards, starts, strict=True):
            with shard.open("rb") as file:
                file.seek(start)
                shutil.copyfileobj(file, joined)


def ids(path: str | Path) -> list[int]:
    """Of the clips that a shard holds; raises as `read`."""
    with _opened(Path(path)) as file:
        return sorted(int(name) for name in file.metadata() or {} if name.isdigit())


def left_out(path: str | Path) -> dict[int, str]:
    """Why there is no clip, by id; raises as `read`."""
    with _opened(Path(path)) as file:
        return _left_out(path, file.metadata() or {})


def entry(path: Path, first: int, last: int) -> Entry:
    """What an index says of a shard for the ids `first` to `last`; raises as `read`."""
    with _opened(path) as file:
        facts = file.metadata() or {}
        clips = [name for name in facts if name.isdigit()]
        seconds = sum(
            file.get_slice(f"{clip}/rotations").get_shape()[1] / _facts(path, facts, int(clip)).fps
            for clip in clips
        )
    return Entry(path.name, first, last, len(clips), round(seconds, 3))


def read_index(folder: Path) -> Index:
    """The index of a folder of shards.

    Raises:
        ValueError: there is none, or it is damaged.
        OSError: it can't be read.
    """
    path = folder / INDEX
    if not path.is_file():
        raise ValueError(f"{folder} holds no {INDEX}; a folder of shards has one")
    return from_dict(Index, _parsed(path, read_text(path)), str(path))


def write_index(folder: Path, index: Index) -> None:
    """Raises OSError where the file can't be written."""
    with atomic_file(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(to_dict(index), indent=1) + "\n")


def _find(folder: Path, clip: int) -> Path:
    for each in read_index(folder).shards:
        if each.first <= clip <= each.last:
            return folder / Path(each.file).name
    raise ValueError(f"{folder} holds no clip {clip}: no shard in its {INDEX} is for this id")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    open_file(path).close()  # of what is no file safetensors says that it is not there
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as problem:
        raise ValueError(f"{path}: not a whole safetensors file ({brief(problem)})") from None


def _facts(path: str | Path, metadata: Mapping[str, str], clip: int) -> Facts:
    if str(clip) in metadata:
        facts = from_dict(Facts, _parsed(path, metadata[str(clip)]), str(path))
        limits.check_names(path, facts.names)
        return facts
    if clip in (reasons := _left_out(path, metadata)):
        raise ValueError(f"{path} was left out: {reasons[clip]}")
    held = sorted(int(name) for name in metadata if name.isdigit())
    those = f"it has {len(held):,} from {held[0]} to {held[-1]}" if held else "it has none"
    raise ValueError(f"{path}: there is no clip {clip} in the shard; {those}")


def _left_out(path: str | Path, metadata: Mapping[str, str]) -> dict[int, str]:
    held = _parsed(path, metadata.get(LEFT_OUT, "{}"))
    return {int(clip): str(why) for clip, why in held.items() if clip.isdigit()}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where their bytes begin."""
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(LONGEST_HEADER, os.fstat(file.fileno()).st_size):
            raise ValueError(f"{path}: not a whole safetensors file")
        return _parsed(path, file.read(length).decode()), 8 + length


def _parsed(path: str | Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: has to hold a JSON object")
    return values
