"""Guidance of latents by what they decode to: bodies apart, known motion, constraints.

Bodies: algorithm 1 (section 3.2), steps of one length along the gradient of how deep bodies are in
each other; shorter ones where that is little, or bodies that only touch would be thrown apart. The
paper takes them from the noisy latents between two solver steps; what these decode to says little
of the bodies while there is much noise, so here they start from the clean latents that the network
predicts, which the solver then carries on. In the last step both are the same.

Known motion and constraints: the clean latents are optimised so that they decode to these (hard
data consistency, Song et al. 2024), at every step and longer at the last.

Axes: B samples, P the 2 people, T frames, F features, L latents, K their width.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from duomotion.body.capsules import body_capsules, depths
from duomotion.body.constraints import Contact
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.config import GuidanceConfig
from duomotion.sampling.diffusion import Known

SHALLOW = 0.02  # metres of depth, all pairs of capsules added up, from which on steps are whole
Energy = Callable[[Tensor], Tensor]
"""Normalised features (B, P, T, F) -> (B,)."""


class LatentGuidance:
    """What is done to the clean latents that a network predicts in a step."""

    def __init__(
        self,
        codec: InteractionCodec,
        config: GuidanceConfig,
        *,
        denormalise: Callable[[Tensor], Tensor],
        frames: int,
        known: Known | None,
        constraints: Sequence[Contact] = (),
        avoid_collisions: bool,
        steps: int,
    ) -> None:
        """Set what guides.

        Args:
            denormalise: latents as the denoiser has them -> as the autoencoder has them.
            constraints: of all samples, in the world of the features.
            steps: of the solver.
        """
        self.codec, self.config, self.frames = codec, config, frames
        self.denormalise, self.known, self.constraints = denormalise, known, constraints
        self.avoid_collisions, self.steps = avoid_collisions, steps
        self.body = body_capsules(codec.skeleton)

    def __call__(self, z_BLK: Tensor, step: int) -> Tensor:
        """Clean latents after the step of this number."""
        config, left = self.config, self.steps - 1 - step
        if self.known is not None or self.constraints:
            count = config.known_last if left == 0 else config.known_inner
            z_BLK = self._optimised(z_BLK, self.goals, count)
        if self.avoid_collisions and left < config.collision_steps:
            for _ in range(config.collision_inner):
                depth_B, gradient_BLK = self._gradient(z_BLK, self.collisions)
                norm_B = gradient_BLK.flatten(1).norm(dim=1).clamp_min(1e-12)
                rate_B = config.collision_rate * (depth_B / SHALLOW).clamp_max(1)
                z_BLK = z_BLK - (rate_B / norm_B)[:, None, None] * gradient_BLK
        return z_BLK

    def goals(self, features_BPTF: Tensor) -> Tensor:
        """(B,) how far known motion and constraints are missed."""
        total_B = features_BPTF.new_zeros(len(features_BPTF))
        if self.known is not None:
            total_B = total_B + known_error(features_BPTF, self.known)
        if self.constraints:
            skeleton, fps = self.codec.skeleton, self.codec.layout.fps
            joints_BPTJ3 = self._joints(features_BPTF)
            for each in self.constraints:
                missed = [each.energy(joints, skeleton, fps) for joints in joints_BPTJ3]
                total_B = total_B + self.config.constraints * torch.stack(missed)
        return total_B

    def collisions(self, features_BPTF: Tensor) -> Tensor:
        """(B,) metres that capsules of the bodies are in each other, mean over frames."""
        one, other = self._joints(features_BPTF).unbind(1)
        return depths(self.body, self.body, (one, other)).mean(1)

    def _joints(self, features_BPTF: Tensor) -> Tensor:
        """(B, P, T, J, 3) metres."""
        return self.codec.layout.positions(self.codec.normaliser.denormalise(features_BPTF))

    @torch.enable_grad()
    def _gradient(self, z_BLK: Tensor, energy: Energy) -> tuple[Tensor, Tensor]:
        """Energies (B,), and their gradients."""
        z_BLK = z_BLK.detach().requires_grad_()
        energy_B = self._decoded(energy, z_BLK)
        return energy_B.detach(), torch.autograd.grad(energy_B.sum(), z_BLK)[0]

    @torch.enable_grad()
    def _optimised(self, z_BLK: Tensor, energy: Energy, count: int) -> Tensor:
        """Latents of lower energy, by Adam; each sample as if it were alone."""
        start_BLK, z_BLK = z_BLK.detach(), z_BLK.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([z_BLK], lr=self.config.known_rate)
        for _ in range(count):
            optimizer.zero_grad()
            far_B = (z_BLK - start_BLK).square().flatten(1).mean(1)
            (self._decoded(energy, z_BLK) + self.config.known_near * far_B).sum().backward()
            optimizer.step()
        return z_BLK.detach()

    def _decoded(self, energy: Energy, z_BLK: Tensor) -> Tensor:
        made_BPTF = self.codec.autoencoder.decode(self.denormalise(z_BLK), self.frames)
        return energy(made_BPTF.float())


def known_error(features_BPTF: Tensor, known: Known) -> Tensor:
    """(B,) mean squared error where motion is known; its mask is (B, P, T, 1)."""
    error_BPTF = (features_BPTF - known.values).square() * known.mask
    return error_BPTF.flatten(1).sum(1) / (known.mask.flatten(1).sum(1) * error_BPTF.shape[-1])
