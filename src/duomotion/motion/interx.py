"""Inter-X's per-frame numbers (Xu et al. 2024): a 56 x 6 map a person and frame.

    rows 0 to 54   rotations of the joints of SMPL-X, local, the root's in the world: 6-D, rows
    row 55         translation in metres, then its change to the next frame

As features (336) the rows follow one another.

SMPL-X turns a body about its pelvis and then moves it by the translation. All bodies are the
neutral one with mean shape, whoever was recorded. The first person's translation is zero in the
first frame, so height 0 is not the floor, and nothing is turned: people face where they faced.
"""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import forward_kinematics
from duomotion.motion.layout import MapLayout, consecutive
from duomotion.motion.retarget import in_rest_of, to_smpl22
from duomotion.motion.rotations import (
    Array,
    matrix_to_sixd_rows,
    namespace,
    sixd_rows_to_matrix,
)
from duomotion.motion.skeleton import SMPL22, SMPLX55, SMPLX_PELVIS, Skeleton

NUM_ROTATIONS = SMPLX55.num_joints
ROOT = NUM_ROTATIONS  # the row of a map that is no joint's
TRANSLATION, VELOCITY = consecutive(3, 3)  # in this row
FLOOR_PERCENTILE = 5.0


@cache
def body() -> tuple[Skeleton, np.ndarray]:
    """The neutral SMPL-X body: its skeleton and where its pelvis (3,) is in the rest pose.

    From the model file that the environment variable DUOMOTION_SMPLX names (SMPLX_NEUTRAL.npz of
    the authors), else from mean joints that come with the package.

    Raises:
        ValueError: the file is no such model.
        OSError: the file can't be read.
    """
    path = os.environ.get("DUOMOTION_SMPLX")
    return read_body(Path(path)) if path else (SMPLX55, SMPLX_PELVIS)


def read_body(path: Path) -> tuple[Skeleton, np.ndarray]:
    """Skeleton and pelvis of the mean shape of an SMPL-X model file; raises as `body`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            vertices_V3, regressor_JV = file["v_template"], file["J_regressor"]
        joints_J3 = np.asarray(regressor_JV @ vertices_V3, dtype=np.float64)
    except OSError:
        raise
    except Exception as problem:  # damaged archives raise a dozen unrelated types
        raise ValueError(f"{path} is not an SMPL-X model in .npz format: {problem}") from None
    if joints_J3.shape != (NUM_ROTATIONS, 3) or not np.isfinite(joints_J3).all():
        raise ValueError(
            f"{path} has joints of shape {joints_J3.shape}; an SMPL-X model has "
            f"({NUM_ROTATIONS}, 3), all finite"
        )
    offsets = joints_J3.copy()
    offsets[1:] -= joints_J3[list(SMPLX55.parents[1:])]
    offsets[0] = 0
    return SMPLX55.with_offsets(offsets), joints_J3[0]


class InterXBlocks(NamedTuple):
    """The rows above, one after the other."""

    rotations: slice
    translation: slice
    velocity: slice


@dataclass(frozen=True, kw_only=True, eq=False)
class InterXLayout(MapLayout):
    """See above; every body is that of `body`."""

    @property
    def blocks(self) -> InterXBlocks:
        return InterXBlocks(*consecutive(NUM_ROTATIONS * self.joint_dim, 3, 3))

    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on SMPL-X, each person with their own bone lengths and hands at rest.

        Raises:
            ValueError: the skeleton can't be mapped.
        """
        if interaction.skeletons[0].same_tree(SMPLX55):
            return interaction
        neutral, _ = body()
        posed = in_rest_of(neutral, to_smpl22(interaction))
        people, frames = posed.rotations.shape[:2]
        hands = NUM_ROTATIONS - SMPL22.num_joints
        still = np.broadcast_to(np.eye(3), (people, frames, hands, 3, 3))
        return replace(
            posed,
            rotations=np.concatenate([posed.rotations, still], 2),
            skeletons=tuple(
                neutral.with_offsets(
                    np.concatenate([person.offsets, neutral.offsets[SMPL22.num_joints :]])
                )
                for person in posed.skeletons
            ),
        )

    def placing(self, people: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Rotation and translation that bring the first person's first translation to zero."""
        _, pelvis = body()
        return np.eye(3), pelvis - people.root_positions[0, 0].astype(np.float64)

    def encode(self, people: Interaction) -> np.ndarray:
        _, pelvis = body()
        return self.encode_smplx(people.rotations, people.root_positions - pelvis)

    def encode_smplx(self, rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
        """Features (P, T - 1, 336) float32 of SMPL-X's parameters.

        Args:
            rotations: (P, T, 55, 3, 3).
            translations: (P, T, 3) metres.
        """
        steps = np.diff(translations, axis=1)
        root = np.concatenate([translations[:, :-1], steps], -1)[:, :, None]
        sixd = matrix_to_sixd_rows(rotations[:, :-1])
        return self.from_joint_map(np.concatenate([sixd, root], 2, dtype=np.float32))

    def decode(
        self, features: np.ndarray, *, fps: float | None = None, caption: str = ""
    ) -> Interaction:
        """Neutral bodies along features (P, T, 336)."""
        neutral, pelvis = body()
        joints = self.to_joint_map(features)
        rotations = sixd_rows_to_matrix(joints[..., :NUM_ROTATIONS, :].astype(np.float64))
        roots = joints[..., ROOT, TRANSLATION] + pelvis
        skeletons = (neutral,) * len(features)
        return Interaction(roots, rotations, skeletons, self.fps if fps is None else fps, caption)

    def positions(self, features: Array) -> Array:
        """(..., 336) -> (..., 55, 3) metres, by forward kinematics; numpy or torch."""
        neutral, pelvis = body()
        joints = self.to_joint_map(features)
        rotations = sixd_rows_to_matrix(joints[..., :NUM_ROTATIONS, :])
        offsets, start = neutral.offsets.astype(np.float32), pelvis.astype(np.float32)
        if namespace(features) is not np:
            offsets, start = features.new_tensor(offsets), features.new_tensor(start)
        roots = joints[..., ROOT, TRANSLATION] + start
        return forward_kinematics(roots, rotations, offsets, neutral)

    def rotations(self, features: Array) -> Array:
        joints = self.to_joint_map(features)
        return sixd_rows_to_matrix(joints[..., : SMPL22.num_joints, :])

    def shifted(self, features: Array, shift: Array, steps: Array) -> Array:
        xp, blocks = namespace(features), self.blocks
        moved = features[..., blocks.translation] + shift, features[..., blocks.velocity] + steps
        return xp.concatenate([features[..., blocks.rotations], *moved], -1)

    def grounded(self, people: Interaction) -> Interaction:
        """Both people moved up or down together, so that the lower one's feet are on the floor."""
        lowest_T = people.positions[..., 1].min((0, 2))
        rise = np.array([0, -np.percentile(lowest_T, FLOOR_PERCENTILE), 0])
        return replace(people, root_positions=people.root_positions + rise)

    def mirror(self, joints: np.ndarray) -> np.ndarray:
        """Maps (..., 56, 6) with left and right swapped.

        The neutral body is not quite symmetric, so mirrored joints are not exactly mirror images.
        """
        turned = joints[..., SMPLX55.mirrored, :] * _MIRROR_ROWS
        return np.concatenate([turned, joints[..., ROOT:, :] * _MIRROR_ROOT], -2)

    def to_joint_map(self, features: Array) -> Array:
        """(..., 336) -> (..., 56, 6)."""
        return features.reshape(*features.shape[:-1], self.num_joints, self.joint_dim)

    def from_joint_map(self, joints: Array) -> Array:
        """(..., 56, 6) -> (..., 336)."""
        return joints.reshape(*joints.shape[:-2], self.num_features)


_MIRROR_ROWS = np.array([1.0, -1, -1, -1, 1, 1], np.float32)
_MIRROR_ROOT = np.array([-1.0, 1, 1, -1, 1, 1], np.float32)

INTERX = InterXLayout(
    name="interx",
    fps=30.0,
    num_features=336,
    num_joints=56,
    joint_dim=6,
    min_frames=24,
    max_frames=150,  # released code
    knows_floor=False,
)
