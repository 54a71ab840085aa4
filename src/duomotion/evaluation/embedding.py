"""Motions and texts as an evaluator sees them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.config import from_dict
from duomotion.models.evaluators.open import OpenEvaluator, OpenEvaluatorConfig
from duomotion.text.cache import CachedEncoder
from duomotion.text.encoder import TextEncoder, load_encoder

BATCH = 64


class Embedder:
    """An evaluator with what it reads texts with."""

    def __init__(self, evaluator: OpenEvaluator, encoder: TextEncoder, *, name: str) -> None:
        self.evaluator, self.encoder, self.name = evaluator.eval(), encoder, name

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> "Embedder":
        """Read an evaluator's checkpoint.

        Raises:
            ValueError: the folder is no such checkpoint, or tensors are missing.
        """
        checkpoint = read_checkpoint(folder)
        if (system := checkpoint.recipe["system"]) != "evaluator/open":
            raise ValueError(f"{folder} is a checkpoint of {system!r}, not of an evaluator")
        where = f"{folder}: model"
        evaluator = OpenEvaluator(from_dict(OpenEvaluatorConfig, checkpoint.recipe["model"], where))
        load_weights(evaluator, checkpoint)
        encoder = CachedEncoder(load_encoder(checkpoint.recipe["data"]["text_encoder"]))
        return cls(evaluator.to(device), encoder, name=folder.name)

    @torch.no_grad()
    def motions(self, motions: Sequence[np.ndarray]) -> np.ndarray:
        """(N, E) of the features (2, T, F) of each, in metres."""
        device, found = self.evaluator.mean.device, []
        for start in range(0, len(motions), BATCH):
            motion_BPTF, lengths_B = padded(motions[start : start + BATCH])
            made_BE = self.evaluator.embed_motion(motion_BPTF.to(device), lengths_B.to(device))
            found.append(made_BE.cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, E)."""
        device = self.evaluator.mean.device
        return self.evaluator.embed_text(self.sentences(texts).to(device)).cpu().numpy()

    def sentences(self, texts: Sequence[str]) -> Tensor:
        """(N, C): the vectors that the evaluator reads, of length one."""
        embedding = self.encoder.encode(list(texts))
        return embedding.hidden_BLC[torch.arange(len(texts)), embedding.read_B]


def padded(motions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Features (2, T, F) of several lengths as (B, 2, T, F) with zeros behind the ends; lengths."""
    lengths = [motion.shape[1] for motion in motions]
    batch = np.zeros((len(motions), 2, max(lengths), motions[0].shape[-1]), np.float32)
    for row, motion in zip(batch, motions, strict=True):
        row[:, : motion.shape[1]] = motion
    return torch.from_numpy(batch), torch.tensor(lengths)
