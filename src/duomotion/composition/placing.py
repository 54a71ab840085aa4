"""Where two people who were recorded apart stand and walk in one world.

An arrangement proposes places for the second person, nearest first; the nearest is taken at which
the two never touch. Whether the result is what the arrangement is called is then measured on both
people's whole motion.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from duomotion.body.overlap import overlap_volumes
from duomotion.evaluation.metrics.measurements import Scene
from duomotion.evaluation.metrics.physics import FLESH, body_depths
from duomotion.motion.canonical import facing, interpolate, mirror, transform
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.rotations import normalise, yaw
from duomotion.motion.skeleton import SMPL22

RATE = 10.0  # frames a second in which places are looked for
TRAVELS = 1.0  # metres from start to end of somebody who goes somewhere
JOINT_GAP = 0.22  # metres between joints of the two, at least
BODY_GAP = 0.05  # metres between their capsules, at least
LITRES = 0.02  # of their bodies inside each other, at most
DISTANCES = np.arange(0.5, 3.6, 0.1)  # metres
ROOM = 0.3  # metres further apart than they need be, on average


@dataclass(frozen=True, eq=False)
class Person:
    """One person who starts near the origin and looks, or goes, along +Z."""

    motion: Interaction

    @classmethod
    def of(cls, motion: Interaction) -> "Person":
        """A person put there.

        Who travels starts at the origin and goes along +Z; anybody else is around it.
        """
        joints = motion.positions[0].astype(np.float64)
        roots = joints[:, 0] * [1, 0, 1]
        way = roots[-1] - roots[0]
        if np.linalg.norm(way) > TRAVELS:
            angle, origin = np.arctan2(way[0], way[2]), roots[0]
        else:
            headings = facing(joints, SMPL22)
            angle = np.arctan2(np.sin(headings).mean(), np.cos(headings).mean())
            origin = (roots.min(0) + roots.max(0)) / 2
        turn = yaw(-angle)
        return cls(transform(motion, turn, -turn @ origin))

    @cached_property
    def joints(self) -> np.ndarray:
        """(N, 22, 3) metres, `RATE` frames a second."""
        step = round(self.motion.fps / RATE)
        return self.motion.positions[0, ::step].astype(np.float64)

    @cached_property
    def travel(self) -> float:
        """Metres from where it starts to where it ends, along the floor."""
        ends = self.joints[[0, -1], 0]
        return float(np.linalg.norm((ends[1] - ends[0]) * [1, 0, 1]))

    @cached_property
    def speed(self) -> float:
        """Metres a second along the floor, on average."""
        steps = np.diff(self.joints[:, 0] * [1, 0, 1], axis=0)
        return float(np.linalg.norm(steps, axis=-1).mean() * RATE)

    @property
    def travels(self) -> bool:
        return self.travel > TRAVELS

    @cached_property
    def ahead(self) -> float:
        """How far it comes along +Z, in metres."""
        return float(max(0.0, self.joints[:, 0, 2].max()))

    @cached_property
    def centre(self) -> np.ndarray:
        """(3,) the middle of its way, on the floor."""
        roots = self.joints[:, 0] * [1, 0, 1]
        return (roots.min(0) + roots.max(0)) / 2


@dataclass(frozen=True)
class Proposal:
    """Places for the second person: turned by `angle` about the vertical, at offsets (K, 3)."""

    angle: float
    offsets: np.ndarray


Propose = Callable[[Person, Person, np.random.Generator], Proposal]


@dataclass(frozen=True)
class Arrangement:
    """A way in which two people stand or go beside each other.

    Attributes:
        name: as captions say it.
        suits: whether it comes into question for two people.
        propose: where the second may be.
        fits: whether two people who were placed are arranged so all the time.
        copied: where both do the same, the second person made of the first.
    """

    name: str
    suits: Callable[[Person, Person], bool]
    propose: Propose
    fits: Callable[[Scene], bool]
    copied: Callable[[Person], Person] | None = None


def _face(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    along = first.ahead + second.ahead + DISTANCES
    return Proposal(np.pi, _offsets(rng.uniform(-0.15, 0.15), along))


def _beside(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    return Proposal(0.0, _offsets(DISTANCES * rng.choice([-1, 1]), rng.uniform(-0.2, 0.2)))


def _behind(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    return Proposal(0.0, _offsets(rng.uniform(-0.1, 0.1), -DISTANCES))


def _back_to_back(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    return Proposal(np.pi, _offsets(rng.uniform(-0.15, 0.15), -DISTANCES))


def _past(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    return Proposal(np.pi, _offsets(DISTANCES * rng.choice([-1, 1]), first.travel))


def _mirrored(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    return Proposal(np.pi, _offsets(0.0, 2 * first.ahead + DISTANCES))


def _opposite(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    """Half a turn about the middle of the way, or a point further away; ahead of who stays."""
    away = 2 * normalise(first.centre + [0, 0, 1e-6]) * (DISTANCES - DISTANCES[0])[:, None]
    return Proposal(np.pi, 2 * first.centre + away)


def _apart(first: Person, second: Person, rng: np.random.Generator) -> Proposal:
    towards = yaw(rng.uniform(-np.pi, np.pi)) @ [0, 0, 1]
    return Proposal(rng.uniform(-np.pi, np.pi), towards * (1.0 + 1.5 * DISTANCES)[:, None])


def _offsets(across: float | np.ndarray, along: float | np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(across, 0.0, along), -1)


def _is_facing(scene: Scene) -> bool:
    off = np.median(scene.off_partner, axis=1)
    return bool(off.max() < 35 and scene.off_partner[:, 0].max() < 60)


def _comes_closer(scene: Scene) -> bool:
    nearer = scene.root_gap[0] - scene.root_gap[-1]
    return _is_facing(scene) and bool(
        nearer > 1.5 and scene.root_gap[-1] < 2.5 and scene.root_gap[0] < 9
    )


def _is_face_to_face(scene: Scene) -> bool:
    return _is_facing(scene) and not _comes_closer(scene) and bool(scene.root_gap.max() < 3)


def _is_side_by_side(scene: Scene) -> bool:
    off = np.median(scene.off_partner, axis=1)
    is_beside = abs(off[0] - 90) < 35 and abs(off[1] - 90) < 35
    return bool(is_beside and np.median(scene.between_headings) < 40 and _keeps_distance(scene, 2))


def _is_behind(scene: Scene) -> bool:
    off = np.median(scene.off_partner, axis=1)
    return bool(off[0] > 140 and off[1] < 35 and _keeps_distance(scene, 2.5))


def _keeps_distance(scene: Scene, longest: float) -> bool:
    return bool(np.ptp(scene.root_gap) < 0.9 and scene.root_gap.max() < longest)


def _is_back_to_back(scene: Scene) -> bool:
    return bool(np.median(scene.off_partner, axis=1).min() > 145 and _keeps_distance(scene, 2))


def _goes_away(scene: Scene) -> bool:
    is_away = np.median(scene.off_partner, axis=1).min() > 145
    return bool(is_away and scene.root_gap[-1] - scene.root_gap[0] > 1.5)


def _goes_past(scene: Scene) -> bool:
    gap, off = scene.root_gap, scene.off_partner
    is_near = gap.min() < 1.6 and min(gap[0], gap[-1]) > gap.min() + 0.5
    return bool(is_near and off[:, 0].max() < 60 and off[:, -1].min() > 110)


def _is_near(scene: Scene) -> bool:
    return bool(scene.root_gap.max() < 4)


def _is_mirror(scene: Scene) -> bool:
    return bool(np.median(scene.off_partner, axis=1).max() < 60 and scene.root_gap.max() < 3.5)


def _neither(first: Person, second: Person) -> bool:
    return not first.travels and not second.travels


def _both(first: Person, second: Person) -> bool:
    return first.travels and second.travels


def _alike(first: Person, second: Person) -> bool:
    return first.travels == second.travels and abs(first.travel - second.travel) < 1.2


def _always(first: Person, second: Person) -> bool:
    return True


def mirrored(person: Person) -> Person:
    """The person as seen in a mirror."""
    return Person(mirror(person.motion))


def _same(person: Person) -> Person:
    return person


ARRANGEMENTS: Mapping[str, Arrangement] = {
    each.name: each
    for each in (
        Arrangement("face to face", _always, _face, _is_face_to_face),
        Arrangement("towards each other", _both, _face, _comes_closer),
        Arrangement("side by side", _alike, _beside, _is_side_by_side),
        Arrangement("one behind the other", _alike, _behind, _is_behind),
        Arrangement("back to back", _neither, _back_to_back, _is_back_to_back),
        Arrangement("away from each other", _both, _back_to_back, _goes_away),
        Arrangement("past each other", _both, _past, _goes_past),
        Arrangement("in mirror image", _neither, _mirrored, _is_mirror, mirrored),
        Arrangement("around one point", _always, _opposite, _is_near, _same),
        Arrangement("apart", _always, _apart, lambda scene: bool(scene.root_gap.max() < 6)),
    )
}


def placed(
    first: Person, second: Person, arrangement: Arrangement, rng: np.random.Generator
) -> Interaction | None:
    """Both people in one world, or None where they can't be arranged so without touching."""
    proposal = arrangement.propose(first, second, rng)
    turn, room = yaw(proposal.angle), rng.exponential(ROOM)
    joints = second.joints @ turn.T
    clear_K = np.array([_is_clear(first.joints, joints + offset) for offset in proposal.offsets])
    if not clear_K.any():
        return None
    nearest = int(clear_K.argmax())
    wanted = nearest + round(room / (DISTANCES[1] - DISTANCES[0]))
    for place in (wanted, nearest, nearest + 1):
        if place < len(clear_K) and clear_K[place]:
            offset = proposal.offsets[place]
            scene = Scene(np.stack([first.joints, joints + offset]), RATE)
            if arrangement.fits(scene):
                pair = together([first.motion, transform(second.motion, turn, offset)])
                if not _touches(pair):
                    return pair
    return None


def _is_clear(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether no joint of people (N, 22, 3) comes near one of the other's."""
    reach = np.ptp(first.reshape(-1, 3), axis=0) + np.ptp(second.reshape(-1, 3), axis=0)
    apart = np.abs(first.reshape(-1, 3).mean(0) - second.reshape(-1, 3).mean(0))
    if (apart > reach + JOINT_GAP)[[0, 2]].any():
        return True
    squared = ((first[:, :, None] - second[:, None]) ** 2).sum(-1)
    return bool(squared.min() > JOINT_GAP**2)


def _touches(pair: Interaction) -> bool:
    """Whether two bodies touch in any frame: capsules first, then volumes."""
    depths_T = body_depths(pair.positions.astype(np.float64))
    if depths_T.max() > -BODY_GAP:
        return True
    close = np.flatnonzero(depths_T > -FLESH)
    if not len(close):
        return False
    return bool(overlap_volumes(interpolate(pair, close, close, 0.0 * close)).max() > LITRES)
