"""Training objectives of the two transformers (MoMask, sections 3.2 and 3.3).

Random choices are drawn first, by `draw_corruption`, `draw_layers` and `draw_text_drop`; a loss is
a function of them.

Axes: B batch, N tokens, Q quantisation layers.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
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
from duomotion.models.layers.masks import length_mask
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.sampling.masking import cosine_schedule


@dataclass(frozen=True)
class TokenLoss:
    """Scalars of one training step; `accuracy` is top-1."""

    loss: Tensor
    accuracy: Tensor


def masked_loss(
    model: MaskedTransformer,
    ids_BN: Tensor,
    text_BC: Tensor,
    lengths_B: Tensor,
    *,
    corruption: Corruption,
    drop_B: Tensor | None = None,
    targets_VV: Tensor | None = None,
) -> TokenLoss:
    """Cross entropy (eq. 3), the mean over the selected tokens, masked or not (released code).

    Args:
        ids_BN: codes of the base layer; values at padding have no effect.
        text_BC: text vectors.
        lengths_B: tokens of each sample.
        corruption: of `draw_corruption`.
        drop_B: bool, samples trained without a text; of `guidance.draw_text_drop`.
        targets_VV: target probabilities for each right code; of `soft_targets`.
    """
    config = model.config
    length_mask_BN = length_mask(lengths_B, ids_BN.shape[1])
    inputs = corrupt_ids(
        ids_BN, length_mask_BN, corruption, mask_id=config.mask_id, pad_id=config.pad_id
    )
    logits_BNV = model(inputs, model.condition(text_BC, drop_B), lengths_B)
    targets_BNV = None if targets_VV is None else targets_VV[ids_BN]
    return TokenLoss(*masked_cross_entropy(logits_BNV, ids_BN, corruption.selected, targets_BNV))


def residual_loss(
    model: ResidualTransformer,
    ids_BNQ: Tensor,
    text_BC: Tensor,
    lengths_B: Tensor,
    *,
    layer_B: Tensor,
    drop_B: Tensor | None = None,
    targets_QVV: Tensor | None = None,
) -> TokenLoss:
    """Cross entropy (eq. 4) of one layer of each sample, the mean over all tokens.

    Args:
        ids_BNQ: codes; values at padding have no effect.
        text_BC, lengths_B, drop_B: as for `masked_loss`.
        layer_B: the layer to be predicted, from 1; of `draw_layers`.
        targets_QVV: as for `masked_loss`, of all layers.
    """
    length_mask_BN = length_mask(lengths_B, ids_BNQ.shape[1])
    ids_BNQ = ids_BNQ.masked_fill(~length_mask_BN.unsqueeze(-1), model.config.pad_id)
    history_BNC = model.history(ids_BNQ, layer_B)
    logits_BNV = model(history_BNC, model.condition(text_BC, drop_B), lengths_B, layer=layer_B)
    ids_BN = ids_BNQ[torch.arange(len(ids_BNQ), device=ids_BNQ.device), :, layer_B]
    targets_BNV = None
    if targets_QVV is not None:
        codes_BN = ids_BN.masked_fill(~length_mask_BN, 0)
        targets_BNV = F.pad(targets_QVV[layer_B[:, None], codes_BN], (0, 1))
    return TokenLoss(*masked_cross_entropy(logits_BNV, ids_BN, length_mask_BN, targets_BNV))


def draw_corruption(
    lengths_B: Tensor, num_tokens: int, config: MaskedConfig, rng: torch.Generator
) -> Corruption:
    """Draw what is masked and replaced in a batch of `num_tokens` places, each sample for itself.

    The released code may select padding, which never happens here.
    """
    length_mask_BN = length_mask(lengths_B, num_tokens)
    uniform = uniform_from(rng, lengths_B.device)
    drawn = draw_replacements(
        sample_mask(length_mask_BN, uniform(len(lengths_B)), uniform(*length_mask_BN.shape)),
        num_codes=config.num_codes,
        random_id_prob=config.random_id_prob,
        mask_token_prob=config.mask_token_prob,
        uniform=uniform,
    )
    return blanked(drawn, length_mask_BN, config.blank_prob, uniform)


def draw_layers(batch: int, config: ResidualConfig, rng: torch.Generator) -> Tensor:
    """(B,) int64: the layer that is predicted for each sample, from 1, low ones more often.

    Section 3.3 draws them uniformly; the released code draws them as 1 - cos(pi u / 2) with u
    uniform from 0 to 1.
    """
    uniform_B = uniform_from(rng, rng.device)(batch)
    return 1 + torch.round((1 - cosine_schedule(uniform_B)) * (config.num_layers - 2)).long()
