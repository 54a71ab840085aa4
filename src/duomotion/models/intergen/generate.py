"""InterGen as a model that generates: loading; how it samples is in `models.pair_diffusion`."""

from duomotion.checkpoint import Checkpoint, load_network, model_config
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.network import MotionDiffusion
from duomotion.models.pair_diffusion import PairDiffusionModel


def diffusion_from(checkpoint: Checkpoint) -> MotionDiffusion:
    """The network of a denoiser's checkpoint, with its statistics.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    return load_network(checkpoint, MotionDiffusion, model_config(checkpoint, DenoiserConfig))


class InterGen(PairDiffusionModel):
    """A denoiser that starts from noise; known motion is imposed at every step."""

    system = "intergen"
    diffusion_from = staticmethod(diffusion_from)
