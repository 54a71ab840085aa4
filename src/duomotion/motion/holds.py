"""Hands of two people that hold each other: finding them, and bringing them together."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_cdt

from duomotion.motion.contacts import ease_mask
from duomotion.motion.ik import bend_limb
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations, local_rotations, palms
from duomotion.motion.rotations import matrix_to_sixd_concatenated, sixd_concatenated_to_matrix
from duomotion.motion.runs import runs
from duomotion.motion.seams import joint_motion

# Metres between the middles of two hands.
TAKEN, LOST = 0.20, 0.30  # of hands that are taken, and that are lost again
HELD = 0.05  # what is left between hands that are brought together
SHORTEST = 0.4  # seconds; hands that pass each other are sooner apart
EASE = 0.4  # seconds over which hands are brought together and let go
JERKED = 40.0  # m/s^2 that an arm may gain by being bent
ROUNDS = 4  # in which the other arm makes up for an arm that is stretched out

SIDES = ("left", "right")


def hands(interaction: Interaction) -> np.ndarray:
    """(P, T, 2, 3) middles of left and right hands in metres."""
    skeleton, positions = interaction.skeletons[0], interaction.positions.astype(np.float64)
    wrists, elbows = (
        positions[:, :, [skeleton.index(f"{side}_{part}") for side in SIDES]]
        for part in ("wrist", "elbow")
    )
    return palms(wrists, elbows)


def held_hands(interaction: Interaction) -> np.ndarray:
    """Which hands of two people hold each other, (T, 2, 2) bool.

    The last axes are the left and right hand of the first person and of the second. A hold lasts as
    long as two hands are within `LOST` of each other, if they come within `TAKEN` in that time. No
    hand holds two: the nearer one has it.
    """
    first, second = hands(interaction)
    gaps = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    shortest = round(SHORTEST * interaction.fps)
    candidates = []
    for one, other in np.ndindex(2, 2):
        gap = gaps[:, one, other]
        for start, stop in runs(gap < LOST, shortest):
            if gap[start:stop].min() < TAKEN:
                candidates.append((gap[start:stop].mean(), start, stop, one, other))
    held = np.zeros(gaps.shape, bool)
    for _, start, stop, one, other in sorted(candidates):
        there = held[start:stop]
        free = ~np.any(there[:, one], -1) & ~np.any(there[:, :, other], -1)
        for begin, end in runs(free, shortest):
            held[start + begin : start + end, one, other] = True
    return held


def hold_hands(interaction: Interaction, fixed_PT: np.ndarray | None = None) -> Interaction:
    """Brings hands together that hold each other, but for holds that would jerk an arm.

    Where an arm is nearly stretched or folded, its elbow has no clear side to bend to.

    Args:
        interaction, fixed_PT: as of `join_hands`.
    """
    held = held_hands(interaction)
    if not held.any():
        return interaction
    joined = join_hands(interaction, held, fixed_PT)
    jerked_PTH = arm_accelerations(joined) > arm_accelerations(interaction) + JERKED
    if not jerked_PTH.any():
        return joined
    ease = round(EASE * interaction.fps)
    for one, other in np.ndindex(2, 2):
        jerked_T = jerked_PTH[0, :, one] | jerked_PTH[1, :, other]
        for start, stop in runs(held[:, one, other]):
            if jerked_T[max(start - ease, 0) : stop + ease].any():
                held[start:stop, one, other] = False
    return join_hands(interaction, held, fixed_PT)


def arm_accelerations(interaction: Interaction) -> np.ndarray:
    """(P, T-2, 2) of the left and right elbow or wrist, whichever is larger, in m/s^2."""
    joints = [
        [interaction.skeletons[0].index(f"{side}_{part}") for part in ("elbow", "wrist")]
        for side in SIDES
    ]
    positions = interaction.positions.astype(np.float64)
    return joint_motion(positions, interaction.fps)[1][..., joints].max(-1)


def join_hands(
    interaction: Interaction, held: np.ndarray, fixed_PT: np.ndarray | None = None
) -> Interaction:
    """Brings hands that hold each other within reach of the palms by bending both arms.

    Each hand goes half of the way, further where the other arm is stretched out, or where the other
    person's frame is known. The correction is eased in before a hold and out behind it, and around
    known frames, which stay as they are. Wrists keep their orientation.

    Args:
        interaction: two people whose joints have the names of SMPL's.
        held: (T, 2, 2), as of `held_hands`.
        fixed_PT: bool, frames that are known.
    """
    if not held.any():
        return interaction
    ease = round(EASE * interaction.fps)
    if fixed_PT is None:
        fixed_PT = np.zeros((2, interaction.num_frames), bool)
    free, partner_free = (ease_mask(fixed_T, ease)[:, None] for fixed_T in fixed_PT)
    shares = free * (1 - partner_free / 2), partner_free * (1 - free / 2)
    joined = interaction
    for _ in range(ROUNDS):
        reached = hands(joined)
        shifts = np.zeros_like(reached)
        for one, other in np.ndindex(2, 2):
            way = reached[1, :, other] - reached[0, :, one]
            gap = np.linalg.norm(way, axis=-1, keepdims=True)
            way *= np.maximum(gap - HELD, 0) / np.maximum(gap, 1e-9)
            way = _eased(way, held[:, one, other], ease)
            shifts[0, :, one] += shares[0] * way
            shifts[1, :, other] -= shares[1] * way
        joined = _moved_hands(joined, shifts)
    joined.rotations[fixed_PT] = interaction.rotations[fixed_PT]
    return joined


def _eased(shift: np.ndarray, held_T: np.ndarray, frames: int) -> np.ndarray:
    """Shifts (T, 3) while a hold lasts; outside those between its ends, fading over `frames`."""
    inside = np.flatnonzero(held_T)
    if not len(inside):
        return np.zeros_like(shift)
    away = np.asarray(distance_transform_cdt(~held_T))
    fade = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / (frames + 1), 1))
    between = [np.interp(np.arange(len(shift)), inside, axis) for axis in shift[inside].T]
    return np.stack(between, -1) * fade[:, None]


def _moved_hands(interaction: Interaction, shifts: np.ndarray) -> Interaction:
    """Hands moved by shifts (P, T, 2, 3) in metres as far as arms reach."""
    skeleton = interaction.skeletons[0]
    middles, positions = hands(interaction), interaction.positions.astype(np.float64)
    # What rounding leaves between rows grows along each chain and in each round.
    rotations = sixd_concatenated_to_matrix(
        matrix_to_sixd_concatenated(interaction.rotations.astype(np.float64))
    )
    for person in range(interaction.num_people):
        world = global_rotations(rotations[person], skeleton)
        for number, side in enumerate(SIDES):
            chain = [skeleton.index(f"{side}_{part}") for part in ("shoulder", "elbow")]
            shoulder, elbow = positions[person][:, chain].swapaxes(0, 1)
            middle, shift = middles[person, :, number], shifts[person, :, number]
            moved = np.flatnonzero(shift.any(-1))
            bent = world[moved]
            ends = (points[moved] for points in (shoulder, elbow, middle, middle + shift))
            bend_limb(bent, chain, *ends)
            world[moved] = bent
        rotations[person] = local_rotations(world, skeleton)
    return replace(interaction, rotations=rotations)
