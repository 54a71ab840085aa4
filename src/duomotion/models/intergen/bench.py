"""What `duomotion bench intergen` times: the released size with random weights."""

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.network import InterGenDenoiser
from duomotion.models.intergen.reference import ReferenceDenoiser
from duomotion.models.pair_bench import PairDenoiserBench
from duomotion.precision import Precision


class InterGenBench(PairDenoiserBench):
    """InterGen."""

    denoiser_of = InterGenDenoiser
    reference_of = ReferenceDenoiser

    def __init__(
        self,
        config: DenoiserConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        super().__init__(config or DenoiserConfig(), precision=precision, device=device)
