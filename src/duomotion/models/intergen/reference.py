"""Reference implementation of InterGen's sampling, which the fast one has to equal.

Attention is `torch.nn.MultiheadAttention`, guidance takes two passes instead of one over a doubled
batch, each person's network runs alone, and modulation is computed in each pass of each step, all
as in the released code; steps are DDIM's (`models.pair_reference`).
"""

from torch import Tensor

from duomotion.models.intergen.network import InterGenBlock
from duomotion.models.pair_reference import PairBlocksReference


class ReferenceDenoiser(PairBlocksReference):
    """InterGen's."""

    def after_attention(
        self, block: InterGenBlock, x_BTD: Tensor, read_BTD: Tensor, embedding_BD: Tensor
    ) -> Tensor:
        return block.feedforward(read_BTD)
