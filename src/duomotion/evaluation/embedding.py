"""Motions and texts as an evaluator sees them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_weights, read_checkpoint
from duomotion.config import from_dict
from duomotion.models.evaluators.interclip import InterCLIP, InterCLIPConfig
from duomotion.models.evaluators.official import WORDS
from duomotion.models.evaluators.open import OpenEvaluator, OpenEvaluatorConfig
from duomotion.text.cache import CachedEncoder
from duomotion.text.clip import token_ids
from duomotion.text.encoder import TextEncoder, load_encoder
from duomotion.text.official_clip import read_tokenizer

BATCH = 64

Network = TypeVar("Network", OpenEvaluator, InterCLIP)


class Embedder(ABC, Generic[Network]):
    """An evaluator with what it reads texts with; axes: N motions or texts, E embedding."""

    def __init__(self, evaluator: Network, *, name: str) -> None:
        self.evaluator, self.name = evaluator.eval(), name
        self.device = next(evaluator.parameters()).device

    @classmethod
    @abstractmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        """From a checkpoint of its system; raises ValueError where something is missing."""

    @torch.no_grad()
    def motions(self, motions: Sequence[np.ndarray]) -> np.ndarray:
        """(N, E) of the features (2, T, 262) of each, in metres."""
        found = []
        for start in range(0, len(motions), BATCH):
            motion_BPTF, lengths_B = padded(motions[start : start + BATCH])
            made_BE = self.evaluator.embed_motion(
                motion_BPTF.to(self.device), lengths_B.to(self.device)
            )
            found.append(made_BE.cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, E)."""
        starts = range(0, len(texts), BATCH)
        found = [self._embedded(texts[start : start + BATCH]) for start in starts]
        return torch.cat(found).cpu().numpy()

    @abstractmethod
    def _embedded(self, texts: Sequence[str]) -> Tensor: ...


class OpenEmbedder(Embedder[OpenEvaluator]):
    """The evaluator of the open benchmark, which reads the vectors of a text encoder."""

    def __init__(self, evaluator: OpenEvaluator, encoder: TextEncoder, *, name: str) -> None:
        super().__init__(evaluator, name=name)
        self.encoder = encoder

    @classmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        where = f"{checkpoint.folder}: model"
        evaluator = OpenEvaluator(from_dict(OpenEvaluatorConfig, checkpoint.recipe["model"], where))
        load_weights(evaluator, checkpoint)
        encoder = CachedEncoder(load_encoder(checkpoint.recipe["data"]["text_encoder"]))
        return cls(evaluator.to(device), encoder, name=checkpoint.folder.name)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        return self.evaluator.embed_text(self.sentences(texts).to(self.device))

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """(N, C): the vectors that the evaluator reads, of length one."""
        return self.encoder.encode(list(texts)).vectors


class InterCLIPEmbedder(Embedder[InterCLIP]):
    """InterHuman's evaluator, which reads CLIP's tokens; longer texts are cut (released code)."""

    def __init__(self, evaluator: InterCLIP, tokenizer: Any, *, name: str) -> None:
        super().__init__(evaluator, name=name)
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        where = f"{checkpoint.folder}: model"
        config = from_dict(InterCLIPConfig, checkpoint.recipe["model"], where)
        evaluator = InterCLIP(config)
        load_weights(evaluator, checkpoint)
        tokenizer = read_tokenizer(checkpoint.folder / WORDS, config.vocabulary)
        return cls(evaluator.to(device), tokenizer, name=checkpoint.folder.name)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        length = len(self.evaluator.text_encoder.positions)
        return self.evaluator.embed_text(token_ids(self.tokenizer, texts, length).to(self.device))


EMBEDDERS: dict[str, type[OpenEmbedder] | type[InterCLIPEmbedder]] = {
    "evaluator/open": OpenEmbedder,
    "evaluator/interclip": InterCLIPEmbedder,
}


def load_embedder(folder: Path, *, device: str = "cpu") -> OpenEmbedder | InterCLIPEmbedder:
    """Read an evaluator's checkpoint.

    Raises:
        ValueError: the folder is no checkpoint of an evaluator of two people in InterHuman's
            layout, or something is missing there.
    """
    checkpoint = read_checkpoint(folder)
    system = checkpoint.recipe["system"]
    if system not in EMBEDDERS:
        raise ValueError(
            f"{folder} is a checkpoint of {system!r}, not of an evaluator of motion in "
            f"InterHuman's layout ({' or '.join(EMBEDDERS)})"
        )
    return EMBEDDERS[system].read(checkpoint, device)


def padded(motions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Features (2, T, F) of several lengths as (B, 2, T, F) with zeros behind the ends; lengths."""
    lengths = [motion.shape[1] for motion in motions]
    batch = np.zeros((len(motions), 2, max(lengths), motions[0].shape[-1]), np.float32)
    for row, motion in zip(batch, motions, strict=True):
        row[:, : motion.shape[1]] = motion
    return torch.from_numpy(batch), torch.tensor(lengths)
