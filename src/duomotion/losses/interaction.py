"""Errors of the joints of two people by frame (InterGen, Liang et al. 2024; ILD, appendix A).

Each gives a number a frame, (B, T), or (B, T - 1) for steps from each frame to the next;
`mean_over` makes losses of them. Where InterGen's released code and the papers differ, a named
switch says which is meant.

Axes: B samples, P the 2 people, T frames, F features, J joints, E bones, K feet. Positions are in
metres at 30 fps with the floor at height 0.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.losses.geometric import bone_lengths
from duomotion.motion.contacts import CONTACT_HEIGHTS, CONTACT_SPEED, foot_joints
from duomotion.motion.skeleton import Skeleton

Form = Literal["released", "papers"]
TINY = 1e-7  # makes a mean over nothing zero; released code


def mean_over(values: Tensor, mask: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """The mean of values over the places where a mask of their shape is set; zero if nowhere.

    Args:
        dims: that it is taken over; all of them unless given.
    """
    mask = mask.to(values.dtype)
    return (values * mask).sum(dims) / (mask.sum(dims) + TINY)


def velocity_error(prediction_BTJ3: Tensor, target_BTJ3: Tensor) -> Tensor:
    """(B, T - 1): squared error of the joints' steps from frame to frame."""
    return torch.sub(*(x.diff(dim=1) for x in (prediction_BTJ3, target_BTJ3))).square().mean((2, 3))


def bone_length_error(
    prediction_BTJ3: Tensor, target_BTJ3: Tensor, bones: tuple[tuple[int, int], ...]
) -> Tensor:
    """(B, T): squared error of the distances of the two joints of each bone (ILD, equation 10)."""
    return (
        torch.sub(*(bone_lengths(x, bones) for x in (prediction_BTJ3, target_BTJ3)))
        .square()
        .mean(-1)
    )


def foot_contact_error(
    prediction_BTK3: Tensor, target_BTK3: Tensor, form: Form = "released"
) -> Tensor:
    """(B, T - 1): squared steps of feet that touch the floor (ILD, equation 11), of these the mean.

    Args:
        prediction_BTK3, target_BTK3: left ankle, left foot, right ankle, right foot.
        form: "released": contact is found on the prediction; "papers": on the recording.
    """
    seen_BTK3 = prediction_BTK3 if form == "released" else target_BTK3
    is_still = seen_BTK3.diff(dim=1).square().sum(-1) < CONTACT_SPEED
    is_low = seen_BTK3[:, :-1, :, 1] < seen_BTK3.new_tensor(CONTACT_HEIGHTS)
    return mean_over(prediction_BTK3.diff(dim=1).square().mean(-1), is_still & is_low, (-1,))


def relative_orientation_error(
    prediction_BPTJ3: Tensor, target_BPTJ3: Tensor, hips: tuple[int, int], form: Form = "released"
) -> Tensor:
    """(B, T): squared error of the turn from the first person's heading to the second's.

    Args:
        hips: right and left; a heading is horizontal, across the line from one to the other.
        form: "released": of w and y of the quaternion of the shortest turn; "papers": of cosine
            and sine of the angle about the vertical axis (ILD, equation 14).
    """
    turns = (_relative_turn(x, hips, form) for x in (prediction_BPTJ3, target_BPTJ3))
    return torch.sub(*turns).square().mean(-1)


def _relative_turn(positions_BPTJ3: Tensor, hips: tuple[int, int], form: Form) -> Tensor:
    """(B, T, 2)."""
    across_BPT3 = torch.sub(*(positions_BPTJ3[..., hip, :] for hip in hips))
    heading_BPT2 = torch.stack((across_BPT3[..., 2], -across_BPT3[..., 0]), -1)
    first, second = F.normalize(heading_BPT2, dim=-1).unbind(1)
    cosine = (first * second).sum(-1)
    sine = first[..., 1] * second[..., 0] - first[..., 0] * second[..., 1]
    if form == "papers":
        return torch.stack((cosine, sine), -1)
    return F.normalize(torch.stack((1 + cosine, sine), -1), dim=-1)


def joint_distances(positions_BPTJ3: Tensor) -> Tensor:
    """(B, T, J, J): distances of the first person's joints to the second's."""
    first, second = positions_BPTJ3.unbind(1)
    return torch.cdist(first, second)


def distance_map_error(
    prediction_BTJJ: Tensor, target_BTJJ: Tensor, masking_BTJJ: Tensor, within: float
) -> Tensor:
    """(B, T): squared error of the distances of joints that are near, of these the mean.

    Args:
        prediction_BTJJ, target_BTJJ: `joint_distances`.
        masking_BTJJ: `masking_distances`.
        within: metres of these that are near.
    """
    return mean_over((prediction_BTJJ - target_BTJJ).square(), masking_BTJJ < within, (-2, -1))


def masking_distances(prediction_BTJJ: Tensor, target_BPTJ3: Tensor, form: Form) -> Tensor:
    """(B, T, J, J): the distances by which `distance_map_error` is masked.

    Args:
        form: "released": the predicted distances; "papers": the recorded ones over the floor (ILD,
            equation 13).
    """
    if form == "released":
        return prediction_BTJJ
    return joint_distances(target_BPTJ3[..., [0, 2]])


def joint_affinity_error(prediction_BTJJ: Tensor, target_BTJJ: Tensor, within: float) -> Tensor:
    """(B, T): squared distances of joints that touch in the recording, of these the mean.

    They are drawn together completely, not to the recorded distance (released code; no paper has
    this loss).

    Args:
        prediction_BTJJ, target_BTJJ: `joint_distances`.
        within: metres of the recorded distance.
    """
    return mean_over(prediction_BTJJ.square(), target_BTJJ < within, (-2, -1))


def body_errors(
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


def hips_of(skeleton: Skeleton) -> tuple[int, int]:
    """The right one and the left one."""
    return skeleton.index("right_hip"), skeleton.index("left_hip")


def on_lowest_foot(
    prediction_BPTJ3: Tensor, target_BPTJ3: Tensor, mask_BT: Tensor, skeleton: Skeleton
) -> tuple[Tensor, Tensor]:
    """Both moved so that the floor is where a foot of either person gets down to in the target."""
    heights_BPTK = target_BPTJ3[..., foot_joints(skeleton), 1]
    padding = ~mask_BT[:, None, :, None].expand_as(heights_BPTK)
    floor_B = heights_BPTK.masked_fill(padding, float("inf")).flatten(1).amin(1)
    rise = F.pad(floor_B[:, None, None, None, None], (1, 1))
    return prediction_BPTJ3 - rise, target_BPTJ3 - rise


def simple_loss(prediction_BPTF: Tensor, target_BPTF: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean squared error over all frames of the batch before their sample's end."""
    return mean_over((prediction_BPTF - target_BPTF).square().mean((1, 3)), mask_BT)


def weighted(losses: Mapping[str, Tensor], weights: Any) -> dict[str, Tensor]:
    """Each times the member of `weights` of its name."""
    return {name: getattr(weights, name) * loss for name, loss in losses.items()}
