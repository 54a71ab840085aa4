"""Vector quantisation with a codebook that follows the data by moving averages.

Axes: N vectors, D channels, K codes.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from duomotion.distributed import is_distributed, sum_over_ranks


@dataclass(frozen=True)
class Quantized:
    """What `VectorQuantizer` returns.

    Attributes:
        vectors: (..., D) the chosen codes; gradients pass straight through to the input.
        ids: (...) int64 index of the chosen code.
        commitment: () mean squared distance between input and chosen code, for the encoder.
        perplexity: () exp of the entropy of code use in this batch, from 1 to K.
    """

    vectors: Tensor
    ids: Tensor
    commitment: Tensor
    perplexity: Tensor


class VectorQuantizer(nn.Module):
    """Codebook learned by exponential moving averages with replacement of unused codes.

    T2M-GPT (Zhang et al. 2023) describes it; that a training step draws codes at random is from the
    released code of the systems that use it. Always computes in float32. The moving
    averages are part of the state dict, so that a resumed training goes on exactly. With
    torch.distributed every rank keeps the same codebook.

    Args:
        num_codes: K.
        code_dim: D.
        decay: weight of the past in the moving averages.
        temperature: of the random assignment in training; 0 takes the nearest code.
        dead_below: a code is replaced when its average count a batch falls below this.
    """

    codebook: Tensor
    code_sums: Tensor
    code_counts: Tensor

    def __init__(
        self,
        num_codes: int,
        code_dim: int,
        *,
        decay: float = 0.99,
        temperature: float = 0.5,
        dead_below: float = 1.0,
    ) -> None:
        super().__init__()
        self.dead_below = dead_below
        self.decay = decay
        self.temperature = temperature
        self.register_buffer("codebook", torch.randn(num_codes, code_dim))
        self.register_buffer("code_sums", torch.zeros(num_codes, code_dim))
        self.register_buffer("code_counts", torch.zeros(num_codes))

    @property
    def num_codes(self) -> int:
        return len(self.codebook)

    def forward(self, x: Tensor) -> Quantized:
        """Quantise (..., D) vectors; in training mode the codebook then moves towards them.

        The first training batch fills the codebook.
        """
        with torch.autocast(x.device.type, enabled=False):
            x_ND = x.float().flatten(0, -2)
            data_ND = x_ND.detach()
            if self.training:
                if not self.is_started:
                    self.start(data_ND)
                ids_N = self.draw(data_ND)
            else:
                ids_N = self.nearest(data_ND)
            codes_ND = F.embedding(ids_N, self.codebook)
            used_K = self.update(data_ND, ids_N) if self.training else self._counts(ids_N)
            return Quantized(
                vectors=(x_ND + (codes_ND - data_ND)).view(x.shape),
                ids=ids_N.view(x.shape[:-1]),
                commitment=F.mse_loss(x_ND, codes_ND),
                perplexity=perplexity(used_K),
            )

    def nearest(self, x: Tensor) -> Tensor:
        """(..., D) -> (...) ids of the nearest codes, the first one at ties."""
        return self._scores(x.float().flatten(0, -2)).argmax(-1).view(x.shape[:-1])

    def draw(self, x_ND: Tensor) -> Tensor:
        """Ids (N,) drawn from softmax(-squared distance / temperature).

        The released code adds Gumbel noise and takes the largest, which is the same distribution;
        inverting the cumulative distribution needs one random number a vector in place of K.
        """
        if self.temperature == 0:
            return self.nearest(x_ND)
        cumulative_NK = (self._scores(x_ND) / self.temperature).softmax(-1).cumsum(-1)
        level_N1 = torch.rand_like(cumulative_NK[:, :1]) * cumulative_NK[:, -1:]
        ids_N1 = torch.searchsorted(cumulative_NK, level_N1, right=True)
        return ids_N1.squeeze(-1).clamp_(max=self.num_codes - 1)

    def lookup(self, ids: Tensor) -> Tensor:
        """(...) ids -> (..., D) codes; id -1 gives the zero vector."""
        return F.embedding(ids.clamp(min=0), self.codebook) * (ids >= 0).unsqueeze(-1)

    @property
    def is_started(self) -> bool:
        """Whether the codebook comes from data."""
        return bool(self.code_counts.any())

    @torch.no_grad()
    def cluster(self, x_ND: Tensor, rng: torch.Generator, *, rounds: int = 12) -> None:
        """Start from the means of K clusters of the vectors (Lloyd 1982), N at least K.

        Clusters that lose all their vectors start again from a random one.
        """

        def draw(count: int) -> Tensor:
            order = torch.randperm(len(x_ND), generator=rng, device=rng.device)
            return x_ND[order[:count].to(x_ND.device)]

        self.set_codebook(draw(self.num_codes))
        for _ in range(rounds):
            ids_N = self.nearest(x_ND)
            counts_K = self._counts(ids_N)
            sums_KD = torch.zeros_like(self.codebook).index_add_(0, ids_N, x_ND)
            means_KD = sums_KD / counts_K.clamp(min=1).unsqueeze(-1)
            fresh_KD = draw(self.num_codes)
            self.set_codebook(torch.where((counts_K > 0).unsqueeze(-1), means_KD, fresh_KD))

    @torch.no_grad()
    def start(self, x_ND: Tensor) -> None:
        """Take the first K vectors as the codebook."""
        self.set_codebook(self._candidates(x_ND))

    @torch.no_grad()
    def set_codebook(self, codebook_KD: Tensor) -> None:
        """Replace the codebook and begin the moving averages at one vector a code."""
        self.codebook.copy_(codebook_KD)
        self.code_sums.copy_(codebook_KD)
        self.code_counts.fill_(1)

    @torch.no_grad()
    def update(self, x_ND: Tensor, ids_N: Tensor) -> Tensor:
        """Move the codes towards the vectors assigned to them.

        Codes whose average count is below `dead_below` get a vector of the batch instead; their
        averages stay (released code).

        Returns:
            (K,) number of vectors assigned to each code.
        """
        sums_KD = torch.zeros_like(self.codebook).index_add_(0, ids_N, x_ND)
        sum_over_ranks(sums_KD)
        used_K = self._counts(ids_N)
        self.code_sums.mul_(self.decay).add_(sums_KD, alpha=1 - self.decay)
        self.code_counts.mul_(self.decay).add_(used_K, alpha=1 - self.decay)
        counts_K1 = self.code_counts.unsqueeze(-1)
        means_KD = self.code_sums / counts_K1
        self.codebook.copy_(
            torch.where(counts_K1 >= self.dead_below, means_KD, self._candidates(x_ND))
        )
        return used_K

    def _scores(self, x_ND: Tensor) -> Tensor:
        """Minus the squared distance to each code (N, K), up to a constant per vector."""
        return torch.addmm(-self.codebook.square().sum(-1), x_ND, self.codebook.T, alpha=2)

    def _counts(self, ids_N: Tensor) -> Tensor:
        counts_K = torch.bincount(ids_N, minlength=self.num_codes).to(self.code_counts.dtype)
        return sum_over_ranks(counts_K)

    def _candidates(self, x_ND: Tensor) -> Tensor:
        """The first K vectors; fewer are repeated with a little noise. The same on every rank."""
        num_vectors, code_dim = x_ND.shape
        if num_vectors < self.num_codes:
            x_ND = x_ND.repeat(ceil(self.num_codes / num_vectors), 1)
            x_ND = x_ND + torch.randn_like(x_ND) * (0.01 / sqrt(code_dim))
        chosen_KD = x_ND[: self.num_codes].clone()
        if is_distributed():
            distributed.broadcast(chosen_KD, src=0)
        return chosen_KD


def perplexity(counts_K: Tensor) -> Tensor:
    """exp(entropy) of code use, from the number of vectors of each code."""
    share_K = counts_K / counts_K.sum()
    return (-(share_K * (share_K + 1e-7).log()).sum()).exp()
