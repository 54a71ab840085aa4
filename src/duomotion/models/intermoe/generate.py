"""InterMoE as a model that generates: sampling of latents, known motion and loading."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_network, model_config
from duomotion.models.feature_model import (
    KnownFeatures,
    LengthEstimator,
    known_tensors,
    text_vectors,
)
from duomotion.models.intermoe.autoencoder import FRAMES, SkeletalCodec
from duomotion.models.intermoe.codec import load_codec, reconstruct
from duomotion.models.intermoe.config import DenoiserConfig
from duomotion.models.intermoe.network import LatentDiffusion
from duomotion.models.latent_model import LatentModel
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.pair_diffusion import denoise
from duomotion.models.pair_guidance import latent_adjustment
from duomotion.models.progress import OnStep
from duomotion.precision import Precision
from duomotion.sampling.diffusion import Known, draw_noise
from duomotion.sampling.request import Sampling
from duomotion.text.encoder import TextEncoder

Adjust = Callable[[Tensor, int], Tensor]


def diffusion_from(checkpoint: Checkpoint) -> LatentDiffusion:
    """The network of a denoiser's checkpoint, with its statistics.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    return load_network(checkpoint, LatentDiffusion, model_config(checkpoint, DenoiserConfig))


def check_latents(codec: SkeletalCodec, denoiser: DenoiserConfig, folder: Path) -> None:
    """Raises ValueError where the latents of an autoencoder are not those of the denoiser."""
    if codec.latent_dim != denoiser.num_features:
        raise ValueError(
            f"{folder} makes latents of {codec.latent_dim} numbers; the denoiser is for those of "
            f"{denoiser.num_features}"
        )


class InterMoE(LatentModel):
    """A denoiser of latents that starts from noise, and the decoder of what they stand for."""

    system = "intermoe"
    diffusion_from = staticmethod(diffusion_from)
    codec_from = staticmethod(load_codec)
    check_latents = staticmethod(check_latents)
    diffusion: LatentDiffusion
    codec: SkeletalCodec

    def __init__(
        self,
        diffusion: LatentDiffusion,
        codec: SkeletalCodec,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        super().__init__(diffusion, codec, encoder, length=length, name=name, precision=precision)
        self.frame_unit = codec.unit * diffusion.config.patch  # latents in whole patches

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
        diffusion, denoiser, codec = self.diffusion, self.diffusion.denoiser, self.codec
        given = known_tensors(known, frames, codec.normaliser)
        config = diffusion.config
        shape = NUM_PEOPLE, frames // (FRAMES * config.patch), config.num_inputs
        z_BPNL = denoise(
            denoiser,
            draw_noise(shape, rngs).to(diffusion.mean),
            text_vectors(self.encoder, denoiser.text_head, texts, denoiser.text_projection.weight),
            rngs=rngs,
            sampling=replace(sampling, resampling=1),  # known motion is imposed by `adjustment`
            adjust=adjustment(
                diffusion,
                codec,
                frames,
                sampling=sampling,
                known=None if given is None else Known(*given),
            ),
            on_step=on_step,
        )
        made_BPTF = codec.decode(diffusion.decode(z_BPNL))
        return list(codec.normaliser.denormalise(made_BPTF).cpu().numpy())

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Features (P, T, F) through the autoencoder, cut to whole latents."""
        return reconstruct(self.codec, features)


def adjustment(
    diffusion: LatentDiffusion,
    codec: SkeletalCodec,
    frames: int,
    *,
    sampling: Sampling,
    known: Known | None = None,
) -> Adjust | None:
    """What is done to clean latents in each step, for `Solver.run`; None where nothing is.

    See `models.pair_guidance`; of known motion, latents with known frames alone become what the
    encoder says.

    Args:
        known: normalised features (B, P, T, F), and a mask (B, P, T, 1).

    Raises:
        ValueError: there is no such body model.
    """

    def decode(z_BPNL: Tensor, every: int = 1) -> Tensor:
        return codec.decode(diffusion.decode(z_BPNL))[:, :, ::every]

    def encode(x_BPTF: Tensor) -> Tensor:
        return diffusion.encode(codec.encode(x_BPTF).mean)

    known_latents = None
    if known is not None:
        known_latents = known.mask.unflatten(2, (-1, FRAMES * diffusion.config.patch)).any(3)
    return latent_adjustment(
        diffusion.config.latent_guidance,
        codec.layout,
        codec.normaliser,
        frames,
        sampling=sampling,
        known=known,
        encode=encode,
        decode=decode,
        known_latents=known_latents,
    )
