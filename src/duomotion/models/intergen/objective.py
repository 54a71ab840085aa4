"""InterGen's training objective (Liang et al. 2024, section 4.3): denoising, bodies, both people.

Axes: B samples, P the 2 people, T frames, F features, J joints.
"""

from torch import Tensor

from duomotion.losses.interaction import (
    body_errors,
    distance_map_error,
    hips_of,
    joint_affinity_error,
    mean_over,
    relative_orientation_error,
    weighted,
)
from duomotion.models.intergen.config import LossWeights
from duomotion.motion.skeleton import Skeleton


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
    losses = {
        **{name: mean(one[name]) + mean(other[name]) for name in one},
        "orientation": mean_over(orientation, mask_BT) if form == "released" else mean(orientation),
        "distance": mean(distance_map_error(*both, weights.distance_within, form)),
        "affinity": mean(joint_affinity_error(*both, weights.affinity_within)),
    }
    return weighted(losses, weights)
