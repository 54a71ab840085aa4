"""InterMamba as a model that generates: loading, and how long a clip is made in one piece."""

from dataclasses import replace
from typing import Self

from duomotion.checkpoint import Checkpoint, load_network, model_config
from duomotion.models.feature_model import LengthEstimator
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.network import InterMambaDiffusion
from duomotion.models.pair_diffusion import PairDiffusionModel
from duomotion.precision import Precision
from duomotion.text.encoder import TextEncoder


def diffusion_from(checkpoint: Checkpoint) -> InterMambaDiffusion:
    """The network of a denoiser's checkpoint, with its statistics.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    config = model_config(checkpoint, InterMambaConfig)
    return load_network(checkpoint, InterMambaDiffusion, config)


class InterMamba(PairDiffusionModel):
    """A denoiser that scans; its window is the config's `max_frames`."""

    system = "intermamba"
    diffusion_from = staticmethod(diffusion_from)
    diffusion: InterMambaDiffusion

    def __init__(
        self,
        diffusion: InterMambaDiffusion,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        super().__init__(diffusion, encoder, length=length, name=name, precision=precision)
        self.max_frames = diffusion.config.max_frames

    @property
    def any_length(self) -> bool:
        config = self.diffusion.config
        return not config.spatial or config.spatial_axis == "joints"

    def in_one_piece(self, max_frames: int) -> Self:
        """The same; time is linear in the length.

        Raises:
            ValueError: the spatial branch is bound to a number of frames.
        """
        config = self.diffusion.config
        if not self.any_length:
            raise ValueError(
                f"{self.name} is bound to {config.max_frames} frames by its spatial axis: only "
                'models with spatial_axis "joints" make longer motion in one piece'
            )
        patch = config.patch
        longest = max(config.max_frames, -(-max_frames // patch) * patch)
        longer = replace(config, max_frames=longest)
        self.diffusion.config = self.diffusion.denoiser.config = longer
        self.max_frames = longer.max_frames
        return self
