"""The losses that InterGen trains its denoiser with (Liang et al. 2024, section 4.3).

Axes: B samples, P the 2 people, T frames, J joints.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from duomotion.config import Factor, Within
from duomotion.losses.interaction import (
    Form,
    body_errors,
    distance_map_error,
    hips_of,
    joint_affinity_error,
    joint_distances,
    masking_distances,
    mean_over,
    relative_orientation_error,
    weighted,
)
from duomotion.motion.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of InterGen's losses and which form of them is meant; defaults are as released."""

    simple: Factor = 1.0
    velocity: Factor = 30.0
    bone: Factor = 10.0
    contact: Factor = 30.0
    orientation: Factor = 0.01
    affinity: Factor = 3.0
    distance: Factor = 3.0
    last_step: Annotated[int, Within(0, 10_000)] = (
        700  # T-bar: samples with more noise have the simple loss alone
    )
    affinity_within: Factor = 0.1  # metres
    distance_within: Factor = 1.0  # metres
    form: Form = "released"  # see `losses.interaction`


def interaction_losses(
    prediction_BPTJ3: Tensor,
    target_BPTJ3: Tensor,
    mask_BT: Tensor,
    is_clean_B: Tensor,
    skeleton: Skeleton,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """The losses on joints, weighted; sums over the two people, means over samples.

    In form "released" the relative orientation is averaged over all frames of the batch, however
    noisy their samples: the released code sums over one axis too many.

    Args:
        prediction_BPTJ3, target_BPTJ3: metres.
        mask_BT: bool, the frames before a sample's end.
        is_clean_B: bool, the samples that are not too noisy for these losses.
    """

    def mean(error_BT: Tensor) -> Tensor:
        mask = mask_BT[:, : error_BT.shape[1]]
        return mean_over(mean_over(error_BT, mask, (1,)), is_clean_B)

    form, pairs = weights.form, (prediction_BPTJ3.unbind(1), target_BPTJ3.unbind(1))
    one, other = (body_errors(*person, skeleton, form) for person in zip(*pairs, strict=True))
    both = prediction_BPTJ3, target_BPTJ3
    orientation = relative_orientation_error(*both, hips_of(skeleton), form)
    distances_BTJJ, recorded_BTJJ = map(joint_distances, both)
    masking_BTJJ = masking_distances(distances_BTJJ, target_BPTJ3, form)
    distance_map = distance_map_error(
        distances_BTJJ, recorded_BTJJ, masking_BTJJ, weights.distance_within
    )
    affinity = joint_affinity_error(distances_BTJJ, recorded_BTJJ, weights.affinity_within)
    losses = {
        **{name: mean(one[name]) + mean(other[name]) for name in one},
        "orientation": mean_over(orientation, mask_BT) if form == "released" else mean(orientation),
        "distance": mean(distance_map),
        "affinity": mean(affinity),
    }
    return weighted(losses, weights)
