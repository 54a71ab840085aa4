"""Texts read through the captions that a model has learned from.

A model that has seen few captions knows what these mean, and little of what lies between them.
A text in other words is read as the mean of the captions nearest to it. (Ours.)
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from duomotion.checkpoint import read_tensors
from duomotion.storage import atomic_file
from duomotion.text.encoder import TextEmbedding, TextEncoder

ANCHORS = "captions"
"""The folder in a checkpoint that holds the captions' vectors."""
_FILE = "vectors.safetensors"

SHARPNESS = 0.01
"""Difference of cosines at which one caption counts e times as much as another."""


class CaptionAnchoredEncoder:
    """Another encoder, of one vector a text, that answers with means of known captions' vectors."""

    def __init__(self, encoder: TextEncoder, anchors_KC: Tensor) -> None:
        """Wrap `encoder`.

        Args:
            anchors_KC: the vectors that it gives for K captions.
        """
        self._encoder, self._anchors_KC = encoder, anchors_KC.float()
        digest = hashlib.sha256(self._anchors_KC.numpy().tobytes()).hexdigest()[:12]
        self.name = f"{encoder.name}, {len(anchors_KC)} captions {digest}"
        self.dim = encoder.dim

    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        embedding = self._encoder.encode(texts)
        # One by one: how products are rounded depends on how many rows they have.
        vectors = [soft_nearest(vector, self._anchors_KC) for vector in embedding.vectors.split(1)]
        return TextEmbedding(torch.stack(vectors), torch.zeros_like(embedding.pool_index_B))


def soft_nearest(vectors_BC: Tensor, anchors_KC: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Means of the anchors, weighted by how near in angle they are, as long as the vectors were."""
    cosine_BK = F.normalize(vectors_BC, dim=-1) @ F.normalize(anchors_KC, dim=-1).T
    mean_BC = (cosine_BK / sharpness).softmax(-1) @ anchors_KC
    return F.normalize(mean_BC, dim=-1) * vectors_BC.norm(dim=-1, keepdim=True)


def save_anchors(folder: Path, encoder: TextEncoder, captions: Sequence[str]) -> None:
    """Write what `anchored` reads, in half precision.

    Raises:
        ValueError: the encoder gives more than one vector a text.
        OSError: the file can't be written.
    """
    positions = encoder.encode([]).hidden_BLC.shape[1]
    if positions != 1:
        raise ValueError(
            "data.text_anchors needs a text encoder that gives one vector a text, such as "
            f"'sentence'; this one gives {positions}"
        )
    vectors = encoder.encode(list(captions)).vectors
    with atomic_file(folder / _FILE) as path:
        save_file({"vectors": vectors.half().contiguous()}, path)


def anchored(encoder: TextEncoder, checkpoint: Path) -> TextEncoder:
    """The encoder with the captions that lie in the checkpoint's folder, if any do.

    Raises:
        ValueError: they are not what `save_anchors` writes, or of another encoder's size.
    """
    path = checkpoint / ANCHORS / _FILE
    if not path.parent.exists():
        return encoder
    vectors = read_tensors(path).get("vectors")
    if vectors is None or vectors.ndim != 2 or vectors.shape[1] != encoder.dim or not len(vectors):
        raise ValueError(f"{path}: has to hold 'vectors' of {encoder.dim} numbers each")
    return CaptionAnchoredEncoder(encoder, vectors)
