"""InterGen's training objective (Liang et al. 2024, section 4.3): denoising, bodies, both people.

Axes: B samples, P the 2 people, T frames, F features, J joints.
"""

from collections.abc import Mapping

from torch import Tensor

from duomotion.losses.interaction import (
    Form,
    bone_length_error,
    distance_map_error,
    foot_contact_error,
    joint_affinity_error,
    mean_over,
    relative_orientation_error,
    velocity_error,
)
from duomotion.models.intergen.config import LossWeights
from duomotion.motion.contacts import foot_joints
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
    one, other = (_body_errors(*person, skeleton, form) for person in zip(*pairs, strict=True))
    both = prediction_BPTJ3, target_BPTJ3
    hips = skeleton.index("right_hip"), skeleton.index("left_hip")
    orientation = relative_orientation_error(*both, hips, form)
    losses = {
        **{name: mean(one[name]) + mean(other[name]) for name in one},
        "orientation": mean_over(orientation, mask_BT) if form == "released" else mean(orientation),
        "distance": mean(distance_map_error(*both, weights.distance_within, form)),
        "affinity": mean(joint_affinity_error(*both, weights.affinity_within)),
    }
    return weighted(losses, weights)


def _body_errors(
    prediction_BTJ3: Tensor, target_BTJ3: Tensor, skeleton: Skeleton, form: Form
) -> dict[str, Tensor]:
    """Those of one person, frame by frame."""
    feet = foot_joints(skeleton)
    return {
        "velocity": velocity_error(prediction_BTJ3, target_BTJ3),
        "bone": bone_length_error(prediction_BTJ3, target_BTJ3, tuple(skeleton.bones)),
        "contact": foot_contact_error(
            prediction_BTJ3[..., feet, :], target_BTJ3[..., feet, :], form
        ),
    }


def lowest_foot(positions_BPTJ3: Tensor, mask_BT: Tensor, skeleton: Skeleton) -> Tensor:
    """(B,) height that a foot of either person gets down to: the floor, where it is not known."""
    heights_BPTK = positions_BPTJ3[..., foot_joints(skeleton), 1]
    padding = ~mask_BT[:, None, :, None].expand_as(heights_BPTK)
    return heights_BPTK.masked_fill(padding, float("inf")).flatten(1).amin(1)


def simple_loss(prediction_BPTF: Tensor, target_BPTF: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean squared error over all frames of the batch before their sample's end."""
    return mean_over((prediction_BPTF - target_BPTF).square().mean((1, 3)), mask_BT)


def weighted(losses: Mapping[str, Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """Each times the weight of its name."""
    return {name: getattr(weights, name) * loss for name, loss in losses.items()}
