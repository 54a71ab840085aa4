"""InterHuman's per-frame vectors (Liang et al. 2024), 262 numbers a person and frame:

    positions    66   22 joints in the world, metres, Y up
    velocities   66   position in the next frame minus position in this one, metres a frame
    rotations   126   21 joints without the root, local, interleaved 6-D
    contacts      4   left ankle, left foot, right ankle, right foot: 1 on the floor

There is no root rotation; it follows from the positions of hips and spine.

A recording is held as positions (P, T, 22, 3) and interleaved 6-D rotations (P, T, 21, 6), which do
not depend on the world frame.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from duomotion.motion.canonical import Z_UP_TO_Y_UP, facing, placing
from duomotion.motion.contacts import FOOT_JOINTS, foot_contacts, foot_joints
from duomotion.motion.interaction import Interaction
from duomotion.motion.layout import MapLayout, consecutive
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.rotations import (
    Array,
    matrix_to_sixd_interleaved,
    namespace,
    sixd_concatenated_to_matrix,
    sixd_interleaved_to_matrix,
    yaw,
)
from duomotion.motion.skeleton import SMPL22

# What a joint's row of a map holds.
POSITION, VELOCITY, ROTATION = consecutive(3, 3, 6)


class InterHumanBlocks(NamedTuple):
    """The table above."""

    positions: slice
    velocities: slice
    rotations: slice
    contacts: slice


@dataclass(frozen=True, kw_only=True, eq=False)
class InterHumanLayout(MapLayout):
    """See above; a row of a map is a joint's position, velocity and rotation."""

    @property
    def blocks(self) -> InterHumanBlocks:
        joints = self.num_joints
        widths = 3 * joints, 3 * joints, 6 * (joints - 1), len(FOOT_JOINTS)
        return InterHumanBlocks(*consecutive(*widths))

    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on SMPL-22; raises as `retarget.to_smpl22`."""
        return to_smpl22(interaction)

    def placing(self, people: Interaction) -> tuple[np.ndarray, np.ndarray]:
        return placing(people)

    def encode(self, people: Interaction) -> np.ndarray:
        sixd = matrix_to_sixd_interleaved(people.rotations[:, :, 1:])
        pairs = zip(people.positions, sixd, strict=True)
        return np.stack([self.encode_person(*person) for person in pairs])

    def encode_person(self, positions: np.ndarray, sixd: np.ndarray) -> np.ndarray:
        """Features (T - 1, 262) of one person in the layout's world.

        Args:
            positions: (T, 22, 3) metres, Y up, floor at 0.
            sixd: (T, 21, 6).
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

    def encode_pair(
        self, positions: np.ndarray, sixd: np.ndarray, *, floor: str = "each"
    ) -> np.ndarray:
        """Features (P, T - 1, 262) of a recording, as InterHuman's loader makes them.

        The first person starts at the origin and faces +Z; the second keeps their place relative
        to the first.

        Args:
            positions: (P, T, 22, 3) metres, Y up.
            sixd: (P, T, 21, 6).
            floor: see `on_floor`.
        """
        grounded = on_floor(positions, floor)
        turn = yaw(-facing(grounded[0, 0], SMPL22))
        start = grounded[0, 0, 0] * [1, 0, 1]
        placed = (grounded - start) @ turn.T
        return np.stack([self.encode_person(p, r) for p, r in zip(placed, sixd, strict=True)])

    def decode(
        self, features: np.ndarray, *, fps: float | None = None, caption: str = ""
    ) -> Interaction:
        """Rigid bodies along features (P, T, 262) in metres (not normalised).

        Joint positions decide where bones point; the rotations decide how limbs turn about
        themselves.
        """
        return Interaction.from_positions(
            self.positions(features),
            twist(self.sixd(features)),
            fps=self.fps if fps is None else fps,
            caption=caption,
        )

    def positions(self, features: Array) -> Array:
        """(..., 262) in metres -> (..., 22, 3); numpy or torch."""
        return self._rows(features, self.blocks.positions, 3)

    def sixd(self, features: Array) -> Array:
        """(..., 262) -> rotations (..., 21, 6); numpy or torch."""
        return self._rows(features, self.blocks.rotations, 6)

    def rotations(self, features: Array) -> Array:
        """(..., 262) -> (..., 22, 3, 3); the pelvis is turned as hips and spine are."""
        xp = namespace(features)
        pelvis = _pelvis_frames(self.positions(features))
        rest = _pelvis_frames(SMPL22.rest_positions).T
        if xp is not np:
            rest = features.new_tensor(rest)
        others = sixd_interleaved_to_matrix(self.sixd(features))
        return xp.concatenate([(pelvis @ rest)[..., None, :, :], others], -3)

    def to_joint_map(self, features: Array) -> Array:
        """(..., 262) -> (..., 22, 12); numpy or torch.

        The root has no rotation and gets zeros; contacts are left out (released code).
        """
        xp, rotations = namespace(features), self.sixd(features)
        return xp.concatenate(
            [
                self.positions(features),
                self._rows(features, self.blocks.velocities, 3),
                xp.concatenate([rotations[..., :1, :] * 0, rotations], -2),
            ],
            -1,
        )

    def from_joint_map(self, joints: Array) -> Array:
        """(..., 22, 12) -> (..., 262) with zero contacts; numpy or torch."""
        lead = joints.shape[:-2]
        parts = [
            joints[..., POSITION].reshape(*lead, 3 * self.num_joints),
            joints[..., VELOCITY].reshape(*lead, 3 * self.num_joints),
            joints[..., 1:, ROTATION].reshape(*lead, 6 * (self.num_joints - 1)),
        ]
        parts.append(parts[0][..., : len(FOOT_JOINTS)] * 0)
        return namespace(joints).concatenate(parts, -1)

    def shifted(self, features: Array, shift: Array, steps: Array) -> Array:
        xp, blocks = namespace(features), self.blocks
        moved = [
            (self._rows(features, block, 3) + by[..., None, :]).reshape(features[..., block].shape)
            for block, by in ((blocks.positions, shift), (blocks.velocities, steps))
        ]
        rest = [features[..., blocks.rotations], features[..., blocks.contacts]]
        return xp.concatenate([*moved, *rest], -1)

    def fit_normaliser(self, features: np.ndarray) -> Normaliser:
        """Statistics of features (..., 262); contacts keep their scale."""
        found = Normaliser.fit(features)
        found.std[self.blocks.contacts] = 1
        return found

    def _rows(self, features: Array, block: slice, width: int) -> Array:
        count = (block.stop - block.start) // width
        return features[..., block].reshape(*features.shape[:-1], count, width)


def _pelvis_frames(positions: Array) -> Array:
    """(..., 3, 3): to the left hip, and up to the spine, of joints (..., 22, 3)."""
    left, right, spine = (
        positions[..., SMPL22.index(name), :] for name in ("left_hip", "right_hip", "spine1")
    )
    xp = namespace(positions)
    return sixd_concatenated_to_matrix(
        xp.concatenate([left - right, spine - (left + right) / 2], -1)
    )


INTERHUMAN = InterHumanLayout(
    name="interhuman",
    fps=30.0,
    num_features=262,
    num_joints=22,
    joint_dim=12,
    min_frames=15,
    max_frames=300,  # InterGen
)


def on_floor(positions: np.ndarray, floor: str) -> np.ndarray:
    """Positions (P, T, 22, 3) in metres with the floor at height 0.

    Args:
        floor: "each" puts every person's own lowest joint at height 0, as the released loader does;
            "keep" leaves heights as they are, for data whose floor is right already: a person who
            is carried stays in the air.
    """
    if floor == "keep":
        return positions
    return positions - np.array([0.0, 1, 0]) * floors(positions, floor)[:, None, None, None]


def floors(positions: np.ndarray, floor: str) -> np.ndarray:
    """(P,) heights in metres that become 0, see `on_floor`."""
    if floor == "keep":
        return np.zeros(len(positions))
    assert floor == "each", floor
    return positions[..., 1].min((1, 2))


# InterHuman's processed arrays hold 62 joint positions, then 51 local rotations without the root.
RAW_POSITIONS = slice(0, 66)
RAW_ROTATIONS = slice(186, 312)
RAW_HANDS = slice(312, 492)


def from_interhuman_raw(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (..., T, 22, 3) in metres, Y up, and rotations (..., T, 21, 6).

    Args:
        raw: InterHuman's processed arrays (..., T, 492), Z up.
    """
    lead = raw.shape[:-1]
    positions = raw[..., RAW_POSITIONS].reshape(*lead, 22, 3) @ Z_UP_TO_Y_UP.T
    return positions, raw[..., RAW_ROTATIONS].reshape(*lead, 21, 6)


def to_interhuman_raw(interaction: Interaction) -> np.ndarray:
    """The inverse: (P, T, 492) float32 of an SMPL-22 interaction; hands and face stay at rest."""
    people, frames = interaction.rotations.shape[:2]
    raw = np.zeros((people, frames, RAW_HANDS.stop), np.float32)
    raw[..., RAW_POSITIONS] = (interaction.positions @ Z_UP_TO_Y_UP).reshape(people, frames, 66)
    sixd = matrix_to_sixd_interleaved(interaction.rotations[:, :, 1:])
    raw[..., RAW_ROTATIONS] = sixd.reshape(people, frames, 126)
    raw[..., RAW_HANDS] = np.tile(matrix_to_sixd_interleaved(np.eye(3)), 30)
    return raw


_MIRROR_SIXD = np.array([1.0, -1, -1, 1, -1, 1])


def mirror_pair(positions: np.ndarray, sixd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right swapped, for positions (..., 22, 3) and rotations (..., 21, 6)."""
    swap = SMPL22.mirrored
    return positions[..., swap, :] * [-1, 1, 1], sixd[..., swap[1:] - 1, :] * _MIRROR_SIXD


def twist(sixd: np.ndarray) -> np.ndarray:
    """Matrices (..., 22, 3, 3) of interleaved rotations (..., 21, 6); the root is not turned."""
    root = np.broadcast_to(np.eye(3), (*sixd.shape[:-2], 1, 3, 3))
    return np.concatenate([root, sixd_interleaved_to_matrix(sixd.astype(np.float64))], -3)
