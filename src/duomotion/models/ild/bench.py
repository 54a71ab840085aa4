"""What `duomotion bench ild` and `fild` time: the paper's size with random weights.

Decoding is included.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial

import torch

from duomotion.body.pair_bodies import CAPSULES
from duomotion.distributed import synchronize
from duomotion.models.base import FPS
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.config import AutoencoderConfig, LatentDenoiserConfig, StudentConfig
from duomotion.models.ild.generate import adjustment, denoise
from duomotion.models.ild.network import LatentDiffusion
from duomotion.models.ild.reference import ReferenceSampler
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.timing import SEED, Bench, random_texts, seeded
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import Solver, draw_noise
from duomotion.sampling.request import Sampling


class IldBench(Bench):
    """ILD."""

    def __init__(
        self,
        config: LatentDenoiserConfig | None = None,
        autoencoder: AutoencoderConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.config = config or LatentDenoiserConfig()
        self.sampling = Sampling(
            steps=self.config.steps,
            solver=self.config.solver,
            guidance=self.config.guidance,
            avoid_collisions=False,
            body_model=CAPSULES,
        )
        self.sizes = replace(autoencoder or AutoencoderConfig(), alignment=None)
        diffusion, codec = self._networks()
        self.dtype = weight_type(precision, self.device, self.config.transformer.width)
        diffusion.denoiser.to(self.dtype)
        self.diffusion = accelerate(diffusion)
        self.codec = accelerate(codec)

    def _networks(self) -> tuple[LatentDiffusion, InteractionCodec]:
        """With the same random weights each time."""
        torch.manual_seed(SEED)
        diffusion, codec = LatentDiffusion(self.config), InteractionCodec(self.sizes)
        return diffusion.to(self.device).eval(), codec.to(self.device).eval()

    @cached_property
    def reference(self) -> ReferenceSampler:
        """Has networks of its own, which take memory once it is run."""
        diffusion, codec = self._networks()
        return ReferenceSampler(diffusion.denoiser, codec.autoencoder)

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        steps = self.config.latent_guidance.collision_steps
        guided = replace(self.sampling, avoid_collisions=True, collision_steps=steps)
        return {"with collision guidance": partial(self._made, guided)}

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        if not reference:
            return self._made(self.sampling, seconds, batch)
        noise_BLK, text_BC, _ = self._inputs(batch)
        assert self.sampling.solver and self.sampling.steps and self.sampling.guidance is not None
        times = Solver(self.sampling.solver, self.config.noise, self.sampling.steps).times
        z_BLK = self.reference.sample(noise_BLK, text_BC, times, self.sampling.guidance)
        made = self.reference.decode(z_BLK, round(seconds * FPS))
        synchronize(self.device)
        return made.unflatten(2, (2, -1)).transpose(1, 2)

    def _inputs(self, batch: int) -> tuple[torch.Tensor, torch.Tensor, list[torch.Generator]]:
        """Noise, texts, and the sources of more noise."""
        config, rngs = self.config, seeded(batch)
        noise_BLK = draw_noise((config.num_latents, config.latent_dim), rngs).to(self.device)
        return noise_BLK, random_texts(batch, config.text_dim, self.device), rngs

    @torch.no_grad()
    def _made(self, sampling: Sampling, seconds: float, batch: int) -> torch.Tensor:
        frames = round(seconds * FPS)
        noise_BLK, text_BC, rngs = self._inputs(batch)
        z_BLK = denoise(
            self.diffusion.denoiser,
            noise_BLK,
            text_BC,
            frames,
            rngs=rngs,
            sampling=sampling,
            adjust=adjustment(self.diffusion, self.codec, frames, sampling=sampling),
        )
        made = self.codec.autoencoder.decode(z_BLK, frames)
        synchronize(self.device)
        return made


class FildBench(IldBench):
    """FILD, and the steps of its teacher with the same weights."""

    def __init__(
        self,
        config: StudentConfig | None = None,
        autoencoder: AutoencoderConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        super().__init__(config or StudentConfig(), autoencoder, precision=precision, device=device)
        teacher = LatentDenoiserConfig()
        self.teacher = replace(
            self.sampling, steps=teacher.steps, solver=teacher.solver, guidance=teacher.guidance
        )
        self.sampling = replace(self.sampling, guidance=1.0)

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        own = {f"ILD in {self.teacher.steps} steps": partial(self._made, self.teacher)}
        return {**own, **super().variants}
