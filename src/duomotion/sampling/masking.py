"""Mask schedules, token sampling and confidence remasking (MaskGIT, Chang et al. 2022).

Axes: B batch, N tokens, V vocabulary.
"""

import math

import torch
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny

NEVER_REMASK = 1e5
"""Confidence of a token that must not be masked again; probabilities are at most 1."""


def cosine_schedule(time: Tensor) -> Tensor:
    """Share of masked tokens at a time in [0, 1]: cos(pi time / 2)."""
    return torch.cos(time * (math.pi / 2))


def cosine_schedule_time(share: Tensor) -> Tensor:
    """The time at which the cosine schedule masks this share of the tokens."""
    return torch.acos(share) / (math.pi / 2)


def mask_count(share: Tensor, total: Tensor | int) -> Tensor:
    """Number of masked tokens of `total`, at least one, in the shape that the two broadcast to.

    Halves are rounded to even, as the released code of motion models does; MaskGIT rounds up.
    """
    return torch.round(share * total).clamp(min=1).long()


def decoding_mask_counts(total_B: Tensor, num_steps: int) -> Tensor:
    """(num_steps, B): how many of each sample's tokens each decoding step predicts.

    The first step predicts all of them and the last one a single token; a sample with no tokens
    to predict has zeros.
    """
    share = cosine_schedule(torch.linspace(0, 1, num_steps, device=total_B.device))
    return torch.minimum(mask_count(share[:, None], total_B), total_B)


def least_confident(confidence_BN: Tensor, count_B: Tensor) -> Tensor:
    """Mask (B, N) of the `count` least confident tokens of each row."""
    order = confidence_BN.argsort(dim=-1)
    places = torch.arange(confidence_BN.shape[-1], device=confidence_BN.device)
    ranks = torch.empty_like(order).scatter_(-1, order, places.expand_as(order))
    return ranks < count_B[:, None]


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but the k largest logits of the last axis to minus infinity."""
    kept = logits.topk(k, dim=-1, sorted=False)
    return torch.full_like(logits, -math.inf).scatter_(-1, kept.indices, kept.values)


def top_k_of_ratio(ratio: float, num_choices: int) -> int:
    """Number of choices left when the share `ratio` of the least likely ones is dropped."""
    return math.ceil((1 - ratio) * num_choices)


def gumbel_argmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Draw from softmax(logits / temperature) by the Gumbel trick, given standard Gumbel noise."""
    return (logits / temperature + noise).argmax(-1)


def gumbel_noise(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32, on the generator's device."""
    # `exponential_` would save a logarithm, but takes several times as long to draw on a CPU.
    uniform = torch.empty(shape, device=rng.device).uniform_(TINY, 1, generator=rng)
    return uniform.log_().neg_().log_().neg_()
