"""Acclaim's ASF (skeleton) and AMC (motion) files, as the CMU database has them.

An .amc file moves the bones of an .asf file beside it: 18_01.amc those of 18.asf. Two people who
were recorded together have a pair of files each, in one world.

A bone of the file becomes the joint at its start, which turns it; a bone that ends a limb has a
further joint at its tip, named after it with "_end".
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.formats import limits
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.skeleton import Skeleton
from duomotion.reading import LARGEST_TEXT, open_text

CMU_FPS = 120.0  # the files do not say
INCH = 0.0254
LARGEST_BODY = 4_000_000  # bytes of an .asf file
TOO_LARGE = 1e9  # no position, length or angle in any unit
CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz")
ROOT = "root"

Line = tuple[int, list[str]]  # number and words


@dataclass(frozen=True)
class Bone:
    """A bone of an .asf file; the root is one without length.

    Attributes:
        vector: (3,) metres, from its start to its end in the rest pose.
        axes: (3, 3) rotation from the frame in which it turns to the world, in the rest pose.
        channels: what its line of an .amc file gives, as in ("rx", "rz").
    """

    name: str
    vector: np.ndarray
    axes: np.ndarray
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Body:
    """What an .asf file holds.

    Attributes:
        bones: the root first, parents before their children.
        parents: index of each bone's parent, -1 for the root.
        unit: metres of the file's unit of length.
        in_degrees: whether its angles, and those of its motions, are.
    """

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    unit: float
    in_degrees: bool

    @property
    def tips(self) -> list[int]:
        """The bones that end a limb."""
        return [bone for bone in range(1, len(self.bones)) if bone not in self.parents]

    @property
    def skeleton(self) -> Skeleton:
        bones, tips = self.bones, self.tips
        starts = [np.zeros(3), *(bones[parent].vector for parent in self.parents[1:])]
        return Skeleton(
            names=(*(bone.name for bone in bones), *(f"{bones[tip].name}_end" for tip in tips)),
            parents=(*self.parents, *tips),
            offsets=np.array([*starts, *(bones[tip].vector for tip in tips)]),
        )


def read(
    motions: str | Path | Sequence[str | Path],
    *,
    body: str | Path | None = None,
    fps: float = CMU_FPS,
) -> Interaction:
    """Read the people of one .amc file, or of several that were recorded together.

    Args:
        motions: .amc files, one a person.
        body: the .asf file of all of them; by default the one whose name a motion's begins with,
            or the only one in its folder.
        fps: frames a second.

    Raises:
        ValueError: a text is not ASF or AMC, is cut short or holds no frames, the .asf file is not
            there, or the people differ in bones or length; the sentence names file and line.
        OSError: a file can't be read.
    """
    motions = [motions] if isinstance(motions, str | Path) else list(motions)
    names = " and ".join(map(str, motions))
    limits.check_people(names, len(motions))
    people = [_person(read_body(body or _body_of(path)), path, fps) for path in map(Path, motions)]
    try:
        return together(people)
    except ValueError as problem:
        raise ValueError(f"{names}: {problem}") from None


def read_body(path: str | Path) -> Body:
    """Read an .asf file.

    Raises:
        ValueError: the text is not ASF or is cut short; the sentence names file and line.
        OSError: the file can't be read.
    """
    path = Path(path)
    sections = _sections(path)
    for name in ("units", "root", "bonedata", "hierarchy"):
        if name not in sections:
            raise ValueError(f"{path}: no section :{name}; the file is not ASF or is cut short")
    in_degrees, unit = True, INCH
    for number, (word, *values) in sections["units"]:
        with _naming(path, number):
            if word == "length":
                unit = INCH / _length(values)
            elif word == "angle":
                in_degrees = values[0].startswith("deg")
    bones = [_root(sections["root"], in_degrees, path)]
    for lines in _entries(sections["bonedata"], path):
        bones.append(_bone(lines, unit, in_degrees, path))
        if len(bones) > limits.MAX_JOINTS:
            raise ValueError(f"{path}, line {lines[0][0]}: more than {limits.MAX_JOINTS} bones")
    body = _joined(bones, sections["hierarchy"], unit, in_degrees, path)
    limits.check_joints(path, body.skeleton.num_joints)
    limits.check_names(path, body.skeleton.names)
    limits.check_numbers(path, "a bone", body.skeleton.offsets)
    return body


def _body_of(motion: Path) -> Path:
    bodies = sorted(p for p in motion.parent.iterdir() if p.suffix.lower() == ".asf")
    own = [p for p in bodies if motion.stem == p.stem or motion.stem.startswith(f"{p.stem}_")]
    if not own and len(bodies) != 1:
        wanted = motion.stem.partition("_")[0]
        raise ValueError(f"{motion}: the .asf file of its skeleton, {wanted}.asf, is not beside it")
    return max(own or bodies, key=lambda p: len(p.stem))


def _sections(path: Path) -> dict[str, list[Line]]:
    sections: dict[str, list[Line]] = {}
    lines: list[Line] = []
    for number, words in _lines(path, LARGEST_BODY):
        if words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
        else:
            lines.append((number, words))
    return sections


def _lines(path: Path, limit: int = LARGEST_TEXT) -> Iterator[Line]:
    with open_text(path, limit=limit) as file:
        for number, line in enumerate(file, start=1):
            words = line.partition("#")[0].split()
            if words:
                yield number, words


@contextmanager
def _naming(path: Path, line: int) -> Iterator[None]:
    """Problems say where they are."""
    try:
        yield
    except (ValueError, IndexError) as problem:
        what = "a value is missing" if isinstance(problem, IndexError) else str(problem)[:200]
        raise ValueError(f"{path}, line {line}: {what}") from None


def _numbers(words: Sequence[str], count: int) -> np.ndarray:
    values = np.array([float(word) for word in words[:count]])
    if len(values) != count or not (np.abs(values) < TOO_LARGE).all():
        raise ValueError(f"{' '.join(words)!r} should be {count} finite numbers")
    return values


def _length(words: Sequence[str]) -> float:
    (length,) = _numbers(words, 1)
    if not length > 1 / TOO_LARGE:
        raise ValueError(f"a length must be above {1 / TOO_LARGE:g}, not {length:g}")
    return length


def _turn(angles: np.ndarray, axes: str, in_degrees: bool) -> np.ndarray:
    """(..., n) angles about fixed axes, the first named one first -> (..., 3, 3)."""
    if not axes:
        return np.broadcast_to(np.eye(3), (*angles.shape[:-1], 3, 3))
    return Rotation.from_euler(axes, angles, degrees=in_degrees).as_matrix()


def _axes(values: Sequence[str], order: str, in_degrees: bool) -> np.ndarray:
    if sorted(order.lower()) != ["x", "y", "z"]:
        raise ValueError(f"{order!r} is no order of axes; it should be one such as XYZ")
    return _turn(_numbers(values, 3), order.lower(), in_degrees)


def _channels(words: Sequence[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if not set(channels) <= {*CHANNELS, "l"} or len(set(channels)) < len(channels):
        raise ValueError(f"{' '.join(words)!r} should be different ones of {', '.join(CHANNELS)}")
    return channels


def _root(lines: list[Line], in_degrees: bool, path: Path) -> Bone:
    values, order, channels = ["0", "0", "0"], "XYZ", CHANNELS
    for number, (word, *rest) in lines:
        with _naming(path, number):
            match word:
                case "order":
                    channels = _channels(rest)
                case "axis":
                    order = rest[0]
                case "orientation":
                    values = rest
                    _numbers(values, 3)
    with _naming(path, lines[0][0] if lines else 0):
        return Bone(ROOT, np.zeros(3), _axes(values, order, in_degrees), channels)


def _entries(lines: list[Line], path: Path) -> Iterator[list[Line]]:
    """What stands between each begin and its end."""
    entry: list[Line] | None = None
    for number, words in lines:
        if words == ["begin"]:
            entry = []
        elif entry is None:
            raise ValueError(
                f"{path}, line {number}: {words[0][:40]!r} stands outside begin and end"
            )
        elif words == ["end"]:
            yield entry
            entry = None
        else:
            entry.append((number, words))
    if entry is not None:
        raise ValueError(f"{path}: a begin has no end; the file may be cut short")


def _bone(lines: list[Line], unit: float, in_degrees: bool, path: Path) -> Bone:
    name, direction, length = "", np.zeros(3), 0.0
    axes, channels = np.eye(3), ()
    for number, (word, *values) in lines:
        with _naming(path, number):
            match word:
                case "name":
                    name = values[0]
                case "direction":
                    direction = _numbers(values, 3)
                case "length":
                    (length,) = _numbers(values, 1)
                case "axis":
                    axes = _axes(values, values[3], in_degrees)
                case "dof":
                    channels = _channels(values)
    if not name:
        raise ValueError(f"{path}, line {lines[0][0] if lines else 0}: a bone needs a name")
    size = np.linalg.norm(direction)
    return Bone(name, direction * (length * unit / size if size else 0), axes, channels)


def _joined(
    bones: list[Bone], lines: list[Line], unit: float, in_degrees: bool, path: Path
) -> Body:
    """The bones in the order of the hierarchy."""
    by_name = {bone.name: bone for bone in bones}
    if len(by_name) < len(bones):
        raise ValueError(f"{path}: two bones have the same name")
    order, parents = [ROOT], [-1]
    for entry in _entries(lines, path):
        for number, (parent, *children) in entry:
            with _naming(path, number):
                if parent not in order:
                    raise ValueError(f"{parent!r} has not been joined to the root yet")
                for child in children:
                    if child not in by_name or child in order:
                        raise ValueError(f"{child!r} is no bone that still has to be joined")
                    parents.append(order.index(parent))
                    order.append(child)
    if len(order) < len(bones):
        loose = next(bone.name for bone in bones if bone.name not in order)
        raise ValueError(f"{path}: bone {loose!r} is missing in the hierarchy")
    return Body(tuple(by_name[name] for name in order), tuple(parents), unit, in_degrees)


def _person(body: Body, path: Path, fps: float) -> Interaction:
    values = _frames(body, path)
    skeleton = body.skeleton
    frames = len(values[ROOT])
    limits.check_rotations(path, frames, skeleton.num_joints)
    rotations = np.tile(np.eye(3), (frames, skeleton.num_joints, 1, 1))
    for joint, bone in enumerate(body.bones):
        turning = [k for k, channel in enumerate(bone.channels) if channel[0] == "r"]
        order = "".join(bone.channels[k][1] for k in turning)
        turn = _turn(values[bone.name][:, turning], order, body.in_degrees)
        rotations[:, joint] = bone.axes @ turn @ bone.axes.T
    root = np.zeros((frames, 3))
    for column, channel in enumerate(body.bones[0].channels):
        if channel[0] == "t":
            root[:, "xyz".index(channel[1])] = values[ROOT][:, column] * body.unit
    limits.check_numbers(path, "the root's path", root)
    return Interaction(root[None], rotations[None], (skeleton,), fps)


def _frames(body: Body, path: Path) -> dict[str, np.ndarray]:
    """(frames, channels) numbers of each bone."""
    widths = {bone.name: len(bone.channels) for bone in body.bones}
    rows = {name: array("d") for name in widths}
    frames = 0
    for number, words in _lines(path):
        name, *numbers = words
        if name.startswith(":"):
            continue
        if not numbers and name.isdigit():
            frames += 1
            continue
        if name not in widths:
            raise ValueError(f"{path}, line {number}: the skeleton has no bone {name[:40]!r}")
        if len(numbers) != widths[name]:
            raise ValueError(
                f"{path}, line {number}: {name} has {widths[name]} numbers a frame, "
                f"not {len(numbers)}; the file may be cut short"
            )
        with _naming(path, number):
            rows[name].extend(map(float, numbers))
    if not frames:
        raise ValueError(f"{path}: the file has no frames; it is not AMC or is cut short")
    values = {}
    for name, width in widths.items():
        if len(rows[name]) != frames * width:
            raise ValueError(
                f"{path}: {frames} frames, but {len(rows[name]) // width} of {name}; "
                "the file may be cut short"
            )
        values[name] = np.array(rows[name]).reshape(frames, width)
        if not (np.abs(values[name]) < TOO_LARGE).all():
            raise ValueError(f"{path}: {name} has a value that is no position or angle")
    return values
