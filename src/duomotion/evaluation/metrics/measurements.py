"""What can be measured of two people without a model: gaps, heights, angles, speeds, over time.

The measurements that the checks of prompts.py are made of. Everything is in metres, degrees and
seconds; arrays are (person, frame, ...), with left before right where a value has sides.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_closing

from duomotion.motion.canonical import facing
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import palms
from duomotion.motion.rotations import normalise
from duomotion.motion.runs import runs
from duomotion.motion.skeleton import SMPL22, Skeleton

# A hold may slip for so many seconds and still be one hold.
BRIDGE = 0.1


@dataclass(frozen=True, eq=False)
class Scene:
    """Two people in one world. `swapped` is the same with the people in the opposite order.

    Attributes:
        positions: (2, T, 22, 3) metres, Y up, SMPL-22.
        fps: frames a second.
    """

    positions: np.ndarray
    fps: float = 30.0
    skeleton: Skeleton = SMPL22

    @classmethod
    def of(cls, interaction: Interaction) -> "Scene":
        """Raises ValueError unless it shows two people with SMPL-22's joints."""
        if interaction.num_people != 2:
            raise ValueError(f"checks need two people; this motion has {interaction.num_people}")
        if not interaction.skeletons[0].same_tree(SMPL22):
            raise ValueError("checks need SMPL-22 joints; `motion.retarget.to_smpl22` gives them")
        return cls(interaction.positions.astype(np.float64), interaction.fps)

    def swapped(self) -> "Scene":
        return replace(self, positions=self.positions[::-1])

    def orders(self) -> tuple["Scene", "Scene"]:
        return self, self.swapped()

    def joint(self, name: str) -> np.ndarray:
        """(2, T, 3)."""
        return self.positions[:, :, self.skeleton.index(name)]

    def sides(self, name: str) -> np.ndarray:
        """(2, T, 2, 3) of a joint that people have on the left and on the right."""
        return np.stack([self.joint(f"left_{name}"), self.joint(f"right_{name}")], 2)

    @cached_property
    def palms(self) -> np.ndarray:
        """(2, T, 2, 3) middle of each hand."""
        return palms(self.sides("wrist"), self.sides("elbow"))

    @cached_property
    def palm_gaps(self) -> np.ndarray:
        """(T, 2, 2) from each hand of the first person to each hand of the second."""
        return gaps(self.palms[0], self.palms[1])

    @cached_property
    def palm_heights(self) -> np.ndarray:
        """(2, T, 2) of the hands over the middle of the own shoulders."""
        return self.palms[..., 1] - self.sides("shoulder")[..., 1].mean(-1, keepdims=True)

    @cached_property
    def wrist_heights(self) -> np.ndarray:
        """(2, T, 2) of the wrists over the own pelvis."""
        return self.sides("wrist")[..., 1] - self.joint("pelvis")[..., None, 1]

    @cached_property
    def roots(self) -> np.ndarray:
        """(2, T, 2) places of the pelvis on the floor."""
        return self.joint("pelvis")[..., [0, 2]]

    @cached_property
    def root_gap(self) -> np.ndarray:
        """(T,) between the pelvises, along the floor."""
        return np.linalg.norm(self.roots[1] - self.roots[0], axis=-1)

    @cached_property
    def root_speeds(self) -> np.ndarray:
        """(2, T) along the floor, m/s."""
        return np.linalg.norm(np.gradient(self.roots, axis=1), axis=-1) * self.fps

    @cached_property
    def towards(self) -> np.ndarray:
        """(2, T, 2) unit vectors along the floor from each person to the other."""
        ahead = normalise(self.roots[1] - self.roots[0])
        return np.stack([ahead, -ahead])

    @cached_property
    def headings(self) -> np.ndarray:
        """(2, T) where the hips face, degrees from +Z, without jumps from 360 to 0."""
        return np.degrees(np.unwrap(facing(self.positions, self.skeleton), axis=1))

    @cached_property
    def off_partner(self) -> np.ndarray:
        """(2, T) angle from where each person faces to where the other one is, 0 to 180."""
        to_partner = np.degrees(np.arctan2(self.towards[..., 0], self.towards[..., 1]))
        return np.abs(_wrap(self.headings - to_partner))

    @cached_property
    def between_headings(self) -> np.ndarray:
        """(T,) angle between where the two face: 0 alike, 180 opposite."""
        return np.abs(_wrap(self.headings[0] - self.headings[1]))

    @cached_property
    def trunk(self) -> np.ndarray:
        """(2, T, 3) unit vectors from pelvis to neck."""
        return normalise(self.joint("neck") - self.joint("pelvis"))

    @cached_property
    def lean(self) -> np.ndarray:
        """(2, T) angle of the trunk to the vertical."""
        return np.degrees(np.arccos(np.clip(self.trunk[..., 1], -1, 1)))

    @cached_property
    def lean_away(self) -> np.ndarray:
        """(2, T) how far the trunk tilts away from the partner, negative towards them."""
        along = (self.trunk[..., [0, 2]] * self.towards).sum(-1)
        return np.degrees(np.arctan2(-along, self.trunk[..., 1]))

    @cached_property
    def stature(self) -> np.ndarray:
        """(2, T) height of the pelvis as a share of the length of the legs."""
        knees, ankles, hips = self.sides("knee"), self.sides("ankle"), self.sides("hip")
        thigh = np.linalg.norm(knees - hips, axis=-1).mean((1, 2))
        shin = np.linalg.norm(ankles - knees, axis=-1).mean((1, 2))
        return self.joint("pelvis")[..., 1] / (thigh + shin)[:, None]

    def relative_speeds(self, name: str) -> np.ndarray:
        """(2, T, 2) speed of a joint with sides in relation to the own pelvis, m/s."""
        offset = self.sides(name) - self.joint("pelvis")[:, :, None]
        return np.linalg.norm(np.gradient(offset, axis=1), axis=-1) * self.fps

    def seconds(self, mask: np.ndarray) -> float:
        """The longest time that a (T,) mask holds, with breaks of at most BRIDGE."""
        start, stop = self.span(mask)
        return (stop - start) / self.fps

    def span(self, mask: np.ndarray) -> tuple[int, int]:
        """First and past-the-last frame of that time; (0, 0) where the mask never holds."""
        size = round(BRIDGE * self.fps) + 1
        bridged = binary_closing(np.pad(mask, size), np.ones(size))[size:-size]
        return max(runs(bridged), key=lambda run: run[1] - run[0], default=(0, 0))


def gaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(..., M, N) distances between points (..., M, 3) and (..., N, 3)."""
    return np.linalg.norm(first[..., :, None, :] - second[..., None, :, :], axis=-1)


def segment_gap(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(...) distance from points (..., 3) to the segments between `start` and `end`."""
    axis = end - start
    along = ((point - start) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1e-12)
    return np.linalg.norm(point - start - np.clip(along, 0, 1)[..., None] * axis, axis=-1)


def _wrap(degrees: np.ndarray) -> np.ndarray:
    return (degrees + 180) % 360 - 180
