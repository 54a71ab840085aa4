"""What every decoding of tokens does in a step: guided logits, a draw, its confidence.

Axes: B batch, P people, N tokens of a person, V codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from duomotion.models.intermask.network import InterMTransformer
from duomotion.sampling.guidance import dropped_half, guide, twice
from duomotion.sampling.masking import SETTLED, keep_top_k, pick

TIE_BREAK = 1e-5
"""Where nothing is known yet both people get the same logits, so they are often equally confident
up to rounding, which depends on the batch. A little of each draw's noise decides instead."""

Noise = Callable[[int], Tensor]
"""Number of the step, from 0 -> standard Gumbel noise (B, P, N, V)."""


@dataclass(frozen=True)
class DecodingStep:
    """What one step has done, (B, P, N) each; P is 1 in all but `ids` where people take turns."""

    ids: Tensor  # with `pad_id` behind the end of a sample
    predicted: Tensor  # bool: the tokens that this step has predicted anew
    confidence: Tensor  # probability of each of these tokens (and tie-break), SETTLED elsewhere
    logits: Tensor  # (B, P, N, V) with guidance, before the least likely codes are dropped


class GuidedNetwork:
    """A network with its text, lengths and guidance scale, (B, ...) ids -> float32 logits.

    Without a text, and with a scale of 1, there is no guidance.
    """

    def __init__(
        self, model: InterMTransformer, text_BC: Tensor | None, lengths_B: Tensor, scale: float
    ) -> None:
        batch = len(lengths_B)
        self.scale = 1.0 if text_BC is None else scale
        if text_BC is None:
            text_BC = model.text_projection.weight.new_zeros(batch, model.config.text_dim)
        if self.is_guided:
            dropped_2B = dropped_half(batch, device=text_BC.device)
            self.condition = model.condition(twice(text_BC), dropped_2B)
        else:
            self.condition = model.condition(text_BC)
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
