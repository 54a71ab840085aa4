"""Whether two people move like bodies: feet, bones, jumps, floor, and bodies inside each other.

Every function takes joint positions in metres (Y up, floor at height 0); `report` runs them all on
an interaction, and `Limits` says which of the numbers real motion does not show.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from duomotion.body.overlap import collision_scores, overlap_volumes
from duomotion.motion.canonical import interpolate
from duomotion.motion.contacts import foot_joints, foot_sliding
from duomotion.motion.interaction import Interaction
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22, Skeleton

# Radii in metres of the capsules around the bones of an average adult, by the joint at the bone's
# far end; slim, so that touching skin does not count as penetration.
RADII = {
    "hip": 0.09, "knee": 0.06, "ankle": 0.04, "foot": 0.03, "spine1": 0.10, "spine2": 0.10,
    "spine3": 0.10, "neck": 0.06, "head": 0.07, "collar": 0.07, "shoulder": 0.05, "elbow": 0.04,
    "wrist": 0.03,
}  # fmt: skip

# Closer than this, one person may carry the other, in metres.
CARRY_GAP = 0.05
# Overlap counts from this depth, in metres.
OVERLAP = 0.05
SOUND_LITRES = 0.8  # of one body inside the other, at most; the median recording has 0.1
# Where the slim capsules, which end at the wrists, are this far apart in metres, no more than the
# fingers of two hands could be inside each other.
FLESH = 0.25
JUMP_SECONDS = 0.7  # in which a jump is over
OVERLAP_RATE = 10.0  # frames a second whose overlap is measured as a volume
# By number of people, m/s and m/s^2: 99.9 % of joints and frames are below in the 180 training
# clips of the open pairs (30 fps), and in the 1283 of the open solo clips (20 fps).
REAL_SPEED = {2: 4.2, 1: 5.6}
REAL_ACCELERATION = {2: 44.0, 1: 56.0}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest values of sound motion, by the names of `report`.

    On the 180 training clips of the open pairs the median, the 99th percentile and the largest
    value are 0.13, 0.30, 0.33 m/s of foot sliding; 3.6, 9.2, 10.0 m/s; 37, 159, 296 m/s^2; a
    jumpy share of 0, 0.030, 0.053; 0, 0.009, 0.012 m under the floor; 0.018, 0.050, 0.073 m of
    hovering. Bodies overlap by 0, 0.16, 0.17 m: by more than 0.10 m only where one person lies or
    stands on the other's back, and in more than 40 % of a clip only there and in a close embrace.
    """

    foot_sliding: float = 0.31
    bone_drift: float = 0.02
    top_speed: float = 9.3
    top_acceleration: float = 160.0
    jumpy: float = 0.03
    floor_depth: float = 0.02
    hover: float = 0.08
    body_depth: float = 0.10
    body_overlap: float = 0.4

    def broken(self, report: dict[str, float]) -> tuple[str, ...]:
        """Names of the measurements that are over their limit or not finite."""
        return tuple(
            field.name
            for field in fields(self)
            if not report[field.name] <= getattr(self, field.name)
        )


PAIR_LIMITS = Limits()
SOLO_LIMITS = Limits(foot_sliding=0.15, top_speed=11.0, top_acceleration=165.0, jumpy=0.05)
"""Those of one person, at 20 frames a second.

On the 1283 training clips of the open solo motion the median, the 99th percentile and the largest
value are 0.02, 0.15, 0.28 m/s of foot sliding; 3.4, 11.0, 18.0 m/s; 31, 163, 250 m/s^2; a jumpy
share of 0, 0.049, 0.19. Their floor is where the lowest joint is. Who is higher over it than 0.08 m
for longer than a jump climbs, swims or stands on something.
"""


def report(interaction: Interaction) -> dict[str, float]:
    """All measurements of an interaction of SMPL-22 people; 0 for what one person can't do.

    Returns:
        foot_sliding: m/s, of feet near the floor, the worst of the people.
        bone_drift: the largest change of a bone's length, as a share of its median length.
        top_speed, top_acceleration: of any joint, m/s and m/s^2.
        jerk: of all joints, m/s^3, the mean of its length.
        jumpy: share of joints and frames with more speed or acceleration than 99.9 % of real ones.
        floor_depth: metres of the lowest joint under the floor.
        hover: metres that somebody stays over the floor for longer than a jump.
        body_depth: metres that two bodies reach into each other, at worst.
        body_overlap: share of frames in which they do, by more than 5 cm.
        body_litres: volume of one body inside the other, the largest of 10 frames a second.

    Raises:
        ValueError: another skeleton, fewer than 3 frames, or more than two people.
    """
    if interaction.num_people not in REAL_SPEED:
        raise ValueError(
            f"physics.report measures one person or two; this motion has {interaction.num_people}"
        )
    if not interaction.skeletons[0].same_tree(SMPL22) or interaction.num_frames < 3:
        raise ValueError(
            f"physics.report needs SMPL-22 joints and 3 frames; this motion has "
            f"{interaction.skeletons[0].num_joints} joints and {interaction.num_frames} frames"
        )
    skeleton, positions = interaction.skeletons[0], interaction.positions.astype(np.float64)
    feet = positions[:, :, foot_joints(skeleton)]
    speeds, accelerations = joint_motion(positions, interaction.fps)
    people = interaction.num_people
    jumpy = (speeds[..., 1:, :] > REAL_SPEED[people]) | (accelerations > REAL_ACCELERATION[people])
    depths = body_depths(positions) if len(positions) > 1 else None
    deepest = np.zeros(1) if depths is None else depths
    return {
        "foot_sliding": float(foot_sliding(feet, interaction.fps).max()),
        "bone_drift": bone_drift(positions, skeleton),
        "top_speed": float(speeds.max()),
        "top_acceleration": float(accelerations.max()),
        "jerk": jerk(positions, interaction.fps),
        "jumpy": float(jumpy.mean()),
        "floor_depth": floor_depth(positions),
        "hover": hover(positions, depths, interaction.fps),
        "body_depth": float(max(0.0, deepest.max())),
        "body_overlap": float((deepest > OVERLAP).mean()),
        "body_litres": body_litres(interaction, deepest),
    }


def bone_drift(positions: np.ndarray, skeleton: Skeleton = SMPL22) -> float:
    """Largest deviation of a bone from its median length, as a share; positions (P, T, J, 3)."""
    child, parent = np.array(skeleton.bones).T
    lengths = np.linalg.norm(positions[..., child, :] - positions[..., parent, :], axis=-1)
    return float(np.abs(lengths / np.median(lengths, axis=-2, keepdims=True) - 1).max())


def jerk(positions: np.ndarray, fps: float = 30.0) -> float:
    """Mean length of the third derivative of joint positions (..., T, J, 3), m/s^3."""
    if positions.shape[-3] < 4:
        return 0.0
    return float(np.linalg.norm(np.diff(positions, 3, axis=-3), axis=-1).mean() * fps**3)


def floor_depth(positions: np.ndarray) -> float:
    """How far the lowest joint is under the floor, metres, at least 0."""
    return float(max(0.0, -positions[..., 1].min()))


def hover(positions: np.ndarray, depths_T: np.ndarray | None = None, fps: float = 30.0) -> float:
    """The greatest height in metres that somebody's lowest joint keeps for longer than a jump.

    Who touches the other person may be carried, and counts with the lower of the two. A clip
    that is shorter than a jump counts as a whole.

    Args:
        positions: (P, T, J, 3).
        depths_T: `body_depths` of two people.
    """
    lowest = positions[..., 1].min(-1)
    if depths_T is not None:
        lowest = np.where(depths_T > -CARRY_GAP, lowest.min(0), lowest)
    frames = min(round(JUMP_SECONDS * fps), lowest.shape[-1])
    return float(max(0.0, sliding_window_view(lowest, frames, axis=-1).min(-1).max()))


def body_depths(positions: np.ndarray, skeleton: Skeleton = SMPL22) -> np.ndarray:
    """How deep (T,) in metres two people reach into each other; negative is the gap between them.

    Args:
        positions: (2, T, J, 3).
    """
    return bone_depths(positions, skeleton).max((-1, -2))


def body_litres(interaction: Interaction, depths_T: np.ndarray) -> float:
    """Largest overlap in litres of 10 frames a second, of those in which bodies are close.

    Args:
        depths_T: `body_depths`.
    """
    close, _ = _close(interaction, depths_T)
    return 0.0 if close is None else float(overlap_volumes(close).max())


def collision(interaction: Interaction) -> float:
    """The mean of `collision_scores` (ILD, appendix F.5) over 10 frames a second of two people."""
    close, shown = _close(interaction, body_depths(interaction.positions.astype(np.float64)))
    return 0.0 if close is None else float(collision_scores(close).sum() / shown)


def _close(interaction: Interaction, depths_T: np.ndarray) -> tuple[Interaction | None, int]:
    """Of 10 frames a second those in which bodies are close, and how many the 10 a second are."""
    shown = np.arange(0, interaction.num_frames, max(1, round(interaction.fps / OVERLAP_RATE)))
    if interaction.num_people < 2:
        return None, len(shown)
    close = shown[depths_T[shown] > -FLESH]
    if not len(close):
        return None, len(shown)
    return interpolate(interaction, close, close, np.zeros(len(close))), len(shown)


def bone_depths(positions: np.ndarray, skeleton: Skeleton = SMPL22) -> np.ndarray:
    """How deep (T, N, N) in metres each bone of the first person is in each of the second's.

    Bodies are capsules around the bones, with the radii of `RADII`; negative is a gap.
    """
    child, parent = np.array(skeleton.bones).T
    radii = np.array([RADII[skeleton.names[joint].split("_")[-1]] for joint in child])
    starts, ends = positions[:, :, parent], positions[:, :, child]
    apart = segment_gaps(starts[0], ends[0], starts[1], ends[1])
    return radii[:, None] + radii - apart


def segment_gaps(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Smallest distances (..., N, M) between N segments from a to b and M from c to d.

    Ericson, Real-Time Collision Detection (2005), section 5.1.9, with every inner product of two
    segments from a matrix product.

    Args:
        a, b: (..., N, 3).
        c, d: (..., M, 3).
    """
    origin = a[..., :1, :]
    a, b, c, d = a - origin, b - origin, c - origin, d - origin
    first, second = b - a, d - c
    ff, ss = _inner(first, first)[..., :, None], _inner(second, second)[..., None, :]
    fs = first @ second.swapaxes(-1, -2)
    fb = _inner(first, a)[..., :, None] - first @ c.swapaxes(-1, -2)
    sb = a @ second.swapaxes(-1, -2) - _inner(second, c)[..., None, :]
    bb = _inner(a, a)[..., :, None] + _inner(c, c)[..., None, :] - 2 * a @ c.swapaxes(-1, -2)
    spread = ff * ss - fs**2
    along = np.clip((fs * sb - fb * ss) / np.where(spread > 1e-12, spread, np.inf), 0, 1)
    across = np.clip((fs * along + sb) / np.maximum(ss, 1e-12), 0, 1)
    along = np.clip((fs * across - fb) / np.maximum(ff, 1e-12), 0, 1)
    squared = bb + along * (along * ff + 2 * fb - 2 * across * fs) + across * (across * ss - 2 * sb)
    return np.sqrt(np.maximum(squared, 0))


def _inner(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner products (...) of vectors (..., 3)."""
    return np.einsum("...i,...i->...", one, other)
