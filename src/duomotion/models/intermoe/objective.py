"""InterMoE's training objectives: of the autoencoder, and of the denoiser.

Axes: B samples, P the 2 people, T frames or latents, F numbers of a person, J joints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.losses.interaction import body_errors, mean_over, simple_loss
from duomotion.models.intermoe.config import AutoencoderLossWeights
from duomotion.models.layers.latents import Latents, kl_divergence
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.motion.layout import MapLayout
from duomotion.motion.skeleton import Skeleton

denoising_loss = simple_loss
"""Mean squared error of latents, over all of the batch before their sample's end."""


def feature_losses(
    prediction_BPTF: Tensor,
    target_BPTF: Tensor,
    mask_BT: Tensor,
    layout: MapLayout,
    weights: AutoencoderLossWeights,
) -> dict[str, Tensor]:
    """Smooth L1 of all normalised features, and of some of them once more, weighted.

    The authors' training is not released, which names these four and their weights alone. The
    distance is that of tokenizers of motion (T2M-GPT, Zhang et al. 2023).

    Args:
        mask_BT: bool, the frames before a sample's end.
    """
    error_BPTF = F.smooth_l1_loss(prediction_BPTF, target_BPTF, reduction="none")
    groups = {"reconstruction": [slice(None)], **feature_groups(layout)}
    found = {}
    for name, blocks in groups.items():
        if weight := getattr(weights, name):
            chosen = torch.cat([error_BPTF[..., block] for block in blocks], -1)
            found[name] = weight * mean_over(chosen.mean((1, 3)), mask_BT)
    return found


GROUPS = {
    "position": ("positions", "translation"),
    "velocity": ("velocities", "velocity"),
    "rotation": ("rotations",),
}
"""Names of losses, and of the blocks of layouts that they are about."""


def feature_groups(layout: MapLayout) -> dict[str, list[slice]]:
    """Which features are positions, velocities and rotations."""
    return {
        loss: [getattr(layout.blocks, name) for name in names if hasattr(layout.blocks, name)]
        for loss, names in GROUPS.items()
    }


def joint_losses(
    prediction_BPTJ3: Tensor,
    target_BPTJ3: Tensor,
    mask_BT: Tensor,
    skeleton: Skeleton,
    weights: AutoencoderLossWeights,
) -> dict[str, Tensor]:
    """Losses on joints (ours), weighted; sums over the two people, means over frames.

    Args:
        prediction_BPTJ3, target_BPTJ3: metres.
    """
    both = prediction_BPTJ3, target_BPTJ3
    errors = {"joints": torch.sub(*both).square().sum(-1).mean(-1).sum(1)}
    one, other = (
        body_errors(prediction_BPTJ3[:, person], target_BPTJ3[:, person], skeleton, "papers")
        for person in range(NUM_PEOPLE)
    )
    names = {"steps": "velocity", "bones": "bone", "contact": "contact"}
    errors |= {ours: one[name] + other[name] for ours, name in names.items()}
    return {
        name: weight * mean_over(error_BT, mask_BT[:, : error_BT.shape[1]])
        for name, error_BT in errors.items()
        if (weight := getattr(weights, name))
    }


def kl_loss(latents: Latents, mask_BN: Tensor) -> Tensor:
    """Mean divergence of latents (B, P, N, L) from the standard normal, of those before the end."""
    return mean_over(kl_divergence(latents).mean((1, 3)), mask_BN)
