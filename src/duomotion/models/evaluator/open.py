"""The evaluators of the open data sets: motions and sentences in one space (ours).

InterCLIP's motion encoder at a size that few clips can train; sentences come as the vectors of the
offline sentence encoder, so that words which no caption has can be understood.

Axes: B clips, P people, T frames, F features, C text vector, E embedding.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.config import Count, Length, Share, Size
from duomotion.models.evaluator.interclip import MotionEncoder, MotionEncoderConfig


@dataclass(frozen=True, kw_only=True)
class OpenEvaluatorConfig(MotionEncoderConfig):
    """Sizes of the evaluator that comes with the package."""

    every: Length = 3  # only every third frame is read
    width: Size = 160
    num_layers: Count = 3
    num_heads: Count = 4
    feedforward: Size = 320
    dropout: Share = 0.2
    embedding_dim: Size = 64
    text_dim: Size = 384  # of the sentence encoder
    text_width: Size = 256


class OpenEvaluator(nn.Module):
    """Embeddings (B, E) of motions and texts, of length one, close where they belong together.

    `log_scale` is the logarithm of the factor with which inner products become logits in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: OpenEvaluatorConfig) -> None:
        super().__init__()
        self.every = config.every
        self.motion_encoder = MotionEncoder(config)
        self.text_encoder = nn.Sequential(
            nn.Linear(config.text_dim, config.text_width),
            nn.LayerNorm(config.text_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.text_width, config.embedding_dim),
        )
        self.log_scale = nn.Parameter(torch.tensor(2.3))
        self.register_buffer("mean", torch.zeros(config.num_features))
        self.register_buffer("std", torch.ones(config.num_features))

    def embed_motion(self, motion_BPTF: Tensor, lengths_B: Tensor) -> Tensor:
        """Of features in metres; contacts and padding are not read."""
        normalised = (motion_BPTF[:, :, :: self.every] - self.mean) / self.std
        seen_B = (lengths_B - 1) // self.every + 1
        return F.normalize(self.motion_encoder(normalised, seen_B), dim=-1)

    def embed_text(self, text_BC: Tensor) -> Tensor:
        """Of the sentence encoder's vectors."""
        return F.normalize(self.text_encoder(text_BC), dim=-1)


def matching_loss(logits_BB: Tensor, belongs_BB: Tensor) -> Tensor:
    """Mean cross entropy of finding a motion's text, and a text's motion, in the batch.

    Args:
        logits_BB: row n is motion n, column m text m.
        belongs_BB: True where text m describes motion n; several in a row share the probability.
    """
    rows = belongs_BB / belongs_BB.sum(1, keepdim=True)
    columns = belongs_BB.T / belongs_BB.T.sum(1, keepdim=True)
    return (F.cross_entropy(logits_BB, rows) + F.cross_entropy(logits_BB.T, columns)) / 2
