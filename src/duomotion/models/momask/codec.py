"""The residual tokenizer with the statistics it was trained with: features in, tokens out, back."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.layers.smoothing import smooth
from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.motion.layouts import layout_named

SMOOTHING = 1.75  # frames, standard deviation; minimises the reconstruction error


class ResidualCodec(nn.Module):
    """A tokenizer between features in their layout's units and token ids.

    Axes: B motions or P people, T frames, F features, N tokens, Q quantisation layers. Mean and
    deviation are those that the tokenizer was trained with; the released ones are not the data
    set's, because some features count more than others (released code).

    Raises:
        ValueError: there is no such layout, or it has another number of features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ResidualTokenizerConfig) -> None:
        super().__init__()
        self.layout = layout_named(config.layout)
        if config.num_features != self.layout.num_features:
            raise ValueError(
                f"num_features must be {self.layout.num_features}, as the layout {config.layout} "
                f"has, not {config.num_features}"
            )
        self.tokenizer = ResidualTokenizer(config)
        self.register_buffer("mean", torch.zeros(config.num_features))
        self.register_buffer("std", torch.ones(config.num_features))

    def normalise(self, features_BTF: Tensor) -> Tensor:
        """What the tokenizer sees."""
        return (features_BTF - self.mean) / self.std

    def denormalise(self, features_BTF: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return features_BTF * self.std + self.mean

    def encode(self, features_BTF: Tensor) -> Tensor:
        """Features (B, T, F), T a multiple of what a token covers -> ids (B, N, Q)."""
        return self.tokenizer.encode(self.normalise(features_BTF))

    def decode(self, ids_BNQ: Tensor, layers: int | None = None) -> Tensor:
        """Ids (B, N, Q) -> features (B, T, F); arguments are the tokenizer's.

        With a `PCAEncoder` the result is smoothed over time, since its tokens don't overlap.
        """
        motion_BTF = self.denormalise(self.tokenizer.decode(ids_BNQ, layers))
        return smooth(motion_BTF, SMOOTHING) if self.tokenizer.config.pca_encoder else motion_BTF

    @torch.no_grad()
    def codes(self, features_BTF: Tensor) -> Tensor:
        """Codes (B, N, D) of features as for `encode`, those of all layers added up."""
        return self.tokenizer.quantizer.lookup(self.encode(features_BTF))

    @torch.no_grad()
    def reconstruct(self, features_PTF: np.ndarray) -> np.ndarray:
        """Features (P, T, F) to tokens and back; T is cut to whole tokens."""
        unit = self.tokenizer.downsampling
        frames = features_PTF.shape[1] // unit * unit
        batch = torch.from_numpy(np.ascontiguousarray(features_PTF[:, :frames])).to(self.mean)
        return self.decode(self.encode(batch)).cpu().numpy()

    @torch.no_grad()
    def reconstruct_by_layers(self, features_PTF: np.ndarray) -> list[np.ndarray]:
        """The same from the first layer of tokens, from the first two, up to all (table 2)."""
        unit = self.tokenizer.downsampling
        given = np.ascontiguousarray(features_PTF[:, : features_PTF.shape[1] // unit * unit])
        ids_PNQ = self.encode(torch.from_numpy(given).to(self.mean))
        layers = range(1, self.tokenizer.config.num_layers + 1)
        return [self.decode(ids_PNQ, count).cpu().numpy() for count in layers]


def load_codec(folder: Path) -> ResidualCodec:
    """Read a tokenizer's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder, "momask/tokenizer")
    config = model_config(checkpoint, ResidualTokenizerConfig)
    return load_network(checkpoint, ResidualCodec, config)
