"""Motions and texts as an evaluator sees them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_network, model_config, read_checkpoint
from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.models.evaluator.interclip import InterCLIP, InterCLIPConfig
from duomotion.models.evaluator.interx import INTERX, InterXEvaluator
from duomotion.models.evaluator.official import WORDS
from duomotion.models.evaluator.open import OpenEvaluator, OpenEvaluatorConfig
from duomotion.models.evaluator.t2m import HUMANML3D, KIT, T2MEvaluator
from duomotion.models.evaluator.words import KINDS, Words, load_words
from duomotion.motion import humanml3d
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.text.cache import cached_encoder
from duomotion.text.clip import token_ids
from duomotion.text.encoder import TextEncoder
from duomotion.text.official_clip import read_tokenizer

BATCH = 64

Network = TypeVar("Network", OpenEvaluator, InterCLIP, BiGRUEvaluator)


class Embedder(ABC, Generic[Network]):
    """An evaluator with what it reads texts with; axes: N motions or texts, E embedding.

    Attributes:
        data: the data set whose features it reads, as `data.DATASETS` calls it.
        frames: the fewest that motions are padded to.
    """

    data: str
    frames: int = 0

    def __init__(self, evaluator: Network, *, name: str) -> None:
        self.evaluator, self.name = evaluator.eval(), name
        self.device = next(evaluator.parameters()).device

    @classmethod
    @abstractmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        """From a checkpoint of its system; raises ValueError where something is missing."""

    @torch.no_grad()
    def motions(self, motions: Sequence[np.ndarray]) -> np.ndarray:
        """(N, E) of the features (P, T, F) of each, in metres.

        Raises:
            ValueError: a motion is too short for the evaluator.
        """
        found = []
        for start in range(0, len(motions), BATCH):
            motion_BPTF, lengths_B = padded(motions[start : start + BATCH], self.frames)
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


OPEN_DATA = {
    (2, INTERHUMAN.num_features): "open-pairs",
    (1, humanml3d.HUMANML3D.num_features): "solo-open",
}


class OpenEmbedder(Embedder[OpenEvaluator]):
    """An evaluator of the open benchmark, which reads the vectors of a text encoder."""

    def __init__(
        self,
        evaluator: OpenEvaluator,
        encoder: TextEncoder,
        *,
        name: str,
        data: str = "open-pairs",
    ) -> None:
        super().__init__(evaluator, name=name)
        self.encoder, self.data = encoder, data

    @classmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        config = model_config(checkpoint, OpenEvaluatorConfig)
        sizes = (config.num_people, config.num_features)
        if sizes not in OPEN_DATA:
            raise ValueError(
                f"{checkpoint.folder}: an evaluator of {sizes[0]} people with {sizes[1]} numbers a "
                "frame belongs to no data set"
            )
        evaluator = load_network(checkpoint, OpenEvaluator, config)
        encoder = cached_encoder(checkpoint.text_encoder, dim=config.text_dim)
        return cls(
            evaluator.to(device), encoder, name=checkpoint.folder.name, data=OPEN_DATA[sizes]
        )

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        return self.evaluator.embed_text(self.sentences(texts).to(self.device))

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """(N, C): the vectors that the evaluator reads, of length one."""
        return self.encoder.encode(list(texts)).vectors


class InterCLIPEmbedder(Embedder[InterCLIP]):
    """InterHuman's evaluator, which reads CLIP's tokens; longer texts are cut (released code)."""

    data = "interhuman"

    def __init__(self, evaluator: InterCLIP, tokenizer: Any, *, name: str) -> None:
        super().__init__(evaluator, name=name)
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        config = model_config(checkpoint, InterCLIPConfig)
        evaluator = load_network(checkpoint, InterCLIP, config)
        tokenizer = read_tokenizer(checkpoint.folder / WORDS, config.vocabulary)
        return cls(evaluator.to(device), tokenizer, name=checkpoint.folder.name)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        length = len(self.evaluator.text_encoder.positions)
        return self.evaluator.embed_text(token_ids(self.tokenizer, texts, length).to(self.device))


class WordEmbedder(Embedder[BiGRUEvaluator]):
    """The evaluator of Inter-X, HumanML3D or KIT-ML, which reads tagged words."""

    def __init__(self, evaluator: BiGRUEvaluator, words: Words, *, data: str, name: str) -> None:
        super().__init__(evaluator, name=name)
        self.words, self.data, self.frames = words, data, evaluator.max_frames

    @classmethod
    def read(cls, checkpoint: Checkpoint, device: str) -> Self:
        config = model_config(checkpoint, BiGRUConfig)
        kind, data = _kind(config, checkpoint)
        evaluator = load_network(checkpoint, kind, config)
        words = load_words(checkpoint.folder / WORDS)
        if (sizes := (words.vectors_VC.shape[1], len(KINDS))) != (config.word_dim, config.tag_dim):
            raise ValueError(
                f"{checkpoint.folder / WORDS} gives {sizes[0]} numbers and {sizes[1]} kinds of "
                f"words; the evaluator reads {config.word_dim} and {config.tag_dim}"
            )
        return cls(evaluator.to(device), words, data=data, name=checkpoint.folder.name)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        words, kinds, lengths = self.words.read(texts, self.evaluator.max_words)
        return self.evaluator.embed_text(words.to(self.device), kinds.to(self.device), lengths)


BIGRU_DATA: dict[tuple[str, int], tuple[type[BiGRUEvaluator], str]] = {
    ("evaluator/interx", INTERX.motion_dim): (InterXEvaluator, "interx"),
    ("evaluator/t2m", HUMANML3D.motion_dim): (T2MEvaluator, "humanml3d"),
    ("evaluator/t2m", KIT.motion_dim): (T2MEvaluator, "kit-ml"),
}


def _kind(config: BiGRUConfig, checkpoint: Checkpoint) -> tuple[type[BiGRUEvaluator], str]:
    """Network and data set of an evaluator that reads words."""
    key = (checkpoint.recipe["system"], config.motion_dim)
    if key not in BIGRU_DATA:
        raise ValueError(
            f"{checkpoint.folder}: an evaluator {key[0]!r} of {key[1]} numbers a frame belongs to "
            "no data set"
        )
    return BIGRU_DATA[key]


AnyEmbedder = OpenEmbedder | InterCLIPEmbedder | WordEmbedder
EMBEDDERS: dict[str, type[AnyEmbedder]] = {
    "evaluator/open": OpenEmbedder,
    "evaluator/interclip": InterCLIPEmbedder,
    "evaluator/interx": WordEmbedder,
    "evaluator/t2m": WordEmbedder,
}


def read_embedder(folder: Path, *, device: str = "cpu") -> AnyEmbedder:
    """The evaluator in an evaluator's checkpoint.

    Raises:
        ValueError: something is missing there.
    """
    checkpoint = read_checkpoint(folder)
    return EMBEDDERS[checkpoint.recipe["system"]].read(checkpoint, device)


def padded(motions: Sequence[np.ndarray], frames: int = 0) -> tuple[Tensor, Tensor]:
    """Features (P, T, F) of several lengths as (B, P, T, F) padded with zeros; lengths.

    Args:
        frames: T is so many or more.
    """
    lengths = [motion.shape[1] for motion in motions]
    people, _, width = motions[0].shape
    batch = np.zeros((len(motions), people, max(*lengths, frames), width), np.float32)
    for row, motion in zip(batch, motions, strict=True):
        row[:, : motion.shape[1]] = motion
    return torch.from_numpy(batch), torch.tensor(lengths)
