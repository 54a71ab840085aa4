"""Inverse kinematics of limbs of two bones: legs from hip to ankle, arms from shoulder to wrist."""

import numpy as np

from duomotion.motion.rotations import normalise, rotation_between

STRAIGHT = 0.9995  # share of its length up to which a limb is stretched; it keeps its plane
FOLDED = 1e-4  # metres that a folded limb is longer than its bones' difference


def bend_limb(
    world: np.ndarray,
    chain: list[int],
    root: np.ndarray,
    hinge: np.ndarray,
    end: np.ndarray,
    goal: np.ndarray,
) -> None:
    """Turn the two bones of a limb so that its end meets `goal` as far as it can be reached.

    The hinge stays in the plane in which it bends; what hangs on the limb keeps its orientation.

    Args:
        world: world rotations (T, J, 3, 3), changed in place.
        chain: the joints that carry the bones, as (hip, knee) or (shoulder, elbow); others may
            follow.
        root, hinge, end, goal: (T, 3) metres.
    """
    upper = np.linalg.norm(hinge - root, axis=-1)
    lower = np.linalg.norm(end - hinge, axis=-1)
    before = np.linalg.norm(end - root, axis=-1)
    length = np.maximum(np.linalg.norm(goal - root, axis=-1), abs(upper - lower) + FOLDED)
    # Straightened at once, a limb jerks its hinge, so it nears its full length exponentially.
    room = np.maximum((upper + lower) * STRAIGHT - before, 1e-6)
    excess = np.maximum(length - before, 0)
    length = np.minimum(length, before) - room * np.expm1(-excess / room)
    direction = normalise(goal - root)
    bend = (hinge - root) - ((hinge - root) * direction).sum(-1)[:, None] * direction
    along = (upper**2 + length**2 - lower**2) / (2 * length)
    out = np.sqrt(np.maximum(upper**2 - along**2, 0))
    new_hinge = root + along[:, None] * direction + out[:, None] * normalise(bend)
    new_end = root + length[:, None] * direction
    world[:, chain[0]] = rotation_between(hinge - root, new_hinge - root) @ world[:, chain[0]]
    world[:, chain[1]] = rotation_between(end - hinge, new_end - new_hinge) @ world[:, chain[1]]
