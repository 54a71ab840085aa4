"""Decoding of tokens by confidence: guided logits, draws, what is masked again (MaskGIT).

Axes: B batch, V codes; `...` are the axes of a sample's tokens, such as people and places.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from duomotion.sampling.masking import (
    NEVER_REMASK,
    decoding_mask_counts,
    gumbel_argmax,
    gumbel_noise,
    keep_top_k,
    least_confident,
)

NO_CODE = -1
"""Id behind the end of a sample, or of a dropped quantisation layer; decoded to nothing."""

TIE_BREAK = 1e-5
"""Tokens are often equally confident up to rounding, which depends on the batch: both people's
where nothing is known yet, all that are certain. A little of each draw's noise decides instead."""

Noise = Callable[[int], Tensor]
"""Number of the step, from 0 -> standard Gumbel noise (B, ..., V)."""


@dataclass(frozen=True)
class DecodingStep:
    """What one step has done, (B, ...) each; where people take turns, of one in all but `ids`."""

    ids: Tensor  # with `pad_id` behind the end of a sample
    predicted: Tensor  # bool: the tokens that this step has predicted anew
    confidence: Tensor  # probability of each of these tokens (and tie-break), SETTLED elsewhere
    logits: Tensor  # (B, ..., V) with guidance, before the least likely codes are dropped


def draw_masked(
    ids: Tensor,
    masked: Tensor,
    logits_V: Tensor,
    noise_V: Tensor,
    *,
    top_k: int,
    temperature: float,
    tie_break: float,
) -> tuple[Tensor, Tensor]:
    """Codes for the masked tokens: new ids, and confidence in them, SETTLED elsewhere.

    Args:
        ids: (...), with anything where `masked` is True.
        masked: (...) bool.
        logits_V: (..., V) float32.
        noise_V: (..., V) standard Gumbel noise.
        top_k: number of most likely codes to draw from.
        temperature: of the draw.
        tie_break: weight with which a token's noise is added to its confidence.
    """
    logits_MV, noise_MV = logits_V[masked], noise_V[masked]
    picked_M = gumbel_argmax(keep_top_k(logits_MV, top_k), noise_MV, temperature)
    confidence_MV = logits_MV.softmax(-1) + tie_break * noise_MV
    confidence_M = confidence_MV.gather(-1, picked_M[:, None])[:, 0]
    confidence = torch.full(ids.shape, NEVER_REMASK, device=ids.device)
    return ids.masked_scatter(masked, picked_M), confidence.masked_scatter(masked, confidence_M)


@torch.no_grad()
def fill_in(
    predict: Callable[[Tensor], Tensor],
    ids: Tensor,
    unknown: Tensor,
    *,
    mask_id: int,
    noise: Noise,
    steps: int,
    top_k: int,
    temperature: float,
    tie_break: float = TIE_BREAK,
) -> Iterator[DecodingStep]:
    """Generate the unknown tokens, step by step.

    A step masks the tokens in which there is least confidence, as many as the cosine schedule
    says, and predicts them anew. Shares are of the unknown tokens of each sample; a token that is
    left once is settled. Nothing is yielded where nothing is unknown.

    Args:
        predict: ids (B, ...) with `mask_id` -> float32 logits (B, ..., V).
        ids: (B, ...), read only where `unknown` is False.
        unknown: (B, ...) bool.
        noise: of the draws.
        steps, top_k, temperature: as for `check_settings`.
        tie_break: weight with which a token's noise is added to its confidence; 0 as in the
            released code.
    """
    counts = decoding_mask_counts(unknown.flatten(1).sum(1), steps)
    if not counts.any():
        return
    confidence = torch.zeros(ids.shape, device=ids.device).masked_fill(~unknown, NEVER_REMASK)
    for index, count_B in enumerate(counts):
        remasked = least_confident(confidence.flatten(1), count_B).view_as(ids)
        ids = ids.masked_fill(remasked, mask_id)
        logits = predict(ids)
        ids, confidence = draw_masked(
            ids,
            remasked,
            logits,
            noise(index),
            top_k=top_k,
            temperature=temperature,
            tie_break=tie_break,
        )
        yield DecodingStep(ids, remasked, confidence, logits)


def sample_noise(
    rng: torch.Generator | Sequence[torch.Generator],
    lengths_B: Tensor,
    num_choices: int,
    *,
    rows: tuple[int, ...] = (),
) -> Noise:
    """Noise (B, *rows, N, V) that depends, for each sample, on its own generator and length only.

    Raises:
        ValueError: a sequence of generators that has not one for each sample.
    """
    lengths = lengths_B.tolist()
    rngs = [rng] * len(lengths) if isinstance(rng, torch.Generator) else rng
    if len(rngs) != len(lengths):
        raise ValueError(
            f"rng: {len(rngs)} generators for {len(lengths)} samples; "
            "give one for each sample, or a single one for all."
        )
    shape = (len(lengths), *rows, max(lengths), num_choices)

    def draw(_: int) -> Tensor:
        noise = torch.zeros(shape, device=lengths_B.device)
        for sample, (length, source) in enumerate(zip(lengths, rngs, strict=True)):
            own = gumbel_noise((*rows, length, num_choices), source)
            noise[sample, ..., :length, :] = own.to(noise.device)
        return noise

    return draw


def checked_known(
    length_mask: Tensor, num_codes: int, ids: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Known tokens and where they are, of the shape of `length_mask`; nothing is known by default.

    Raises:
        ValueError: one is missing, has another shape, or holds what is no code.
    """
    if (ids is None) != (mask is None):
        raise ValueError("known_ids and known_mask belong together: give both or neither.")
    if ids is None or mask is None:
        ids = torch.zeros(length_mask.shape, dtype=torch.long, device=length_mask.device)
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    for name, tensor in (("known_ids", ids), ("known_mask", mask)):
        if tensor.shape != length_mask.shape:
            raise ValueError(
                f"{name}: shape {tuple(tensor.shape)} should be {tuple(length_mask.shape)}."
            )
    mask = mask & length_mask
    known = ids[mask]
    if ((known < 0) | (known >= num_codes)).any():
        raise ValueError(f"known_ids: known codes must lie between 0 and {num_codes - 1}.")
    return ids, mask


def check_lengths(lengths_B: Tensor) -> None:
    """Raises ValueError where a sample has no token to be."""
    if not len(lengths_B) or int(lengths_B.min()) < 1:
        raise ValueError("lengths: every sample needs at least one latent frame.")


def check_settings(num_codes: int, *, steps: int, top_k: int, temperature: float) -> None:
    """Raises ValueError where a setting of the decoding is out of its range."""
    if steps < 1:
        raise ValueError(f"steps: {steps} is too few; decoding needs at least 1.")
    if not 1 <= top_k <= num_codes:
        raise ValueError(f"top_k: {top_k} must lie between 1 and {num_codes}.")
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature} must be above 0.")
