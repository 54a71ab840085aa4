"""Known motion: filling what is open in it, and joining what is generated to it.

Axes: P people, T frames, J joints.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.motion.canonical import interpolate
from duomotion.motion.interaction import Interaction, together

SETTLING_SECONDS = 0.3
"""Time constant with which a difference at a seam fades."""


def runs(flags_T: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags_T.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def filled(known: Interaction, mask_PT: np.ndarray) -> Interaction:
    """The known motion, its open frames filled between known ones and held before and behind them.

    Every person needs a known frame.
    """
    people = []
    for person, mask_T in enumerate(mask_PT):
        frames, given = np.arange(known.num_frames), np.flatnonzero(mask_T)
        after = np.searchsorted(given, frames)
        low, high = given[(after - 1).clip(0)], given[after.clip(max=len(given) - 1)]
        part = ((frames - low) / np.maximum(high - low, 1)).clip(0, 1)
        people.append(interpolate(known.person(person), low, high, part))
    return together(people)


def impose(generated: Interaction, known: Interaction, mask_PT: np.ndarray) -> Interaction:
    """The generated motion with the known frames as they were given, and no jump where they meet.

    At a seam the generated body is moved onto the known one. This offset, which has a velocity as
    well, then fades like a critically damped spring; games know this as inertialization. People of
    whom something is known have their own bone lengths all the time.

    Args:
        generated: all people.
        known: the first P of them on the same skeleton tree, as many frames.
        mask_PT: True where a frame is known.
    """
    people = [generated.person(person) for person in range(generated.num_people)]
    for person, mask_T in enumerate(mask_PT):
        if mask_T.any():
            people[person] = _joined(people[person], known.person(person), mask_T)
    return together(people)


def _joined(generated: Interaction, known: Interaction, mask_T: np.ndarray) -> Interaction:
    """One person's motion; the known frames of both are where the offset is known."""
    turns = known.rotations[0] @ np.swapaxes(generated.rotations[0], -1, -2)
    offset_TK3 = np.concatenate(
        [
            (known.root_positions - generated.root_positions)[0, :, None],
            Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(*turns.shape[:2], 3),
        ],
        axis=1,
    )
    settling = SETTLING_SECONDS * generated.fps
    for start, stop in runs(~mask_T):
        from_left = _fading(offset_TK3[:start], mask_T[:start], stop - start, settling)
        from_right = _fading(offset_TK3[stop:][::-1], mask_T[stop:][::-1], stop - start, settling)
        share = np.full(stop - start, float(start > 0))
        if start > 0 and stop < len(mask_T):
            share = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(share) + 1) / (len(share) + 1))
        share = share[:, None, None]
        offset_TK3[start:stop] = share * from_left + (1 - share) * from_right[::-1]
    back = Rotation.from_rotvec(offset_TK3[:, 1:].reshape(-1, 3)).as_matrix().reshape(turns.shape)
    roots = generated.root_positions[0] + offset_TK3[:, 0]
    rotations = back @ generated.rotations[0]
    roots[mask_T] = known.root_positions[0, mask_T]
    rotations[mask_T] = known.rotations[0, mask_T]
    return replace(known, root_positions=roots[None], rotations=rotations[None])


def _fading(offset_TK3: np.ndarray, mask_T: np.ndarray, frames: int, settling: float) -> np.ndarray:
    """(frames, K, 3) how an offset goes on behind its last frame."""
    if not len(offset_TK3):
        return np.zeros((frames, *offset_TK3.shape[1:]))
    last, has_rate = offset_TK3[-1], len(mask_T) > 1 and mask_T[-2]
    rate = last - offset_TK3[-2] if has_rate else np.zeros_like(last)
    time = np.arange(1, frames + 1)[:, None, None]
    return (last + (rate + last / settling) * time) * np.exp(-time / settling)
