"""The autoencoder of a checkpoint, as what brings motion into latents and back."""

from pathlib import Path

import numpy as np
import torch

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.intermoe.autoencoder import SkeletalCodec
from duomotion.models.intermoe.config import AutoencoderConfig
from duomotion.models.reconstructor import Tokenizer


def load_codec(folder: Path) -> SkeletalCodec:
    """Read an autoencoder's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder, "intermoe/autoencoder")
    return load_network(checkpoint, SkeletalCodec, model_config(checkpoint, AutoencoderConfig))


@torch.no_grad()
def reconstruct(codec: SkeletalCodec, features_PTF: np.ndarray) -> np.ndarray:
    """Features (P, T, F) to the means of their latents and back; T is cut to whole latents.

    Raises:
        ValueError: there are fewer frames than a latent stands for.
    """
    normaliser = codec.normaliser
    given = torch.from_numpy(np.ascontiguousarray(features_PTF[None])).to(codec.mean)
    z_BPNL = codec.encode(normaliser.normalise(given)).mean
    return normaliser.denormalise(codec.decode(z_BPNL))[0].cpu().numpy()


def load_reconstructor(folder: Path, *, device: str = "cpu") -> Tokenizer:
    """Raises ValueError as `load_codec`."""
    codec = load_codec(folder).to(device)
    return Tokenizer(folder.name, lambda features: reconstruct(codec, features))
