"""Masked prediction of tokens: which are selected, what replaces them, and the loss.

Every random choice is drawn into a `Corruption` first; all the rest is a function of it.

Axes: B batch, V codes; `...` are the axes of a sample's tokens, such as people and places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.sampling.masking import NEVER_REMASK, cosine_schedule, least_confident, mask_count

Uniform = Callable[..., Tensor]
"""Sizes -> numbers from 0 to 1."""


@dataclass(frozen=True)
class Corruption:
    """Random choices of one training step, all (B, ...)."""

    selected: Tensor  # bool: tokens to be predicted
    randomised: Tensor  # bool, within selected: a random code replaces it
    masked: Tensor  # bool, within the other selected: [MASK] replaces it
    random_ids: Tensor  # the codes that replace it where randomised


def uniform_from(rng: torch.Generator, device: torch.device) -> Uniform:
    """Numbers drawn where the generator is, for use on `device`."""

    def draw(*size: int) -> Tensor:
        return torch.rand(size, generator=rng, device=rng.device).to(device)

    return draw


def sample_mask(length_mask: Tensor, time_B: Tensor, order: Tensor) -> Tensor:
    """Random masking (MaskGIT, Chang et al. 2022): the cosine schedule's share, at least one token.

    Args:
        length_mask: (B, ...) bool, False for padding, which is never selected.
        time_B: time of the schedule, 0 to 1, of each sample.
        order: (B, ...) uniform noise; the tokens with the lowest values are selected.
    """
    count_B = mask_count(cosine_schedule(time_B), length_mask.flatten(1).sum(1))
    order = order.masked_fill(~length_mask, NEVER_REMASK).flatten(1)
    return least_confident(order, count_B).view_as(length_mask)


def draw_replacements(
    selected: Tensor,
    *,
    num_codes: int,
    random_id_prob: float,
    mask_token_prob: float,
    uniform: Uniform,
) -> Corruption:
    """Draw what replaces the selected tokens, as in BERT (Devlin et al. 2019).

    Args:
        selected: (B, ...) bool.
        random_id_prob: share of the selected that a random code replaces.
        mask_token_prob: share of the others that [MASK] replaces; the rest stays.
        uniform: where random numbers come from.
    """
    shape = selected.shape
    randomised = selected & (uniform(*shape) < random_id_prob)
    masked = selected & ~randomised & (uniform(*shape) < mask_token_prob)
    random_ids = (uniform(*shape) * num_codes).long().clamp(max=num_codes - 1)
    return Corruption(selected, randomised, masked, random_ids)


def blanked(drawn: Corruption, length_mask: Tensor, share: float, uniform: Uniform) -> Corruption:
    """The same, but for a share of samples of which nothing is seen, as when generation begins.

    Of selected tokens some stay as they are. Where all are selected, these still say which motion
    it is, and the text has little to add; when generation begins, it is all there is. (Ours.)

    Args:
        length_mask: (B, ...) bool, False for padding.
        share: 0 draws nothing.
    """
    if not share:
        return drawn
    blank_B = uniform(len(length_mask)) < share
    blank = blank_B.view(-1, *[1] * (length_mask.ndim - 1)) & length_mask
    return Corruption(
        drawn.selected | blank, drawn.randomised & ~blank, drawn.masked | blank, drawn.random_ids
    )


def corrupt_ids(
    ids: Tensor, length_mask: Tensor, corruption: Corruption, *, mask_id: int, pad_id: int
) -> Tensor:
    """Inputs (B, ...) of the network: `ids` with replacements, and `pad_id` as padding."""
    inputs = torch.where(corruption.randomised, corruption.random_ids, ids)
    return inputs.masked_fill(corruption.masked, mask_id).masked_fill(~length_mask, pad_id)


def masked_cross_entropy(
    logits_V: Tensor, ids: Tensor, loss_mask: Tensor, targets_V: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross entropy in float32, and accuracy, over the tokens of `loss_mask`.

    Args:
        logits_V: (B, ..., V).
        ids: (B, ...) right codes.
        loss_mask: (B, ...) bool.
        targets_V: (B, ..., V) probabilities in place of the right codes, as of `soft_targets`.
    """
    logits_MV, ids_M = logits_V[loss_mask].float(), ids[loss_mask]
    accuracy = (logits_MV.detach().argmax(-1) == ids_M).float().mean()
    targets = ids_M if targets_V is None else targets_V[loss_mask]
    return F.cross_entropy(logits_MV, targets), accuracy


def soft_targets(codes_VD: Tensor, width: float) -> Tensor:
    """(V, V) target probabilities for each right code, higher for nearer codes (ours).

    They tell a model which codes are nearly right, which it has to learn from examples where
    targets are one-hot.

    Args:
        codes_VD: vectors of the codes.
        width: of the Gaussian around a code, squared, in the median squared distance of a code to
            the one that is nearest to it.
    """
    squared_VV = torch.cdist(codes_VD, codes_VD) ** 2
    nearest_V = squared_VV.topk(2, largest=False).values[:, 1]
    return torch.softmax(-squared_VV / (width * nearest_V.median()).clamp(min=1e-12), -1)
