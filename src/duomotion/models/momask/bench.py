"""What `duomotion bench momask` times: the paper's size on HumanML3D with random weights."""

import torch

from duomotion.distributed import synchronize
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.decoding import decode_tokens
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.reference import ReferenceMoMask
from duomotion.models.timing import SEED, Bench, random_texts, seeded
from duomotion.precision import Precision, weight_type


class MoMaskBench(Bench):
    """MoMask on HumanML3D, 20 frames a second."""

    def __init__(
        self,
        masked: MaskedConfig | None = None,
        residual: ResidualConfig | None = None,
        tokenizer: ResidualTokenizerConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.masked = MaskedTransformer(masked or MaskedConfig()).to(self.device).eval()
        self.residual = ResidualTransformer(residual or ResidualConfig()).to(self.device).eval()
        self.reference = ReferenceMoMask(self.masked, self.residual)
        self.dtype = weight_type(precision, self.device, self.masked.config.width)
        accelerate(self.masked.to(self.dtype))
        accelerate(self.residual.to(self.dtype))
        self.codec = accelerate(
            ResidualCodec(tokenizer or ResidualTokenizerConfig()).to(self.device)
        )

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        length = round(seconds * self.codec.layout.fps) // self.codec.tokenizer.downsampling
        lengths_B = torch.full((batch,), length, device=self.device)
        text_BC = random_texts(batch, self.masked.config.text_dim, self.device)
        if reference:
            ids_BNQ = self.reference.decode_tokens(text_BC, lengths_B, rng=seeded(batch))
        else:
            ids_BNQ = decode_tokens(
                self.masked,
                text_BC,
                lengths_B,
                residual=self.residual,
                rng=seeded(batch),
            )
        self.codec.decode(ids_BNQ)
        synchronize(self.device)
        return ids_BNQ
