"""Loss terms against the released InterMask code, and their properties."""

import parity
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from duomotion.losses.geometric import (
    bone_lengths,
    foot_contact_loss,
    geodesic_loss,
    velocity_loss,
)
from duomotion.losses.reconstruction import joint_map_loss
from duomotion.models.intermask.config import TokenizerConfig, TokenizerLossWeights
from duomotion.models.intermask.tokenizer import MotionTokenizer, TokenizerOutput
from duomotion.models.intermask.tokenizer_loss import tokenizer_loss
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.rotations import matrix_to_sixd_interleaved, yaw
from duomotion.motion.skeleton import SMPL22

NAMES = parity.fixtures("intermask_losses*")
BETAS = {"l1": 0.0, "l1_smooth": 1.0}
TERMS = {
    "rec": "reconstruction",
    "explicit": "position",
    "vel": "velocity",
    "bn": "bone",
    "geo": "rotation",
    "fc": "contact",
}
WEIGHTS = {
    "commit": "commitment",
    "explicit": "position",
    "vel": "velocity",
    "bn": "bone",
    "geo": "rotation",
    "fc": "contact",
}


def as_output(reconstruction, commitment=0.0):
    return TokenizerOutput(
        reconstruction, torch.tensor(commitment), torch.tensor(1.0), torch.zeros(1)
    )


def unit_normaliser():
    return Normaliser(torch.zeros(262), torch.ones(262))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("penalty", BETAS)
@pytest.mark.parametrize("data", ["real", "random"])
def test_official_terms(name, penalty, data):
    _, tensors = parity.load(name)
    suffix = ("random_gt", "random_pred") if data == "random" else ("gt1", "pred1")
    target, prediction = (INTERHUMAN.to_joint_map(tensors[f"in/{key}"]) for key in suffix)
    normaliser = Normaliser(tensors["in/global_mean"], tensors["in/global_std"])
    weights = TokenizerLossWeights(beta=BETAS[penalty])
    total, terms = tokenizer_loss(as_output(prediction, 0.7), target, normaliser, weights)
    for theirs, ours in TERMS.items():
        recorded = tensors[f"out/geometric_{penalty}/{data}/{theirs}"]
        torch.testing.assert_close(terms[ours], recorded, rtol=1e-4, atol=1e-6)
    expected = sum(getattr(weights, key) * terms[key].item() for key in terms)
    assert terms["commitment"] == 0.7
    assert total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_official_bone_lengths(name):
    _, tensors = parity.load(name)
    lengths = bone_lengths(INTERHUMAN.to_joint_map(tensors["in/gt1"])[..., :3], tuple(SMPL22.bones))
    recorded = tensors["out/geometric_l1/bone_lengths_gt1"]
    torch.testing.assert_close(lengths.sort().values, recorded.sort().values)


@pytest.mark.parametrize("name", NAMES)
def test_default_weights_are_the_trainers(name):
    recorded, _ = parity.load(name)
    used = recorded["config"]["loss_weights_used_by_trainer"]
    assert {key: getattr(TokenizerLossWeights(), WEIGHTS[key]) for key in used} == used


def test_perfect_reconstruction_costs_nothing():
    motion = torch.randn(2, 8, 22, 12)
    total, terms = tokenizer_loss(
        as_output(motion), motion, unit_normaliser(), TokenizerLossWeights(contact=0)
    )
    assert terms.pop("rotation") < 1e-3
    terms.pop("contact")
    assert all(term == 0 for term in terms.values())
    assert total < 1e-5


def test_root_rotation_does_not_count():
    motion = torch.randn(1, 4, 22, 12)
    changed = motion.clone()
    changed[..., 0, 6:] += 1
    assert joint_map_loss(changed, motion) == 0
    changed[..., 1, 6:] += 1
    assert joint_map_loss(changed, motion, F.l1_loss).item() == pytest.approx(6 / 258)


def test_interleaved_reading_measures_the_true_angle():
    angle = 0.3
    identity = torch.eye(3).expand(1, 4, 21, 3, 3)
    turned = torch.tensor(yaw(angle), dtype=torch.float32).expand(1, 4, 21, 3, 3)
    normaliser = Normaliser(torch.randn(262), torch.rand(262) + 0.5)
    mean, std = (INTERHUMAN.to_joint_map(x) for x in (normaliser.mean, normaliser.std))

    def joint_map(matrices):
        motion = torch.zeros(1, 4, 22, 12)
        sixd = matrix_to_sixd_interleaved(matrices)
        motion[..., 1:, 6:] = (sixd - mean[1:, 6:]) / std[1:, 6:]
        return motion

    def rotation_term(reading):
        weights = TokenizerLossWeights(rotation_reading=reading)
        _, terms = tokenizer_loss(
            as_output(joint_map(turned)), joint_map(identity), normaliser, weights
        )
        return terms["rotation"].item()

    assert rotation_term("interleaved") == pytest.approx(angle, rel=1e-4)
    assert rotation_term("released") != pytest.approx(angle, rel=1e-2)


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0.01, 3.13))
def test_geodesic_distance_of_a_turn(angle):
    turned = torch.tensor(yaw(angle), dtype=torch.float64)
    assert geodesic_loss(turned, torch.eye(3).double()).item() == pytest.approx(angle, rel=1e-6)


def test_geodesic_gradient_is_finite_at_the_target():
    matrix = torch.eye(3).requires_grad_()
    geodesic_loss(matrix, torch.eye(3)).backward()
    assert matrix.grad is not None
    assert matrix.grad.isfinite().all()


def test_velocity_of_a_shifted_motion_is_the_same():
    motion = torch.randn(2, 6, 22, 3)
    assert velocity_loss(motion + 3, motion).item() == pytest.approx(0, abs=1e-10)


def test_foot_contact_counts_standing_feet_only():
    standing = torch.zeros(1, 5, 4, 3)
    sliding = standing.clone()
    sliding[..., 0] = torch.arange(5).view(1, 5, 1) * 0.1
    assert foot_contact_loss(sliding, standing, F.l1_loss).item() == pytest.approx(0.1 / 3)
    assert foot_contact_loss(sliding, sliding, F.l1_loss) == 0
    raised = standing + torch.tensor([0.0, 0.1, 0.0])  # above the toes' threshold, not the ankles'
    only_ankles = sliding.clone()
    only_ankles[:, :, [1, 3]] = 0
    assert foot_contact_loss(only_ankles, raised, F.l1_loss).item() == pytest.approx(0.1 / 3)
    assert foot_contact_loss(sliding, standing + 1, F.l1_loss) == 0


@pytest.mark.parametrize("input_layer", ["graph", "conv"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_training_reduces_the_loss(input_layer, precision):
    torch.manual_seed(0)
    config = TokenizerConfig(widths=(16, 16, 16), code_dim=8, num_codes=16, input_layer=input_layer)
    tokenizer = MotionTokenizer(config)
    optimiser = torch.optim.AdamW(tokenizer.parameters(), lr=3e-3, weight_decay=0)
    frames = torch.arange(16).view(1, 16, 1, 1) / 8
    motion = torch.sin(frames + torch.rand(4, 1, 22, 12) * 6)
    losses = []
    for _ in range(40):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            output = tokenizer(motion)
            total, _ = tokenizer_loss(output, motion, unit_normaliser(), TokenizerLossWeights())
        assert total.dtype == torch.float32
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimiser.step()
        losses.append(total.item())
    assert all(parameter.grad is not None for parameter in tokenizer.parameters())
    assert losses[-1] < 0.6 * losses[0]
