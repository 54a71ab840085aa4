"""What every text encoder offers, and how one is had by its name.

Axes: B texts, L positions, C channels.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

_NAME = re.compile(
    r"(?P<kind>sentence|clip|clip-vector)(:(?P<source>.+?))?(@(?P<weights>[0-9a-f]{12}))?"
)


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
        name: identifies the encoder and its weights; `load_encoder(name)` gives the same encoder
            again, or says that the weights have changed.
        dim: the number of channels C.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        ...


def load_encoder(name: str) -> TextEncoder:
    """The encoder called `name`.

    Args:
        name: `sentence`; `clip` (states of all positions); `clip-vector` (the one that CLIP
            compares with images); either of these, `:` and a local folder or a hub id; or the
            `.name` of an encoder, which ends in `@` and twelve digits that its weights must answer
            to.

    Raises:
        ValueError: no encoder has this name, or its weights can't be had or are not those named.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or (parts["kind"] == "sentence" and parts["source"]):
        raise ValueError(
            f"there is no text encoder {name!r}; known are 'sentence', 'clip', "
            "'clip-vector', 'clip:FOLDER_OR_HUB_ID' and 'clip-vector:FOLDER_OR_HUB_ID'"
        )
    if parts["kind"] == "sentence":
        from duomotion.text.sentence import SentenceEncoder

        encoder = SentenceEncoder()
    else:
        from duomotion.text.clip import ClipEncoder, ClipVectorEncoder

        kind = ClipVectorEncoder if parts["kind"] == "clip-vector" else ClipEncoder
        encoder = kind(parts["source"])
    if parts["weights"] and encoder.name != name:
        raise ValueError(
            f"the text encoder {name!r} was asked for, but the weights found are those of "
            f"{encoder.name!r}"
        )
    return encoder


def fingerprint(network: nn.Module) -> str:
    """Twelve hexadecimal digits that change with any weight or buffer of the network (SHA-256)."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
