"""What `duomotion bench` times of a denoiser of two people: its size with random weights."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from duomotion.models.base import FPS
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_denoiser import PairDenoiser, PairDenoiserConfig
from duomotion.models.pair_diffusion import denoise
from duomotion.models.timing import SEED, Bench, random_texts, seeded, synchronize
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import draw_noise
from duomotion.sampling.request import Sampling


class ReferenceSampler(Protocol):
    """A reference procedure with DDIM's steps."""

    def sample(
        self, noise_BPTF: Tensor, text_BC: Tensor, steps: int, guidance: float
    ) -> Tensor: ...


class PairDenoiserBench(Bench):
    """A denoiser beside its reference procedure.

    What starts at zero in training gets random values here, or nothing would depend on it.

    Attributes:
        denoiser_of: makes the network of a config.
        reference_of: makes the reference procedure of a network.
    """

    denoiser_of: ClassVar[type[PairDenoiser]]
    reference_of: ClassVar[Any]

    def __init__(
        self, config: PairDenoiserConfig, *, precision: Precision = "auto", device: str = "cpu"
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.config = config
        denoiser = self.denoiser_of(self.config).to(self.device).eval()
        for parameter in denoiser.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        self.reference: ReferenceSampler = self.reference_of(denoiser)
        self.dtype = weight_type(precision, self.device, self.config.width)
        self.denoiser = accelerate(denoiser.to(self.dtype))

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        frames, config = round(seconds * FPS), self.config
        text_BC = random_texts(batch, config.text_dim, self.device)
        rngs = seeded(batch)
        noise_BPTF = draw_noise((NUM_PEOPLE, frames, config.num_features), rngs).to(self.device)
        if reference:
            made = self.reference.sample(noise_BPTF, text_BC, config.steps, config.guidance)
        else:
            sampling = Sampling(
                steps=config.steps, solver=config.solver, guidance=config.guidance, resampling=1
            )
            made = denoise(self.denoiser, noise_BPTF, text_BC, rngs=rngs, sampling=sampling)
        synchronize(self.device)
        return made
