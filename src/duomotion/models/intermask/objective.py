"""Training objective of the Inter-M transformer (InterMask, section 3.2.1, eq. 8, appendix D).

Stage one masks tokens of both people (random masking) or of one whole person (interaction
masking), and the network predicts them. Stage two, step unroll, keeps the predictions in which
the network is most confident as inputs and predicts the others again. With `random_mask_prob=1`
there is no interaction masking, with `unroll_weight=0` no step unroll (table 3).

Axes: B batch, P the 2 people, N tokens of a person, V codes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from duomotion.losses.masked import (
    Corruption,
    blanked,
    corrupt_ids,
    draw_replacements,
    masked_cross_entropy,
    sample_mask,
    uniform_from,
)
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.masks import token_map_mask
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.sampling.masking import (
    NEVER_REMASK,
    cosine_schedule,
    cosine_schedule_time,
    least_confident,
    mask_count,
)


@dataclass(frozen=True)
class Targets:
    """Inputs of one pass of the network and the tokens that its loss is over, all (B, P, N)."""

    inputs: Tensor
    loss_mask: Tensor  # bool


@dataclass(frozen=True)
class GeneratorLoss:
    """Scalars of one training step; `accuracy` is the top-1 accuracy of the first pass.

    Those of the second pass are None where `unroll_weight` is 0.
    """

    loss: Tensor  # masked + unroll_weight unrolled
    masked: Tensor
    accuracy: Tensor
    unrolled: Tensor | None = None
    unrolled_accuracy: Tensor | None = None


def generator_loss(
    model: InterMTransformer,
    ids_BPN: Tensor,
    text_BC: Tensor,
    lengths_B: Tensor,
    *,
    corruption: Corruption,
    drop_B: Tensor | None = None,
) -> GeneratorLoss:
    """Cross entropy of both passes, each the mean over its `loss_mask`.

    Args:
        ids_BPN: codes of both people; values at padding have no effect.
        text_BC: vectors of `model.text_head`.
        lengths_B: latent frames of each sample.
        corruption: of `draw_corruption`.
        drop_B: bool, samples trained without a text, in both passes; of `draw_text_drop`.
    """
    config = model.config
    condition = model.condition(text_BC, drop_B)
    first = corrupt(ids_BPN, lengths_B, corruption, config)
    logits = model(first.inputs, condition, lengths_B)
    masked, accuracy = masked_cross_entropy(logits, ids_BPN, first.loss_mask)
    if not config.unroll_weight:
        return GeneratorLoss(masked, masked, accuracy)
    second = unroll(first, logits.detach(), corruption.masked, config)
    unrolled_logits = model(second.inputs, condition, lengths_B)
    unrolled, unrolled_accuracy = masked_cross_entropy(unrolled_logits, ids_BPN, second.loss_mask)
    loss = masked + config.unroll_weight * unrolled
    return GeneratorLoss(loss, masked, accuracy, unrolled, unrolled_accuracy)


def draw_corruption(
    lengths_B: Tensor, num_frames: int, config: InterMConfig, rng: torch.Generator
) -> Corruption:
    """Draw stage one for a batch with `num_frames` latent frames, each sample for itself.

    The released code chooses between random and interaction masking once per batch and may select
    padding; here the choice is per sample and padding is never selected.
    """
    length_mask_BPN = token_map_mask(lengths_B, config.num_parts, num_frames)
    uniform = uniform_from(rng, lengths_B.device)
    batch = len(lengths_B)
    at_random = sample_mask(length_mask_BPN, uniform(batch), uniform(*length_mask_BPN.shape))
    one_person = select_person(length_mask_BPN, (uniform(batch) < 0.5).long())
    is_random = uniform(batch) < config.random_mask_prob
    drawn = draw_replacements(
        torch.where(is_random[:, None, None], at_random, one_person),
        num_codes=config.num_codes,
        random_id_prob=config.random_id_prob,
        mask_token_prob=config.mask_token_prob,
        uniform=uniform,
    )
    return blanked(drawn, length_mask_BPN, config.blank_prob, uniform)


def select_person(length_mask_BPN: Tensor, person_B: Tensor) -> Tensor:
    """Interaction masking: all tokens of the given person (0 or 1) of each sample."""
    person = torch.arange(NUM_PEOPLE, device=person_B.device) == person_B[:, None]
    return length_mask_BPN & person[..., None]


def corrupt(
    ids_BPN: Tensor, lengths_B: Tensor, corruption: Corruption, config: InterMConfig
) -> Targets:
    """Inputs of the first pass, whose loss is over all selected tokens, masked or not."""
    num_frames = ids_BPN.shape[-1] // config.num_parts
    length_mask_BPN = token_map_mask(lengths_B, config.num_parts, num_frames)
    inputs = corrupt_ids(
        ids_BPN, length_mask_BPN, corruption, mask_id=config.mask_id, pad_id=config.pad_id
    )
    return Targets(inputs, corruption.selected)


def unroll(
    first: Targets, logits_BPNV: Tensor, masked_BPN: Tensor, config: InterMConfig
) -> Targets:
    """Inputs of the second pass: the schedule one step on, predictions in place of some [MASK]s.

    The schedule's time follows from the share of [MASK] among all tokens, padding included
    (released code). The loss leaves out the tokens that are filled in.
    """
    logits_MV = logits_BPNV[masked_BPN].float()
    probability_M, predicted_M = logits_MV.softmax(-1).max(-1)
    confidence = torch.full(masked_BPN.shape, NEVER_REMASK, device=logits_MV.device)
    confidence = confidence.masked_scatter(masked_BPN, probability_M).flatten(1)

    share_B = masked_BPN.flatten(1).float().mean(1)
    time_B = (cosine_schedule_time(share_B) + config.unroll_time_step).clamp(max=1)
    count_B = mask_count(cosine_schedule(time_B), confidence.shape[1])
    remasked = least_confident(confidence, count_B).view_as(masked_BPN) & masked_BPN
    filled = masked_BPN & ~remasked
    inputs = first.inputs.masked_scatter(masked_BPN, predicted_M)
    return Targets(inputs.masked_fill(remasked, config.mask_id), first.loss_mask & ~filled)
