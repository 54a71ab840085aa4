"""Models that start from noise of two people's features; known motion is imposed at every step."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, read_checkpoint
from duomotion.models.children import load_length_estimator
from duomotion.models.feature_model import (
    FeatureModel,
    KnownFeatures,
    LengthEstimator,
    known_tensors,
    load_encoder,
    text_vectors,
)
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.layers.smoothing import join_patches
from duomotion.models.pair_denoiser import PairDenoiser, PairDiffusion, modulation_schedule
from duomotion.models.pair_guidance import (
    PairGuidance,
    Paths,
    ShiftGuidance,
    guided_sampling,
)
from duomotion.models.progress import OnStep
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import Known, Solver, draw_noise
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.request import Sampling
from duomotion.text.encoder import TextEncoder


class PairDiffusionModel(FeatureModel):
    """Answers requests by denoising.

    Attributes:
        system: its name where none is given.
        diffusion_from: the network of a checkpoint, with its statistics.
    """

    system: ClassVar[str]
    diffusion_from: ClassVar[Callable[[Checkpoint], PairDiffusion]]

    def __init__(
        self,
        diffusion: PairDiffusion,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        dtype = weight_type(precision, diffusion.mean.device, diffusion.config.width)
        diffusion.denoiser.to(dtype)
        self.diffusion = accelerate(diffusion)
        super().__init__(
            name or self.system,
            diffusion.layout,
            encoder,
            (self.diffusion,),
            length=length,
            frame_unit=diffusion.config.patch,
            dtype=dtype,
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> Self:
        """Read a denoiser's checkpoint and that of a length estimator inside it.

        Raises:
            ValueError: the folder is no such checkpoint, tensors are missing, or parts of it do not
                belong together.
        """
        checkpoint = read_checkpoint(folder)
        diffusion = cls.diffusion_from(checkpoint)
        text_dim = diffusion.config.text_dim
        return cls(
            diffusion.to(device),
            load_encoder(checkpoint, text_dim),
            length=load_length_estimator(folder, text_dim=text_dim),
            name=folder.name,
            precision=precision,
        )

    @property
    def tuned(self) -> Sampling:
        config = self.diffusion.config
        return replace(guided_sampling(config, config.shift_guidance), resampling=config.resampling)

    @torch.no_grad()
    def sample(
        self,
        texts: Sequence[str],
        frames: int,
        known: Sequence[KnownFeatures | None],
        *,
        rngs: Sequence[torch.Generator],
        sampling: Sampling,
        on_step: OnStep | None = None,
    ) -> Sequence[np.ndarray]:
        diffusion, config = self.diffusion, self.diffusion.config
        mean, normaliser = diffusion.mean, diffusion.normaliser
        given = known_tensors(known, frames, normaliser)
        imposed = None if given is None else Known(*given)
        guidance = PairGuidance.of(
            config.shift_guidance,
            diffusion.layout,
            normaliser,
            sampling=sampling,
            is_given=given is not None,
        )
        shifts = None if guidance is None else ShiftGuidance(guidance, frames, mean, imposed)
        paths = None
        if sampling.paths:
            paths = Paths(sampling.paths, diffusion.layout, normaliser, frames, mean)

        def adjust(clean_BPTF: Tensor, step: int) -> Tensor:
            features_BPTF = diffusion.decode(clean_BPTF)
            if paths is not None:
                features_BPTF = paths(features_BPTF)
            if shifts is not None:
                features_BPTF = shifts(features_BPTF, step)
            if imposed is not None:
                features_BPTF = torch.where(imposed.mask, imposed.values, features_BPTF)
            return diffusion.encode(features_BPTF)

        clean_BPTF = denoise(
            diffusion.denoiser,
            draw_noise((NUM_PEOPLE, frames // config.patch, config.num_inputs), rngs).to(mean),
            self._text(texts),
            rngs=rngs,
            sampling=sampling if given is not None else replace(sampling, resampling=1),
            adjust=None if paths is None and shifts is None and imposed is None else adjust,
            on_step=on_step,
        )
        return list(self._features(clean_BPTF))

    @torch.no_grad()
    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Features (P, T, F) through the code, cut to whole patches; themselves without one."""
        diffusion, unit = self.diffusion, self.frame_unit
        if diffusion.code is None:
            return features
        whole_PTF = np.ascontiguousarray(features[:, : features.shape[1] // unit * unit])
        given_BPTF = torch.from_numpy(whole_PTF)[None].to(diffusion.mean)
        return self._features(diffusion.encode(diffusion.normaliser.normalise(given_BPTF)))[0]

    def _features(self, clean_BPTF: Tensor) -> np.ndarray:
        """What was noised, in the layout's units."""
        made_BPTF = self.diffusion.decode(clean_BPTF)
        if self.diffusion.code is not None:
            made_BPTF = join_patches(made_BPTF)
        return self.diffusion.normaliser.denormalise(made_BPTF).cpu().numpy()

    def _text(self, texts: Sequence[str]) -> Tensor | None:
        denoiser = self.diffusion.denoiser
        weight = denoiser.text_projection.weight
        return text_vectors(self.encoder, denoiser.text_head, texts, weight)


@torch.no_grad()
def denoise(
    denoiser: PairDenoiser,
    noise_BPTF: Tensor,
    text_BC: Tensor | None,
    *,
    rngs: Sequence[torch.Generator],
    sampling: Sampling,
    adjust: Callable[[Tensor, int], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """(B, P, T, F): clean samples from noise.

    Args:
        text_BC: of the text head; None for motion without a text.
        rngs: the source of each sample's randomness, on the CPU.
        sampling: with steps, solver, guidance and resampling.
        adjust: see `Solver.run`.
    """
    assert sampling.steps and sampling.solver and sampling.resampling
    assert sampling.guidance is not None
    solver = Solver(sampling.solver, denoiser.config.noise, sampling.steps)
    frames_B = torch.full((len(noise_BPTF),), noise_BPTF.shape[2], device=noise_BPTF.device)
    guided = GuidedNetwork(denoiser, text_BC, frames_B, sampling.guidance)
    norms_at = modulation_schedule(denoiser, guided.condition, solver.times)
    dtype = denoiser.text_projection.weight.dtype

    def predict(x_BPTF: Tensor, step: int) -> Tensor:
        norms_B = norms_at(step)
        return guided(lambda x, *_: denoiser(x, norms_B, None), x_BPTF.to(dtype))  # no padding

    return solver.run(
        predict,
        noise_BPTF,
        rngs=rngs,
        resampling=sampling.resampling,
        adjust=adjust,
        on_step=on_step,
    )
