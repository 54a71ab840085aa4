"""The autoencoder of a checkpoint, as what brings motion into latents and back."""

from pathlib import Path

import numpy as np
import torch

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.config import AutoencoderConfig
from duomotion.models.reconstructor import Tokenizer


def load_codec(folder: Path) -> InteractionCodec:
    """Read an autoencoder's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder, "ild/autoencoder")
    config = model_config(checkpoint, AutoencoderConfig)
    return load_network(checkpoint, InteractionCodec, config)


@torch.no_grad()
def reconstruct(codec: InteractionCodec, features_PTF: np.ndarray) -> np.ndarray:
    """Features (P, T, F) to the means of their latents and back; T is cut to whole patches."""
    patch = codec.config.patch
    frames = min(features_PTF.shape[1] // patch * patch, codec.config.max_frames)
    given = np.ascontiguousarray(features_PTF[None, :, :frames])
    z_BLK = codec.encode(torch.from_numpy(given).to(codec.mean)).mean
    return codec.decode(z_BLK, frames)[0].cpu().numpy()


def load_reconstructor(folder: Path, *, device: str = "cpu") -> Tokenizer:
    """Raises ValueError as `load_codec`."""
    codec = load_codec(folder).to(device)
    return Tokenizer(folder.name, lambda features: reconstruct(codec, features))
