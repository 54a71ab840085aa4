"""What files leave unsaid: their unit of length, which axis is up, and where a rest pose stands."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from duomotion.motion.canonical import Z_UP_TO_Y_UP
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations, local_rotations
from duomotion.motion.rotations import rotation_between
from duomotion.motion.skeleton import SMPL22, Skeleton

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Metres of the units that files are written in."""

# The CMU database's BVH files count in inches divided by 0.45, as its own files do.
FOUND_UNITS = {**UNITS, "CMU's unit of 1/0.45 in": 0.0254 / 0.45}
HEAD_TO_FOOT = 1.7  # metres along the bones, of an adult; units are too far apart for children
SMALLEST_UNIT, LARGEST_UNIT = 1e-6, 1000.0  # metres: a micrometre, a kilometre
APART = 2.0  # metres between people in the rest pose, more than arms that are stretched out

_logger = logging.getLogger(__name__)


def check_scale(scale: float) -> None:
    """Raises ValueError when it can't be the metres of a file's unit of length."""
    if not SMALLEST_UNIT <= scale <= LARGEST_UNIT:
        raise ValueError(
            f"the scale has to be {SMALLEST_UNIT:g} to {LARGEST_UNIT:g} metres per unit of the "
            f"file, not {scale:g}"
        )


def find_unit(path: str | Path, bodies: Sequence[Skeleton]) -> float:
    """Metres of the unit in which these bodies of one file have the height of people.

    What is no body, having no head or no feet by name, is taken to be in metres. Another unit than
    that is logged.
    """
    heights = [height for body in bodies if (height := _head_to_foot(body)) > 0]
    if not heights:
        return 1.0
    height = float(np.median(heights))
    misfit = {name: abs(np.log(height * unit / HEAD_TO_FOOT)) for name, unit in FOUND_UNITS.items()}
    name = min(misfit, key=misfit.__getitem__)
    if name != "m":
        size = height * FOUND_UNITS[name]
        _logger.info("%s: read in %s, a body measuring %.2f m from head to foot", path, name, size)
    return FOUND_UNITS[name]


def turned_up(path: str | Path, people: list[Interaction], up: str) -> list[Interaction]:
    """The people of one file with the Y axis up in world and rest pose.

    Args:
        up: "y", "z", or "auto": Z when the rest pose stands along Z, or the moving bodies do most
            of the time.
    """
    if up == "auto":
        up = "z" if all(map(_stands_along_z, people)) else "y"
        if up == "z":
            _logger.info("%s: read with the Z axis up", path)
    return [_turned_up(person, up) for person in people]


def in_known_order(interaction: Interaction) -> Interaction:
    """What was SMPL-22 when it was written is so again; files list joints depth first."""
    if _named_bones(interaction.skeletons[0]) == _named_bones(SMPL22):
        return interaction.reordered(SMPL22)
    return interaction


def resting_places(skeletons: Sequence[Skeleton]) -> np.ndarray:
    """(P, 3) metres: where roots are when people stand on the floor in rest pose, side by side."""
    places = np.zeros((len(skeletons), 3))
    places[:, 0] = APART * np.arange(len(skeletons))
    places[:, 1] = [-skeleton.rest_positions[:, 1].min() for skeleton in skeletons]
    return places


def _named_bones(skeleton: Skeleton) -> set[tuple[str, str]]:
    return {(skeleton.names[child], skeleton.names[parent]) for child, parent in skeleton.bones}


def _heads_and_feet(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    names = [name.lower() for name in skeleton.names]
    heads = [j for j, name in enumerate(names) if "head" in name or "neck" in name]
    feet = [j for j, name in enumerate(names) if re.search("foot|toe|ankle", name)]
    return heads, feet


def _head_to_foot(skeleton: Skeleton) -> float:
    """Length of the bones between the head and the foot that are farthest from the root.

    Other than the height of the rest pose it holds in any rest pose, with any axis up.
    """
    heads, feet = _heads_and_feet(skeleton)
    if not heads or not feet:
        return 0.0
    lengths = np.linalg.norm(skeleton.offsets, axis=-1)
    away = np.zeros(skeleton.num_joints)
    for child, parent in skeleton.bones:
        away[child] = away[parent] + lengths[child]
    ends = max(heads, key=away.__getitem__), max(feet, key=away.__getitem__)
    above_head, above_foot = (set(skeleton.path_to_root(end)) for end in ends)
    return float(sum(lengths[joint] for joint in above_head ^ above_foot))


def _body_axis(skeleton: Skeleton, positions: np.ndarray) -> np.ndarray:
    """Unit vector (..., 3) from the feet to the head of positions (..., J, 3)."""
    heads, feet = _heads_and_feet(skeleton)
    if not heads or not feet:
        return np.broadcast_to([0.0, 1, 0], (*positions.shape[:-2], 3))
    axis = positions[..., heads, :].mean(-2) - positions[..., feet, :].mean(-2)
    return axis / (np.linalg.norm(axis, axis=-1, keepdims=True) + 1e-9)


def _stands_along_z(person: Interaction) -> bool:
    skeleton = person.skeletons[0]
    if _rests_along_z(skeleton):
        return True
    axis = _body_axis(skeleton, person.positions[0])
    return bool(np.median(axis[:, 2]) > 0.7 and np.median(np.abs(axis[:, 1])) < 0.5)


def _rests_along_z(skeleton: Skeleton) -> bool:
    return bool(_body_axis(skeleton, skeleton.rest_positions)[2] > 0.7)


def _resting_upright(skeleton: Skeleton) -> np.ndarray:
    """The turn (3, 3) after which a rest pose that stands along an axis stands along Y."""
    axis = _body_axis(skeleton, skeleton.rest_positions)
    nearest = np.where(np.abs(axis) > 0.7, np.sign(axis), 0)
    return rotation_between(nearest, np.array([0.0, 1, 0])) if nearest.any() else np.eye(3)


def _turned_up(person: Interaction, up: str) -> Interaction:
    """World and rest pose with Y up, each on its own: files mix a Z-up world with a Y-up rest."""
    skeleton = person.skeletons[0]
    turn_world = Z_UP_TO_Y_UP if up == "z" else np.eye(3)
    turn_rest = _resting_upright(skeleton)
    world = turn_world @ global_rotations(person.rotations, skeleton) @ turn_rest.T
    return Interaction(
        person.root_positions @ turn_world.T,
        local_rotations(world, skeleton),
        (skeleton.with_offsets(skeleton.offsets @ turn_rest.T),),
        person.fps,
        person.caption,
    )
