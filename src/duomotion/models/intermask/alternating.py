"""Alternative modeling: one person at a time is predicted (InterMask, appendix G, table 3).

A person's embeddings pass the blocks alone, without [SEP]; cross attention of every block attends
to the partner's embeddings as they entered the network.

Axes: B batch, P the 2 people, N tokens of a person, D width, V codes.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.intermask.blocks import InterMBlock, KeyMasks
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.network import Condition, InterMTransformer
from duomotion.models.layers.masks import token_map_mask
from duomotion.models.layers.modulation import normalise
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.masking import decoding_mask_counts, least_confident
from duomotion.sampling.tokens import TIE_BREAK, DecodingStep, Noise, draw_masked


class AlternatingTransformer(InterMTransformer):
    """The parameters of `InterMTransformer`, used for one person at a time.

    In training both people are predicted, each alone, instead of one chosen at random: the mean
    over that choice. Masking is that of `objective`; the appendix has random masking of both people
    (`random_mask_prob=1`) and does not mention step unroll.
    """

    def forward(
        self, ids_BPN: Tensor, condition: Condition, lengths_B: Tensor | None = None
    ) -> Tensor:
        """Logits (B, P, N, V): each person's, given the other; arguments as of the base class."""
        one_BN, other_BN = ids_BPN.unbind(1)
        return torch.stack(
            (
                self.predict(one_BN, other_BN, condition, lengths_B),
                self.predict(other_BN, one_BN, condition, lengths_B),
            ),
            1,
        )

    def predict(
        self,
        own_BN: Tensor,
        partner_BN: Tensor,
        condition: Condition,
        lengths_B: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, N, V) of one person, given the ids of both."""
        embedded_BLD = self.embed(torch.stack((own_BN, partner_BN), 1), lengths_B)
        own_BND, partner_BND = embedded_BLD[:, :-1].chunk(NUM_PEOPLE, 1)
        partner_BND = normalise(partner_BND)
        masks = self._own_masks(own_BN, lengths_B)
        for block, block_condition in zip(self.blocks, condition.blocks, strict=True):
            assert isinstance(block, InterMBlock)
            own_BND = block.forward_person(own_BND, partner_BND, block_condition, masks)
        return self.logits(own_BND[:, None], condition)[:, 0]

    def _own_masks(self, ids_BN: Tensor, lengths_B: Tensor | None) -> KeyMasks:
        tokens, parts = ids_BN.shape[-1], self.config.num_parts
        frames = tokens // parts
        if lengths_B is None or bool((lengths_B == frames).all()):
            return KeyMasks(None, None, None)
        mask_BN = token_map_mask(lengths_B, parts, frames)[:, 0]
        keys = mask_BN[:, None, None]
        return KeyMasks(joint=keys, temporal=mask_BN.reshape(-1, 1, 1, frames), cross=keys)


def transformer_of(config: InterMConfig) -> InterMTransformer:
    """An untrained network of the kind that the configuration asks for."""
    return (AlternatingTransformer if config.alternating else InterMTransformer)(config)


@torch.no_grad()
def alternating_steps(
    model: AlternatingTransformer,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    length_mask: Tensor,
    noise: Noise,
    known_ids: Tensor,
    known_mask: Tensor,
    steps: int,
    guidance: float,
    top_k: int,
    temperature: float,
    tie_break: float = TIE_BREAK,
) -> Iterator[DecodingStep]:
    """People take turns, `steps` each (figure 10b); arguments as of `tokens.decoding_steps`.

    In a turn a person's masked tokens are predicted and at once the least confident of them are
    masked again, as many as the cosine schedule says, so that the partner's turn sees only the
    others. A person with nothing to predict has no turn.
    """
    config = model.config
    masked_BPN = length_mask & ~known_mask
    counts_BP = decoding_mask_counts(masked_BPN.sum(2).flatten(), steps).view(steps, -1, NUM_PEOPLE)
    counts_after_BP = F.pad(counts_BP[1:], (0, 0, 0, 0, 0, 1))
    guided = GuidedNetwork(model, text_BC, lengths_B, guidance)

    ids_BPN = known_ids.masked_fill(masked_BPN, config.mask_id)
    ids_BPN = ids_BPN.masked_fill(~length_mask, config.pad_id)
    for turn in range(NUM_PEOPLE * steps):
        step, person = divmod(turn, NUM_PEOPLE)
        masked_BN = masked_BPN[:, person]
        if not masked_BN.any():
            continue
        input_BPN = ids_BPN.masked_fill(masked_BPN, config.mask_id)
        logits_BNV = guided(model.predict, input_BPN[:, person], input_BPN[:, 1 - person])
        drawn_BN, confidence_BN = draw_masked(
            ids_BPN[:, person],
            masked_BN,
            logits_BNV,
            noise(turn)[:, person],
            top_k=top_k,
            temperature=temperature,
            tie_break=tie_break,
        )
        remasked_BN = least_confident(confidence_BN, counts_after_BP[step, :, person])
        ids_BPN, masked_BPN = ids_BPN.clone(), masked_BPN.clone()
        ids_BPN[:, person], masked_BPN[:, person] = drawn_BN, remasked_BN
        yield DecodingStep(ids_BPN, masked_BN[:, None], confidence_BN[:, None], logits_BNV[:, None])
