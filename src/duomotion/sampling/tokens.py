"""Decoding of tokens by confidence: guided logits, draws, what is masked again (MaskGIT).

Axes: B batch, V codes; `...` are the axes of a sample's tokens, such as people and places.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from duomotion.sampling.guidance import ConditionedNetwork, conditions, guide, twice
from duomotion.sampling.masking import (
    SETTLED,
    decoding_mask_counts,
    gumbel_noise,
    keep_top_k,
    least_confident,
    pick,
)

NO_CODE = -1
"""Id behind the end of a sample; tokenizers decode it to nothing."""

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


class GuidedNetwork:
    """A network with its text, lengths and guidance scale, (B, ...) ids -> float32 logits.

    Without a text, and with a scale of 1, there is no guidance.
    """

    def __init__(
        self, model: ConditionedNetwork, text_BC: Tensor | None, lengths_B: Tensor, scale: float
    ) -> None:
        batch = len(lengths_B)
        self.scale = 1.0 if text_BC is None else scale
        weight = model.text_projection.weight
        if text_BC is None:
            text_BC = weight.new_zeros(batch, model.config.text_dim)
        self.condition = conditions(model, text_BC.to(weight.dtype), guided=self.is_guided)
        self.lengths = twice(lengths_B) if self.is_guided else lengths_B

    @property
    def is_guided(self) -> bool:
        return self.scale != 1

    def __call__(self, network: Callable[..., Tensor], *ids_B: Tensor) -> Tensor:
        """Logits of `network`, the model or a method of it that takes ids, condition, lengths."""
        if not self.is_guided:
            return network(*ids_B, self.condition, self.lengths).float()
        logits = network(*map(twice, ids_B), self.condition, self.lengths).float()
        return guide(logits, self.scale)


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
    picked_M = pick(keep_top_k(logits_MV, top_k), noise_MV, temperature)
    confidence_MV = logits_MV.softmax(-1) + tie_break * noise_MV
    confidence_M = confidence_MV.gather(-1, picked_M[:, None])[:, 0]
    confidence = torch.full(ids.shape, SETTLED, device=ids.device)
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
    confidence = torch.zeros(ids.shape, device=ids.device).masked_fill(~unknown, SETTLED)
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
    generator: torch.Generator | Sequence[torch.Generator],
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
    generators = [generator] * len(lengths) if isinstance(generator, torch.Generator) else generator
    if len(generators) != len(lengths):
        raise ValueError(
            f"generator: {len(generators)} generators for {len(lengths)} samples; "
            "give one for each sample, or a single one for all."
        )
    shape = (len(lengths), *rows, max(lengths), num_choices)

    def draw(_: int) -> Tensor:
        noise = torch.zeros(shape, device=lengths_B.device)
        for sample, (length, source) in enumerate(zip(lengths, generators, strict=True)):
            own = gumbel_noise((*rows, length, num_choices), source)
            noise[sample, ..., :length, :] = own.to(noise.device)
        return noise

    return draw


def checked_known(
    inside: Tensor, num_codes: int, ids: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Known tokens and where they are, of the shape of `inside`; nothing is known by default.

    Raises:
        ValueError: one is missing, has another shape, or holds what is no code.
    """
    if (ids is None) != (mask is None):
        raise ValueError("known_ids and known_mask belong together: give both or neither.")
    if ids is None or mask is None:
        ids = torch.zeros(inside.shape, dtype=torch.long, device=inside.device)
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    for name, tensor in (("known_ids", ids), ("known_mask", mask)):
        if tensor.shape != inside.shape:
            raise ValueError(
                f"{name}: shape {tuple(tensor.shape)} should be {tuple(inside.shape)}."
            )
    mask = mask & inside
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
