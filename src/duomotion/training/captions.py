"""The captions of a training as what networks read: looked up by batch, and moved by noise.

Axes: N captions, B texts of a batch, C channels.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from duomotion.text.cache import CachedEncoder
from duomotion.text.encoder import TextEmbedding

ENCODED_AT_ONCE = 256  # captions; with CLIP's states of all positions 60 MB
KEPT_BYTES = 256e6  # of states that stay in memory


def draw_captions(
    choices: Iterable[tuple[Sequence[str], Sequence[float]]], rng: np.random.Generator
) -> list[str]:
    """One caption of each clip's captions and weights."""
    return [draw_caption(captions, weights, rng) for captions, weights in choices]


def draw_caption(
    captions: Sequence[str], weights: Sequence[float], rng: np.random.Generator
) -> str:
    """One of the captions, in proportion to their weights; without weights all alike."""
    if len(set(weights)) < 2:
        return captions[int(rng.integers(len(captions)))]
    return captions[int(rng.choice(len(captions), p=np.divide(weights, sum(weights))))]


def encode_vectors(encoder: CachedEncoder, captions: Sequence[str]) -> Tensor:
    """(N, C) one vector a caption; states of other positions are not kept."""
    encoder.prepare(captions)
    parts = [
        encoder.encode(list(captions[start : start + ENCODED_AT_ONCE])).vectors
        for start in range(0, len(captions), ENCODED_AT_ONCE)
    ]
    return torch.cat(parts)


def add_caption_noise(
    text_BC: Tensor,
    amount: float,
    rng: torch.Generator,
    *,
    num_captions: int,
    vectors: Callable[[Tensor], Tensor],
) -> Tensor:
    """Text vectors moved by `amount` times the way from one random caption to another.

    The noise has twice the captions' covariance, so it goes where sentences differ. (Ours.)

    Args:
        rng: on the texts' device.
        vectors: numbers of captions (2 B,) -> their vectors (2 B, C).
    """
    ends_2B = torch.randint(num_captions, (2, len(text_BC)), generator=rng, device=text_BC.device)
    start_BC, end_BC = vectors(ends_2B.flatten()).chunk(2)
    return text_BC + amount * (end_BC - start_BC)


class CaptionVectors:
    """One vector a caption, all of them on the device: 2 kB a caption.

    Args:
        captions: may repeat, and is then drawn as noise more often.

    Attributes:
        vectors_NC: on the device.
    """

    def __init__(
        self, encoder: CachedEncoder, captions: Sequence[str], device: torch.device
    ) -> None:
        self.vectors_NC = encode_vectors(encoder, captions).to(device)
        self._numbers = {caption: number for number, caption in enumerate(captions)}

    def numbers(self, captions: Sequence[str]) -> Tensor:
        """(B,) int64: which rows of `vectors_NC` are theirs."""
        return torch.tensor([self._numbers[caption] for caption in captions])

    def add_noise(self, text_BC: Tensor, amount: float, rng: torch.Generator) -> Tensor:
        """See `add_caption_noise`."""
        return add_caption_noise(
            text_BC,
            amount,
            rng,
            num_captions=len(self.vectors_NC),
            vectors=lambda numbers: self.vectors_NC[numbers],
        )


class CaptionStates:
    """States of all positions of captions.

    They are in memory up to `KEPT_BYTES`, otherwise read from the encoder's cache whenever needed:
    CLIP's of all of InterHuman's captions would be 5.5 GB.

    Args:
        captions: those that noise is made of.
        others: more that `encode` is asked for.
    """

    def __init__(
        self, encoder: CachedEncoder, captions: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        self.encoder, self.captions = encoder, list(captions)
        texts = list(dict.fromkeys([*captions, *others]))
        encoder.prepare(texts)
        size = len(texts) * encoder.encode(texts[:1]).hidden_BLC.nbytes
        self._kept = encoder.encode(texts) if size <= KEPT_BYTES else None
        self._rows = {text: row for row, text in enumerate(texts)}

    def encode(self, captions: Sequence[str]) -> TextEmbedding:
        """Of a batch."""
        if self._kept is None or not self._rows.keys() >= set(captions):
            return self.encoder.encode(list(captions))
        rows_B = torch.tensor([self._rows[caption] for caption in captions])
        return TextEmbedding(self._kept.hidden_BLC[rows_B], self._kept.pool_index_B[rows_B])

    def add_noise(
        self,
        text_BC: Tensor,
        amount: float,
        rng: torch.Generator,
        *,
        text_head: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """See `add_caption_noise`; `text_head` makes text vectors of states and positions."""

        def vectors(numbers: Tensor) -> Tensor:
            found = self.encode([self.captions[number] for number in numbers.tolist()])
            device = text_BC.device
            return text_head(found.hidden_BLC.to(device), found.pool_index_B.to(device))

        return add_caption_noise(
            text_BC, amount, rng, num_captions=len(self.captions), vectors=vectors
        )
