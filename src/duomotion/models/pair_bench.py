"""What `duomotion bench` times of a denoiser of two people: its size with random weights."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from duomotion.distributed import synchronize
from duomotion.models.base import FPS
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_denoiser import PairDenoiser, PairDenoiserConfig
from duomotion.models.pair_diffusion import denoise
from duomotion.models.pair_reference import PairReference
from duomotion.models.timing import SEED, Bench, random_texts, seeded
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import draw_noise
from duomotion.sampling.request import Sampling


class PairDenoiserBench(Bench):
    """A denoiser beside its reference procedure.

    What starts at zero in training gets random values here, or nothing would depend on it.

    Attributes:
        denoiser_of: makes the network of a config.
        reference_of: makes the reference procedure of a network.
    """

    denoiser_of: ClassVar[type[PairDenoiser]]
    reference_of: ClassVar[type[PairReference]]

    def __init__(
        self, config: PairDenoiserConfig, *, precision: Precision = "auto", device: str = "cpu"
    ) -> None:
        self.device, self.config = torch.device(device), config
        self.dtype = weight_type(precision, self.device, config.width)
        denoiser = self._network(config)
        self.reference = self.reference_of(denoiser)
        self.denoiser = accelerate(denoiser.to(self.dtype))

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> Tensor:
        if not reference:
            return self._made(self.denoiser, seconds, batch)
        noise_BPTF, text_BC = self._inputs(seconds, batch)
        made = self.reference.sample(noise_BPTF, text_BC, self.config.steps, self.config.guidance)
        synchronize(self.device)
        return made

    def variant(self, config: PairDenoiserConfig) -> Callable[[float, int], Tensor]:
        """What generates with a network of another config."""
        denoiser = accelerate(self._network(config).to(self.dtype))
        return partial(self._made, denoiser)

    def _network(self, config: PairDenoiserConfig) -> PairDenoiser:
        torch.manual_seed(SEED)
        denoiser = self.denoiser_of(config).to(self.device).eval()
        for parameter in denoiser.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        return denoiser

    def _inputs(self, seconds: float, batch: int) -> tuple[Tensor, Tensor]:
        """Noise and texts."""
        frames, config = round(seconds * FPS), self.config
        noise_BPTF = draw_noise((NUM_PEOPLE, frames, config.num_features), seeded(batch))
        texts_BC = random_texts(batch, config.text_dim, self.device)
        return noise_BPTF.to(self.device), texts_BC

    @torch.no_grad()
    def _made(self, denoiser: PairDenoiser, seconds: float, batch: int) -> Tensor:
        config = denoiser.config
        noise_BPTF, text_BC = self._inputs(seconds, batch)
        sampling = Sampling(
            steps=config.steps, solver=config.solver, guidance=config.guidance, resampling=1
        )
        made = denoise(denoiser, noise_BPTF, text_BC, rngs=seeded(batch), sampling=sampling)
        synchronize(self.device)
        return made
