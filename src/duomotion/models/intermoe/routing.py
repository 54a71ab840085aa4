"""Which tokens experts work on: fusion of logits, selection, and the biases that steer it.

Tokens are the places of both people's latents in time. "Dynamic temporal selection": expert e takes
a token where sigmoid(logit) + bias_e > 0, however many these are; after each training step its bias
goes down where it took more tokens than it is to take on average, and up where it took fewer.

Axes: B samples, P the 2 people, T places, E experts, G pools, S tokens of a pool.
"""

import torch
from torch import Tensor

from duomotion.models.intermoe.config import RoutingConfig
from duomotion.models.layers.pair_features import NUM_PEOPLE


def fuse(motion: Tensor, text: Tensor, alpha: float | None) -> Tensor:
    """alpha motion + (1 - alpha) text (the paper's equation); None: motion + text (released)."""
    return motion + text if alpha is None else alpha * motion + (1 - alpha) * text


def select(
    logits_BPTE: Tensor,
    bias_E: Tensor,
    valid_BT: Tensor,
    config: RoutingConfig,
    *,
    is_training: bool,
) -> Tensor:
    """(B, P, T, E) bool: the tokens that each expert takes.

    In training, experts that take a fixed number choose among the tokens of all samples, unless
    `config.pool` says otherwise; outside of it they choose sample by sample, so that no sample
    depends on what else is in the batch. Dynamic selection looks at each token alone anyway.

    Args:
        valid_BT: bool, the places that are routed.
    """
    if config.selection == "dynamic":
        selected = logits_BPTE.sigmoid() + bias_E > 0
    elif config.selection == "token_choice":
        chosen = logits_BPTE.topk(max(1, round(config.capacity)), -1).indices
        selected = torch.zeros_like(logits_BPTE, dtype=torch.bool).scatter(-1, chosen, value=True)
    else:
        pool = config.pool if is_training else "sample"
        counts_G = expected_counts(valid_BT, config, pool).clamp_min(1)
        valid_BPT1 = valid_BT[:, None, :, None].expand(-1, NUM_PEOPLE, -1, 1)
        highest = take_highest(
            _pools(logits_BPTE, pool), _pools(valid_BPT1, pool), counts_G.flatten()
        )
        selected = _from_pools(highest, logits_BPTE, pool)
    return selected & valid_BT[:, None, :, None]


def take_highest(logits_GSE: Tensor, valid_GS1: Tensor, counts_G: Tensor) -> Tensor:
    """(G, S, E) bool: of each pool the so many tokens with an expert's highest logits."""
    logits_GSE = logits_GSE.masked_fill(~valid_GS1, -torch.inf)
    ranks_GSE = logits_GSE.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return ranks_GSE < counts_G[:, None, None]


def expected_counts(valid_BT: Tensor, config: RoutingConfig, pool: str) -> Tensor:
    """Tokens that an expert is to take, rounded down: of each person (P, 1), or sample (P, B)."""
    tokens_B = valid_BT.sum(1)
    tokens = tokens_B.sum(0, keepdim=True) if pool == "batch" else tokens_B
    return (tokens / config.num_experts * config.capacity).floor().expand(NUM_PEOPLE, -1).long()


def bias_moves(selected_BPTE: Tensor, valid_BT: Tensor, config: RoutingConfig) -> Tensor:
    """(E,): by how much biases change after a step; people are counted one after the other."""
    counts_PBE = selected_BPTE.sum(2).transpose(0, 1)
    counts = counts_PBE.sum(1, keepdim=True) if config.pool == "batch" else counts_PBE
    surplus = counts - expected_counts(valid_BT, config, config.pool)[..., None]
    return -config.bias_rate * surplus.sign().float().mean(1).sum(0)


def _pools(x_BPTE: Tensor, pool: str) -> Tensor:
    """(G, S, ...): pools of a person's tokens."""
    return x_BPTE.transpose(0, 1).flatten(1, 2) if pool == "batch" else _by_sample(x_BPTE)


def _by_sample(x_BPTE: Tensor) -> Tensor:
    return x_BPTE.transpose(0, 1).flatten(0, 1)


def _from_pools(x_GSE: Tensor, like_BPTE: Tensor, pool: str) -> Tensor:
    batch, people = like_BPTE.shape[:2]
    sizes, axis = ((batch, -1), 1) if pool == "batch" else ((people, batch), 0)
    return x_GSE.unflatten(axis, sizes).transpose(0, 1)
