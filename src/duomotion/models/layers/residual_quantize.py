"""Residual vector quantisation: each layer codes what the layers before it have left over.

Axes: N vectors, D channels, Q layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.distributed import is_distributed
from duomotion.models.layers.quantize import VectorQuantizer
from duomotion.sampling.tokens import NO_CODE


@dataclass(frozen=True)
class ResidualQuantized:
    """What `ResidualQuantizer` returns.

    Attributes:
        vectors: (..., D) sum of the chosen codes; gradients pass straight through to the input,
            once for every layer that was used (released code).
        ids: (..., Q) int64 index of the chosen code of each layer, -1 where it was dropped.
        commitment: () mean squared distance between what a layer sees and its code, the mean over
            the layers that were used.
        perplexity: () exp of the entropy of code use, the mean over these layers.
    """

    vectors: Tensor
    ids: Tensor
    commitment: Tensor
    perplexity: Tensor


class ResidualQuantizer(nn.Module):
    """A sequence of `VectorQuantizer`s (SoundStream, Zeghidour et al. 2021).

    Args:
        num_layers: Q.
        num_codes: of each layer.
        code_dim: D.
        dropout: probability with which a training step uses only the first 1 to Q layers, each
            number equally often.
        decay, temperature, dead_below: of `VectorQuantizer`.
    """

    layers: Sequence[VectorQuantizer]

    def __init__(
        self,
        num_layers: int,
        num_codes: int,
        code_dim: int,
        *,
        dropout: float = 0.2,
        decay: float = 0.99,
        temperature: float = 0.5,
        dead_below: float = 1.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        layers = [
            VectorQuantizer(
                num_codes, code_dim, decay=decay, temperature=temperature, dead_below=dead_below
            )
            for _ in range(num_layers)
        ]
        self.layers = cast(Sequence[VectorQuantizer], nn.ModuleList(layers))

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def codes(self) -> Tensor:
        """(Q, K, D) vectors of the codes."""
        return torch.stack([layer.codebook for layer in self.layers])

    def forward(self, x: Tensor, *, layers: int | None = None) -> ResidualQuantized:
        """Quantise (..., D) vectors; in training mode the codebooks then move.

        Args:
            layers: number of layers to use, from the first; None: all, or in training mode as
                many as `draw_layers` says.
        """
        if layers is None:
            layers = self.draw_layers() if self.training else self.num_layers
        residual, total = x.float(), torch.zeros_like(x, dtype=torch.float32)
        used = []
        for layer in self.layers[:layers]:
            used.append(quantized := layer(residual))
            residual = residual - quantized.vectors.detach()
            total = total + quantized.vectors
        ids = torch.stack([quantized.ids for quantized in used], -1)
        return ResidualQuantized(
            vectors=total,
            ids=F.pad(ids, (0, self.num_layers - layers), value=NO_CODE),
            commitment=torch.stack([quantized.commitment for quantized in used]).mean(),
            perplexity=torch.stack([quantized.perplexity for quantized in used]).mean(),
        )

    def draw_layers(self) -> int:
        """How many layers a training step uses; the same number on every rank."""
        kept = int(torch.randint(1, self.num_layers + 1, ()))
        if torch.rand(()) >= self.dropout:
            kept = self.num_layers
        if is_distributed():
            shared = self.layers[0].codebook.new_tensor(kept)
            dist.broadcast(shared, src=0)
            kept = int(shared)
        return kept

    def nearest(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., Q) ids of the nearest codes, layer by layer."""
        residual, ids = x.float(), []
        for layer in self.layers:
            ids.append(layer.nearest(residual))
            residual = residual - layer.lookup(ids[-1])
        return torch.stack(ids, -1)

    def lookup(self, ids: Tensor) -> Tensor:
        """(..., Q) ids -> (..., D) sums of codes; -1 and layers that are left out add nothing."""
        first, *others = zip(self.layers, ids.unbind(-1), strict=False)
        total = first[0].lookup(first[1])
        for layer, ids_of_layer in others:
            total += layer.lookup(ids_of_layer)
        return total
