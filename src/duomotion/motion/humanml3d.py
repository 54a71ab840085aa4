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

import numpy as np
from scipy.ndimage import gaussian_filter1d

from duomotion.motion.canonical import REFLECTION, resample
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import forward_kinematics
from duomotion.motion.retarget import to_kit21, to_smpl22
from duomotion.motion.rotations import (
    Array,
    matrix_to_sixd_concatenated,
    namespace,
    normalise,
    rotation_between,
    yaw,
)
from duomotion.motion.skeleton import KIT21, SMPL22, Skeleton

SMOOTHING = 20.0  # frames, of the forward direction (released code)
PLANTING = 0.1  # seconds, of the change that makes feet stand
ROOT_TURN = slice(0, 1)
ROOT_VELOCITY = slice(1, 3)
ROOT_HEIGHT = slice(3, 4)
CONTACTS = slice(-4, None)
_AXES = {
    "0": (0, 0, 0), "x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-x": (-1, 0, 0),
    "-y": (0, -1, 0),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class SoloLayout:
    """Vectors of one person, a `motion.layout.Layout`.

    Attributes:
        NAME, ... ACCUMULATES_ROOT: see `motion.layout.Layout`.
        skeleton: of bodies, in metres.
        rest: for each joint the axis along which the bone to it rests.
        from_root: joints whose rotation is relative to the root's, not their parent's.
        leg: two joints, the lengths of whose bones are a body's size.
        feet: the parts of a foot whose contacts are told.
        contact_speed: squared units a frame; a slower foot is in contact, however high.
        metres: in a unit.
    """

    NAME: str
    NUM_FEATURES: int
    NUM_JOINTS: int
    FPS: float
    MIN_FRAMES: int
    MAX_FRAMES: int = 196  # the longest motion that is generated at once (released code)
    ACCUMULATES_ROOT: bool = True
    skeleton: Skeleton
    rest: str
    from_root: tuple[str, ...]
    leg: tuple[str, str]
    feet: tuple[str, str]
    contact_speed: float
    metres: float

    @property
    def local_positions(self) -> slice:
        return slice(4, 3 * self.NUM_JOINTS + 1)

    @property
    def foot_positions(self) -> np.ndarray:
        """Indices (12,) of the numbers among `local_positions` that say where feet are."""
        first = self.local_positions.start + 3 * (np.array(self._feet) - 1)
        return np.add.outer(first, np.arange(3)).ravel()

    @property
    def rotations(self) -> slice:
        return slice(3 * self.NUM_JOINTS + 1, 9 * self.NUM_JOINTS - 5)

    @property
    def local_velocities(self) -> slice:
        return slice(9 * self.NUM_JOINTS - 5, -4)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The slices above, in their order."""
        root = (ROOT_TURN, ROOT_VELOCITY, ROOT_HEIGHT)
        return (*root, self.local_positions, self.rotations, self.local_velocities, CONTACTS)

    # bodies in metres ------------------------------------------------------------------------

    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on the layout's skeleton, at its frame rate.

        Raises:
            ValueError: there are two people, or the skeleton can't be mapped.
        """
        if interaction.num_people != 1:
            raise ValueError(
                f"{self.NAME} describes one person; the motion has {interaction.num_people}"
            )
        if not interaction.skeletons[0].same_tree(self.skeleton):
            mapped = to_kit21 if self.skeleton is KIT21 else to_smpl22
            interaction = mapped(interaction)
        return resample(interaction, self.FPS)

    def placing(self, people: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Rotation and translation: floor at 0, start at the origin, hips and shoulders to +Z."""
        positions_TJ3 = people.positions[0].astype(np.float64)
        return self._placing(positions_TJ3)

    def encode(self, people: Interaction) -> np.ndarray:
        """Features (1, T - 1, F) float32 of a person who stands where they should say."""
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
            fps=self.FPS if fps is None else fps,
            caption=caption,
        )

    def positions(self, features: Array) -> Array:
        """(..., T, F) -> (..., T, J, 3) metres; numpy or torch, differentiable."""
        return self.decode_joints(features) * self.metres

    def fix_root_from_contacts(self, features: np.ndarray) -> np.ndarray:
        """Features (..., T, F) whose root steps so that feet which say they are in contact stand.

        A model's way of the root and its legs can contradict each other; where a foot is in contact
        the legs are believed (ours). What is changed comes and goes smoothly; away from contacts
        steps stay as they are.
        """
        turns, _ = self.decode_root(features)
        feet = features[..., self.foot_positions]
        feet = _turned(feet.reshape(*feet.shape[:-1], 4, 3), -turns[..., None])
        steps = feet[..., :-1, :, :] - feet[..., 1:, :, :]
        contact = np.clip(features[..., :-1, CONTACTS], 0, 1)
        contact = np.where(contact > 0.5, contact, 0)[..., None]
        weight = contact.sum(-2)
        step = (contact * steps).sum(-2) / np.maximum(weight, 1e-6)
        step = _turned(step, turns[..., 1:])[..., [0, 2]]
        root_step = features[..., :-1, ROOT_VELOCITY]
        correction = np.minimum(weight, 1) * (step - root_step)
        fix_root_from_contacts = features.copy()
        fix_root_from_contacts[..., :-1, ROOT_VELOCITY] += gaussian_filter1d(
            correction, PLANTING * self.FPS, axis=-2, mode="nearest"
        )
        return fix_root_from_contacts

    def grounded(self, people: Interaction) -> Interaction:
        """The people as they are: the floor is at height 0."""
        return people

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
        blocks = (
            np.arcsin(np.sin(half)) if published_turns else np.arctan(np.tan(half)),
            root_step[:, [0, 2]],
            joints_TJ3[:-1, 0, 1],
            local[:-1, 1:],
            sixd[:-1, 1:],
            local_steps,
            contacts,
        )
        frames = len(steps)
        return np.concatenate([b.reshape(frames, -1) for b in blocks], 1, dtype=np.float32)

    def decode_joints(self, features: Array) -> Array:
        """Features (..., T, F) -> joints (..., T, J, 3), by positions; numpy or torch."""
        xp = namespace(features)
        turns, root = self.decode_root(features)
        local = features[..., self.local_positions]
        local = local.reshape(*local.shape[:-1], self.NUM_JOINTS - 1, 3)
        under_root = _level(root[..., 0], root[..., 2])
        joints = _turned(local, -turns[..., None]) + under_root[..., None, :]
        return xp.concatenate([root[..., None, :], joints], -2)

    def decode_root(self, features: Array) -> tuple[Array, Array]:
        """The angle (..., T) about +Y that makes the person face +Z, and the root (..., T, 3)."""
        xp = namespace(features)
        turns = 2 * _sums_before(features[..., 0])
        # A step is turned by the angle of the frame it leads to.
        following = xp.concatenate([turns[..., 1:], turns[..., -1:]], -1)
        step = _turned(_level(features[..., 1], features[..., 2]), -following)
        x, z = (_sums_before(step[..., axis]) for axis in (0, 2))
        return turns, xp.stack([x, features[..., 3], z], -1)

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


def _turned(points: Array, angles: Array) -> Array:
    """Points (..., 3) turned about +Y by angles (...) in radians."""
    xp = namespace(points)
    c, s = xp.cos(angles), xp.sin(angles)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return xp.stack([c * x + s * z, y, c * z - s * x], -1)


def _sums_before(x: Array) -> Array:
    """(..., T): the sum of everything before each entry."""
    return namespace(x).concatenate([0 * x[..., :1], x[..., :-1].cumsum(-1)], -1)


def _level(x: Array, z: Array) -> Array:
    """Points (..., 3) at height 0."""
    return namespace(x).stack([x, 0 * x, z], -1)


HUMANML3D = SoloLayout(
    NAME="humanml3d",
    NUM_FEATURES=263,
    NUM_JOINTS=22,
    FPS=20.0,
    MIN_FRAMES=40,
    skeleton=SMPL22,
    rest="0 x -x y -y -y y -y -y y z z y x -x z -y -y -y -y -y -y",
    from_root=("left_collar", "right_collar"),
    leg=("right_knee", "right_ankle"),
    feet=("ankle", "foot"),
    contact_speed=0.002,
    metres=1.0,
)
KIT = SoloLayout(
    NAME="kit-ml",
    NUM_FEATURES=251,
    NUM_JOINTS=21,
    FPS=12.5,
    MIN_FRAMES=24,
    skeleton=KIT21,
    rest="0 y y y y x -y -y -x -y -y x -y -y z z -x -y -y z z",
    from_root=("right_shoulder", "left_shoulder"),
    leg=("left_knee", "left_ankle"),
    feet=("midfoot", "foot"),
    contact_speed=0.05,
    metres=0.75 / 480,
)
SOLO_LAYOUTS = (HUMANML3D, KIT)
