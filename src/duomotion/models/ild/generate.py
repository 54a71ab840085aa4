"""ILD as a model that generates: sampling of latents, guidance and loading."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.body.pair_bodies import CAPSULES
from duomotion.checkpoint import Checkpoint, load_network, model_config, read_checkpoint
from duomotion.models.base import OnStep
from duomotion.models.children import load_length_estimator
from duomotion.models.feature_model import (
    FeatureModel,
    KnownFeatures,
    LengthEstimator,
    known_tensors,
    load_encoder,
    text_vectors,
)
from duomotion.models.ild.autoencoder import InteractionCodec
from duomotion.models.ild.codec import load_codec, reconstruct
from duomotion.models.ild.config import AutoencoderConfig, LatentDenoiserConfig, StudentConfig
from duomotion.models.ild.network import TRAINING_ONLY, LatentDenoiser, LatentDiffusion
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.pair_guidance import latent_adjustment
from duomotion.precision import Precision, weight_type
from duomotion.sampling.diffusion import LCM_STEPS, Known, Solver, draw_noise
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.request import AS_TUNED, Sampling
from duomotion.text.encoder import TextEncoder


class Ild(FeatureModel):
    """A denoiser of latents and the decoder of what they stand for.

    The decoder stays in float32: rounded to bfloat16, each frame would be off by other millimetres.
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        codec: InteractionCodec,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str = "ild",
        precision: Precision = "auto",
    ) -> None:
        width = diffusion.config.transformer.width
        dtype = weight_type(precision, diffusion.mean.device, width)
        diffusion.denoiser.to(dtype)
        self.diffusion, self.codec = accelerate(diffusion), accelerate(codec)
        self.sampling = AS_TUNED
        super().__init__(
            name,
            codec.layout,
            encoder,
            (self.diffusion, self.codec),
            length=length,
            frame_unit=codec.config.patch,
            dtype=dtype,
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> "Ild":
        """Read a denoiser's checkpoint, and the autoencoder and length estimator inside it.

        Raises:
            ValueError: the folder is no such checkpoint, tensors are missing, or parts of it do not
                belong together.
        """
        checkpoint = read_checkpoint(folder)
        diffusion = cls.network_from(checkpoint)
        config = diffusion.config
        codec = load_codec(folder / "autoencoder")
        check_latents(codec.config, config, folder / "autoencoder")
        return cls(
            diffusion.to(device),
            codec.to(device),
            load_encoder(checkpoint, config.text_dim),
            length=load_length_estimator(folder, text_dim=config.text_dim),
            name=folder.name,
            precision=precision,
        )

    @staticmethod
    def network_from(checkpoint: Checkpoint) -> LatentDiffusion:
        """The network of a checkpoint; raises as `diffusion_from`."""
        return diffusion_from(checkpoint)

    @property
    def tuned(self) -> Sampling:
        config = self.diffusion.config
        tuned = Sampling(
            steps=config.steps,
            solver=config.solver,
            guidance=config.guidance,
            attempts=config.attempts,
            avoid_collisions=True,
            contacts=(),
            paths=(),
            body_model=CAPSULES,
        )
        return replace(tuned, **self.sampling.given())

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

    @staticmethod
    def network_from(checkpoint: Checkpoint) -> LatentDiffusion:
        return student_from(checkpoint)

    @property
    def tuned(self) -> Sampling:
        tuned = super().tuned
        told = self.diffusion.config.guidance_dim is not None
        return replace(tuned, solver=None, guidance=tuned.guidance if told else None)

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
        sampling = replace(sampling, solver=self.diffusion.config.solver, guidance=guidance)
        return super().sample(texts, frames, known, rngs=rngs, sampling=sampling, on_step=on_step)


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
    own = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if not name.startswith(TRAINING_ONLY)
    }
    config = model_config(checkpoint, StudentConfig)
    return load_network(replace(checkpoint, tensors=own), LatentDiffusion, config)


def check_latents(
    autoencoder: AutoencoderConfig, denoiser: LatentDenoiserConfig, folder: Path
) -> None:
    """Raises ValueError where the latents of an autoencoder are not those of the denoiser."""
    found = autoencoder.num_latents, autoencoder.latent_dim
    wanted = denoiser.num_latents, denoiser.latent_dim
    if found != wanted:
        raise ValueError(
            f"{folder} makes {found[0]} latents of {found[1]} numbers; the denoiser is for "
            f"{wanted[0]} of {wanted[1]}"
        )


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
        # Beside known motion people may be in the other order: contacts are met in the end.
        contacts=() if known is not None else sampling.contacts or (),
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
    distilled = config.levels if isinstance(config, StudentConfig) else LCM_STEPS
    solver = Solver(sampling.solver, config.noise, sampling.steps, distilled_steps=distilled)
    device, dtype = noise_BLK.device, denoiser.text_projection.weight.dtype
    frames_B = torch.full((len(noise_BLK),), frames, device=device)
    times_S = torch.tensor(solver.times, device=device)
    told_S = None if config.guidance_dim is None else torch.full_like(times_S, scale, dtype=dtype)
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
