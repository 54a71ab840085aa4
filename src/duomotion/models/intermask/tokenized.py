"""Views of captioned clips as token ids, made before training."""

from collections.abc import Iterable

import torch
from torch import Tensor

from duomotion.models.intermask.codec import MotionCodec
from duomotion.training.views import View, converted


@torch.no_grad()
def tokenized(codec: MotionCodec, views: Iterable[View], total: int) -> list[View]:
    """The views as ids (2, parts, N).

    Args:
        total: how many they are.
    """
    parts = codec.tokenizer.num_parts

    def ids(motion_BPTF: Tensor) -> Tensor:
        return (
            codec.encode(motion_BPTF.flatten(0, 1)).unflatten(1, (parts, -1)).unflatten(0, (-1, 2))
        )

    return converted(views, total, ids, "tokens")
