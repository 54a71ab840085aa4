"""Known motion: filling what is open in it, keeping its tokens, joining what is generated to it.

Axes: P people, T frames, J joints.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.motion.canonical import facing, held, interpolate, transform
from duomotion.motion.contacts import lock_feet
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.kinematics import global_rotations, local_rotations
from duomotion.motion.layout import Layout
from duomotion.motion.rotations import yaw
from duomotion.motion.runs import runs
from duomotion.motion.skeleton import Skeleton
from duomotion.sampling.request import Request

SETTLING_SECONDS = 0.3
"""Time constant with which a difference at a seam fades."""


@dataclass(frozen=True)
class KnownMotion:
    """Known motion in its own world and in the model's, which begins where a known person does."""

    known: Interaction
    mask: np.ndarray
    reference_person: int  # whose start is the origin
    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def of(cls, request: Request, layout: Layout) -> "KnownMotion | None":
        if request.known is None:
            return None
        mask = request.mask
        people = sorted(
            np.flatnonzero(mask.any(1)).tolist(), key=lambda person: not mask[person, 0]
        )
        start = filled(together([request.known.person(p) for p in people]), mask[people])
        return cls(request.known, mask, people[0], *layout.placing(start))

    @property
    def people(self) -> list[int]:
        """Those of whom something is known."""
        return np.flatnonzero(self.mask.any(1)).tolist()

    def fixed(self, people: int) -> np.ndarray:
        """(people, T) bool, True where a frame is known."""
        return np.pad(self.mask, [(0, people - len(self.mask)), (0, 0)])

    @cached_property
    def placed(self) -> Interaction:
        return transform(self.known, self.rotation, self.translation)

    def filled_person(self, person: int, frames: int) -> Interaction:
        """A person's known motion, open frames filled, to its end or held there to `frames`."""
        mask_T = self.mask[person]
        whole = filled(self.placed.person(person), mask_T[None])
        return held(whole, frames)

    def to_world(self, bodies: Interaction) -> Interaction:
        """People from the model's world in the one of the known motion."""
        return transform(bodies, self.rotation.T, -self.rotation.T @ self.translation)

    def joined(self, bodies: Interaction) -> Interaction:
        """People in the world of the known motion, with the known frames as they were given.

        Feet stand still where the generated motion joins the known one.
        """
        locked = lock_feet(impose(bodies, self.known, self.mask), self.fixed(bodies.num_people))
        return impose(locked, self.known, self.mask)


def filled(known: Interaction, mask_PT: np.ndarray) -> Interaction:
    """The known motion, open frames interpolated between known ones and held before and after them.

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


def align_root_path(generated: Interaction, known: Interaction, mask_PT: np.ndarray) -> Interaction:
    """The generated motion led from known frame to known frame, for features that tell steps.

    Such features say where a person is by the sum of all steps and turns before, so what is
    generated in between comes out somewhere else. Each open stretch is moved over the floor and
    turned so that it begins, and little by little that it ends, where the known motion does.

    Args:
        generated, known, mask_PT: as for `impose`, for people of all of whom something is known.
    """
    people = [
        _align_root_path(generated.person(person), known.person(person), mask_T)
        for person, mask_T in enumerate(mask_PT)
    ]
    return together(people)


def _align_root_path(generated: Interaction, known: Interaction, mask_T: np.ndarray) -> Interaction:
    skeleton = generated.skeletons[0]
    own, given = generated.root_positions[0], known.root_positions[0]
    turn_T = facing(known.positions[0], skeleton) - facing(generated.positions[0], skeleton)
    roots = np.where(mask_T[:, None], given, own)
    roots[:, 1] = own[:, 1]
    for start, stop in runs(~mask_T):
        gap, ends = slice(start, stop), []
        for end in (start - 1, stop):
            if 0 <= end < len(mask_T):
                way = (own[gap] - own[end]) @ yaw(turn_T[end]).T
                ends.append((given[end] + way, turn_T[end]))
        (left, turn), (right, turn_after) = ends[0], ends[-1]
        share = _ease(stop - start)
        turn_T[gap] = turn + share * np.angle(np.exp(1j * (turn_after - turn)))
        roots[gap, ::2] = (left + share[:, None] * (right - left))[:, ::2]
    rotations = generated.rotations.copy()
    rotations[0, :, 0] = yaw(turn_T) @ rotations[0, :, 0]
    return replace(generated, root_positions=roots[None], rotations=rotations)


def _ease(frames: int) -> np.ndarray:
    """(frames,) from 0, at the frame before, to 1, at the frame after."""
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(1, frames + 1) / (frames + 1))


def impose(generated: Interaction, known: Interaction, mask_PT: np.ndarray) -> Interaction:
    """The generated motion with the known frames as they were given, and no jump where they meet.

    At a seam the generated body is moved onto the known one. This offset, which has a velocity as
    well, then fades like a critically damped spring; games know this as inertialization. Where all
    people are known on one side of a seam and nobody on the other, what they are off over the floor
    on average stays: they go on where they are. People of whom something is known have their own
    bone lengths all the time.

    Args:
        generated: all people.
        known: the first P of them on the same skeleton tree, as many frames.
        mask_PT: True where a frame is known.
    """
    people = [generated.person(person) for person in range(generated.num_people)]
    moved_T3 = _moved(generated, known, mask_PT)
    for person, mask_T in enumerate(mask_PT):
        if mask_T.any():
            people[person] = _joined(people[person], known.person(person), mask_T, moved_T3)
    return together(people)


def _moved(generated: Interaction, known: Interaction, mask_PT: np.ndarray) -> np.ndarray:
    """(T, 3) how far all people are off, on average, at frames next to which nobody is known."""
    if len(mask_PT) < generated.num_people:
        return np.zeros((mask_PT.shape[1], 3))
    nobody_T = np.pad(~mask_PT.any(0), 1)
    border_T = mask_PT.all(0) & (nobody_T[:-2] | nobody_T[2:])
    off_T3 = (known.root_positions - generated.root_positions).mean(0)
    return off_T3 * [1, 0, 1] * border_T[:, None]


def _joined(
    generated: Interaction, known: Interaction, mask_T: np.ndarray, moved_T3: np.ndarray
) -> Interaction:
    """One person's motion; offsets are known where frames are, all of them fade but `moved_T3`."""
    skeleton = known.skeletons[0]
    aims, turned = (_from_pelvis(motion.rotations[0], skeleton) for motion in (known, generated))
    turns = aims @ np.swapaxes(turned, -1, -2)
    offset_TK3 = np.concatenate(
        [
            (known.root_positions - generated.root_positions)[0, :, None],
            Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(*turns.shape[:2], 3),
        ],
        axis=1,
    )
    lasting_TK3 = np.zeros_like(offset_TK3)
    lasting_TK3[:, 0] = moved_T3
    settling = SETTLING_SECONDS * generated.fps
    for start, stop in runs(~mask_T):
        from_left, from_right = (
            _fading(offset_TK3[side], lasting_TK3[side], mask_T[side], stop - start, settling)
            for side in (slice(start), slice(None, stop - 1, -1))
        )
        share = np.full(stop - start, float(start > 0))
        if start > 0 and stop < len(mask_T):
            share = 1 - _ease(stop - start)
        share = share[:, None, None]
        offset_TK3[start:stop] = share * from_left + (1 - share) * from_right[::-1]
    back = Rotation.from_rotvec(offset_TK3[:, 1:].reshape(-1, 3)).as_matrix().reshape(turns.shape)
    roots = generated.root_positions[0] + offset_TK3[:, 0]
    turned = back @ turned
    turned[:, 1:] = turned[:, :1] @ turned[:, 1:]
    rotations = local_rotations(turned, skeleton)
    roots[mask_T] = known.root_positions[0, mask_T]
    rotations[mask_T] = known.rotations[0, mask_T]
    return replace(known, root_positions=roots[None], rotations=rotations[None])


def _from_pelvis(rotations_TJ: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Local rotations as the root's in the world and the others' in the frame of the root.

    How bones turn about themselves is known less well than where they point; an offset in such a
    frame does not pass it on to the next bone.
    """
    rooted = rotations_TJ.copy()
    rooted[:, 0] = np.eye(3)
    turned = global_rotations(rooted, skeleton)
    turned[:, 0] = rotations_TJ[:, 0]
    return turned


def _fading(
    offset_TK3: np.ndarray,
    lasting_TK3: np.ndarray,
    mask_T: np.ndarray,
    frames: int,
    settling: float,
) -> np.ndarray:
    """(frames, K, 3) continuation of an offset after its last frame; a part of it decays."""
    if not len(offset_TK3):
        return np.zeros((frames, *offset_TK3.shape[1:]))
    lasting, last = lasting_TK3[-1], offset_TK3[-1] - lasting_TK3[-1]
    has_rate = len(mask_T) > 1 and mask_T[-2]
    rate = offset_TK3[-1] - offset_TK3[-2] if has_rate else np.zeros_like(last)
    time = np.arange(1, frames + 1)[:, None, None]
    return lasting + (last + (rate + last / settling) * time) * np.exp(-time / settling)


def kept_tokens(mask_T: np.ndarray, unit: int) -> np.ndarray:
    """Which tokens (ceil(T / unit)) of `unit` frames are kept where frames `mask_T` are known.

    Those of which at least half is known; of a stretch too short for that, the one with most of it.
    """
    missing = -len(mask_T) % unit
    known = np.pad(mask_T, (0, missing), mode="edge").reshape(-1, unit)
    kept = known.mean(1) >= 0.5
    for start, stop in runs(mask_T):
        tokens = slice(start // unit, -(-stop // unit))
        if not kept[tokens].any():
            kept[tokens.start + known[tokens].sum(1).argmax()] = True
    return kept
