"""Sizes and settings of InterGen."""

from dataclasses import dataclass

from duomotion.config import Count, Share, Size
from duomotion.models.pair_denoiser import PairDenoiserConfig


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig(PairDenoiserConfig):
    """InterGen's denoiser; defaults are the released model's (configs/model.yaml).

    Raises:
        ValueError: the sizes do not fit together.
    """

    num_heads: Count = 8
    num_blocks: Count = 8
    feedforward: Size = 2048
    dropout: Share = 0.1
    attention_dropout: Share = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")
