"""BVH files of any skeleton: rest pose as offsets, local rotations, one person or several.

Several people share one file as figures below a still root joint named "scene", each with its own
position channels and joint names that start with "A:", "B:" and so on; this is what Blender, Maya
and Unreal read as one armature with all actors in place. Or each gets a file of its own.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from string import whitespace

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.body import MAX_PEOPLE, person_names
from duomotion.formats import limits
from duomotion.formats.conventions import (
    check_scale,
    find_unit,
    in_known_order,
    resting_places,
    turned_up,
)
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.skeleton import Skeleton
from duomotion.reading import read_text
from duomotion.storage import atomic_file

LONGEST_HIERARCHY = 10_000_000  # characters
MAX_JOINTS = MAX_PEOPLE * limits.MAX_JOINTS + 1  # of a file, whose people may stand below a scene
TOO_LARGE = 1e9  # no position or angle in any unit
WRITTEN_ORDER = "ZXY"


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    end: list[float] | None = None


@dataclass
class _File:
    """What a file holds, in its unit.

    Attributes:
        columns: (T, channels) of each joint.
        figures: the joints of each person.
        base: (3,) where the still joint above the people is.
    """

    path: Path
    joints: list[_Joint]
    columns: list[np.ndarray]
    fps: float
    figures: list[list[int]]
    base: np.ndarray

    def skeleton(self, figure: list[int]) -> Skeleton:
        place = {index: local for local, index in enumerate(figure)}
        joints = [self.joints[index] for index in figure]
        offsets = np.array([joint.offset for joint in joints])
        offsets[0] = 0
        parents = tuple(place.get(joint.parent, -1) for joint in joints)
        return Skeleton(tuple(joint.name for joint in joints), parents, offsets)


def read(
    paths: str | Path | Sequence[str | Path], *, scale: float | None = None, up: str = "auto"
) -> Interaction:
    """Read the people of one file, or of several files that share frame count and world.

    Args:
        paths: one path or several.
        scale: metres per unit of the file; 0.01 for files in centimetres. By default the unit in
            which the bodies have the height of people, see `find_unit`.
        up: "y", "z", or "auto": Z when the rest pose stands along Z, or the moving bodies do most
            of the time.

    Raises:
        ValueError: the text is not BVH, is cut short, holds NaN or no frames, or bones that change
            their length; the sentence names file and line. The scale is out of range.
        OSError: a file can't be read.
    """
    if scale is not None:
        check_scale(scale)
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    names = " and ".join(map(str, paths))
    files = [_parse(Path(path)) for path in paths]
    limits.check_people(names, sum(len(file.figures) for file in files))
    if scale is None:
        scale = find_unit(names, [file.skeleton(each) for file in files for each in file.figures])
    people = [person for file in files for person in _people(file, scale)]
    try:
        interaction = together(turned_up(names, people, up))
    except ValueError as problem:
        raise ValueError(f"{names}: {problem}") from None
    return in_known_order(interaction)


def write(
    interaction: Interaction, path: str | Path, *, scale: float = 1.0, split: bool = False
) -> list[Path]:
    """Write one file, or with `split` one a person: NAME_A.bvh, NAME_B.bvh.

    Args:
        scale: metres per unit of the file; 0.01 writes centimetres.

    Returns:
        The paths written.

    Raises:
        ValueError: there are more than eight people, joints whose names BVH can't hold, or the
            scale is out of range.
        OSError: the file can't be written.
    """
    check_scale(scale)
    path = Path(path)
    letters = person_names(interaction.num_people)
    people = [interaction.person(index) for index in range(interaction.num_people)]
    if not split or len(people) == 1:
        _write_file(people, path, scale)
        return [path]
    paths = [path.with_stem(f"{path.stem}_{letter}") for letter in letters]
    for person, target in zip(people, paths, strict=True):
        _write_file([person], target, scale)
    return paths


# Reading


def _parse(path: Path) -> _File:
    text = read_text(path, errors="replace")
    head, separator, motion = text.partition("MOTION")
    if not separator:
        raise ValueError(f"{path}: no MOTION section; the file is not BVH or is cut short")
    if len(head) > LONGEST_HIERARCHY:
        raise ValueError(f"{path}: MOTION comes after more than {LONGEST_HIERARCHY} characters")
    joints = _parse_hierarchy(head, path)
    frames, frame_time, values = _parse_motion(motion, head.count("\n") + 1, len(joints), path)
    width = sum(len(joint.channels) for joint in joints)
    if not width:
        raise ValueError(f"{path}: no joint has a channel, so nothing can move")
    if values.size != frames * width:
        raise ValueError(
            f"{path}: {frames} frames of {width} channels need {frames * width} numbers, the file "
            f"has {values.size}; it may be cut short"
        )
    starts = np.cumsum([0] + [len(joint.channels) for joint in joints])
    columns = np.split(values.reshape(frames, width), starts[1:-1], axis=1)
    figures, base = _figures(joints, columns, path)
    return _File(path, joints, columns, 1 / frame_time, figures, base)


def _parse_hierarchy(head: str, path: Path) -> list[_Joint]:
    joints: list[_Joint] = []
    # The joints that are open, from the root; an end site is among them as its joint once more.
    opened: list[int] = []
    pending: int | None = None
    in_end = False
    for number, line in enumerate(head.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            match words[0]:
                case "HIERARCHY":
                    continue
                case "ROOT" | "JOINT":
                    if (words[0] == "ROOT") == bool(opened) or in_end:
                        raise ValueError("a ROOT stands outside, a JOINT inside another joint")
                    name = " ".join(words[1:]) or f"joint{len(joints)}"
                    joints.append(_Joint(name, opened[-1] if opened else -1))
                    pending = len(joints) - 1
                    if len(joints) > MAX_JOINTS:
                        raise ValueError(f"more than {MAX_JOINTS} joints")
                case "End":
                    pending, in_end = opened[-1], True
                case "{":
                    if pending is None:
                        raise ValueError("a { follows a joint or an end site")
                    opened.append(pending)
                    pending = None
                case "}":
                    opened.pop()
                    in_end = False
                case "OFFSET":
                    offset = [float(word) for word in words[1:4]]
                    if len(offset) != 3 or not (np.abs(offset) < TOO_LARGE).all():
                        raise ValueError("an OFFSET has three finite numbers")
                    joint = joints[opened[-1]]
                    if in_end:
                        joint.end = offset
                    else:
                        joint.offset = offset
                case "CHANNELS":
                    channels = words[2:]
                    if len(channels) != int(words[1]) or not all(map(_CHANNEL.fullmatch, channels)):
                        raise ValueError("CHANNELS names a count and that many channels")
                    if len(set(channels)) < len(channels):
                        raise ValueError("CHANNELS names one channel twice")
                    joints[opened[-1]].channels = channels
                case word:
                    raise ValueError(f"{word[:40]!r} is no word of the hierarchy")
        except (IndexError, ValueError) as problem:
            raise ValueError(f"{path}, line {number}: {problem}") from None
    if opened or not joints:
        raise ValueError(f"{path}: the hierarchy is not closed before MOTION; it may be cut short")
    if any(len(joint.offset) != 3 for joint in joints):
        raise ValueError(f"{path}: every joint needs an OFFSET of three numbers")
    limits.check_names(path, tuple(joint.name for joint in joints))
    return joints


_NUMBER = re.compile(
    r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf|infinity)",
    re.ASCII | re.IGNORECASE,
)
_CHANNEL = re.compile(r"[XYZ](position|rotation)")
_MOTION = re.compile(
    r"\s*Frames:\s*(\d{1,9})\s*Frame\s+Time:\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)[^\n]*\n?"
)


def _parse_motion(motion: str, line: int, joints: int, path: Path) -> tuple[int, float, np.ndarray]:
    header = _MOTION.match(motion)
    if not header:
        raise ValueError(
            f"{path}, line {line}: MOTION is followed by 'Frames: N' and 'Frame Time: SECONDS'"
        )
    frames, frame_time = int(header[1]), float(header[2])
    if frames == 0:
        raise ValueError(f"{path}: the file has zero frames")
    if not 1e-4 <= frame_time <= 10:
        raise ValueError(f"{path}: a frame time of {frame_time:g} s is not from 0.0001 to 10 s")
    limits.check_rotations(path, frames, joints)
    return frames, frame_time, _numbers(motion[header.end() :], frames, path)


def _numbers(text: str, frames: int, path: Path) -> np.ndarray:
    """All numbers of a text, without a Python object for each."""
    text = text.strip(whitespace)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # about what is no number
            values = np.fromstring(text.encode("ascii", "replace"), sep=" ")
    except (ValueError, DeprecationWarning):
        word = next(filter(_is_no_number, _words(text)))
        raise ValueError(
            f"{path}: the frames hold something that is no number: {word[:40]!r}"
        ) from None
    broken = np.flatnonzero(~(np.abs(values) < TOO_LARGE))
    if len(broken):
        frame = broken[0] * frames // len(values)
        word = next(islice(_words(text), int(broken[0]), None))
        raise ValueError(f"{path}: frame {frame} holds {word[:40]}, which is no position or angle")
    return values


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in re.finditer(r"\S+", text, re.ASCII))


def _is_no_number(word: str) -> bool:
    return not _NUMBER.fullmatch(word)


def _figures(
    joints: list[_Joint], columns: list[np.ndarray], path: Path
) -> tuple[list[list[int]], np.ndarray]:
    """The joints of each person, all of whom may stand below a still joint, and where it is."""
    roots = [index for index, joint in enumerate(joints) if joint.parent < 0]
    base = np.zeros(3)
    if len(roots) == 1:
        below = [index for index, joint in enumerate(joints) if joint.parent == 0]
        figures = bool(below) and all(_moves_freely(joints[index]) for index in below)
        if len(below) == 1:
            figures = figures and np.ptp(_translation(joints[1], columns[1]), axis=0).any()
        if figures and not columns[0].any():
            roots, base = below, np.array(joints[0].offset)
    limits.check_people(path, len(roots))
    members: dict[int, list[int]] = {root: [] for root in roots}
    owner: dict[int, int] = {}
    for index, joint in enumerate(joints):
        owner[index] = index if index in members else owner.get(joint.parent, -1)
        if owner[index] >= 0:
            members[owner[index]].append(index)
    for indices in members.values():
        limits.check_joints(path, len(indices))
    return list(members.values()), base


def _people(file: _File, scale: float) -> list[Interaction]:
    """The people of a file, each with their own moving root, in metres."""
    people = [_person(file, figure, scale) for figure in file.figures]
    first = people[0].skeletons[0]
    if any(not person.skeletons[0].same_tree(first) for person in people[1:]):
        raise ValueError(f"{file.path}: the figures in this file have different skeletons")
    return people


def _moves_freely(joint: _Joint) -> bool:
    return sum(channel.endswith("position") for channel in joint.channels) == 3


def _person(file: _File, figure: list[int], scale: float) -> Interaction:
    path, skeleton = file.path, file.skeleton(figure)
    frames = len(file.columns[0])
    offsets, base = skeleton.offsets * scale, file.base * scale
    rotations = np.empty((frames, len(figure), 3, 3))
    root_positions = np.tile(base + np.array(file.joints[figure[0]].offset) * scale, (frames, 1))
    for local, index in enumerate(figure):
        joint = file.joints[index]
        rotations[:, local] = _rotation(joint.channels, file.columns[index])
        moved = _translation(joint, file.columns[index]) * scale
        if local == 0:
            if _moves_freely(joint):
                root_positions = moved + base
        elif np.ptp(moved, axis=0).max() > 1e-3:
            raise ValueError(
                f"{path}: joint {joint.name!r} changes its distance from its parent by "
                f"{np.ptp(moved, axis=0).max():.3f} m; bake the animation to rotations first"
            )
        else:
            offsets[local] = moved[0]
    names = skeleton.names
    prefix = re.match(r"[A-Z]:", names[0])
    if prefix and all(name.startswith(prefix[0]) for name in names):
        names = tuple(name[2:] for name in names)
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two joints of one figure have the same name")
    limits.check_numbers(path, "the hierarchy", offsets)
    limits.check_numbers(path, f"the path of {names[0]!r}", root_positions)
    person = Skeleton(names, skeleton.parents, offsets)
    return Interaction(root_positions[None], rotations[None], (person,), fps=round(file.fps, 3))


def _rotation(channels: list[str], values: np.ndarray) -> np.ndarray:
    turning = [k for k, channel in enumerate(channels) if channel.endswith("rotation")]
    if not turning:
        return np.broadcast_to(np.eye(3), (len(values), 3, 3))
    order = "".join(channels[k][0] for k in turning)
    return Rotation.from_euler(order, values[:, turning], degrees=True).as_matrix()


def _translation(joint: _Joint, values: np.ndarray) -> np.ndarray:
    """Position channels replace the offset, component by component."""
    moved = np.tile(np.array(joint.offset), (len(values), 1))
    for k, channel in enumerate(joint.channels):
        if channel.endswith("position"):
            moved[:, "XYZ".index(channel[0])] = values[:, k]
    return moved


# Writing


def _write_file(people: list[Interaction], path: Path, scale: float) -> None:
    shared = len(people) > 1
    lines = ["HIERARCHY"]
    columns: list[np.ndarray] = []
    if shared:
        lines += ["ROOT scene", "{", "\tOFFSET 0 0 0", f"\tCHANNELS 3 {_rotation_channels()}"]
        columns.append(np.zeros((people[0].num_frames, 3)))
    places = resting_places([person.skeletons[0] for person in people])
    for letter, person, place in zip(person_names(len(people)), people, places, strict=True):
        skeleton = person.skeletons[0]
        _check_names(skeleton)
        order = _depth_first(skeleton)
        lines += _hierarchy(skeleton, order, f"{letter}:" if shared else "", place, scale)
        rotations = Rotation.from_matrix(person.rotations[0][:, order].reshape(-1, 3, 3))
        with warnings.catch_warnings():
            # In gimbal lock many angles give the same rotation, and any of them will do.
            warnings.filterwarnings("ignore", "Gimbal lock")
            euler = rotations.as_euler(WRITTEN_ORDER, degrees=True)
        columns.append(person.root_positions[0] / scale)
        # Without jumps by a whole turn, so that curves can be edited.
        euler = np.unwrap(euler.reshape(person.num_frames, -1), period=360, axis=0)
        columns.append(euler)
    if shared:
        lines.append("}")
    frames = people[0].num_frames
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / people[0].fps:.8f}"]
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, np.concatenate(columns, axis=1), fmt="%.6f")


def _rotation_channels() -> str:
    return " ".join(f"{axis}rotation" for axis in WRITTEN_ORDER)


def _check_names(skeleton: Skeleton) -> None:
    names = skeleton.names
    if unfit := [name for name in names if not name or " ".join(name.split()) != name]:
        raise ValueError(f"BVH can't hold a joint named {unfit[0][:40]!r}")
    if len(set(names)) < len(names):
        raise ValueError("BVH can't hold two joints of one name")


def _hierarchy(
    skeleton: Skeleton, order: list[int], prefix: str, place: np.ndarray, scale: float
) -> list[str]:
    """The lines of one person's joints in depth-first order, below the scene if there is one.

    In the rest pose the root is at `place` (3,) metres; what moves it replaces that.
    """
    offsets = np.concatenate([place[None], skeleton.offsets[1:]])
    lines: list[str] = []
    depths = [1 if prefix else 0] * skeleton.num_joints
    opened = []
    for joint in order:
        parent = skeleton.parents[joint]
        while opened and opened[-1] != parent:
            lines.append("\t" * depths[opened.pop()] + "}")
        opened.append(joint)
        if joint:
            depths[joint] = depths[parent] + 1
        tab, joined = "\t" * depths[joint], skeleton.children[joint]
        position = "" if joint else "Xposition Yposition Zposition "
        offset, end = (
            " ".join(f"{value / scale:.6f}" for value in values)
            for values in (offsets[joint], 0.3 * skeleton.offsets[joint])
        )
        lines += [
            f"{tab}{'JOINT' if depths[joint] else 'ROOT'} {prefix}{skeleton.names[joint]}",
            f"{tab}{{",
            f"{tab}\tOFFSET {offset}",
            f"{tab}\tCHANNELS {3 if joint else 6} {position}{_rotation_channels()}",
        ]
        if not joined:
            lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {end}", f"{tab}\t}}"]
    return lines + ["\t" * depths[joint] + "}" for joint in reversed(opened)]


def _depth_first(skeleton: Skeleton) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        order.append(waiting.pop())
        waiting += reversed(skeleton.children[order[-1]])
    return order
