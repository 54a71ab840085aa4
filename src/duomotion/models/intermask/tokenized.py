"""Views of captioned clips as token ids, made before training."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from duomotion.models.intermask.codec import MotionCodec
from duomotion.progress import counter
from duomotion.training.views import View

TOKENIZED_AT_ONCE = 32  # views


@torch.no_grad()
def tokenized(codec: MotionCodec, views: Iterable[View], total: int) -> list[View]:
    """The views as ids; those of one length are tokenized together, some at a time.

    Args:
        total: how many they are.
    """
    made: dict[int, View] = {}
    waiting: dict[int, dict[int, View]] = {}
    parts = codec.tokenizer.num_parts
    with counter("tokens", unit="view", total=total) as add:

        def tokenize(batch: dict[int, View]) -> None:
            motion = torch.cat([view.motion for view in batch.values()])
            ids = codec.encode(motion).unflatten(1, (parts, -1)).unflatten(0, (-1, 2))
            for (index, view), own in zip(batch.items(), ids, strict=True):
                made[index] = replace(view, motion=own)
            add(len(batch))

        for index, view in enumerate(views):
            alike = waiting.setdefault(view.motion.shape[1], {})
            alike[index] = view
            if len(alike) == TOKENIZED_AT_ONCE:
                tokenize(waiting.pop(view.motion.shape[1]))
        for alike in waiting.values():
            tokenize(alike)
    return [made[index] for index in range(len(made))]
