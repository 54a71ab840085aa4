"""The tokenizer with the statistics it was trained with: metres in, tokens out, and back."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.intermask.config import PartTokenizerConfig, TokenizerConfig
from duomotion.models.intermask.part_tokenizer import PartTokenizer
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.layout import MapLayout
from duomotion.motion.layouts import layout_of
from duomotion.motion.normaliser import Normaliser


class MotionCodec(nn.Module):
    """A tokenizer between features in metres and token ids.

    F is the number of features of the tokenizer's layout, InterHuman's 262 or Inter-X's 336. A
    `PartTokenizer` works in metres, and Inter-X is not normalised; both keep the statistics that
    change nothing.

    Raises:
        ValueError: no layout has maps of the tokenizer's size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TokenizerConfig | PartTokenizerConfig) -> None:
        super().__init__()
        self.layout: MapLayout
        if isinstance(config, PartTokenizerConfig):
            self.layout = INTERHUMAN
            self.tokenizer = PartTokenizer(config)
        else:
            self.layout = layout_of(config.num_joints, config.joint_dim)
            self.tokenizer = MotionTokenizer(config)
        self.register_buffer("mean", torch.zeros(self.layout.num_features))
        self.register_buffer("std", torch.ones(self.layout.num_features))

    @property
    def normaliser(self) -> Normaliser:
        return Normaliser(self.mean, self.std)

    def normalise(self, joints_BTJD: Tensor) -> Tensor:
        """Joint maps (B, T, J, D) in metres to what the tokenizer sees."""
        to_map = self.layout.to_joint_map
        std_JD = to_map(self.std)
        return (joints_BTJD - to_map(self.mean)) / torch.where(std_JD > 0, std_JD, 1.0)

    def denormalise(self, joints_BTJD: Tensor) -> Tensor:
        """The inverse of `normalise`; a root rotation that nothing defines becomes zero."""
        to_map = self.layout.to_joint_map
        return joints_BTJD * to_map(self.std) + to_map(self.mean)

    def encode(self, features_BTF: Tensor) -> Tensor:
        """Features (B, T, F) in metres, T a multiple of what a token covers -> ids (B, N)."""
        return self.tokenizer.encode(self.normalise(self.layout.to_joint_map(features_BTF)))

    def decode(self, ids_BN: Tensor) -> Tensor:
        """Ids (B, N) -> features (B, T, F) in metres, contacts zero."""
        joints_BTJD = self.denormalise(self.tokenizer.decode(ids_BN))
        return self.layout.from_joint_map(joints_BTJD)

    @torch.no_grad()
    def reconstruct(self, features_PTF: np.ndarray) -> np.ndarray:
        """Features (P, T, F) in metres to tokens and back; T is cut to whole tokens."""
        unit = self.tokenizer.downsampling
        frames = features_PTF.shape[1] // unit * unit
        batch = torch.from_numpy(np.ascontiguousarray(features_PTF[:, :frames])).to(self.mean)
        return self.decode(self.encode(batch)).cpu().numpy()


def load_codec(folder: Path) -> MotionCodec:
    """Read a tokenizer's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder, "intermask/tokenizer")
    config = model_config(checkpoint, TokenizerConfig | PartTokenizerConfig)
    return load_network(checkpoint, MotionCodec, config)
