"""InterMask's iterative decoding of tokens (section 3.3, figure 3; reaction: appendix I).

Axes: B batch, P the 2 people, N tokens of a person (index part T + frame), V codes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from duomotion.models.intermask.alternating import AlternatingTransformer, alternating_steps
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.masks import token_map_mask
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.sampling import tokens
from duomotion.sampling.masking import top_k_of_ratio
from duomotion.sampling.tokens import (
    NO_CODE,
    Noise,
    check_lengths,
    check_settings,
    checked_known,
    decoding_steps,
)


def decode_tokens(
    model: InterMTransformer,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    rng: torch.Generator | Sequence[torch.Generator],
    known_ids: Tensor | None = None,
    known_mask: Tensor | None = None,
    steps: int | None = None,
    reaction_steps: int | None = None,
    guidance: float | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
    variety: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Generate the unknown tokens of a batch; returns ids (B, P, N), -1 as padding.

    Args:
        model: in evaluation mode. With an `AlternatingTransformer` people take turns.
        text_BC: vectors of `model.text_head`; None generates without a text.
        lengths_B: latent frames of each sample, int64, on the model's device.
        rng: source of all randomness. A sequence has one for each sample, which then comes
            out the same whatever else is in the batch, but for ties within rounding.
        known_ids: (B, P, N) codes, read only where `known_mask`; N is that of the longest sample.
        known_mask: (B, P, N) bool; these tokens are never masked and come back as they are.
        steps: iterations. Default: configuration.
        reaction_steps: those where one person of every sample is known as a whole and the other not
            at all. Default: `steps`, and where these are left out too the configuration.
        guidance: classifier-free guidance scale; 1 is without. Default: configuration.
        top_k: number of most likely codes to draw from. Default: configuration.
        temperature: of that draw; below 1 is less diverse. Default: configuration. (In the
            released code it has no effect.)
        variety: factor of both temperatures, of this draw and of the choice of tokens that stay.
        on_step: called after each iteration with those done and those in total.

    Raises:
        ValueError: an argument is out of its range or has the wrong shape.
    """
    config = model.config
    check_lengths(lengths_B)
    length_mask_BPN = token_map_mask(lengths_B, config.num_parts, int(lengths_B.max()))
    known_ids, known_mask = checked_known(length_mask_BPN, config.num_codes, known_ids, known_mask)
    tuned = config.steps
    if _is_reaction(known_mask, length_mask_BPN):
        steps = steps if reaction_steps is None else reaction_steps
        tuned = config.reaction_steps
    steps = tuned if steps is None else steps
    top_k = top_k_of_ratio(config.top_k_ratio, config.num_codes) if top_k is None else top_k
    temperature = variety * (config.temperature if temperature is None else temperature)
    check_settings(config.num_codes, steps=steps, top_k=top_k, temperature=temperature)
    if isinstance(model, AlternatingTransformer):
        decoding = partial(alternating_steps, model)
    else:
        decoding = partial(
            decoding_steps, model, choice_temperature=variety * config.choice_temperature
        )
    ids_BPN, total = known_ids, steps * (NUM_PEOPLE if decoding.func is alternating_steps else 1)
    for done, step in enumerate(
        decoding(
            text_BC,
            lengths_B,
            length_mask=length_mask_BPN,
            noise=sample_noise(rng, lengths_B, config),
            known_ids=known_ids,
            known_mask=known_mask,
            steps=steps,
            guidance=config.guidance if guidance is None else guidance,
            top_k=top_k,
            temperature=temperature,
        ),
        1,
    ):
        ids_BPN = step.ids
        if on_step is not None:
            on_step(done, total)
    return ids_BPN.masked_fill(~length_mask_BPN, NO_CODE)


def sample_noise(
    rng: torch.Generator | Sequence[torch.Generator],
    lengths_B: Tensor,
    config: InterMConfig,
) -> Noise:
    """Noise that depends, for each sample, on its own generator and length only.

    Raises:
        ValueError: a sequence of generators that has not one for each sample.
    """
    rows = (NUM_PEOPLE, config.num_parts)
    draw = tokens.sample_noise(rng, lengths_B, config.num_codes, rows=rows)
    return lambda index: draw(index).flatten(2, 3)


def _is_reaction(known_BPN: Tensor, length_mask_BPN: Tensor) -> bool:
    whole_BP = (known_BPN | ~length_mask_BPN).all(-1)
    none_BP = ~known_BPN.any(-1)
    return bool(((whole_BP & none_BP.flip(1)).sum(1) == 1).all())
