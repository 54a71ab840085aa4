"""Capsules around the joints: distances of segments and of bodies, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from duomotion.body.capsules import Capsules, body_capsules, gaps, gaps_of_pairs, nearest_points
from duomotion.body.limbs import body_limbs, bounds
from duomotion.motion.skeleton import SMPL22, SMPLX55, Skeleton

coordinate = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 3))
ends = st.lists(coordinate, min_size=6, max_size=6)


@settings(max_examples=60, deadline=None)
@given(ends, ends)
def test_nearest_points_are_nearest(one, other):
    a, b = (torch.tensor(x, dtype=torch.float64).view(2, 3) for x in (one, other))
    s, t = nearest_points(a, b)
    found = (torch.lerp(a[0], a[1], s) - torch.lerp(b[0], b[1], t)).norm()

    def squared(where):
        between = (1 - where[0]) * a[0] + where[0] * a[1]
        return float((between - (1 - where[1]) * b[0] - where[1] * b[1]).square().sum())

    starts = [(0.5, 0.5), (0, 1), (1, 0)]
    best = min(minimize(squared, x, bounds=[(0, 1)] * 2, tol=1e-14).fun for x in starts)
    assert float(found) == pytest.approx(best**0.5, abs=2e-4)


def rod(*, radius=0.1):
    """A capsule from the first joint to the second."""
    return Capsules(torch.eye(2)[:, None], torch.full((2, 1), radius), torch.tensor([False]))


def test_gaps_of_parallel_rods():
    for apart in (0.0, 0.05, 0.15, 0.3):
        one = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
        gap = gaps(rod(), rod(), (one, one + torch.tensor([0.0, apart, 0])))
        assert float(gap) == pytest.approx(apart - 0.2, abs=1e-4)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    body = body_capsules(SMPL22)
    body = Capsules(body.ends, body.radii.mean(0).expand(2, -1), body.is_hand)
    rest = torch.tensor(SMPL22.rest_positions)
    joints = tuple(rest + 0.03 * torch.randn_like(rest) for _ in range(2))
    joints = (joints[0], (joints[1] + torch.tensor([0.3, 0.0, 0.1])).requires_grad_())
    energy = gaps(body, body, joints).clamp_max(0).square().sum()
    energy.backward()
    step = 1e-6 * torch.randn_like(rest)
    with torch.no_grad():
        moved = (gaps(body, body, (joints[0], joints[1] + s * step)) for s in (1, -1))
        change = torch.sub(*(gap.clamp_max(0).square().sum() for gap in moved)) / 2
    assert float(change) == pytest.approx(float((joints[1].grad * step).sum()), rel=1e-3)
    assert joints[1].grad.isfinite().all()


@pytest.mark.parametrize("skeleton", [SMPL22, SMPLX55])
def test_they_fill_the_same_space_as_the_limbs(skeleton):
    limbs, capsules = body_limbs(skeleton), body_capsules(skeleton)
    low, high = bounds(limbs)
    rng = np.random.default_rng(0)
    points = rng.uniform(low, high, (60_000, 3))
    inside = np.any([limb.distance(points) < 0 for limb in limbs], axis=0)
    rest = torch.tensor(skeleton.rest_positions).float()
    a = capsules.place(rest)[:, :, None]
    x = torch.from_numpy(points).float()
    s, _ = nearest_points(a, torch.stack([x, x])[:, None])
    radius = capsules.radius(s.mT).mT
    covered = ((torch.lerp(a[0], a[1], s[..., None]) - x).norm(dim=-1) < radius).any(0).numpy()
    assert (inside & covered).sum() / (inside | covered).sum() > 0.8
    assert covered.mean() == pytest.approx(inside.mean(), rel=0.1)


def test_bodies_apart_do_not_touch_and_a_body_in_itself_does():
    body = body_capsules(SMPL22)
    rest = torch.tensor(SMPL22.rest_positions).float()
    apart = gaps(body, body, (rest, rest + torch.tensor([0.0, 0, 2])))
    assert 1.4 < apart.amin() < 2
    assert gaps(body, body, (rest, rest)).amin() < -0.2


def test_gaps_of_some_pairs_are_those_among_all():
    body = body_capsules(SMPL22)
    rng = torch.Generator().manual_seed(0)
    rest = torch.tensor(SMPL22.rest_positions)
    joints = tuple(
        (rest + 0.2 * torch.randn(5, 22, 3, generator=rng).double()).requires_grad_() for _ in "ab"
    )
    every = gaps(body, body, joints)
    pairs = every.lt(0.1).nonzero(as_tuple=True)
    assert 0 < len(pairs[0]) < every.numel()
    found = gaps_of_pairs(body, body, joints, pairs)
    torch.testing.assert_close(found, every[pairs])
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), joints),
        torch.autograd.grad(every[pairs].square().sum(), joints),
    )


def test_a_skeleton_without_hips_has_no_sides():
    stick = Skeleton(("root", "spine"), (-1, 0), np.array([[0.0, 0, 0], [0, 1, 0]]))
    with pytest.raises(ValueError, match="two hips, this skeleton has 0"):
        body_capsules(stick)
