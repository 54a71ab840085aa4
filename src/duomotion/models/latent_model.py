"""Models that start from noise of an autoencoder's latents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

from duomotion.checkpoint import Checkpoint, read_checkpoint
from duomotion.models.children import load_length_estimator
from duomotion.models.feature_model import FeatureModel, LengthEstimator, load_encoder
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.pair_guidance import guided_sampling
from duomotion.precision import Precision, weight_type
from duomotion.sampling.request import Sampling
from duomotion.text.encoder import TextEncoder


class LatentModel(FeatureModel):
    """A denoiser of latents, and the autoencoder that decodes them.

    The decoder stays in float32: rounded to bfloat16, each frame would be off by other millimetres.

    Attributes:
        system: its name where none is given.
        diffusion_from: the network of a checkpoint, with the statistics of its latents.
        codec_from: the autoencoder in a folder.
        check_latents: (autoencoder, denoiser's config, folder) raises ValueError where latents of
            the one are not those of the other.
    """

    system: ClassVar[str]
    diffusion_from: ClassVar[Callable[[Checkpoint], Any]]
    codec_from: ClassVar[Callable[[Path], Any]]
    check_latents: ClassVar[Callable[[Any, Any, Path], None]]

    def __init__(
        self,
        diffusion: Any,
        codec: Any,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        width = diffusion.denoiser.text_projection.out_features
        dtype = weight_type(precision, diffusion.mean.device, width)
        diffusion.denoiser.to(dtype)
        self.diffusion, self.codec = accelerate(diffusion), accelerate(codec)
        super().__init__(
            name or self.system,
            codec.layout,
            encoder,
            (self.diffusion, self.codec),
            length=length,
            frame_unit=codec.unit,
            dtype=dtype,
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> Self:
        """Read a denoiser's checkpoint, and the autoencoder and length estimator inside it.

        Raises:
            ValueError: the folder is no such checkpoint, tensors are missing, or parts of it do not
                belong together.
        """
        checkpoint, autoencoder = read_checkpoint(folder), folder / "autoencoder"
        diffusion, codec = cls.diffusion_from(checkpoint), cls.codec_from(autoencoder)
        cls.check_latents(codec, diffusion.config, autoencoder)
        text_dim = diffusion.config.text_dim
        return cls(
            diffusion.to(device),
            codec.to(device),
            load_encoder(checkpoint, text_dim),
            length=load_length_estimator(folder, text_dim=text_dim),
            name=folder.name,
            precision=precision,
        )

    @property
    def tuned(self) -> Sampling:
        config = self.diffusion.config
        return guided_sampling(config, config.latent_guidance)
