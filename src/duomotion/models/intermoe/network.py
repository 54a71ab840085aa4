"""InterMoE's cooperative denoisers of latents.

Two networks with the same weights, one a person, as in InterGen: in each block a person attends to
their own latents and then to the partner's; then experts take those places in time that they have
selected. Text and noise level scale and shift every layer norm, and take part in the routing.

Axes: B batch, P the 2 people, T latents in time, F numbers of a person's latent, D width, N blocks,
K scales and shifts of a block, E experts.
"""

import torch
from torch import Tensor, nn

from duomotion.models.intermoe.config import DenoiserConfig
from duomotion.models.intermoe.experts import Routing, SelectiveExperts
from duomotion.models.intermoe.routing import bias_moves
from duomotion.models.layers.dropout import Dropout
from duomotion.models.layers.latents import LatentStatistics
from duomotion.models.layers.linear import zero_linear
from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.modulation import normalise
from duomotion.models.layers.pair_blocks import BlockModulation, PairAttention, adapt, key_mask
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.pair_denoiser import PairDenoiser, patch_code


class InterMoEBlock(PairAttention):
    """Self attention, attention to the partner and experts, of both people at once."""

    experts: SelectiveExperts | None
    feedforward: nn.Sequential | None

    def __init__(self, config: DenoiserConfig) -> None:
        width, hidden = config.width, config.routing.feedforward
        super().__init__(width, config.num_heads, dropout=config.attention_dropout)
        self.experts = self.feedforward = None
        if config.routing.num_experts:
            self.experts = SelectiveExperts(width, config.routing)
        else:
            self.feedforward = nn.Sequential(
                nn.Linear(width, hidden),
                nn.GELU(),
                Dropout(config.dropout),
                zero_linear(hidden, width),
            )

    def forward(
        self, x_BPTD: Tensor, condition_BKD: Tensor, mask: Tensor | None, valid_BT: Tensor
    ) -> tuple[Tensor, Routing | None]:
        """Both people, and which places experts took.

        Args:
            condition_BKD: scales and shifts, and in the end the embedding that they come from.
            mask: of the keys, as for `Attention`, for people one by one.
            valid_BT: bool, the places that are routed.
        """
        x_BPTD, norm = self.attend(x_BPTD, condition_BKD[:, :-1], mask)
        read_BPTD = adapt(normalise(x_BPTD), norm)
        if self.experts is None:
            assert self.feedforward is not None
            return x_BPTD + self.feedforward(read_BPTD), None
        routing = self.experts.route(x_BPTD, read_BPTD, condition_BKD[:, -1], valid_BT)
        return x_BPTD + self.experts(read_BPTD, routing), routing


class InterMoEDenoiser(PairDenoiser):
    """Noisy latents of two people, a noise level and a text -> the latents (or noise) in them.

    Attributes:
        routes: which places experts took in the last pass, block by block.
    """

    config: DenoiserConfig

    def add_blocks(self) -> None:
        width, rank = self.config.width, self.config.modulation_rank
        numbers = range(self.config.num_blocks)
        self.modulations = nn.ModuleList(BlockModulation(width, rank=rank) for _ in numbers)
        self.blocks = nn.ModuleList(InterMoEBlock(self.config) for _ in numbers)
        self.routes: list[Routing] = []

    def modulate(self, embedding_BD: Tensor) -> Tensor:
        """(B, N, K + 1, D): scales and shifts of each block, and the embedding itself."""
        norms_BNKD = torch.stack([modulation(embedding_BD) for modulation in self.modulations], 1)
        own_BN1D = embedding_BD[:, None, None].expand(-1, len(self.blocks), -1, -1)
        return torch.cat((norms_BNKD, own_BN1D), 2)

    def hidden(self, x_BPTD: Tensor, norms_B: Tensor, lengths_B: Tensor | None) -> Tensor:
        batch, _, places, width = x_BPTD.shape
        x_BPTD = x_BPTD + sinusoid_sequence(places, width).to(x_BPTD)
        mask = None if lengths_B is None else key_mask(lengths_B, places)
        if lengths_B is None:
            lengths_B = torch.full((batch,), places, device=x_BPTD.device)
        valid_BT = self.routed_places(lengths_B, places)
        self.routes = []
        for block, condition_BKD in zip(self.blocks, norms_B.unbind(1), strict=True):
            x_BPTD, routing = block(x_BPTD, condition_BKD, mask, valid_BT)
            if routing is not None:
                self.routes.append(routing.detach())
        return x_BPTD

    def routed_places(self, lengths_B: Tensor, places: int) -> Tensor:
        """(B, T) bool: those before a sample's end, or all as released."""
        if self.config.routing.route_padding:
            lengths_B = torch.full_like(lengths_B, places)
        return length_mask(lengths_B, places)

    def bias_moves(self, lengths_B: Tensor) -> list[Tensor]:
        """By how much each block's biases (E,) are to change after the last pass.

        Args:
            lengths_B: places of each of its samples.

        Returns:
            Nothing where biases decide nothing.
        """
        routing = self.config.routing
        if routing.selection != "dynamic" or not self.routes:
            return []
        valid_BT = self.routed_places(lengths_B, self.routes[0].selected.shape[2])
        return [bias_moves(each.selected, valid_BT, routing) for each in self.routes]

    def move_biases(self, moves: list[Tensor]) -> None:
        """Change the biases by what `bias_moves` says."""
        experts = [block for block in self.modules() if isinstance(block, SelectiveExperts)]
        for own, move_E in zip(experts if moves else [], moves, strict=True):
            own.bias += move_E


class LatentDiffusion(LatentStatistics):
    """A denoiser with the statistics of the latents that it was trained on, and their code.

    Raises:
        ValueError: as `PatchCode`.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__(config.num_features)
        self.config = config
        self.code = patch_code(config)
        self.denoiser = InterMoEDenoiser(config)

    def encode(self, latents_BPTF: Tensor) -> Tensor:
        """What is noised, of latents of whole patches."""
        z_BPTF = self.normalise(latents_BPTF)
        return z_BPTF if self.code is None else self.code.encode(z_BPTF)

    def decode(self, z_BPTF: Tensor) -> Tensor:
        """Latents of what is noised."""
        return self.denormalise(z_BPTF if self.code is None else self.code.decode(z_BPTF))
