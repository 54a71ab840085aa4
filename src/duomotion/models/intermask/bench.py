"""What `duomotion bench intermask` times: the paper's size with random weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch

from duomotion.distributed import synchronize
from duomotion.models.base import FPS
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import InterMConfig, TokenizerConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.reference import ReferenceTransformer
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.timing import SEED, Bench, random_texts, seeded
from duomotion.precision import Precision, weight_type

FEWER_STEPS = 12  # scores of intermask-open are those of 20 within ± (docs/performance.md)


class InterMaskBench(Bench):
    """InterMask.

    Modulations start at zero in training; here they get random values, or nothing would depend on
    text and attention.
    """

    def __init__(
        self,
        transformer: InterMConfig | None = None,
        tokenizer: TokenizerConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.transformer = InterMTransformer(transformer or InterMConfig())
        for modulation in [*self.transformer.modulations, self.transformer.output_modulation]:
            for parameter in modulation.parameters():
                torch.nn.init.normal_(parameter, std=0.02)
        self.transformer = self.transformer.to(self.device).eval()
        self.reference = ReferenceTransformer(self.transformer)
        self.dtype = weight_type(precision, self.device, self.transformer.config.width)
        accelerate(self.transformer.to(self.dtype))
        self.codec = accelerate(MotionCodec(tokenizer or TokenizerConfig()).to(self.device))

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        return {f"{FEWER_STEPS} iterations": partial(self._made, FEWER_STEPS)}

    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        return self._made(None, seconds, batch, reference=reference)

    @torch.no_grad()
    def _made(
        self, steps: int | None, seconds: float, batch: int, *, reference: bool = False
    ) -> torch.Tensor:
        length = round(seconds * FPS) // self.codec.tokenizer.downsampling
        model = cast(InterMTransformer, self.reference if reference else self.transformer)
        ids_BPN = decode_tokens(
            model,
            random_texts(batch, model.config.text_dim, self.device),
            torch.full((batch,), length, device=self.device),
            rng=seeded(batch),
            steps=steps,
        )
        self.codec.decode(ids_BPN.flatten(0, 1))
        synchronize(self.device)
        return ids_BPN
