"""What every text encoder offers; `text.encoders` makes one from its name.

Axes: B texts, L positions, C channels.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class TextEmbedding:
    """What an encoder makes of B texts.

    Attributes:
        hidden_BLC: float32, one vector a position; L is the same for all texts of one encoder.
        pool_index_B: int64, the position that stands for the whole text and that a text head reads.
    """

    hidden_BLC: torch.Tensor
    pool_index_B: torch.Tensor

    @property
    def vectors(self) -> torch.Tensor:
        """One vector a text: that of its position `pool_index_B`."""
        return self.hidden_BLC[torch.arange(len(self.pool_index_B)), self.pool_index_B]


class TextEncoder(Protocol):
    """A frozen text encoder, on the CPU and in float32.

    Attributes:
        name: identifies the encoder and its weights; `encoders.load_encoder(name)` gives the same
            encoder again, or says that the weights have changed.
        dim: the number of channels C.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        ...


def fingerprint(network: nn.Module) -> str:
    """Twelve hexadecimal digits that change with any weight or buffer of the network (SHA-256)."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
