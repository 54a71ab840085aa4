"""Iterative decoding of masked tokens by confidence (MaskGIT, Chang et al. 2022).

Axes: B batch, V codes; `...` are the axes of a sample's tokens, such as people and places.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from duomotion.sampling.guidance import ConditionedNetwork, GuidedNetwork
from duomotion.sampling.masking import (
    NEVER_REMASK,
    decoding_mask_counts,
    gumbel_argmax,
    gumbel_noise,
    keep_top_k,
    least_confident,
)

NO_CODE = -1
"""Id of padding and of no token; tokenizers decode it to a zero vector."""

TIE_BREAK = 1e-5
"""Weight of each draw's noise in its confidence. Many tokens are equally confident up to rounding,
which depends on the batch: those of both people in the first step, and all that are certain."""

Noise = Callable[[int], Tensor]
"""Number of the step, from 0 -> standard Gumbel noise (B, ..., V)."""


class MaskedNetwork(ConditionedNetwork, Protocol):
    """A network that predicts masked tokens; its `config` also has `mask_id` and `pad_id`."""

    def __call__(self, ids: Tensor, condition: Any, lengths_B: Tensor, /) -> Tensor:
        """Ids (B, ...), what `condition` gave, lengths -> logits (B, ..., V)."""
        ...


@dataclass(frozen=True)
class DecodingStep:
    """Result of one step, (B, ...) each; of one person, but for `ids`, where people take turns."""

    ids: Tensor  # with `pad_id` as padding
    predicted: Tensor  # bool: the tokens that this step has predicted
    confidence: Tensor  # probability of each of these (with tie-break); elsewhere NEVER_REMASK
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
    choice_temperature: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Draw codes for the masked tokens: new ids, and their confidence, NEVER_REMASK elsewhere.

    Args:
        ids: (...), with anything where `masked` is True.
        masked: (...) bool.
        logits_V: (..., V) float32.
        noise_V: (..., V) standard Gumbel noise.
        top_k: number of most likely codes to draw from.
        temperature: of the draw.
        tie_break: weight with which a token's noise is added to its confidence.
        choice_temperature: weight of Gumbel noise on log probabilities as confidence; 0:
            probabilities themselves.
    """
    logits_MV, noise_MV = logits_V[masked], noise_V[masked]
    picked_M = gumbel_argmax(keep_top_k(logits_MV, top_k), noise_MV, temperature)
    confidence_MV = logits_MV.softmax(-1) + tie_break * noise_MV
    if choice_temperature:  # the noise of another code, which had no part in the draw
        confidence_MV = logits_MV.log_softmax(-1) + choice_temperature * noise_MV.roll(1, -1)
    confidence_M = confidence_MV.gather(-1, picked_M[:, None])[:, 0]
    confidence = torch.full(ids.shape, NEVER_REMASK, device=ids.device)
    return ids.masked_scatter(masked, picked_M), confidence.masked_scatter(masked, confidence_M)


@torch.no_grad()
def decoding_steps(
    model: MaskedNetwork,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    length_mask: Tensor,
    noise: Noise,
    known_ids: Tensor,
    known_mask: Tensor,
    steps: int,
    guidance: float,
    top_k: int,
    temperature: float,
    tie_break: float = TIE_BREAK,
    choice_temperature: float = 0.0,
) -> Iterator[DecodingStep]:
    """The steps of `fill_in` for a batch of samples of different lengths, with guidance.

    Args:
        model: in evaluation mode.
        text_BC: text vectors; None generates without a text.
        lengths_B: of each sample, as the model takes them.
        length_mask: (B, ...) bool: the tokens that are not padding.
        noise: of the draws.
        known_ids: (B, ...) codes, read only where `known_mask`.
        known_mask: (B, ...) bool; these tokens are never masked.
        steps, top_k, temperature: as for `check_settings`.
        guidance: classifier-free guidance scale; 1 is without.
        tie_break, choice_temperature: as for `fill_in`.
    """
    config = model.config
    guided = GuidedNetwork(model, text_BC, lengths_B, guidance)
    return fill_in(
        partial(guided, model),
        known_ids.masked_fill(~length_mask, config.pad_id),
        length_mask & ~known_mask,
        mask_id=config.mask_id,
        noise=noise,
        steps=steps,
        top_k=top_k,
        temperature=temperature,
        tie_break=tie_break,
        choice_temperature=choice_temperature,
    )


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
    choice_temperature: float = 0.0,
) -> Iterator[DecodingStep]:
    """Generate the unknown tokens, step by step.

    A step masks the least confident tokens, as many as the cosine schedule says, and predicts them
    again. Shares are of the unknown tokens of each sample; a token that a step does not mask is
    never masked again. Nothing is yielded where nothing is unknown.

    Args:
        predict: ids (B, ...) with `mask_id` -> float32 logits (B, ..., V).
        ids: (B, ...), read only where `unknown` is False.
        unknown: (B, ...) bool.
        noise: of the draws.
        steps, top_k, temperature: as for `check_settings`.
        tie_break: weight with which a token's noise is added to its confidence; 0 as in the
            released code.
        choice_temperature: in the first step, of the choice of tokens that stay; it falls to 0 in
            the last. The more, the less does confidence decide (MaskGIT's code).
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
            choice_temperature=choice_temperature * (1 - (index + 1) / steps),
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
    """Known ids and their mask, of the shape of `length_mask`; nothing is known by default.

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
    """Raises ValueError where a sample has no tokens."""
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
