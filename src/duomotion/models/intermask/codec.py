"""The tokenizer with the statistics it was trained with: metres in, tokens out, and back."""

import numpy as np
import torch
from torch import Tensor, nn

from duomotion.models.intermask.config import BlockTokenizerConfig, TokenizerConfig
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.motion.features import NUM_FEATURES, Normaliser, from_joint_map, to_joint_map


class MotionCodec(nn.Module):
    """A `MotionTokenizer` between InterHuman features in metres and token ids."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: TokenizerConfig | BlockTokenizerConfig) -> None:
        super().__init__()
        self.tokenizer = MotionTokenizer(config)
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("std", torch.ones(NUM_FEATURES))

    @property
    def normaliser(self) -> Normaliser:
        return Normaliser(self.mean, self.std)

    def normalise(self, joints_BTJD: Tensor) -> Tensor:
        """Joint maps (B, T, 22, 12) in metres to what the tokenizer sees."""
        std_JD = to_joint_map(self.std)
        return (joints_BTJD - to_joint_map(self.mean)) / torch.where(std_JD > 0, std_JD, 1.0)

    def denormalise(self, joints_BTJD: Tensor) -> Tensor:
        """The inverse of `normalise`; the root's rotation, which nothing defines, becomes zero."""
        return joints_BTJD * to_joint_map(self.std) + to_joint_map(self.mean)

    def encode(self, features_BTF: Tensor) -> Tensor:
        """Features (B, T, 262) in metres, T a multiple of what a token covers -> ids (B, N)."""
        return self.tokenizer.encode(self.normalise(to_joint_map(features_BTF)))

    def decode(self, ids_BN: Tensor) -> Tensor:
        """Ids (B, N) -> features (B, T, 262) in metres, contacts zero."""
        return from_joint_map(self.denormalise(self.tokenizer.decode(ids_BN)))

    @torch.no_grad()
    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Features (P, T, 262) in metres to tokens and back; T is cut to whole tokens."""
        frames = features.shape[1] // self.tokenizer.downsampling * self.tokenizer.downsampling
        batch = torch.from_numpy(np.ascontiguousarray(features[:, :frames])).to(self.mean)
        return self.decode(self.encode(batch)).cpu().numpy()
