"""Objective of the 2D VQ-VAE (InterMask, section 3.1, equation 2, appendix C).

Axes: B motions, T frames, J joints, D numbers a joint.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.losses.geometric import (
    bone_length_loss,
    foot_contact_loss,
    geodesic_loss,
    velocity_loss,
)
from duomotion.losses.reconstruction import joint_map_loss
from duomotion.models.intermask.config import TokenizerLossWeights
from duomotion.models.intermask.tokenizer import TokenizerOutput
from duomotion.motion.contacts import foot_joints
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.interx import INTERX, NUM_ROTATIONS
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.rotations import (
    sixd_concatenated_to_matrix,
    sixd_interleaved_to_matrix,
    sixd_rows_to_matrix,
)
from duomotion.motion.skeleton import SMPL22, SMPLX55

Loss = tuple[Tensor, dict[str, Tensor]]


def tokenizer_loss(
    output: TokenizerOutput,
    target_BTJD: Tensor,
    normaliser: Normaliser,
    weights: TokenizerLossWeights,
) -> Loss:
    """Equation 2 with the two further terms of the released code, for InterHuman joint maps.

    Args:
        output: of the tokenizer for `target_BTJD`.
        target_BTJD: (B, T, 22, 12) normalised.
        normaliser: of the 262 features; tensors on the same device.
        weights: of the terms.

    Returns:
        The weighted sum, and each term before weighting: reconstruction, commitment, position,
        velocity, bone, rotation, contact.
    """
    penalty = partial(F.smooth_l1_loss, beta=weights.beta)
    with torch.autocast(target_BTJD.device.type, enabled=False):
        prediction, target = output.reconstruction.float(), target_BTJD.float()
        mean_JD, std_JD = map(INTERHUMAN.to_joint_map, (normaliser.mean, normaliser.std))
        positions = prediction[..., :3], target[..., :3]
        rotations = prediction[..., 1:, 6:], target[..., 1:, 6:]
        if weights.rotation_reading == "released":
            matrices = [sixd_concatenated_to_matrix(x) for x in rotations]
        else:
            mean, std = mean_JD[1:, 6:], std_JD[1:, 6:]
            matrices = [sixd_interleaved_to_matrix(x * std + mean) for x in rotations]
        feet = foot_joints(SMPL22)
        predicted_feet, target_feet = (
            x[..., feet, :] * std_JD[feet, :3] + mean_JD[feet, :3] for x in positions
        )
        terms = {
            "reconstruction": joint_map_loss(prediction, target, penalty),
            "commitment": output.commitment,
            "position": penalty(*positions),
            "velocity": velocity_loss(*positions, penalty),
            "bone": bone_length_loss(*positions, tuple(SMPL22.bones), penalty),
            "rotation": geodesic_loss(*matrices),
            "contact": foot_contact_loss(predicted_feet, target_feet, penalty),
        }
        return _weighted(terms, weights)


def interx_tokenizer_loss(
    output: TokenizerOutput, target_BTJD: Tensor, weights: TokenizerLossWeights
) -> Loss:
    """The same for Inter-X maps, on joint positions by forward kinematics (released code).

    There is no bone term: the body is the neutral one and keeps its lengths. The maps do not
    hold the height of the floor: it is taken to be that of the lowest foot of a motion.

    Args:
        output: of the tokenizer for `target_BTJD`.
        target_BTJD: (B, T, 56, 6).
        weights: of the terms; that of bones is not used.

    Returns:
        The weighted sum, and each term before weighting: reconstruction, commitment, position,
        velocity, rotation, contact.
    """
    penalty = partial(F.smooth_l1_loss, beta=weights.beta)
    with torch.autocast(target_BTJD.device.type, enabled=False):
        maps = output.reconstruction.float(), target_BTJD.float()
        predicted, target = (INTERX.positions(INTERX.from_joint_map(x)) for x in maps)
        predicted_turns, target_turns = (
            sixd_rows_to_matrix(x[..., :NUM_ROTATIONS, :]) for x in maps
        )
        predicted_feet, feet = (x[..., foot_joints(SMPLX55), :] for x in (predicted, target))
        floor_B113 = F.pad(feet[..., 1].amin((1, 2))[:, None, None, None], (1, 1))
        terms = {
            "reconstruction": penalty(*maps),
            "commitment": output.commitment,
            "position": penalty(predicted, target),
            "velocity": velocity_loss(predicted, target, penalty),
            "rotation": geodesic_loss(predicted_turns, target_turns),
            "contact": foot_contact_loss(predicted_feet, feet - floor_B113, penalty),
        }
        return _weighted(terms, weights)


def _weighted(terms: dict[str, Tensor], weights: TokenizerLossWeights) -> Loss:
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return total, terms
