"""Bodies as capsules that follow the joints' positions: how far apart they are, in torch.

About the volumes of `limbs`, without rotations: each end of a capsule is a fixed linear function of
the joints, so that gradients reach whatever the joints came from.

Axes: ... any, J joints, C and D capsules of two bodies.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from duomotion.body.limbs import Limb, body_limbs
from duomotion.body.parts import body_parts
from duomotion.motion.skeleton import Skeleton

TINY = 1e-9  # keeps gradients finite where two axes meet
TRUNK, HAND = ("pelvis", "spine"), ("wrist", "finger")


@dataclass(frozen=True, eq=False)
class Capsules:
    """Capsules whose radius changes evenly from one end to the other.

    Attributes:
        ends: (2, C, J) weights of the joints in the position of each end; they sum to 1.
        radii: (2, C) metres.
        is_hand: (C,) bool.
    """

    ends: Tensor
    radii: Tensor
    is_hand: Tensor

    def place(self, positions_J3: Tensor) -> Tensor:
        """The ends (2, ..., C, 3) for joints (..., J, 3), metres."""
        return torch.stack([weights_CJ @ positions_J3 for weights_CJ in self.ends.to(positions_J3)])

    def radius(self, shares_C: Tensor, which_C: Tensor | None = None) -> Tensor:
        """Metres (..., C) at such shares (..., C) of the way from the first to the second end.

        Args:
            which_C: the capsules; None: all of them.
        """
        radii = self.radii if which_C is None else self.radii[:, which_C]
        start_C, end_C = radii.to(shares_C)
        return torch.lerp(start_C, end_C, shares_C)


def body_capsules(skeleton: Skeleton) -> Capsules:
    """The capsules of a body: one a limb, and two side by side for the flat parts of the trunk.

    Raises:
        ValueError: the skeleton lacks two hips, which say where the trunk's sides are.
    """
    parts, rest = body_parts(skeleton), skeleton.rest_positions
    hips = [joint for joint, part in enumerate(parts) if part == "hip"]
    if len(hips) != 2:
        raise ValueError(f"a body has two hips, this skeleton has {len(hips)}")
    aside = np.zeros(len(parts))
    aside[hips] = np.array([1.0, -1.0]) / np.linalg.norm(rest[hips[0]] - rest[hips[1]])
    ends, radii, is_hand = [], [], []
    for limb in body_limbs(skeleton):
        weights = np.stack([_weights(limb, point, skeleton) for point in (limb.a, limb.b)])
        radius = np.array([limb.start, limb.end]) + limb.bulge / 2
        if parts[limb.joint] in TRUNK and limb.flat > 1:
            wide = (radius - radius / limb.flat)[:, None] * aside
            ends += [weights + wide, weights - wide]
            radii += [radius / limb.flat] * 2
        else:
            ends.append(weights)
            radii.append(radius / limb.flat**0.5)
        is_hand += [parts[limb.joint] in HAND] * (len(radii) - len(is_hand))
    return Capsules(
        torch.from_numpy(np.stack(ends, 1)),
        torch.from_numpy(np.stack(radii, 1)),
        torch.tensor(is_hand),
    )


def _weights(limb: Limb, point: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Weights (J,) of the joints for the place on the limb's bone, or beyond it, next to a point.

    The bone is that between the limb's joints; of a limb at a last joint, the one that ends there.
    """
    rest = skeleton.rest_positions
    lower = max(limb.joints)
    upper = min(limb.joints) if len(limb.joints) == 2 else skeleton.parents[lower]
    bone = rest[lower] - rest[upper]
    along = (point - rest[upper]) @ bone / max(bone @ bone, TINY)
    weights = np.zeros(len(rest))
    weights[[upper, lower]] = 1 - along, along
    return weights


def gaps(one: Capsules, other: Capsules, joints: tuple[Tensor, Tensor]) -> Tensor:
    """Metres (..., C, D) from each capsule of one body to each of the other's, negative inside.

    Gradients are exact but for how radii change along a capsule.

    Args:
        joints: positions (..., J, 3) of the two bodies, metres.
    """
    first, second = (body.place(x) for body, x in zip((one, other), joints, strict=True))
    distance, s, t = _nearest(first[..., :, None, :], second[..., None, :, :])
    return distance - one.radius(s.mT).mT - other.radius(t)


def gaps_of_pairs(
    one: Capsules,
    other: Capsules,
    joints: tuple[Tensor, Tensor],
    pairs: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """The same of some capsules alone, (M,).

    Args:
        joints: positions (T, J, 3) of the two bodies, metres.
        pairs: frame, capsule of the one body and capsule of the other, (M,) each.
    """
    frames, own, others = pairs
    a, b = (
        body.place(x).flatten(1, 2).index_select(1, frames * len(body.is_hand) + which)
        for body, x, which in zip((one, other), joints, (own, others), strict=True)
    )
    distance, s, t = _nearest(a, b)
    return distance - one.radius(s, own) - other.radius(t, others)


def _nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance of two axes' nearest points, and where these are, as shares."""
    with torch.no_grad():  # at the nearest points distance does not change with where they are
        s, t = nearest_points(a, b)
    gap = torch.lerp(a[0], a[1], s[..., None]) - torch.lerp(b[0], b[1], t[..., None])
    return (gap.square().sum(-1) + TINY).sqrt(), s, t


def depths(one: Capsules, other: Capsules, joints: tuple[Tensor, Tensor]) -> Tensor:
    """Metres (...) that capsules are in those of the other body, over all pairs added up.

    Hands may be in each other, as they are when they hold each other. Arguments are those of
    `gaps`.
    """
    inside = gaps(one, other, joints).clamp_max(0)
    return -inside.masked_fill(one.is_hand[:, None] & other.is_hand, 0).sum((-2, -1))


def nearest_points(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Where two segments are nearest to each other, as shares (...) of their ways.

    Args:
        a, b: ends (2, ..., 3) of each; shapes that broadcast.
    """
    u, v, w = a[1] - a[0], b[1] - b[0], a[0] - b[0]
    uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    determinant = uu * vv - uv.square()
    s = ((uv * vw - vv * uw) / determinant.clamp_min(TINY)).clamp(0, 1)
    s = torch.where(determinant > TINY, s, torch.zeros_like(s))
    t = ((uv * s + vw) / vv.clamp_min(TINY)).clamp(0, 1)
    s = ((uv * t - uw) / uu.clamp_min(TINY)).clamp(0, 1)
    return s, t
