"""HumanML3D's and KIT-ML's per-frame vectors of one person (Guo et al. 2022), as named slices.

Of J joints, 22 in HumanML3D (263 numbers) and 21 in KIT-ML (251):

    root_turn         1           half the angle in radians that takes the turn of this frame to
                                  that of the next; a frame's turn makes the person face +Z
    root_velocity     2           x and z of the root's step to the next frame, turned
    root_height       1           above the floor
    local_positions   3 (J - 1)   joints without the root, seen from the point under it, turned
    rotations         6 (J - 1)   how bones point, 6-D, concatenated columns
    local_velocities  3 J         steps to the next frame, turned
    contacts          4           two joints of the left foot, two of the right: 1 where slow

HumanML3D's unit is the metre. KIT-ML's is a millimetre of its reference body, which is smaller than
an adult: 480 are 0.75 m (TEMOS, released code). Methods that take or give an `Interaction`, and
`positions`, have metres; all others have the layout's unit.

The rotations hold nothing that positions do not: each is the smallest one that brings a bone from
its resting direction, and how limbs turn about themselves is not in it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from duomotion.motion.canonical import REFLECTION, resample
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import forward_kinematics
from duomotion.motion.layout import Layout, consecutive
from duomotion.motion.retarget import to_kit21, to_smpl22
from duomotion.motion.rotations import (
    Array,
    matrix_to_sixd_concatenated,
    namespace,
    normalise,
    rotate_about_y,
    rotation_between,
    yaw,
)
from duomotion.motion.skeleton import KIT21, SMPL22, Skeleton

SMOOTHING = 20.0  # frames, of the forward direction (released code)
CORRECTION_SECONDS = 0.1  # standard deviation over which corrections of the root fade
_AXES = {
    "0": (0, 0, 0), "x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-x": (-1, 0, 0),
    "-y": (0, -1, 0),
}  # fmt: skip


class SoloBlocks(NamedTuple):
    """The table above."""

    root_turn: slice
    root_velocity: slice
    root_height: slice
    local_positions: slice
    rotations: slice
    local_velocities: slice
    contacts: slice


@dataclass(frozen=True, kw_only=True, eq=False)
class SoloLayout(Layout):
    """Vectors of one person.

    Attributes:
        skeleton: of bodies, in metres.
        rest: for each joint the axis along which the bone to it rests.
        from_root: joints whose rotation is relative to the root's, not their parent's.
        leg: two joints, the lengths of whose bones are a body's size.
        feet: the joints of a foot whose contacts are features.
        contact_speed: squared units a frame; a slower foot is in contact, however high.
        metres: in a unit.
    """

    max_frames: int = 196  # released code
    accumulates_root: bool = True
    skeleton: Skeleton
    rest: str
    from_root: tuple[str, ...]
    leg: tuple[str, str]
    feet: tuple[str, str]
    contact_speed: float
    metres: float

    @property
    def blocks(self) -> SoloBlocks:
        joints = self.num_joints
        widths = 1, 2, 1, 3 * (joints - 1), 6 * (joints - 1), 3 * joints, 4
        return SoloBlocks(*consecutive(*widths))

    @property
    def root_features(self) -> slice:
        """The blocks of the root: turn, velocity and height."""
        return slice(self.blocks.root_turn.start, self.blocks.root_height.stop)

    @property
    def foot_positions(self) -> np.ndarray:
        """Indices (12,) of the numbers among `local_positions` that say where feet are."""
        first = self.blocks.local_positions.start + 3 * (np.array(self._feet) - 1)
        return np.add.outer(first, np.arange(3)).ravel()

    # bodies in metres ------------------------------------------------------------------------

    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on the layout's skeleton, at its frame rate.

        Raises:
            ValueError: there are two people, or the skeleton can't be mapped.
        """
        if interaction.num_people != 1:
            raise ValueError(
                f"{self.name} describes one person; the motion has {interaction.num_people}"
            )
        if not interaction.skeletons[0].same_tree(self.skeleton):
            mapped = to_kit21 if self.skeleton is KIT21 else to_smpl22
            interaction = mapped(interaction)
        return resample(interaction, self.fps)

    def placing(self, people: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Rotation and translation: floor at 0, start at the origin, hips and shoulders to +Z."""
        positions_TJ3 = people.positions[0].astype(np.float64)
        return self._placing(positions_TJ3)

    def encode(self, people: Interaction) -> np.ndarray:
        """Features (1, T - 1, F) float32 of a person in the layout's world."""
        joints_PTJ3 = people.positions.astype(np.float64) / self.metres
        return np.stack([self.encode_joints(joints_TJ3) for joints_TJ3 in joints_PTJ3])

    def decode(
        self, features: np.ndarray, *, fps: float | None = None, caption: str = ""
    ) -> Interaction:
        """Rigid bodies along features (P, T, F), at the layout's frame rate if none is given.

        Bones point where the positions say. Limbs turn about themselves as little as they can.
        """
        return Interaction.from_positions(
            self.positions(features.astype(np.float64)),
            like=self.skeleton,
            fps=self.fps if fps is None else fps,
            caption=caption,
        )

    def positions(self, features: Array) -> Array:
        """(..., T, F) -> (..., T, J, 3) metres; numpy or torch, differentiable."""
        return self.decode_joints(features) * self.metres

    def fix_root_from_contacts(self, features: np.ndarray) -> np.ndarray:
        """Features (..., T, F) with root velocities that keep feet in contact where they are.

        The root's path and the legs that a model generates can contradict each other; where a foot
        is in contact the legs decide (ours). The correction fades in and out; away from contacts
        velocities stay as they are.
        """
        turns, _ = self.decode_root(features)
        feet = features[..., self.foot_positions]
        feet = rotate_about_y(feet.reshape(*feet.shape[:-1], 4, 3), -turns[..., None])
        steps = feet[..., :-1, :, :] - feet[..., 1:, :, :]
        contact = np.clip(features[..., :-1, self.blocks.contacts], 0, 1)
        contact = np.where(contact > 0.5, contact, 0)[..., None]
        weight = contact.sum(-2)
        step = (contact * steps).sum(-2) / np.maximum(weight, 1e-6)
        step = rotate_about_y(step, turns[..., 1:])[..., [0, 2]]
        root_step = features[..., :-1, self.blocks.root_velocity]
        correction = np.minimum(weight, 1) * (step - root_step)
        fixed = features.copy()
        fixed[..., :-1, self.blocks.root_velocity] += gaussian_filter1d(
            correction, CORRECTION_SECONDS * self.fps, axis=-2, mode="nearest"
        )
        return fixed

    # joints in the layout's unit -------------------------------------------------------------

    def lengths(self, joints_J3: np.ndarray) -> np.ndarray:
        """(J,) distance of each joint in a pose from its parent, 0 for the root."""
        return np.linalg.norm(self._bones(joints_J3), axis=-1)

    @property
    def reference_lengths(self) -> np.ndarray:
        """(J,) those of the layout's own skeleton."""
        return self.lengths(self.skeleton.rest_positions) / self.metres

    def retarget(self, joints_TJ3: np.ndarray, lengths_J: np.ndarray) -> np.ndarray:
        """The same motion of a body with other bones, the way scaled by the legs' lengths.

        Raises:
            ValueError: a leg of the first pose has no length.
        """
        leg = [self.skeleton.index(name) for name in self.leg]
        own = self.lengths(joints_TJ3[0])[leg].sum()
        if own == 0:
            raise ValueError("the leg has no length")
        scale = lengths_J[leg].sum() / own
        bones_TJ3 = normalise(self._bones(joints_TJ3), 1e-12) * lengths_J[:, None]
        still = np.broadcast_to(np.eye(3), (*joints_TJ3.shape, 3))
        return forward_kinematics(joints_TJ3[:, 0] * scale, still, bones_TJ3, self.skeleton)

    def placed(self, joints_TJ3: np.ndarray) -> np.ndarray:
        """The same motion where `placing` puts it."""
        turn, shift = self._placing(joints_TJ3)
        return joints_TJ3 @ turn.T + shift

    def mirror(self, joints: np.ndarray) -> np.ndarray:
        """(..., J, 3) with left and right swapped."""
        return joints[..., self.skeleton.mirrored, :] @ REFLECTION

    def encode_joints(self, joints_TJ3: np.ndarray, *, published_turns: bool = False) -> np.ndarray:
        """Features (T - 1, F) float32: the last frame has no velocity and is dropped.

        Args:
            joints_TJ3: where the features should say.
            published_turns: gives the one step of the root's turn that passes the back of +Z the
                wrong sign, as the released code does (HumanML3D issue 156); from there on the way
                back leads elsewhere.
        """
        turns = self._turns(joints_TJ3)
        turn_T33 = yaw(turns)
        half = np.diff(turns) / 2
        steps = np.diff(joints_TJ3, axis=0)
        under_root = joints_TJ3[:, :1] * [1, 0, 1]
        local = (joints_TJ3 - under_root) @ np.swapaxes(turn_T33, -1, -2)
        local_steps = steps @ np.swapaxes(turn_T33[:-1], -1, -2)
        root_step = (turn_T33[1:] @ steps[:, 0, :, None])[..., 0]
        sixd = matrix_to_sixd_concatenated(self._rotations(joints_TJ3, turn_T33))
        contacts = (steps[:, self._feet] ** 2).sum(-1) < self.contact_speed
        parts = (
            np.arcsin(np.sin(half)) if published_turns else np.arctan(np.tan(half)),
            root_step[:, [0, 2]],
            joints_TJ3[:-1, 0, 1],
            local[:-1, 1:],
            sixd[:-1, 1:],
            local_steps,
            contacts,
        )
        frames = len(steps)
        return np.concatenate([part.reshape(frames, -1) for part in parts], 1, dtype=np.float32)

    def decode_joints(self, features: Array) -> Array:
        """Features (..., T, F) -> joints (..., T, J, 3), by positions; numpy or torch."""
        xp = namespace(features)
        turns, root = self.decode_root(features)
        local = features[..., self.blocks.local_positions]
        local = local.reshape(*local.shape[:-1], self.num_joints - 1, 3)
        under_root = _level(root[..., 0], root[..., 2])
        joints = rotate_about_y(local, -turns[..., None]) + under_root[..., None, :]
        return xp.concatenate([root[..., None, :], joints], -2)

    def decode_root(self, features: Array) -> tuple[Array, Array]:
        """The angle (..., T) about +Y that makes the person face +Z, and the root (..., T, 3)."""
        xp = namespace(features)
        blocks = self.blocks
        turns = 2 * _sums_before(features[..., blocks.root_turn][..., 0])
        # A step is turned by the angle of the frame it leads to.
        following = xp.concatenate([turns[..., 1:], turns[..., -1:]], -1)
        velocity = features[..., blocks.root_velocity]
        step = rotate_about_y(_level(velocity[..., 0], velocity[..., 1]), -following)
        x, z = (_sums_before(step[..., axis]) for axis in (0, 2))
        return turns, xp.stack([x, features[..., blocks.root_height][..., 0], z], -1)

    # -----------------------------------------------------------------------------------------

    @cached_property
    def _feet(self) -> list[int]:
        return [
            self.skeleton.index(f"{side}_{part}")
            for side in ("left", "right")
            for part in self.feet
        ]

    @cached_property
    def _before(self) -> np.ndarray:
        """For each joint but the root the one to whose frame its rotation is relative."""
        before = np.array(self.skeleton.parents)
        before[[self.skeleton.index(name) for name in self.from_root]] = 0
        return before[1:]

    def _bones(self, joints: np.ndarray) -> np.ndarray:
        """(..., J, 3) from each joint's parent to the joint, 0 for the root."""
        parents = np.array(self.skeleton.parents)
        parents[0] = 0
        return joints - joints[..., parents, :]

    def _across(self, joints: np.ndarray, part: str) -> np.ndarray:
        """(..., 3) from the left one of two joints to the right one."""
        left, right = (self.skeleton.index(f"{side}_{part}") for side in ("left", "right"))
        return joints[..., right, :] - joints[..., left, :]

    def _placing(self, joints_TJ3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first_J3 = joints_TJ3[0]
        forward = _forward(self._across(first_J3, "hip") + self._across(first_J3, "shoulder"))
        turn = yaw(-np.arctan2(forward[0], forward[2]))
        start = turn @ first_J3[0]
        return turn, -np.array([start[0], joints_TJ3[..., 1].min(), start[2]])

    def _turns(self, joints_TJ3: np.ndarray) -> np.ndarray:
        """(T,) radians about +Y that make the person face +Z, 0 in the first frame.

        The released code takes the left hip for the right one here: forward is where the shoulders
        face, less where the hips face.
        """
        hips, shoulders = (self._across(joints_TJ3, part) for part in ("hip", "shoulder"))
        forward = _forward(shoulders - hips)
        smooth = gaussian_filter1d(forward, SMOOTHING, axis=0, mode="nearest")
        turns = -np.arctan2(smooth[:, 0], smooth[:, 2])
        turns[0] = 0
        return turns

    def _rotations(self, joints_TJ3: np.ndarray, turn_T33: np.ndarray) -> np.ndarray:
        """(T, J, 3, 3) from the frame of the joint before; the root's is `turn_T33`."""
        rest = np.array([_AXES[name] for name in self.rest.split()], np.float64)
        bones = self._bones(joints_TJ3)
        world = rotation_between(np.broadcast_to(rest, bones.shape), bones)
        world[:, 0] = turn_T33
        local = np.swapaxes(world[:, self._before], -1, -2) @ world[:, 1:]
        return np.concatenate([world[:, :1], local], 1)


def _forward(across: np.ndarray) -> np.ndarray:
    """(..., 3) level direction in which someone faces whose right is `across` (..., 3)."""
    return np.cross([0, 1, 0], normalise(across))


def _sums_before(x: Array) -> Array:
    """(..., T): the sum of everything before each entry."""
    return namespace(x).concatenate([0 * x[..., :1], x[..., :-1].cumsum(-1)], -1)


def _level(x: Array, z: Array) -> Array:
    """Points (..., 3) at height 0."""
    return namespace(x).stack([x, 0 * x, z], -1)


HUMANML3D = SoloLayout(
    name="humanml3d",
    num_features=263,
    num_joints=22,
    fps=20.0,
    min_frames=40,
    skeleton=SMPL22,
    rest="0 x -x y -y -y y -y -y y z z y x -x z -y -y -y -y -y -y",
    from_root=("left_collar", "right_collar"),
    leg=("right_knee", "right_ankle"),
    feet=("ankle", "foot"),
    contact_speed=0.002,
    metres=1.0,
)
KIT = SoloLayout(
    name="kit-ml",
    num_features=251,
    num_joints=21,
    fps=12.5,
    min_frames=24,
    skeleton=KIT21,
    rest="0 y y y y x -y -y -x -y -y x -y -y z z -x -y -y z z",
    from_root=("right_shoulder", "left_shoulder"),
    leg=("left_knee", "left_ankle"),
    feet=("midfoot", "foot"),
    contact_speed=0.05,
    metres=0.75 / 480,
)
SOLO_LAYOUTS = (HUMANML3D, KIT)
