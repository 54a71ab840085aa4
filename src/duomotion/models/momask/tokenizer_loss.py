"""Objective of the residual VQ-VAE (MoMask, section 3.1, equation 2)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.momask.config import ResidualTokenizerLossWeights
from duomotion.models.momask.tokenizer import ResidualTokenizerOutput


def tokenizer_loss(
    output: ResidualTokenizerOutput,
    target_BTF: Tensor,
    positions: slice,
    weights: ResidualTokenizerLossWeights,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Equation 2 with the further term of the released code, on normalised features.

    Args:
        output: of the tokenizer for `target_BTF`.
        target_BTF: (B, T, F) normalised.
        positions: the features that are joint positions about the root; 4 to 66 of HumanML3D.
        weights: of the terms.

    Returns:
        The weighted sum, and each term before weighting: reconstruction, commitment, position.
    """
    penalty = partial(F.smooth_l1_loss, beta=weights.beta)
    with torch.autocast(target_BTF.device.type, enabled=False):
        prediction, target = output.reconstruction.float(), target_BTF.float()
        terms = {
            "reconstruction": penalty(prediction, target),
            "commitment": output.commitment,
            "position": penalty(prediction[..., positions], target[..., positions]),
        }
        total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return total, terms
