"""Patches of frames as a few numbers each, in which diffusion adds its noise (ours).

Features say many times where a person is: in every joint of every frame. That can be read through
nearly all of the noise, so a text has little to decide; and a centimetre of a limb is lost beside
it. A patch's principal components say each thing once.

Axes: B batch, P people, T frames, F features, N patches, K numbers of a patch, C features of one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from duomotion.config import Length, Size

LIKENESS = 0.75
"""How alike components are in size: 0 as they vary, 1 alike, so that noise hides all at once."""
LEAST = 1e-3  # deviation of a component, as a share of the largest, below which it counts as that


@dataclass(frozen=True, kw_only=True)
class PatchCodeConfig:
    """A linear code, fitted in closed form before training."""

    patch: Length = 8  # frames (or latents)
    size: Size = 128  # numbers


class PatchCode(nn.Module):
    """Motion <-> the largest principal components of its patches, of mean square 1.

    Raises:
        ValueError: a patch has fewer features than the code is to have numbers.
    """

    mean: Tensor
    importance: Tensor
    components: Tensor
    scale: Tensor

    def __init__(self, config: PatchCodeConfig, num_features: int) -> None:
        super().__init__()
        self.config, numbers = config, config.patch * num_features
        if config.size > numbers:
            raise ValueError(
                f"code.size must be at most {numbers}, as many features as a patch has, not "
                f"{config.size}"
            )
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("importance", torch.ones(num_features))
        self.register_buffer("components", torch.eye(numbers, config.size))
        self.register_buffer("scale", torch.ones(config.size))

    def encode(self, x_BPTF: Tensor) -> Tensor:
        """(B, P, N, K) of whole patches."""
        x_BPNC = x_BPTF.unflatten(2, (-1, self.config.patch)).flatten(3)
        return ((x_BPNC - self.mean) * self._importance) @ self.components / self.scale

    def decode(self, z_BPNK: Tensor) -> Tensor:
        """(B, P, T, F)."""
        x_BPNC = (z_BPNK * self.scale) @ self.components.mT / self._importance + self.mean
        return x_BPNC.unflatten(3, (self.config.patch, -1)).flatten(2, 3)

    @property
    def _importance(self) -> Tensor:
        return self.importance.repeat(self.config.patch)

    @torch.no_grad()
    def fit(self, motions_PTF: Iterable[Tensor], importance_F: Tensor) -> None:
        """Take the components of motion.

        Args:
            motions_PTF: whole patches.
            importance_F: how much an error of each feature counts.
        """
        patch, size = self.config.patch, self.config.size
        self.importance.copy_(importance_F)
        x_MC = torch.cat(
            [x_PTF.unflatten(1, (-1, patch)).flatten(2).flatten(0, 1) for x_PTF in motions_PTF]
        ).to(self.mean)
        self.mean.copy_(x_MC.mean(0))
        weighed_MC = ((x_MC - self.mean) * self._importance).double()
        variances, axes_CK = torch.linalg.eigh(weighed_MC.mT @ weighed_MC / len(x_MC))
        self.components.copy_(axes_CK.flip(1)[:, :size])
        deviations = variances.flip(0)[:size].clamp_min(0).sqrt()
        deviations = deviations.clamp_min(LEAST * float(deviations[0]))
        scale = deviations**LIKENESS
        self.scale.copy_(scale * (deviations / scale).square().mean().sqrt())
