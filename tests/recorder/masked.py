"""Decoding by confidence as InterMask and MoMask write it down, recorded step by step."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from recorder.fixture import keep_most_likely

MARGIN = 1e-5  # by which decisions of a recording are clear, so that rounding decides none
SETTLED = 1e5  # confidence in a token that is not masked again


def cosine(time: Tensor) -> Tensor:
    return torch.cos(time * math.pi / 2)


def count_masked(share: Tensor, total: Tensor | int) -> Tensor:
    return (share * total).round().clamp(min=1)


def least(scores_BN: Tensor, count_B: Tensor) -> Tensor:
    """The `count` places of each row with the lowest scores, the first ones where they are tied."""
    ranks = scores_BN.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return ranks < count_B[:, None]


def guided(network: Callable[[Tensor], Tensor], text: Tensor, scale: float) -> Tensor:
    """u + scale (c - u) in two passes; without a text the network gets zeros."""
    without = network(torch.zeros_like(text))
    return without + scale * (network(text) - without)


def decode(
    predict: Callable[[Tensor], Tensor],
    padding_BN: Tensor,
    *,
    mask_id: int,
    steps: int,
    ratio: float,
    per_frame: Tensor,
    noise: Tensor | None = None,
    temperature: float = 1.0,
) -> dict[str, Tensor]:
    """Generate all tokens that are not padding.

    Args:
        predict: ids (B, N) -> logits (B, N, V).
        ratio: share of the least likely codes that are never drawn.
        per_frame: (B,) tokens of each sample.
        noise: (steps, B, N, V) of the draws; None takes the most likely code.

    Returns:
        What the steps have done, and the `margin` () of the least clear decision, which code to
        draw or which token to mask.
    """
    margin = torch.tensor(SETTLED)
    ids = torch.where(padding_BN, mask_id + 1, mask_id)
    scores = torch.where(padding_BN, SETTLED, 0.0)
    made: dict[str, list[Tensor]] = {}
    for index, time in enumerate(torch.linspace(0, 1, steps)):
        count_B = count_masked(cosine(time), per_frame)
        mask = least(scores, count_B)
        if index:
            most = scores.masked_fill(~mask, -SETTLED).amax(1)
            gap = scores.masked_fill(mask, SETTLED).amin(1) - most
            margin = torch.minimum(margin, gap.min())
        logits = predict(ids.masked_fill(mask, mask_id))
        draw = keep_most_likely(logits, ratio) / temperature
        draw = draw if noise is None else draw + noise[index]
        picked = draw.argmax(-1)
        first, second = draw[mask].topk(2).values.unbind(-1)
        margin = torch.minimum(margin, (first - second).min())
        ids = torch.where(mask, picked, ids)
        confidence = logits.softmax(-1).gather(-1, picked[..., None])[..., 0]
        scores = confidence.masked_fill(~mask, SETTLED)
        for name, value in {
            "ids_per_iteration": ids, "is_mask_per_iteration": mask, "num_masked": count_B,
            "confidence_per_iteration": confidence, "logits": logits,
        }.items():  # fmt: skip
            made.setdefault(name, []).append(value)
    recorded = {name: torch.stack(values) for name, values in made.items()}
    return recorded | {"final_ids": ids.masked_fill(padding_BN, -1), "margin": margin}
