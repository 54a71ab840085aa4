"""The body as tapered, flattened volumes around the bones of a rest pose."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from duomotion.body.parts import body_parts
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.rotations import normalise
from duomotion.motion.skeleton import Skeleton

# The thigh is thickest this far outside of the hip joint, in metres.
THIGH_SHIFT = 0.018
# The head sits this far above the neck joint at most, in metres.
NECK_LENGTH = 0.102
# A tree of joints is drawn as a body up to so many joints and pairs of limbs that meet, and so many
# cubic metres around it at the reference height. People have 55, 97 and 1.4 with all their fingers.
MAX_JOINTS, MAX_MEETINGS, MAX_SPACE = 150, 300, 4.5
# Height of the head joint over the lowest joint for which the radii below are given, in metres.
REFERENCE_HEIGHT = 1.57


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Metres, for a body of the reference height.

    Attributes:
        start, end: radii at the parent's and at the child's end.
        flat: how many times thinner the limb is along its thin direction.
        bulge: what the muscle adds to the radius, most in the upper half.
    """

    start: float
    end: float
    flat: float = 1.0
    bulge: float = 0.0


# By the part at the lower end of the bone.
SHAPES = {
    "hip": Shape(start=0.112, end=0.096, flat=1.1),
    "knee": Shape(start=0.083, end=0.051, bulge=0.007),
    "ankle": Shape(start=0.047, end=0.033, bulge=0.017),
    "toe": Shape(start=0.036, end=0.030),
    "spine": Shape(start=0.135, end=0.135, flat=1.35),
    "neck": Shape(start=0.146, end=0.068, flat=1.35),
    "head": Shape(start=0.062, end=0.054),
    "collar": Shape(start=0.095, end=0.076, flat=1.15),
    "shoulder": Shape(start=0.076, end=0.059),
    "elbow": Shape(start=0.054, end=0.037, bulge=0.006),
    "wrist": Shape(start=0.038, end=0.025, bulge=0.008),
    "finger": Shape(start=0.011, end=0.009),
}
# The trunk narrows at the waist and widens to the chest: radius along the way up the spine.
TRUNK = ((0.0, 0.4, 0.8, 1.0), (0.132, 0.118, 0.132, 0.140))


@dataclass(frozen=True, eq=False)
class Limb:
    """A capsule between two points of the rest pose, in metres, root at the origin.

    Attributes:
        joint: the joint it moves with.
        joints: the joints it touches; limbs that share one grow together.
        a, b: the ends.
        start, end, bulge: radii as in `Shape`.
        thin: unit direction in which the limb is `flat` times thinner.
    """

    joint: int
    joints: frozenset[int]
    a: np.ndarray
    b: np.ndarray
    start: float
    end: float
    bulge: float = 0.0
    thin: np.ndarray | None = None
    flat: float = 1.0

    @property
    def thickness(self) -> float:
        """Largest radius, metres."""
        return max(self.start, self.end) + self.bulge

    def distance(self, points: np.ndarray) -> np.ndarray:
        """About how far (...) points (..., 3) are outside of the surface, negative inside."""
        axis, offset = self.b - self.a, points - self.a
        if self.thin is not None:
            axis = axis + (self.flat - 1) * (axis @ self.thin) * self.thin
            offset = offset + (self.flat - 1) * (offset @ self.thin)[..., None] * self.thin
        along = np.clip(offset @ axis / max(axis @ axis, 1e-12), 0, 1)
        gap = offset - along[..., None] * axis
        radius = self.start + (self.end - self.start) * along
        if self.bulge:
            radius = radius + self.bulge * np.sin(np.pi * along**0.7)
        return np.sqrt(np.einsum("...i,...i->...", gap, gap)) - radius


def body_limbs(skeleton: Skeleton) -> list[Limb]:
    """The volumes of a body: one a bone, and head, hands, heels and toes beyond the last joints.

    Thickness follows from the parts that the joints' names tell and from the height of the body;
    where a name says nothing, from the length of the bone.
    """
    parts, rest = body_parts(skeleton), skeleton.rest_positions
    scale = body_scale(skeleton)
    many_fingers = parts.count("finger") > 8
    limbs = []
    for child, parent in skeleton.bones:
        part = parts[child]
        if part == "face" or (part == "finger" and not many_fingers):
            continue
        limbs.append(_bone(rest, parts, child, parent, scale))
    for joint, part in enumerate(parts):
        parent = skeleton.parents[joint]
        above, bone = (
            ("", np.zeros(3)) if parent < 0 else (parts[parent], rest[joint] - rest[parent])
        )
        if part == "head" and above != "head":
            limbs += _head(joint, bone, rest, scale)
        elif part == "wrist":
            limbs += _hand(joint, bone, rest, scale, many_fingers)
        elif part == "toe" and above == "ankle":
            limbs += _foot(joint, parent, rest, scale)
    return limbs


def is_body(skeleton: Skeleton) -> bool:
    """Whether limbs make a body of the skeleton, and not some other tree of joints a thicket."""
    if skeleton.num_joints > MAX_JOINTS:
        return False
    limbs = body_limbs(skeleton.with_offsets(skeleton.offsets / body_scale(skeleton)))
    if not limbs or len(meetings(limbs)) > MAX_MEETINGS:
        return False
    low, high = bounds(limbs)
    return bool(np.prod(high - low) < MAX_SPACE)


def meetings(limbs: list[Limb]) -> list[tuple[int, int]]:
    """Pairs of limbs that share a joint."""
    return [
        (i, j)
        for (i, one), (j, other) in combinations(enumerate(limbs), 2)
        if one.joints & other.joints
    ]


def bounds(limbs: list[Limb]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) and (3,) of a box around all limbs in the rest pose."""
    low = [np.minimum(limb.a, limb.b) - limb.thickness for limb in limbs]
    high = [np.maximum(limb.a, limb.b) + limb.thickness for limb in limbs]
    return np.min(low, axis=0), np.max(high, axis=0)


def body_scale(skeleton: Skeleton) -> float:
    """Size of the body, 1 for the reference height; of a skeleton without a head, by its extent."""
    parts, rest = body_parts(skeleton), skeleton.rest_positions
    heads = [rest[joint, 1] for joint, part in enumerate(parts) if part == "head"]
    height = max(heads) - rest[:, 1].min() if heads else np.ptp(rest, axis=0).max()
    return max(float(height), 1e-3) / REFERENCE_HEIGHT


def ground_level(skeleton: Skeleton) -> float:
    """Height of the soles in the rest pose: a little below the lowest joint, in metres."""
    rest = skeleton.rest_positions
    return float(rest[:, 1].min()) - 0.011 * float(np.ptp(rest[:, 1]))


def _bone(rest: np.ndarray, parts: tuple[str, ...], child: int, parent: int, scale: float) -> Limb:
    part, a, b = parts[child], rest[parent], rest[child]
    length = float(np.linalg.norm(b - a))
    neutral = float(np.clip(0.16 * length, 0.012, 0.06))
    shape = SHAPES.get(part)
    if shape is None:
        shape, scale = Shape(start=neutral, end=neutral), 1.0
    start, end = shape.start, shape.end
    if part == "spine":
        b, end = _trunk(parts, rest, child)
    if part in ("spine", "neck") and parts[parent] in ("pelvis", "spine"):
        a, start = _trunk(parts, rest, parent)
    elif part == "knee":
        a = a + np.array([THIGH_SHIFT * scale * np.sign(a[0]), 0.0, 0.0])
    if part == "neck" and parts[parent] == "neck":
        start = shape.end
    return Limb(
        joint=parent,
        joints=frozenset((child, parent)),
        a=a,
        b=b,
        start=start * scale,
        end=end * scale,
        bulge=shape.bulge * scale,
        thin=np.array([0.0, 0.0, 1.0]) if shape.flat > 1 else None,
        flat=shape.flat,
    )


def _trunk(parts: tuple[str, ...], rest: np.ndarray, joint: int) -> tuple[np.ndarray, float]:
    """Middle and radius of the trunk at the height of a joint.

    The spine's joints lie near the back and zigzag; the trunk runs straighter.
    """
    spine = [j for j, part in enumerate(parts) if part == "spine"]
    top = max(spine, key=lambda j: rest[j, 1], default=joint)
    share = np.clip(rest[joint, 1] / max(rest[top, 1], 1e-6), 0, 1)
    middle = rest[joint] * [1.0, 1.0, 0.3] + [0.0, 0.0, 0.7 * share * rest[top, 2]]
    return middle, float(np.interp(share, *TRUNK))


def _head(joint: int, neck: np.ndarray, rest: np.ndarray, scale: float) -> list[Limb]:
    length = float(np.linalg.norm(neck))
    base = rest[joint] - normalise(neck) * max(length - NECK_LENGTH * scale, 0.0)
    jaw = base + np.array([0.0, 0.036, 0.030]) * scale
    skull = base + np.array([0.0, 0.098, 0.010]) * scale
    limb = Limb(
        joint=joint,
        joints=frozenset((joint,)),
        a=jaw,
        b=skull,
        start=0.066 * scale,
        end=0.093 * scale,
        thin=np.array([1.0, 0.0, 0.0]),
        flat=1.14,
    )
    return [limb]


def _hand(
    joint: int, forearm: np.ndarray, rest: np.ndarray, scale: float, palm_only: bool
) -> list[Limb]:
    ahead = normalise(forearm)
    thin = normalise(np.cross(ahead, [0.0, 0.0, 1.0]))
    side = np.cross(thin, ahead)
    wrist, touches = rest[joint], frozenset((joint,))
    reach = 0.075 if palm_only else 0.145
    palm = Limb(
        joint=joint,
        joints=touches,
        a=wrist + ahead * 0.045 * scale,
        b=wrist + ahead * reach * scale,
        start=0.042 * scale,
        end=(0.040 if palm_only else 0.032) * scale,
        thin=thin,
        flat=1.75,
    )
    if palm_only:
        return [palm]
    inward = side * np.sign(side[2] or 1.0)
    thumb = Limb(
        joint=joint,
        joints=touches,
        a=wrist + (ahead * 0.035 + inward * 0.022) * scale,
        b=wrist + (ahead * 0.090 + inward * 0.070) * scale,
        start=0.023 * scale,
        end=0.018 * scale,
    )
    return [palm, thumb]


def _foot(toe: int, ankle: int, rest: np.ndarray, scale: float) -> list[Limb]:
    ahead = normalise((rest[toe] - rest[ankle]) * np.array([1.0, 0.0, 1.0]))
    floor = rest[toe] * np.array([0.0, 1.0, 0.0])
    heel = rest[ankle] * np.array([1.0, 0.0, 1.0]) + floor - ahead * 0.030 * scale
    ball, up = rest[toe], np.array([0.0, scale, 0.0])
    touches = frozenset((toe, ankle))
    return [
        Limb(
            joint=ankle,
            joints=touches,
            a=heel + 0.020 * up,
            b=ball + 0.006 * up,
            start=0.036 * scale,
            end=0.044 * scale,
            thin=np.array([0.0, 1.0, 0.0]),
            flat=1.25,
        ),
        Limb(
            joint=toe,
            joints=touches,
            a=ball + 0.006 * up,
            b=ball + ahead * 0.055 * scale + 0.002 * up,
            start=0.044 * scale,
            end=0.032 * scale,
            thin=np.array([0.0, 1.0, 0.0]),
            flat=1.4,
        ),
    ]


def foot_joints(skeleton: Skeleton) -> list[tuple[int, int]]:
    """(ankle, ball of the foot) of every foot."""
    parts = body_parts(skeleton)
    return [
        (parent, joint)
        for joint, parent in skeleton.bones
        if parts[joint] == "toe" and parts[parent] == "ankle"
    ]


def hand_points(interaction: Interaction, person: int) -> list[np.ndarray]:
    """The middle (T, 3) of every hand of a person, metres."""
    skeleton = interaction.skeletons[person]
    world = global_rotations(interaction.rotations[person], skeleton)
    wrists = [joint for joint, part in enumerate(body_parts(skeleton)) if part == "wrist"]
    rest, positions = skeleton.rest_positions, interaction.positions[person]
    points = []
    for wrist in wrists:
        palm = next(limb for limb in body_limbs(skeleton) if limb.joints == {wrist})
        points.append(positions[:, wrist] + world[:, wrist] @ ((palm.a + palm.b) / 2 - rest[wrist]))
    return points


def distance_to_body(points_T3: np.ndarray, interaction: Interaction, person: int) -> np.ndarray:
    """About how far (T,) in metres one point a frame is outside of a person's body."""
    skeleton = interaction.skeletons[person]
    world = global_rotations(interaction.rotations[person], skeleton)
    away = points_T3[:, None] - interaction.positions[person]
    local = np.einsum("tjba,tjb->tja", world, away) + skeleton.rest_positions
    limbs = body_limbs(skeleton)
    return np.min([limb.distance(local[:, limb.joint]) for limb in limbs], axis=0)
