"""How close a clip comes to clips that a model was trained on: the search for copies.

The distance between two clips is the smallest mean distance between their joints over windows of
both, each window in the frame of its first person at its start, over mirroring and, where there are
two people, both orders of them.

How near a copy is depends on what both clips went through: see `copies`. Of recordings, on the open
pairs: a training clip with 1 cm of noise on every coordinate is found again at 16 mm, and mirrored,
with the people swapped and out of phase, at 28 mm at most. The nearest training clip is 47 mm (27
to 294) from a test clip, 154 mm (59 to 246) from one for validation, and 162 mm (37 to 415) from a
training clip of another take: medians, and the smallest and largest. The smallest are basic salsa
steps of the same dancers.

On the open solo clips, one person at 20 fps: of 150 training clips with 1 cm of noise each is found
again, at 16 mm (15 to 26), and mirrored and a frame out of phase at 16 mm (15 to 35). The nearest
training clip is 46 mm (16 to 120) from a test clip, 59 mm (25 to 100) from one for validation, and
32 mm (6 to 418) from a training clip of another recording: some recordings are there twice, as are
those of the subjects 83 and 122, and how one person walks, turns or stands for 1.5 s soon comes
again. So a single short distance says little there.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from duomotion.motion.canonical import REFLECTION
from duomotion.motion.rotations import normalise
from duomotion.motion.skeleton import SMPL22

WINDOW = 1.5  # seconds; the shortest real clip is as long
STRIDE = 0.25  # seconds between the starts of windows of the clip that is compared
FINE_STRIDE = 0.1  # and of those it is compared with, so that a copy is met nearly in phase
RATE = 10.0  # frames a second that are compared
SETTLE = 0.25  # seconds over which the first person's place and facing are taken
BLOCKS = 3  # parts of a window whose mean positions bound the distance from below
# Joints of SMPL-22 that keep close to each other, and are bounded together: the trunk, each forearm
# with its hand, each lower leg with its foot.
GROUPS = (
    (0, 1, 2, 3, 6, 9, 12, 13, 14, 15, 16, 17), (18, 20), (19, 21), (4, 7, 10), (5, 8, 11),
)  # fmt: skip
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Library:
    """Windows of many clips, ready to be searched.

    Attributes:
        names: the clip that each window is from.
        windows: (N, F, P * 22, 3) float32 metres, the joints of the one or two people.
        fps: frames a second of the clips.
    """

    names: tuple[str, ...]
    windows: np.ndarray
    fps: float = 30.0

    @classmethod
    def of(cls, clips: Iterable[tuple[str, np.ndarray]], fps: float = 30.0) -> "Library":
        """Of names and clips (P, T, 22, 3) in metres, SMPL-22; a name may come more than once.

        Raises:
            ValueError: no clips.
        """
        parts = [(name, windows(seen, fps, FINE_STRIDE)) for name, seen in clips]
        if not parts:
            raise ValueError("there are no clips to compare with")
        names = tuple(name for name, part in parts for _ in part)
        return cls(names, np.concatenate([part for _, part in parts]), fps)

    def only(self, names: Set[str]) -> "Library":
        """Windows of these clips alone.

        Raises:
            ValueError: there are none.
        """
        chosen = [index for index, name in enumerate(self.names) if name in names]
        if not chosen:
            raise ValueError("there are no clips to compare with")
        return Library(tuple(self.names[i] for i in chosen), self.windows[chosen], self.fps)

    @cached_property
    def coarse(self) -> np.ndarray:
        """(K, 3, N) of the K points of `_coarse`, to bound distances with."""
        return np.ascontiguousarray(np.moveaxis(_coarse(self.windows), 0, -1))

    def nearest(self, positions: np.ndarray) -> tuple[str, float]:
        """Name of the closest clip and its distance in mm.

        Exact: candidates come in the order of a lower bound of their distance, until that bound is
        above the best distance found.

        Args:
            positions: (P, T, 22, 3) metres.
        """
        queries = np.concatenate([windows(seen, self.fps) for seen in _views(positions)])
        bounds = _bounds(_coarse(queries), self.coarse)

        def distances(pairs: np.ndarray) -> np.ndarray:
            query, window = np.unravel_index(pairs, bounds.shape)
            return _distances(queries[query], self.windows[window])

        promising = np.argpartition(bounds, min(CHUNK, bounds.size) - 1, axis=None)[:CHUNK]
        found = distances(promising)
        best, closest = found.min(), promising[found.argmin()]
        order = np.flatnonzero(bounds < best)
        order = order[np.argsort(bounds.flat[order])]
        for start in range(0, len(order), CHUNK):
            pairs = order[start : start + CHUNK]
            if bounds.flat[pairs[0]] >= best:
                break
            found = distances(pairs)
            if found.min() < best:
                best, closest = found.min(), pairs[found.argmin()]
        return self.names[closest % bounds.shape[1]], float(best) * 1000


def nearest(
    clip: np.ndarray, clips: Mapping[str, np.ndarray], fps: float = 30.0
) -> tuple[str, float]:
    """Name of the closest of `clips` to `clip` and its distance in mm; all (P, T, 22, 3) metres.

    `Library` is faster when many clips are compared with the same others.
    """
    return Library.of(clips.items(), fps).nearest(clip)


def windows(positions: np.ndarray, fps: float = 30.0, stride: float = STRIDE) -> np.ndarray:
    """(N, F, P * 22, 3) float32: what people (P, T, 22, 3) do in each window, in its own frame.

    The first person's pelvis starts at the origin of the floor and their hips and shoulders face
    +Z, as a mean over the first quarter of a second. The last pose of people who do something for
    less than a window is held.
    """
    length, settle = round(WINDOW * fps), round(SETTLE * fps)
    missing = max(0, length - positions.shape[1])
    positions = np.pad(positions, [(0, 0), (0, missing), (0, 0), (0, 0)], mode="edge")
    frames = positions.shape[1]
    starts = np.round(np.arange(0, frames - length + 0.5, stride * fps)).astype(int)
    shown = np.round(np.arange(0, length, fps / RATE)).astype(int)
    settling = positions[0, starts[:, None] + np.arange(settle)].mean(1)
    across = sum(
        settling[:, SMPL22.index(f"left_{part}")] - settling[:, SMPL22.index(f"right_{part}")]
        for part in ("hip", "shoulder")
    )
    left = normalise(across * np.array([1.0, 0, 1]))
    up = np.broadcast_to([0.0, 1.0, 0.0], left.shape)
    axes = np.stack([left, up, np.cross(left, up)], 1)
    origin = settling[:, 0] * np.array([1.0, 0, 1])
    seen = np.moveaxis(positions[:, starts[:, None] + shown], 0, 2)
    local = seen - origin[:, None, None, None]
    turned = np.einsum("nij,nfpkj->nfpki", axes, local)
    return turned.reshape(*turned.shape[:2], -1, 3).astype(np.float32)


def _views(positions: np.ndarray) -> list[np.ndarray]:
    """The same motion and its mirror image, each with two people in both orders."""
    mirrored = (positions @ REFLECTION)[:, :, SMPL22.mirrored]
    if len(positions) == 1:
        return [positions, mirrored]
    return [positions, positions[::-1], mirrored, mirrored[::-1]]


def _coarse(windows: np.ndarray) -> np.ndarray:
    """(N, K, 3): means over BLOCKS parts of equal length and each person's groups of joints."""
    count, frames, joints, _ = windows.shape
    parts = windows.reshape(count, BLOCKS, frames // BLOCKS, joints, 3).mean(2)
    people = parts.reshape(count, BLOCKS, -1, SMPL22.num_joints, 3)
    grouped = np.stack([people[..., group, :].mean(-2) for group in GROUPS], -2)
    return grouped.reshape(count, -1, 3)


def _bounds(one_QK3: np.ndarray, other_K3N: np.ndarray) -> np.ndarray:
    """(Q, N) at most the distances of the windows that these K points are means of.

    The distance of means is at most the mean of distances.
    """
    groups = [len(group) for group in GROUPS]
    sizes = np.array(groups * (len(other_K3N) // len(groups)), np.float32)
    bounds = np.empty((len(one_QK3), other_K3N.shape[-1]), np.float32)
    for row, points in zip(bounds, one_QK3, strict=True):
        away = other_K3N - points[..., None]
        away *= away
        row[:] = sizes / sizes.sum() @ np.sqrt(away[:, 0] + away[:, 1] + away[:, 2])
    return bounds


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(...) mean distance between joints (..., F, J, 3)."""
    away = one - other
    return np.sqrt(np.einsum("...i,...i->...", away, away)).mean((-1, -2))
