"""Iterative decoding of InterMask on the level of tokens (section 3.3, appendix I).

Axes: B batch, P the 2 people, N tokens of a person (index part T + frame), V codes.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from duomotion.models.intermask.alternating import AlternatingTransformer, alternating_steps
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.network import NUM_PEOPLE, InterMTransformer, inside
from duomotion.models.intermask.prediction import (
    TIE_BREAK,
    DecodingStep,
    GuidedNetwork,
    Noise,
    draw_masked,
)
from duomotion.sampling.masking import (
    SETTLED,
    decoding_mask_counts,
    gumbel_noise,
    least_confident,
    top_k_of_ratio,
)

NO_CODE = -1
"""Id behind the end of a sample; the tokenizer decodes it to nothing."""


def decode_tokens(
    model: InterMTransformer,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    generator: torch.Generator | Sequence[torch.Generator],
    known_ids: Tensor | None = None,
    known_mask: Tensor | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
) -> Tensor:
    """Generate the unknown tokens of a batch; returns ids (B, P, N), -1 behind a sample's end.

    Args:
        model: in evaluation mode. With an `AlternatingTransformer` people take turns.
        text_BC: vectors of `model.text_head`; None generates without a text.
        lengths_B: latent frames of each sample, int64, on the model's device.
        generator: source of all randomness. A sequence has one for each sample, which then comes
            out the same whatever else is in the batch, but for ties within rounding.
        known_ids: (B, P, N) codes, read only where `known_mask`; N is that of the longest sample.
        known_mask: (B, P, N) bool; these tokens are never masked and come back as they are.
        steps: by default `reaction_steps` of the configuration if one person of every sample is
            known as a whole and the other not at all, otherwise its `steps`.
        guidance: classifier-free guidance scale; 1 is without. Default: configuration.
        top_k: number of most likely codes to draw from. Default: configuration.
        temperature: of that draw; below 1 is less diverse. Default: configuration. (In the
            released code it has no effect.)

    Raises:
        ValueError: an argument is out of its range or has the wrong shape.
    """
    config = model.config
    known_ids, known_mask = _checked_known(config, lengths_B, known_ids, known_mask)
    if steps is None:
        is_reaction = _is_reaction(known_mask, _inside(lengths_B, config))
        steps = config.reaction_steps if is_reaction else config.steps
    top_k = top_k_of_ratio(config.top_k_ratio, config.num_codes) if top_k is None else top_k
    temperature = config.temperature if temperature is None else temperature
    _check_settings(config, steps=steps, top_k=top_k, temperature=temperature)
    if isinstance(model, AlternatingTransformer):
        decoding = partial(alternating_steps, model)
    else:
        decoding = partial(decoding_steps, model)
    ids_BPN = known_ids
    for step in decoding(
        text_BC,
        lengths_B,
        noise=sample_noise(generator, lengths_B, config),
        known_ids=known_ids,
        known_mask=known_mask,
        steps=steps,
        guidance=config.guidance if guidance is None else guidance,
        top_k=top_k,
        temperature=temperature,
    ):
        ids_BPN = step.ids
    return ids_BPN.masked_fill(~_inside(lengths_B, config), NO_CODE)


@torch.no_grad()
def decoding_steps(
    model: InterMTransformer,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    noise: Noise,
    known_ids: Tensor,
    known_mask: Tensor,
    steps: int,
    guidance: float,
    top_k: int,
    temperature: float,
    tie_break: float = TIE_BREAK,
) -> Iterator[DecodingStep]:
    """The steps of `decode_tokens`, one by one, with the noise of the draws given.

    A step masks the tokens in which there is least confidence, as many as the cosine schedule
    says, and predicts them anew. Shares are of the unknown tokens of each sample; a token that is
    left once is settled. Nothing is yielded where nothing is unknown. `tie_break` is the
    weight with which a token's noise is added to its confidence; 0 as in the released code.
    """
    config = model.config
    inside_BPN = _inside(lengths_B, config)
    unknown_BPN = inside_BPN & ~known_mask
    counts = decoding_mask_counts(unknown_BPN.flatten(1).sum(1), steps)
    if not counts.any():
        return
    guided = GuidedNetwork(model, text_BC, lengths_B, guidance)

    ids_BPN = known_ids.masked_fill(unknown_BPN, config.mask_id)
    ids_BPN = ids_BPN.masked_fill(~inside_BPN, config.pad_id)
    confidence_BPN = torch.zeros(ids_BPN.shape, device=ids_BPN.device)
    confidence_BPN = confidence_BPN.masked_fill(~unknown_BPN, SETTLED)
    for index, count_B in enumerate(counts):
        remasked = least_confident(confidence_BPN.flatten(1), count_B).view_as(ids_BPN)
        ids_BPN = ids_BPN.masked_fill(remasked, config.mask_id)
        logits_BPNV = guided(model, ids_BPN)
        ids_BPN, confidence_BPN = draw_masked(
            ids_BPN,
            remasked,
            logits_BPNV,
            noise(index),
            top_k=top_k,
            temperature=temperature,
            tie_break=tie_break,
        )
        yield DecodingStep(ids_BPN, remasked, confidence_BPN, logits_BPNV)


def sample_noise(
    generator: torch.Generator | Sequence[torch.Generator],
    lengths_B: Tensor,
    config: GeneratorConfig,
) -> Noise:
    """Noise that depends, for each sample, on its own generator and length only.

    Raises:
        ValueError: a sequence of generators that has not one for each sample.
    """
    lengths = lengths_B.tolist()
    generators = [generator] * len(lengths) if isinstance(generator, torch.Generator) else generator
    if len(generators) != len(lengths):
        raise ValueError(
            f"generator: {len(generators)} generators for {len(lengths)} samples; "
            "give one for each sample, or a single one for all."
        )
    shape = (len(lengths), NUM_PEOPLE, config.num_parts, max(lengths), config.num_codes)

    def draw(_: int) -> Tensor:
        noise = torch.zeros(shape, device=lengths_B.device)
        for sample, (length, source) in enumerate(zip(lengths, generators, strict=True)):
            own = gumbel_noise((*shape[1:3], length, shape[4]), source)
            noise[sample, :, :, :length] = own.to(noise.device)
        return noise.flatten(2, 3)

    return draw


def _inside(lengths_B: Tensor, config: GeneratorConfig) -> Tensor:
    return inside(lengths_B, config.num_parts, int(lengths_B.max()))


def _checked_known(
    config: GeneratorConfig, lengths_B: Tensor, ids: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    if not len(lengths_B) or int(lengths_B.min()) < 1:
        raise ValueError("lengths: every sample needs at least one latent frame.")
    shape = _inside(lengths_B, config).shape
    if (ids is None) != (mask is None):
        raise ValueError("known_ids and known_mask belong together: give both or neither.")
    if ids is None or mask is None:
        ids = torch.zeros(shape, dtype=torch.long, device=lengths_B.device)
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    for name, tensor in (("known_ids", ids), ("known_mask", mask)):
        if tensor.shape != shape:
            raise ValueError(f"{name}: shape {tuple(tensor.shape)} should be {tuple(shape)}.")
    mask = mask & _inside(lengths_B, config)
    known = ids[mask]
    if ((known < 0) | (known >= config.num_codes)).any():
        raise ValueError(f"known_ids: known codes must lie between 0 and {config.num_codes - 1}.")
    return ids, mask


def _is_reaction(known_BPN: Tensor, inside_BPN: Tensor) -> bool:
    whole_BP = (known_BPN | ~inside_BPN).all(-1)
    none_BP = ~known_BPN.any(-1)
    return bool(((whole_BP & none_BP.flip(1)).sum(1) == 1).all())


def _check_settings(config: GeneratorConfig, *, steps: int, top_k: int, temperature: float) -> None:
    if steps < 1:
        raise ValueError(f"steps: {steps} is too few; decoding needs at least 1.")
    if not 1 <= top_k <= config.num_codes:
        raise ValueError(f"top_k: {top_k} must lie between 1 and {config.num_codes}.")
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature} must be above 0.")
