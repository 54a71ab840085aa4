"""How two people's motion compares with a recording of the same text, and clips with each other.

All arrays are joint positions of SMPL-22 people in metres, (2, T, 22, 3); `spread` takes one person
as well. Clips of other lengths are compared phase by phase: both are replayed in the same number of
frames.
"""

from collections.abc import Sequence

import numpy as np

from duomotion.evaluation.metrics.physics import bone_depths
from duomotion.motion.canonical import facing
from duomotion.motion.kinematics import palms
from duomotion.motion.rotations import normalise, yaw
from duomotion.motion.skeleton import SMPL22

PHASES = 40  # frames in which clips are compared
CONTACT_GAP = 0.05  # metres between the capsules of two bones that touch; flesh and measurement
FLOOR = np.array([1.0, 0, 1])  # times a point: the one under it
REGIONS = {
    "trunk": ("hip", "spine1", "spine2", "spine3", "collar"),
    "head": ("neck", "head"),
    "upper arm": ("shoulder", "elbow"),
    "hand": ("wrist",),
    "leg": ("knee", "ankle", "foot"),
}
"""Parts of the body that touch, by the joints at the far ends of their bones."""


def contact_agreement(made: np.ndarray, reference: np.ndarray) -> float:
    """Whether the same parts of the two bodies touch for as much of the time, from 0 to 1.

    The Dice coefficient of how long each pair of parts (`REGIONS`, left and right apart) touches;
    1 where nobody touches in either clip. Which person is the first does not matter.
    """
    shares, recorded = contact_shares(made), contact_shares(reference)
    return max(_dice(shares, recorded), _dice(shares, recorded.T))


def contact_shares(positions: np.ndarray) -> np.ndarray:
    """(R, R) share of frames in which each part of the first person touches each of the second."""
    reaching = positions.astype(np.float64)
    for side in ("left", "right"):
        elbow, wrist = (SMPL22.index(f"{side}_{name}") for name in ("elbow", "wrist"))
        reaching[:, :, wrist] = palms(reaching[:, :, wrist], reaching[:, :, elbow])
    touching_TBB = bone_depths(reaching) > -CONTACT_GAP
    regions = [_region(joint) for joint, _ in SMPL22.bones]
    names = sorted(set(regions))
    belongs_BR = np.array([[region == name for name in names] for region in regions])
    return (belongs_BR.T @ touching_TBB @ belongs_BR).mean(0)


def role_consistency(made: np.ndarray, reference: np.ndarray) -> float:
    """Share of the time in which each person plays the same one of the reference's two roles.

    At each phase the people of `made` are matched to those of `reference` by where their joints
    are, seen from between the two; 1 where the same match is the better one from beginning to end,
    one half where people change roles all the time or the two roles can't be told apart.
    """
    one, other = (_from_between(phases(clip)) for clip in (made, reference))
    straight_T = np.linalg.norm(one - other, axis=-1).mean((0, 2))
    turned = other[::-1] * np.array([-1.0, 1, -1])  # seen from between, the other way round
    crossed_T = np.linalg.norm(one - turned, axis=-1).mean((0, 2))
    share = float((straight_T < crossed_T).mean() + 0.5 * (straight_T == crossed_T).mean())
    return max(share, 1 - share)


def spread(clips: Sequence[np.ndarray]) -> float:
    """How different clips are: the mean distance of their joints in metres, over all pairs.

    Each is seen from between the two people at its start, or from where the one person starts.

    Raises:
        ValueError: there are fewer than two clips.
    """
    if len(clips) < 2:
        raise ValueError(f"a spread is of at least 2 clips, not {len(clips)}")
    seen = np.stack([_from_the_start(phases(clip)) for clip in clips])
    total, pairs = 0.0, 0
    for index, clip in enumerate(seen[:-1]):
        total += np.linalg.norm(seen[index + 1 :] - clip, axis=-1).mean((1, 2, 3)).sum()
        pairs += len(seen) - index - 1
    return float(total / pairs)


def phases(positions: np.ndarray) -> np.ndarray:
    """The same motion in `PHASES` frames, whatever its length; linear in between."""
    times = np.linspace(0, positions.shape[1] - 1, PHASES)
    low = np.minimum(times.astype(int), positions.shape[1] - 2)
    part = (times - low)[:, None, None]
    return positions[:, low] * (1 - part) + positions[:, low + 1] * part


def _from_the_start(positions: np.ndarray) -> np.ndarray:
    if len(positions) == 2:
        return _from_between(positions, fixed=True)
    start = positions[0, 0]
    return (positions - start[0] * FLOOR) @ yaw(-facing(start, SMPL22)).T


def _from_between(positions: np.ndarray, *, fixed: bool = False) -> np.ndarray:
    """Positions from the middle of the floor between two people, +X from the first to the second.

    In each frame, or with `fixed` from where they stand in the first frame.
    """
    roots = positions[:, :1, 0] if fixed else positions[:, :, 0]
    middle_T3 = roots.mean(0) * FLOOR
    along_T3 = normalise((roots[1] - roots[0]) * FLOOR)
    up_T3 = np.broadcast_to([0.0, 1.0, 0.0], along_T3.shape)
    axes_T33 = np.stack([along_T3, up_T3, np.cross(along_T3, up_T3)], 1)
    away = positions - middle_T3[:, None]
    return np.einsum("tij,ptkj->ptki", np.broadcast_to(axes_T33, (away.shape[1], 3, 3)), away)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return float(2 * np.minimum(one, other).sum() / total) if total else 1.0


def _kind(joint: int) -> str:
    """Name of a joint of SMPL-22 without its side."""
    return SMPL22.names[joint].split("_")[-1]


def _region(joint: int) -> str:
    """Part of the body that the bone to a joint belongs to, limbs with their side."""
    (region,) = (name for name, kinds in REGIONS.items() if _kind(joint) in kinds)
    side, _, _ = SMPL22.names[joint].rpartition("_")
    return region if region in ("trunk", "head") else f"{side} {region}"
