"""duomotion's own file: everything an Interaction holds, as plain arrays.

root_positions  (P, T, 3) float32     metres, Y up
rotations       (P, T, J, 3, 3) float32  local rotation matrices, the root's in the world
offsets         (P, J, 3) float64     metres, rest pose
names           (J,) text             joint names
parents         (J,) int64            -1 for the root
positions       (P, T, J, 3) float32  metres, for readers in other programs
fps, caption    scalars
kind, score, known, composed  scalars only where a model has read the caption: what it read it as
foot_sliding, overlap, top_acceleration, floor_error, flaw  scalars, only of SMPL-22 people: what is
                                      measured (`evaluation.metrics.quality`); not read, but
                                      measured again
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from duomotion.body import person_names
from duomotion.formats import limits
from duomotion.motion.interaction import Interaction, Reading
from duomotion.motion.skeleton import Skeleton
from duomotion.reading import read_arrays
from duomotion.storage import atomic_file

NEEDED = ("root_positions", "rotations", "offsets", "names", "parents", "fps", "caption")
READING = ("kind", "score", "known")
COMPOSED = "composed"  # of a reading, too; files of earlier versions lack it
KINDS = {"root_positions": "f", "rotations": "f", "offsets": "f", "parents": "iu", "fps": "iuf"}


def write(interaction: Interaction, path: str | Path) -> None:
    """Write an interaction.

    Raises:
        ValueError: there are more than eight people.
        OSError: the file can't be written.
    """
    person_names(interaction.num_people)
    skeleton, reading = interaction.skeletons[0], interaction.reading
    notes = [each for each in (reading, interaction.quality) if each is not None]
    extra: dict[str, Any] = {name: value for each in notes for name, value in asdict(each).items()}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            root_positions=interaction.root_positions,
            rotations=interaction.rotations,
            offsets=np.stack([person.offsets for person in interaction.skeletons]),
            names=np.array(skeleton.names),
            parents=np.array(skeleton.parents),
            positions=interaction.positions,
            fps=np.float64(interaction.fps),
            caption=np.array(interaction.caption),
            **extra,
        )


def read(path: str | Path) -> Interaction:
    """Read an interaction.

    Raises:
        ValueError: the file is not ours, is damaged or holds too much.
        OSError: the file can't be read.
    """
    arrays = read_arrays(path, (*NEEDED, *READING, COMPOSED), what="a duomotion .npz file")
    if missing := [name for name in NEEDED if name not in arrays]:
        raise ValueError(
            f"{path} can't be read as a duomotion .npz file: no array named {', '.join(missing)}"
        )
    return checked(path, arrays)


def checked(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Interaction:
    """The interaction of arrays as they are stored.

    Args:
        path: where they come from, for errors.
        arrays: those that are needed, and perhaps a reading's.

    Raises:
        ValueError: an array does not fit the others, or holds what it should not or too much.
    """
    roots, rotations, offsets = (arrays[name] for name in NEEDED[:3])
    people, frames, joints = (*rotations.shape, 0, 0, 0)[:3]
    shapes = {
        "root_positions": (roots.shape, (people, frames, 3)),
        "rotations": (rotations.shape, (people, frames, joints, 3, 3)),
        "offsets": (offsets.shape, (people, joints, 3)),
        "names": (arrays["names"].shape, (joints,)),
        "parents": (arrays["parents"].shape, (joints,)),
        "fps": (arrays["fps"].shape, ()),
        "caption": (arrays["caption"].shape, ()),
    }
    for name, (found, expected) in shapes.items():
        if found != expected or 0 in found:
            raise ValueError(
                f"{path}: {name} has shape {found}, which does not fit the other arrays"
            )
    for name, kinds in KINDS.items():
        if arrays[name].dtype.kind not in kinds:
            raise ValueError(f"{path}: {name} has the wrong type, {arrays[name].dtype}")
    limits.check_people(path, people)
    limits.check_joints(path, joints)
    limits.check_rotations(path, frames, people * joints)
    limits.check_numbers(path, "root_positions", roots)
    limits.check_numbers(path, "offsets", offsets)
    if not _are_rotations(rotations):
        raise ValueError(f"{path}: rotations holds values that are no rotation matrices")
    fps = limits.check_fps(path, "fps", float(arrays["fps"]))
    parents = tuple(int(parent) for parent in arrays["parents"])
    if parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(parents) if j):
        raise ValueError(f"{path}: parents must come before their children, the root first with -1")
    names = tuple(limits.texts(path, "names", arrays["names"], limits.LONGEST_NAME))
    (caption,) = limits.texts(path, "caption", arrays["caption"], limits.LONGEST_CAPTION)
    skeletons = tuple(Skeleton(names, parents, person) for person in offsets.astype(np.float64))
    return Interaction(roots, rotations, skeletons, fps, caption, _reading(path, arrays))


def _reading(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Reading | None:
    """What the caption was read as, where the file says so."""
    held = [arrays[name] for name in READING if name in arrays]
    if not held:
        return None
    if len(held) < len(READING) or any(array.shape for array in held):
        raise ValueError(f"{path}: {', '.join(READING)} have to be three scalars, or none")
    kind, score, known = held
    composed = arrays.get(COMPOSED, np.array(False))
    truths = [(each.dtype.kind, each.shape) for each in (known, composed)]
    if score.dtype.kind != "f" or truths != [("b", ())] * 2:
        raise ValueError(f"{path}: score has to be a number, known and composed true or false")
    limits.check_numbers(path, "score", score)
    (name,) = limits.texts(path, "kind", kind, limits.LONGEST_NAME)
    return Reading(name, float(score), bool(known), bool(composed))


def _are_rotations(matrices: np.ndarray) -> bool:
    """Whether all of (..., 3, 3) are, to a thousandth; NaN is none."""
    if not (np.abs(matrices) < 2).all():
        return False
    matrices = matrices.astype(np.float32)
    off = np.abs(matrices.swapaxes(-1, -2) @ matrices - np.eye(3, dtype=np.float32))
    return bool((off < 1e-3).all() and (np.linalg.det(matrices) > 0).all())
