"""The per-frame vectors that networks see, as named slices.

InterHuman (Liang et al. 2024), 262 numbers a person and frame:

    positions    66   22 joints in the world, metres, Y up
    velocities   66   position in the next frame minus position in this one, metres a frame
    rotations   126   21 joints without the root, local, interleaved 6-D
    contacts      4   left ankle, left foot, right ankle, right foot: 1 on the floor

There is no root rotation; it follows from the positions of hips and spine.
"""

from dataclasses import dataclass

import numpy as np

from duomotion.motion.canonical import Z_UP_TO_Y_UP, facing
from duomotion.motion.canonical import placing as placing  # part of the layout
from duomotion.motion.contacts import foot_contacts, foot_joints
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.rotations import (
    Array,
    matrix_to_sixd_interleaved,
    namespace,
    sixd_interleaved_to_matrix,
    yaw,
)
from duomotion.motion.skeleton import SMPL22

NAME: str = "interhuman"
FPS: float = 30.0
POSITIONS = slice(0, 66)
VELOCITIES = slice(66, 132)
ROTATIONS = slice(132, 258)
CONTACTS = slice(258, 262)
MIN_STD = 1e-3
NUM_FEATURES: int = 262
NUM_JOINTS: int = 22
JOINT_DIM: int = 12
MIN_FRAMES: int = 15  # released loaders skip shorter clips
MAX_FRAMES: int = 300  # the longest motion that is generated at once (InterGen)
ACCUMULATES_ROOT: bool = False


@dataclass(frozen=True)
class Normaliser:
    """Per-feature mean and standard deviation, (F,) each."""

    mean: Array
    std: Array

    def normalise(self, features: Array) -> Array:
        return (features - self.mean) / self.std

    def denormalise(self, features: Array) -> Array:
        return features * self.std + self.mean


def measured(features: np.ndarray) -> Normaliser:
    """Statistics of features (..., 262), those of contacts left as they are."""
    frames = tuple(range(features.ndim - 1))
    std = np.maximum(features.std(frames), MIN_STD)
    std[CONTACTS] = 1
    return Normaliser(features.mean(frames), std)


def bodies(interaction: Interaction) -> Interaction:
    """The same motion on SMPL-22; raises as `retarget.to_smpl22`."""
    return to_smpl22(interaction)


def encode(people: Interaction) -> np.ndarray:
    """Features (P, T - 1, 262) of people on SMPL-22 who stand where the features should say."""
    sixd = matrix_to_sixd_interleaved(people.rotations[:, :, 1:])
    return np.stack([encode_person(p, r) for p, r in zip(people.positions, sixd, strict=True)])


def encode_person(positions: np.ndarray, sixd: np.ndarray) -> np.ndarray:
    """Features of one person who stands where the features should say.

    Args:
        positions: (T, 22, 3) metres, Y up, floor at 0.
        sixd: (T, 21, 6) local rotations, interleaved.

    Returns:
        (T - 1, 262): the last frame has no velocity and is dropped.
    """
    frames = len(positions) - 1
    contacts = foot_contacts(positions[:, foot_joints(SMPL22)])[:-1]
    return np.concatenate(
        [
            positions[:-1].reshape(frames, -1),
            np.diff(positions, axis=0).reshape(frames, -1),
            sixd[:-1].reshape(frames, -1),
            contacts,
        ],
        axis=1,
        dtype=np.float32,
    )


def encode_pair(positions: np.ndarray, sixd: np.ndarray, *, floor: str = "each") -> np.ndarray:
    """Features of people as InterHuman's loader makes them.

    The first person starts at the origin and faces +Z; the second keeps their place relative to the
    first.

    Args:
        positions: (P, T, 22, 3) metres, Y up.
        sixd: (P, T, 21, 6) local rotations, interleaved; they do not depend on the world frame.
        floor: see `on_floor`.

    Returns:
        (P, T - 1, 262) float32.
    """
    grounded = on_floor(positions, floor)
    turn = yaw(-facing(grounded[0, 0], SMPL22))
    start = grounded[0, 0, 0] * [1, 0, 1]
    placed = (grounded - start) @ turn.T
    return np.stack([encode_person(p, r) for p, r in zip(placed, sixd, strict=True)])


def on_floor(positions: np.ndarray, floor: str) -> np.ndarray:
    """Positions (P, T, 22, 3) in metres with the floor at height 0.

    Args:
        floor: "each" puts every person's own lowest joint at height 0, as the released loader does;
            "keep" leaves heights as they are, for data whose floor is right already: a person who
            is carried stays in the air.
    """
    if floor == "keep":
        return positions
    assert floor == "each", floor
    return positions - np.array([0.0, 1, 0]) * positions[..., 1].min((1, 2))[:, None, None, None]


def from_interhuman_raw(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split InterHuman's processed arrays, which are Z up.

    Args:
        raw: (..., T, 492): 62 joint positions, then 51 local rotations without the root.

    Returns:
        positions (..., T, 22, 3) metres, Y up, and rotations (..., T, 21, 6).
    """
    positions = raw[..., :66].reshape(*raw.shape[:-1], 22, 3) @ Z_UP_TO_Y_UP.T
    return positions, raw[..., 186:312].reshape(*raw.shape[:-1], 21, 6)


def to_interhuman_raw(interaction: Interaction) -> np.ndarray:
    """The inverse: (P, T, 492) float32 of an SMPL-22 interaction; hands and face stay at rest."""
    people, frames = interaction.rotations.shape[:2]
    raw = np.zeros((people, frames, 492), np.float32)
    raw[..., :66] = (interaction.positions @ Z_UP_TO_Y_UP).reshape(people, frames, 66)
    sixd = matrix_to_sixd_interleaved(interaction.rotations[:, :, 1:])
    raw[..., 186:312] = sixd.reshape(people, frames, 126)
    raw[..., 312:] = np.tile([1.0, 0, 0, 1, 0, 0], 30)
    return raw


_MIRROR_SIXD = np.array([1.0, -1, -1, 1, -1, 1])


def mirror_pair(positions: np.ndarray, sixd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right swapped, for positions (..., 22, 3) and rotations (..., 21, 6)."""
    swap = SMPL22.mirrored
    return positions[..., swap, :] * [-1, 1, 1], sixd[..., swap[1:] - 1, :] * _MIRROR_SIXD


def positions(features: Array) -> Array:
    """(..., 262) in metres -> (..., 22, 3); numpy or torch."""
    return features[..., POSITIONS].reshape(*features.shape[:-1], NUM_JOINTS, 3)


def grounded(people: Interaction) -> Interaction:
    """The people as they are: the features' floor is at height 0."""
    return people


def decode(features: np.ndarray, *, fps: float = 30.0, caption: str = "") -> Interaction:
    """Rigid bodies along features (P, T, 262) in metres (not normalised).

    Joint positions decide where bones point; the rotations decide how limbs turn about themselves.
    """
    sixd = features[..., ROTATIONS].reshape(*features.shape[:2], NUM_JOINTS - 1, 6)
    return Interaction.from_positions(positions(features), twist(sixd), fps=fps, caption=caption)


def twist(sixd: np.ndarray) -> np.ndarray:
    """Matrices (..., 22, 3, 3) of interleaved rotations (..., 21, 6); the root is not turned."""
    root = np.broadcast_to(np.eye(3), (*sixd.shape[:-2], 1, 3, 3))
    return np.concatenate([root, sixd_interleaved_to_matrix(sixd.astype(np.float64))], -3)


def to_joint_map(features: Array) -> Array:
    """(..., 262) -> (..., 22, 12): position, velocity, rotation of each joint; numpy or torch.

    The root has no rotation and gets zeros; contacts are left out (released InterMask code).
    """
    lead = features.shape[:-1]
    rotations = features[..., ROTATIONS].reshape(*lead, NUM_JOINTS - 1, 6)
    zero = rotations[..., :1, :] * 0
    xp = namespace(features)
    return xp.concatenate(
        [
            features[..., POSITIONS].reshape(*lead, NUM_JOINTS, 3),
            features[..., VELOCITIES].reshape(*lead, NUM_JOINTS, 3),
            xp.concatenate([zero, rotations], -2),
        ],
        -1,
    )


def from_joint_map(joints: Array) -> Array:
    """(..., 22, 12) -> (..., 262) with zero contacts; numpy or torch."""
    lead = joints.shape[:-2]
    parts = [
        joints[..., :3].reshape(*lead, 66),
        joints[..., 3:6].reshape(*lead, 66),
        joints[..., 1:, 6:].reshape(*lead, 126),
    ]
    parts.append(parts[0][..., :4] * 0)
    return namespace(joints).concatenate(parts, -1)
