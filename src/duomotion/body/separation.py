"""Bodies that don't pass through each other, and touch where they are to: changed but little.

Axes: P the 2 people, T frames, J joints, K knots of a spline, C and D capsules, H hands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from duomotion.body.capsules import Capsules, body_capsules, gaps, gaps_of_pairs, nearest_points
from duomotion.body.constraints import Contact
from duomotion.motion.contacts import ease_mask, foot_contacts, foot_joints
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import PALM, forward_kinematics
from duomotion.motion.rotations import matrix_to_sixd_concatenated, sixd_concatenated_to_matrix
from duomotion.motion.skeleton import Skeleton
from duomotion.motion.splines import spline_basis

DEEP = 0.01  # metres; bodies that are nowhere deeper in each other stay as they are
NEAR = 0.15  # metres; capsules with larger gaps are not looked at
KNOT_SECONDS = 0.2  # what is added changes no faster
BLEND = 10  # frames from known ones on over which it fades in
ITERATIONS = 20  # of L-BFGS
CONTACT_ITERATIONS = 60  # the same where there are contacts
HELD = (-0.06, 0.05)  # metres from a palm to the partner's surface; what it touches it keeps
HELD_SLACK = 0.02  # metres that it may move there

# Weights of squared metres (feet, hands, steps from frame to frame, paths) and of squared entries
# of 6-D rotations, next to squared depths added up over all pairs of capsules.
FEET, HANDS, STEPS, PATH, TURN = 1.0, 5.0, 5.0, 0.3, 0.3
CONTACTS = 40.0  # of what is missing of each, in squared metres
CONTACT_FEET = 5.0  # that of feet where there are contacts
SCALE = 100.0  # of the whole; brings it near 1, as line searches expect


def separated(
    interaction: Interaction,
    fixed_PT: np.ndarray | None = None,
    *,
    contacts: Sequence[Contact] = (),
    avoid_collisions: bool = True,
) -> Interaction:
    """Two people whose bodies are hardly, if at all, in each other, and touch where they should.

    Smooth changes of paths and joint rotations are found by L-BFGS, in float64, so that rounding,
    which depends on the number of threads, hardly shows. Feet stay about where they stand, hands
    where they touch the partner; known frames stay as they are.

    Args:
        fixed_PT: bool, frames that are known.
        contacts: see `body.constraints`.
        avoid_collisions: False: bodies may be in each other.

    Raises:
        ValueError: there are not two people, or a contact does not fit the motion.
    """
    people = interaction.num_people
    if people != 2:
        raise ValueError(f"bodies of two people are separated, this motion has {people}")
    for contact in contacts:
        contact.check(interaction.skeletons[0], interaction.seconds)
    problem = _Problem(interaction, fixed_PT, contacts, avoid_collisions)
    if not contacts and (problem.smallest_gap > -DEEP or not avoid_collisions):
        return interaction
    root_PT3, rotations_PTJ33 = problem.solve()
    if not bool(root_PT3.isfinite().all() and rotations_PTJ33.isfinite().all()):
        return interaction
    roots, rotations = root_PT3.float().numpy(), rotations_PTJ33.float().numpy()
    if fixed_PT is not None:
        roots[fixed_PT] = interaction.root_positions[fixed_PT]
        rotations[fixed_PT] = interaction.rotations[fixed_PT]
    return replace(interaction, root_positions=roots, rotations=rotations)


@dataclass(frozen=True, eq=False)
class _Touches:
    """Where the palms of one person are on the other's body.

    Attributes:
        palms: (H, J) weights of the joints in each palm's position.
        capsules, shares: (T, H) the partner's nearest capsule, and where on its axis.
        offsets: (T, H, 3) metres, from there to the palm.
        is_held: (T, H) bool.
    """

    palms: Tensor
    capsules: Tensor
    shares: Tensor
    offsets: Tensor
    is_held: Tensor

    @classmethod
    def of(cls, own_TJ3: Tensor, partner_TJ3: Tensor, skeleton: Skeleton, body: Capsules):
        palms = _palm_weights(skeleton)
        ends, points = body.place(partner_TJ3)[:, :, None], (palms @ own_TJ3)[:, :, None]
        shares, _ = nearest_points(ends, torch.stack([points, points]))
        offsets = points - torch.lerp(ends[0], ends[1], shares[..., None])
        away = offsets.norm(dim=-1) - body.radius(shares)
        distance, nearest = away.min(-1)
        index = nearest[..., None]
        return cls(
            palms,
            nearest,
            shares.gather(-1, index)[..., 0],
            offsets.gather(-2, index[..., None].expand(-1, -1, -1, 3))[..., 0, :],
            (distance > HELD[0]) & (distance < HELD[1]),
        )

    def energy(self, own_TJ3: Tensor, partner_TJ3: Tensor, body: Capsules) -> Tensor:
        """Mean square of how much farther than the slack held palms have moved on the partner."""
        index = self.capsules[..., None].expand(-1, -1, 3)
        a, b = (end.gather(1, index) for end in body.place(partner_TJ3))
        moved = self.palms @ own_TJ3 - torch.lerp(a, b, self.shares[..., None]) - self.offsets
        far = ((moved.square().sum(-1) + 1e-9).sqrt() - HELD_SLACK).relu()
        return (far.square() * self.is_held).mean()


class _Problem:
    """What is minimised over the coefficients of splines for paths and joint rotations."""

    def __init__(
        self,
        motion: Interaction,
        fixed_PT: np.ndarray | None,
        contacts: Sequence[Contact],
        avoid_collisions: bool,
    ) -> None:
        self.contacts, self.fps = contacts, motion.fps
        self.avoid_collisions = avoid_collisions
        self.skeleton = motion.skeletons[0]
        first, second = motion.skeletons
        self.bodies = body_capsules(first), body_capsules(second)
        self.root_PT3 = torch.from_numpy(motion.root_positions).double()
        self.sixd_PTJ6 = matrix_to_sixd_concatenated(torch.from_numpy(motion.rotations)).double()
        offsets = np.stack([skeleton.offsets for skeleton in motion.skeletons])[:, None]
        self.offsets_P1J3 = torch.from_numpy(offsets)
        self.basis_PTK = self._basis(motion, fixed_PT)
        self.feet = foot_joints(self.skeleton)
        self.stands_PTF = torch.from_numpy(foot_contacts(motion.positions[:, :, self.feet]))
        self.joints_PTJ3 = torch.from_numpy(motion.positions).double()
        self.touches = [
            _Touches.of(own, partner, self.skeleton, body)
            for own, partner, body in self._sides(self.joints_PTJ3)
        ]
        one, other = self.bodies
        holding_CD = one.is_hand[:, None] & other.is_hand  # hands may be in each other
        gaps_TCD = gaps(one, other, self._each(self.joints_PTJ3)).masked_fill(holding_CD, torch.inf)
        frames, own, others = gaps_TCD.lt(NEAR).nonzero(as_tuple=True)
        self.near = frames, own, others
        self.smallest_gap = float(gaps_TCD.min())

    def solve(self) -> tuple[Tensor, Tensor]:
        """Root positions (P, T, 3) and rotations (P, T, J, 3, 3) of the best motion."""
        people, _, knots = self.basis_PTK.shape
        shape = (people, knots, *self.sixd_PTJ6.shape[2:])
        shift_PK3 = self.root_PT3.new_zeros(people, knots, 3, requires_grad=True)
        turn_PKJ6 = self.root_PT3.new_zeros(shape, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [shift_PK3, turn_PKJ6],
            max_iter=CONTACT_ITERATIONS if self.contacts else ITERATIONS,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            energy = SCALE * self._energy(shift_PK3, turn_PKJ6)
            energy.backward()
            return energy

        optimiser.step(closure)
        with torch.no_grad():
            return self._pose(shift_PK3, turn_PKJ6)

    def _pose(self, shift_PK3: Tensor, turn_PKJ6: Tensor) -> tuple[Tensor, Tensor]:
        turn_PTJ6 = torch.einsum("ptk,pkjd->ptjd", self.basis_PTK, turn_PKJ6)
        return (
            self.root_PT3 + self.basis_PTK @ shift_PK3,
            sixd_concatenated_to_matrix(self.sixd_PTJ6 + turn_PTJ6),
        )

    def _energy(self, shift_PK3: Tensor, turn_PKJ6: Tensor) -> Tensor:
        pose = self._pose(shift_PK3, turn_PKJ6)
        joints_PTJ3 = forward_kinematics(*pose, self.offsets_P1J3, self.skeleton)
        depth = missed = joints_PTJ3.new_zeros(())
        if self.avoid_collisions:
            gaps_M = gaps_of_pairs(*self.bodies, self._each(joints_PTJ3), self.near)
            depth = gaps_M.clamp_max(0).square().sum() / joints_PTJ3.shape[1]
        for contact in self.contacts:
            missed = missed + contact.energy(joints_PTJ3, self.skeleton, self.fps)
        moved_PTJ3 = joints_PTJ3 - self.joints_PTJ3
        slid = moved_PTJ3[:, :, self.feet].square().sum(-1)
        held = [
            touch.energy(own, partner, body)
            for touch, (own, partner, body) in zip(
                self.touches, self._sides(joints_PTJ3), strict=True
            )
        ]
        return (
            depth
            + CONTACTS * missed
            + (CONTACT_FEET if self.contacts else FEET) * (slid * self.stands_PTF).mean()
            + HANDS * torch.stack(held).sum()
            + STEPS * moved_PTJ3.diff(dim=1).square().sum(-1).mean()
            + PATH * shift_PK3.square().mean()
            + TURN * turn_PKJ6.square().sum(2).mean()
        )

    @staticmethod
    def _each(joints_PTJ3: Tensor) -> tuple[Tensor, Tensor]:
        one, other = joints_PTJ3
        return one, other

    def _sides(self, joints_PTJ3: Tensor):
        """Each person's joints, the partner's, and the partner's body."""
        one, other = self._each(joints_PTJ3)
        return (one, other, self.bodies[1]), (other, one, self.bodies[0])

    def _basis(self, motion: Interaction, fixed_PT: np.ndarray | None) -> Tensor:
        """(P, T, K) cubic B-splines, zero where frames are known."""
        basis_TK = spline_basis(motion.num_frames, motion.fps, KNOT_SECONDS)
        free_PT = np.ones((motion.num_people, motion.num_frames))
        if fixed_PT is not None:
            free_PT = np.stack([ease_mask(fixed_T, BLEND) for fixed_T in fixed_PT])
        return torch.from_numpy(free_PT[..., None] * basis_TK)


def _palm_weights(skeleton: Skeleton) -> Tensor:
    """(H, J): palms continue their forearms."""
    weights = torch.zeros(2, skeleton.num_joints, dtype=torch.float64)
    rest = skeleton.rest_positions
    for hand, side in enumerate(("left", "right")):
        wrist, elbow = (skeleton.index(f"{side}_{part}") for part in ("wrist", "elbow"))
        beyond = PALM / float(np.linalg.norm(rest[wrist] - rest[elbow]))
        weights[hand, wrist], weights[hand, elbow] = 1 + beyond, -beyond
    return weights
