"""ILD as a model that generates: sampling of latents, guidance and loading."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_network, model_config
from duomotion.models.feature_model import (
    KnownFeatures,
    known_tensors,
    text_vectors,
)
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.codec import load_codec, reconstruct
from duomotion.models.ild.config import LatentDenoiserConfig, StudentConfig
from duomotion.models.ild.network import LatentDenoiser, LatentDiffusion, without_training
from duomotion.models.latent_model import LatentModel
from duomotion.models.pair_guidance import latent_adjustment
from duomotion.models.progress import OnStep
from duomotion.sampling.diffusion import Known, Solver, draw_noise
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.request import AS_TUNED, Sampling


def diffusion_from(checkpoint: Checkpoint) -> LatentDiffusion:
    """The network of a denoiser's checkpoint, with its statistics.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    return load_network(checkpoint, LatentDiffusion, model_config(checkpoint, LatentDenoiserConfig))


def student_from(checkpoint: Checkpoint) -> LatentDiffusion:
    """The network of a student's checkpoint, without those that only its training needs.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    own = without_training(checkpoint.tensors)
    config = model_config(checkpoint, StudentConfig)
    return load_network(replace(checkpoint, tensors=own), LatentDiffusion, config)


def check_latents(codec: InteractionCodec, denoiser: LatentDenoiserConfig, folder: Path) -> None:
    """Raises ValueError where the latents of an autoencoder are not those of the denoiser."""
    found = codec.config.num_latents, codec.config.latent_dim
    wanted = denoiser.num_latents, denoiser.latent_dim
    if found != wanted:
        raise ValueError(
            f"{folder} makes {found[0]} latents of {found[1]} numbers; the denoiser is for "
            f"{wanted[0]} of {wanted[1]}"
        )


class Ild(LatentModel):
    """A denoiser of latents that starts from noise, and the decoder of what they stand for."""

    system = "ild"
    diffusion_from = staticmethod(diffusion_from)
    codec_from = staticmethod(load_codec)
    check_latents = staticmethod(check_latents)
    diffusion: LatentDiffusion
    codec: InteractionCodec
    sampling = AS_TUNED  # where it differs from the config

    @property
    def tuned(self) -> Sampling:
        return replace(super().tuned, **self.sampling.given())

    def retuned(self, sampling: Sampling) -> "Ild":
        """The same model which samples otherwise unless told how; shares its networks."""
        model = copy.copy(self)
        model.sampling = sampling
        return model

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
        diffusion, denoiser = self.diffusion, self.diffusion.denoiser
        config = diffusion.config
        given = known_tensors(known, frames, self.codec.normaliser)
        shape = config.num_latents, config.latent_dim
        z_BLK = denoise(
            denoiser,
            draw_noise(shape, rngs).to(diffusion.mean),
            text_vectors(self.encoder, denoiser.text_head, texts, denoiser.text_projection.weight),
            frames,
            rngs=rngs,
            sampling=sampling,
            adjust=adjustment(
                diffusion,
                self.codec,
                frames,
                sampling=sampling,
                known=None if given is None else Known(*given),
            ),
            on_step=on_step,
        )
        made_BPTF = self.codec.decode(diffusion.denormalise(z_BLK), frames)
        return list(made_BPTF.cpu().numpy())

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Features (P, T, F) in metres through the autoencoder, cut to whole patches."""
        return reconstruct(self.codec, features)


class Fild(Ild):
    """A student of ILD, which makes latents in one step or a few."""

    system = "fild"
    diffusion_from = staticmethod(student_from)

    @property
    def tuned(self) -> Sampling:
        tuned, config = super().tuned, self.diffusion.config
        assert isinstance(config, StudentConfig)
        told = config.guidance_dim is not None
        return replace(
            tuned,
            solver=None,
            guidance=tuned.guidance if told else None,
            reaction_steps=min(config.reaction_steps, config.distilled_steps),
        )

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
        guidance = 1.0 if sampling.guidance is None else sampling.guidance
        free = all(each is None for each in known)
        sampling = replace(
            sampling,
            steps=sampling.steps if free else sampling.reaction_steps,
            solver=self.diffusion.config.solver,
            guidance=guidance,
        )
        return super().sample(texts, frames, known, rngs=rngs, sampling=sampling, on_step=on_step)


def adjustment(
    diffusion: LatentDiffusion,
    codec: InteractionCodec,
    frames: int,
    *,
    sampling: Sampling,
    known: Known | None = None,
) -> Callable[[Tensor, int], Tensor] | None:
    """What is done to clean latents in each step, for `Solver.run`; None where nothing is.

    Args:
        known: normalised features.

    Raises:
        ValueError: there is no such body model.
    """

    def decode(z_BLK: Tensor, every: int = 1) -> Tensor:
        return codec.autoencoder.decode(diffusion.denormalise(z_BLK), frames, every=every)

    def encode(features_BPTF: Tensor) -> Tensor:
        return diffusion.normalise(codec.autoencoder.encode(features_BPTF).mean)

    return latent_adjustment(
        diffusion.config.latent_guidance,
        codec.layout,
        codec.normaliser,
        frames,
        sampling=sampling,
        known=known,
        encode=encode,
        decode=decode,
    )


@torch.no_grad()
def denoise(
    denoiser: LatentDenoiser,
    noise_BLK: Tensor,
    text_BC: Tensor | None,
    frames: int,
    *,
    rngs: Sequence[torch.Generator],
    sampling: Sampling,
    adjust: Callable[[Tensor, int], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """(B, L, K): clean latents from noise.

    Args:
        text_BC: of the text head; None for motion without a text.
        frames: that the latents are decoded to.
        rngs: the source of each sample's randomness, on the CPU.
        sampling: with steps, solver and guidance.
        adjust: see `Solver.run`.
    """
    assert sampling.steps and sampling.solver and sampling.guidance is not None
    config, scale = denoiser.config, sampling.guidance
    solver = Solver(
        sampling.solver,
        config.noise,
        sampling.steps,
        distilled_steps=config.distilled_steps,
    )
    device, dtype = noise_BLK.device, denoiser.text_projection.weight.dtype
    frames_B = torch.full((len(noise_BLK),), frames, device=device)
    times_S = torch.tensor(solver.times, device=device)
    told_S = None
    if config.guidance_dim is not None:
        told_S = torch.full_like(times_S, scale, dtype=torch.float32)
    guided = GuidedNetwork(denoiser, text_BC, frames_B, scale if told_S is None else 1.0)
    times_SD = denoiser.embed_times(times_S, told_S)
    length_1D = denoiser.embed_lengths(frames_B[:1])

    def predict(z_BLK: Tensor, step: int) -> Tensor:
        def network(z_BLK: Tensor, text_BD: Tensor, lengths_B: Tensor) -> Tensor:
            time_BD = times_SD[step].expand(len(z_BLK), -1)
            length_BD = None if length_1D is None else length_1D.expand(len(z_BLK), -1)
            return denoiser(z_BLK, time_BD, text_BD, length_BD)

        return guided(network, z_BLK.to(dtype))

    return solver.run(predict, noise_BLK, rngs=rngs, adjust=adjust, on_step=on_step)
