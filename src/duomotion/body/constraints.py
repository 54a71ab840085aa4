"""What a user wants of two people's motion beyond the text: touches, and paths over the floor.

A touch is an energy of the joints' positions that gradients go through, zero where it is met.
Diffusion takes it into account while it samples; every model's motion is led to it in the end
(`body.separation`). People can be led along a path only while motion is sampled: later, feet that
have been placed would slide.

Axes: P people, T frames, J joints.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from duomotion.config import nearest
from duomotion.motion.kinematics import PALM
from duomotion.motion.skeleton import Skeleton

REACH = 0.1  # metres from a joint's middle, about where the skin is
HAND_REACH = 0.04  # metres from the middle of a palm
HANDS = ("left_hand", "right_hand")  # palms, which continue the forearms


@dataclass(frozen=True)
class Contact:
    """A joint, or the palm of a hand, that touches one of the other person for a while.

    Attributes:
        joints: of the first and the second person, by name; `HANDS` are palms.
        start, stop: seconds.

    Raises:
        ValueError: it does not end after it starts.
    """

    joints: tuple[str, str]
    start: float
    stop: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(
                f"a contact has to end after it starts, not to go from {self.start:g} s to "
                f"{self.stop:g} s"
            )

    @classmethod
    def parse(cls, text: str) -> "Contact":
        """`A.right_hand B.left_shoulder 1.0:2.0`, A being the first of the two people.

        Raises:
            ValueError: it reads otherwise.
        """
        number = r"(\d+(?:\.\d*)?|\.\d+)"
        found = re.fullmatch(rf"([AB])\.(\w+) ([AB])\.(\w+) {number}:{number}", text.strip())
        if found is None or found[1] == found[3]:
            raise ValueError(
                f"contact {text!r}: a joint of each person and a time are expected, as in "
                "'A.right_hand B.left_shoulder 1.0:2.0'"
            )
        joints = (found[2], found[4]) if found[1] == "A" else (found[4], found[2])
        return cls(joints, float(found[5]), float(found[6]))

    def check(self, skeleton: Skeleton, seconds: float) -> None:
        """Raises ValueError where a joint is unknown, or the contact is not within the clip."""
        names = [*skeleton.names, *HANDS]
        for name in self.joints:
            if name not in names:
                raise ValueError(f"there is no joint {name!r}; {nearest(name, names)}")
        if self.stop > seconds + 1e-6:
            raise ValueError(
                f"a contact until {self.stop:g} s lies outside the clip of {seconds:g} s"
            )

    def energy(self, joints_PTJ3: Tensor, skeleton: Skeleton, fps: float) -> Tensor:
        """Mean square of the metres that are missing."""
        first = min(round(self.start * fps), joints_PTJ3.shape[1] - 1)
        stretch = slice(first, max(round(self.stop * fps), first + 1))
        one, other = (
            _place(joints_PTJ3[person, stretch], name, skeleton)
            for person, name in enumerate(self.joints)
        )
        reach = sum(HAND_REACH if name in HANDS else REACH for name in self.joints)
        distance = ((one - other).square().sum(-1) + 1e-9).sqrt()
        return (distance - reach).relu().square().mean()


@dataclass(frozen=True)
class RootPath:
    """Where a person's pelvis is over the floor, on straight lines between points.

    Attributes:
        person: 0 or 1.
        points: seconds, x and z in metres of each. The first person starts at 0, 0; in models of
            InterHuman's layout they face +z.

    Raises:
        ValueError: there is no such person, there are no points, their times don't rise, or the
            first person starts elsewhere.
    """

    person: int
    points: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        times = [time for time, *_ in self.points]
        if self.person not in (0, 1):
            raise ValueError(f"a path is for person 0 or 1, not {self.person}")
        if not times or times[0] < 0 or any(a >= b for a, b in pairwise(times)):
            raise ValueError("a path needs points whose times rise from 0 s on")
        if self.person == 0 and self.points[0][0] == 0 and any(self.points[0][1:]):
            x, z = self.points[0][1:]
            raise ValueError(f"the first person's path starts at 0,0, not at {x:g},{z:g}")

    @classmethod
    def parse(cls, text: str) -> "RootPath":
        """`B 0:1.5,0 2:0.5,0.8`: a person, and x,z in metres at each time in seconds.

        Raises:
            ValueError: it reads otherwise.
        """
        number = r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))"
        person, *points = text.split() or [""]
        found = [re.fullmatch(f"{number}:{number},{number}", point) for point in points]
        if person not in ("A", "B") or not found or None in found:
            raise ValueError(
                f"path {text!r}: a person and places at times are expected, as in "
                "'B 0:1.5,0 2:0.5,0.8'"
            )
        places = [each.groups() for each in found if each is not None]
        return cls("AB".index(person), tuple((float(t), float(x), float(z)) for t, x, z in places))

    def check(self, skeleton: Skeleton, seconds: float) -> None:
        """Raises ValueError where a point lies outside the clip."""
        if (last := self.points[-1][0]) > seconds + 1e-6:
            raise ValueError(f"a path until {last:g} s lies outside the clip of {seconds:g} s")

    def places(self, num_frames: int, fps: float) -> tuple[np.ndarray, np.ndarray]:
        """For each of T frames the nearest one on the path (T,), and the x and z there (T, 2)."""
        times, *places = np.array(self.points).T
        last = min(round(times[-1] * fps), num_frames - 1)
        frames_T = np.clip(np.arange(num_frames), min(round(times[0] * fps), last), last)
        path_T2 = np.stack([np.interp(frames_T / fps, times, place) for place in places], -1)
        return frames_T, path_T2


def _place(joints_TJ3: Tensor, name: str, skeleton: Skeleton) -> Tensor:
    """(T, 3) metres."""
    if name not in HANDS:
        return joints_TJ3[:, skeleton.index(name)]
    side = name.removesuffix("_hand")
    wrist, elbow = (joints_TJ3[:, skeleton.index(f"{side}_{part}")] for part in ("wrist", "elbow"))
    return wrist + PALM * torch.nn.functional.normalize(wrist - elbow, dim=-1)
