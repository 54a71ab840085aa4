"""What `duomotion bench ild` times: the paper's size with random weights, decoding included."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch

from duomotion.body.pair_bodies import CAPSULES
from duomotion.models.base import FPS
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.config import AutoencoderConfig, LatentDenoiserConfig
from duomotion.models.ild.generate import adjustment, denoise
from duomotion.models.ild.network import LatentDiffusion
from duomotion.models.ild.reference import ReferenceSampler
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.timing import SEED, Bench, random_texts, seeded, synchronize
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
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.config = config or LatentDenoiserConfig()
        sizes = replace(autoencoder or AutoencoderConfig(), alignment=None)
        diffusion = LatentDiffusion(self.config).to(self.device).eval()
        codec = InteractionCodec(sizes).to(self.device).eval()
        self.reference = ReferenceSampler(diffusion.denoiser, codec.autoencoder)
        self.dtype = weight_type(precision, self.device, self.config.transformer.width)
        diffusion.denoiser.to(self.dtype)
        self.diffusion = accelerate(diffusion)
        self.codec = accelerate(codec)

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        return {"with collision guidance": partial(self._made, avoid_collisions=True)}

    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        return self._made(seconds, batch, reference=reference)

    @torch.no_grad()
    def _made(
        self,
        seconds: float,
        batch: int,
        *,
        reference: bool = False,
        avoid_collisions: bool = False,
    ) -> torch.Tensor:
        frames, config = round(seconds * FPS), self.config
        text_BC = random_texts(batch, config.text_dim, self.device)
        rngs = seeded(batch)
        noise_BLK = draw_noise((config.num_latents, config.latent_dim), rngs).to(self.device)
        if reference:
            times = Solver(config.solver, config.noise, config.steps).times
            z_BLK = self.reference.sample(noise_BLK, text_BC, times, config.guidance)
            made = self.reference.decode(z_BLK, frames).unflatten(2, (2, -1)).transpose(1, 2)
        else:
            sampling = Sampling(
                steps=config.steps,
                solver=config.solver,
                guidance=config.guidance,
                avoid_collisions=avoid_collisions,
                body_model=CAPSULES,
            )
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
