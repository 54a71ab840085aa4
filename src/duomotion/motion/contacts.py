"""Feet on the ground: finding contacts, and taking the sliding out of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_cdt, gaussian_filter1d, minimum_filter1d

from duomotion.motion.ik import bend_limb
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations, local_rotations
from duomotion.motion.runs import runs
from duomotion.motion.skeleton import Skeleton

FOOT_JOINTS = ("left_ankle", "left_foot", "right_ankle", "right_foot")
# InterGen's thresholds at 30 fps: squared metres a frame, and metres above the floor.
CONTACT_SPEED = 0.001
ANKLE_CONTACT, FOOT_CONTACT = 0.12, 0.05
CONTACT_HEIGHTS = 2 * (ANKLE_CONTACT, FOOT_CONTACT)

# Those below are ours; heights are of joints above the floor in metres.
# Median, in the training clips of the open pairs and of the open solo motion, of how low the lowest
# joint gets within `SNAP_WINDOW`.
SOLE = 0.007
SNAP_WITHIN = 0.12  # people who don't get nearer to the floor are left alone
SNAP_WINDOW = 1.0  # seconds
SNAP_SECONDS = 0.2  # standard deviation of the Gaussian over which that height is averaged

# A foot is in stance where it is low and slow. The heights leave room for motion that floats.
STANCE_TOE, STANCE_ANKLE = 0.08, 0.18
STANCE_SPEED = 0.6  # m/s
SPEED_SMOOTHING = 1.0  # frames, standard deviation; keeps jitter from ending a stance
ANKLE_FLOOR = 0.04  # an ankle below it has its heel in the floor
LIFT_SMOOTHING = 2.0  # frames, standard deviation, of what lifts feet out of the floor


def foot_joints(skeleton: Skeleton) -> list[int]:
    """Indices of left ankle, left foot, right ankle, right foot."""
    return [skeleton.index(name) for name in FOOT_JOINTS]


def foot_contacts(feet: np.ndarray) -> np.ndarray:
    """Which of left ankle, left foot, right ankle, right foot touch the floor (InterGen).

    Args:
        feet: (..., T, 4, 3) metres at 30 fps, floor at height 0.

    Returns:
        (..., T, 4) bool; the last frame repeats the one before it.
    """
    last, before = feet[..., -1:, :, :], feet[..., -2:, :, :][..., :1, :, :]
    step = np.diff(feet, axis=-3, append=2 * last - before)
    return ((step**2).sum(-1) < CONTACT_SPEED) & (feet[..., 1] < np.array(CONTACT_HEIGHTS))


def foot_sliding(feet: np.ndarray, fps: float = 30.0) -> np.ndarray:
    """Mean horizontal speed (...) in m/s of foot joints near the floor.

    Args:
        feet: (..., T, 4, 3) metres: left ankle, left foot, right ankle, right foot.

    A joint counts at a frame with weight 2 - 2^(height / threshold) where it is below its contact
    height in this frame and the next, as in Ling et al. 2020 (Motion VAEs), so that a swinging foot
    does not count at all and one flat on the floor counts fully.
    """
    speed = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=-3), axis=-1) * fps
    height = np.maximum(feet[..., :-1, :, 1], feet[..., 1:, :, 1])
    weight = 2 - 2 ** np.clip(height / np.array(CONTACT_HEIGHTS), 0, 1)
    return (speed * weight).mean((-1, -2))


def snap_to_floor(interaction: Interaction) -> Interaction:
    """Moves people who float a little above the floor, or stand a little in it, onto it.

    Within a second a person who is not in the air has a foot down. How low the lowest joint gets
    in that time changes slowly; where it is near the sole's height, the difference is subtracted.
    Whoever is in the air for longer, such as one who is carried, stays there.
    """
    lowest_PT = interaction.positions[..., 1].min(-1).astype(np.float64)
    window = 2 * round(SNAP_WINDOW / 2 * interaction.fps) + 1
    down_PT = minimum_filter1d(lowest_PT, window, axis=1, mode="nearest") - SOLE
    near_PT = np.where(np.abs(down_PT) < SNAP_WITHIN, down_PT, 0)
    slow_PT = gaussian_filter1d(near_PT, SNAP_SECONDS * interaction.fps, axis=1, mode="nearest")
    roots = interaction.root_positions.copy()
    roots[..., 1] -= slow_PT
    return replace(interaction, root_positions=roots)


def lock_feet(
    interaction: Interaction,
    fixed_PT: np.ndarray | None = None,
    *,
    blend: int = 5,
    min_frames: int = 4,
) -> Interaction:
    """Removes foot skating by two-bone inverse kinematics of the legs.

    A foot is in stance while it is low and slow for at least `min_frames`. It is held at its mean
    position of that time, and the correction fades in and out over `blend` frames on either side,
    faster where the next stance is nearer. The foot keeps its orientation in the world, knees keep
    the plane they bend in. Frames marked in `fixed_PT` stay as they are, and a foot in stance at
    their border stays where it is there; other corrections fade in over `blend` frames from there.
    """
    if interaction.num_frames < min_frames:
        return interaction
    if fixed_PT is None:
        fixed_PT = np.zeros(interaction.root_positions.shape[:2], bool)
    skeleton = interaction.skeletons[0]
    positions = interaction.positions.astype(np.float64)
    rotations = interaction.rotations.astype(np.float64)
    for person in range(interaction.num_people):
        world = global_rotations(rotations[person], skeleton)
        for side in ("left", "right"):
            chain = [skeleton.index(f"{side}_{part}") for part in ("hip", "knee", "ankle", "foot")]
            hip, knee, ankle, toe = positions[person][:, chain].swapaxes(0, 1)
            shift = _stance_shift(ankle, toe, interaction.fps, blend, min_frames, fixed_PT[person])
            if shift.any():
                bend_limb(world, chain, hip, knee, ankle, ankle + shift)
        rotations[person] = local_rotations(world, skeleton)
    return replace(interaction, rotations=rotations)


def _stance_shift(
    ankle: np.ndarray,
    toe: np.ndarray,
    fps: float,
    blend: int,
    min_frames: int,
    fixed_T: np.ndarray,
) -> np.ndarray:
    """Displacement (T, 3) of an ankle that keeps the foot in place while in stance."""
    ball = (ankle + toe) / 2
    smooth = gaussian_filter1d(ball, SPEED_SMOOTHING, axis=0, mode="nearest")
    speed = np.linalg.norm(np.gradient(smooth[:, [0, 2]], axis=0), axis=-1) * fps
    low = (toe[:, 1] < STANCE_TOE) & (ankle[:, 1] < STANCE_ANKLE)
    stances = runs(low & (speed < STANCE_SPEED), min_frames)
    shift, frames = np.zeros_like(ankle), np.arange(len(ankle))
    free_T = ease_mask(fixed_T, blend)
    gaps = [blend, *(after[0] - before[1] for before, after in pairwise(stances)), blend]
    for (start, stop), gap_before, gap_after in zip(stances, gaps, gaps[1:], strict=False):
        anchor, ease_T = ball[start:stop].mean(0), free_T
        if (border := start + np.flatnonzero(_borders(fixed_T[start:stop]))).size:
            nearest = np.clip(frames, start, stop - 1)
            anchor = np.stack([np.interp(nearest, border, axis) for axis in ball[border].T], -1)
            ease_T = ~fixed_T
        # Between stances that are close the fades add up to one, so the foot goes straight over.
        distance = np.maximum(
            (start - frames) / (min(blend, gap_before) + 1),
            (frames - (stop - 1)) / (min(blend, gap_after) + 1),
        )
        fade = 0.5 + 0.5 * np.cos(np.pi * np.clip(distance, 0, 1))
        pull = anchor - ball[np.clip(frames, start, stop - 1)]
        pull[:, 1] = 0
        shift += pull * (fade * ease_T)[:, None]
    below_floor = np.minimum(np.minimum(toe[:, 1], ankle[:, 1] - ANKLE_FLOOR), 0)
    shift[:, 1] -= gaussian_filter1d(below_floor, LIFT_SMOOTHING, mode="nearest") * free_T
    return shift


def ease_mask(fixed_T: np.ndarray, blend: int) -> np.ndarray:
    """(T,) from 0 where frames are fixed to 1 where the next one is more than `blend` away."""
    if not fixed_T.any():
        return np.ones(len(fixed_T))
    away = np.asarray(distance_transform_cdt(~fixed_T))
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(away / (blend + 1), 1))


def _borders(flags: np.ndarray) -> np.ndarray:
    """Those flags that have a neighbour which is not set."""
    padded = np.pad(flags, 1, mode="edge")
    return flags & ~(padded[:-2] & padded[2:])
