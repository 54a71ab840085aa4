"""ILD's training objectives: autoencoder (section 3.1, appendix A) and denoiser (section 3.2).

Axes: B samples, P the 2 people, T frames, F features, J joints, L latents, K their width.
"""

import torch
from torch import Tensor

from duomotion.losses.interaction import (
    body_errors,
    distance_map_error,
    hips_of,
    joint_distances,
    masking_distances,
    mean_over,
    relative_orientation_error,
    weighted,
)
from duomotion.models.ild.config import AutoencoderLossWeights
from duomotion.models.layers.latents import Latents, kl_divergence
from duomotion.motion.skeleton import Skeleton

GEOMETRIC, INTERACTIVE = ("bone", "contact"), ("distance", "orientation")


def joint_losses(
    prediction_BPTJ3: Tensor,
    target_BPTJ3: Tensor,
    mask_BT: Tensor,
    skeleton: Skeleton,
    weights: AutoencoderLossWeights,
) -> dict[str, Tensor]:
    """The losses on joints (equations 10 to 15), weighted; means over samples.

    Args:
        prediction_BPTJ3, target_BPTJ3: metres.
        mask_BT: bool, the frames before a sample's end.
    """

    def mean(error_BT: Tensor) -> Tensor:
        return mean_over(error_BT, mask_BT[:, : error_BT.shape[1]], (1,)).mean()

    form, both = weights.form, (prediction_BPTJ3, target_BPTJ3)
    people = prediction_BPTJ3.unbind(1), target_BPTJ3.unbind(1)
    one, other = (body_errors(*person, skeleton, form) for person in zip(*people, strict=True))
    errors = {name: one[name] + other[name] for name in one}
    errors["position"] = torch.sub(*both).square().sum(-1).mean((1, 3))
    if weights.distance:
        distances_BTJJ, recorded_BTJJ = map(joint_distances, both)
        masking_BTJJ = masking_distances(distances_BTJJ, target_BPTJ3, form)
        errors["distance"] = distance_map_error(
            distances_BTJJ, recorded_BTJJ, masking_BTJJ, weights.distance_within
        )
    if weights.orientation:
        errors["orientation"] = relative_orientation_error(*both, hips_of(skeleton), form)
    kept = {name: mean(error) for name, error in errors.items() if getattr(weights, name)}
    return weighted(kept, weights)


def kl_loss(latents: Latents) -> Tensor:
    """Mean divergence of latents' distributions from the standard normal."""
    return kl_divergence(latents).mean()


def latent_loss(prediction_BLK: Tensor, target_BLK: Tensor) -> Tensor:
    """Mean squared error of what the denoiser predicts."""
    return (prediction_BLK.float() - target_BLK).square().mean()
