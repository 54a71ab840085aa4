"""Decoding of MoMask's tokens: the base layer by confidence, then layer by layer (section 3.4).

Axes: B batch, N tokens, C channels, V codes, Q quantisation layers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import torch
from torch import Tensor

from duomotion.models.layers.masks import length_mask
from duomotion.models.momask.config import TransformerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.masking import gumbel_argmax, keep_top_k, top_k_of_ratio
from duomotion.sampling.tokens import (
    NO_CODE,
    Noise,
    check_lengths,
    check_settings,
    checked_known,
    decoding_steps,
    sample_noise,
)


@dataclass(frozen=True)
class LayerStep:
    """Result of the residual transformer for one layer: ids (B, N), logits (B, N, V + 1)."""

    ids: Tensor  # with `pad_id` as padding
    logits: Tensor  # with guidance, before the least likely codes are dropped


def decode_tokens(
    model: MaskedTransformer,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    rng: torch.Generator | Sequence[torch.Generator],
    residual: ResidualTransformer | None = None,
    known_ids: Tensor | None = None,
    known_mask: Tensor | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    residual_guidance: float | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
    variety: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Generate the unknown tokens of a batch; returns ids (B, N, Q), -1 as padding.

    Args:
        model: in evaluation mode, as is `residual`.
        text_BC: text vectors; None generates without a text.
        lengths_B: tokens of each sample, int64, on the model's device.
        rng: source of all randomness. A sequence has one for each sample, which then comes
            out the same whatever else is in the batch, but for ties within rounding.
        residual: generates all layers but the first; None: the base layer alone, and Q is 1.
        known_ids: (B, N, Q) codes, read only where `known_mask`; N is that of the longest sample.
        known_mask: (B, N) bool; these tokens come back as they are in all layers.
        steps: iterations of the base layer. Default: configuration.
        guidance: classifier-free guidance scale of the base layer; 1 is without. Default:
            configuration.
        residual_guidance: the same of the other layers.
        top_k: number of most likely codes to draw from. Default: configurations.
        temperature: of that draw; below 1 is less diverse. Default: configurations.
        variety: factor of all temperatures, also of the choice of tokens that stay.
        on_step: called after each iteration with those done and those in total.

    Raises:
        ValueError: an argument is out of its range or has the wrong shape, or the two transformers
            have not the same codes.
    """
    config = model.config
    num_layers = 1 if residual is None else residual.config.num_layers
    if residual is not None and residual.config.num_codes != config.num_codes:
        raise ValueError(
            f"residual: it has {residual.config.num_codes} codes, the masked transformer "
            f"{config.num_codes}; give one that was trained on the same tokens."
        )
    check_lengths(lengths_B)
    length_mask_BN = length_mask(lengths_B, int(lengths_B.max()))
    known_BNQ, known_mask_BNQ = checked_known(
        length_mask_BN.unsqueeze(-1).expand(-1, -1, num_layers),
        config.num_codes,
        known_ids,
        None if known_mask is None else known_mask.unsqueeze(-1).expand(-1, -1, num_layers),
    )
    steps = config.steps if steps is None else steps
    draw_settings = _draw_settings(config, top_k, temperature, variety)
    check_settings(config.num_codes, steps=steps, **draw_settings)
    noise = sample_noise(rng, lengths_B, config.num_codes)
    layers, total = [known_BNQ[..., 0]], steps + num_layers - 1
    for done, step in enumerate(
        decoding_steps(
            model,
            text_BC,
            lengths_B,
            length_mask=length_mask_BN,
            noise=noise,
            known_ids=known_BNQ[..., 0],
            known_mask=known_mask_BNQ[..., 0],
            steps=steps,
            guidance=config.guidance if guidance is None else guidance,
            choice_temperature=variety * config.choice_temperature,
            **draw_settings,
        ),
        1,
    ):
        layers = [step.ids]
        if on_step is not None:
            on_step(done, total)
    if residual is not None:
        scale = residual.config.guidance if residual_guidance is None else residual_guidance
        layer_steps = residual_steps(
            residual,
            layers[0],
            text_BC,
            lengths_B,
            noise=noise,
            known_ids=known_BNQ,
            known_mask=known_mask_BNQ[..., 0],
            guidance=scale,
            **_draw_settings(residual.config, top_k, temperature, variety),
        )
        for done, layer in enumerate(layer_steps, steps + 1):
            layers.append(layer.ids)
            if on_step is not None:
                on_step(done, total)
    return torch.stack(layers, -1).masked_fill(~length_mask_BN.unsqueeze(-1), NO_CODE)


@torch.no_grad()
def residual_steps(
    model: ResidualTransformer,
    base_BN: Tensor,
    text_BC: Tensor | None,
    lengths_B: Tensor,
    *,
    noise: Noise,
    known_ids: Tensor,
    known_mask: Tensor,
    guidance: float,
    top_k: int,
    temperature: float,
    with_pad: bool = False,
) -> Iterator[LayerStep]:
    """The layers above the base, one pass each, each given all layers below it.

    Args:
        base_BN: tokens of the base layer; values at padding have no effect.
        known_ids: (B, N, Q) codes, read only where `known_mask` (B, N).
        with_pad: whether padding may be drawn inside a sample, as in the released code, where that
            token then adds nothing. No training target is padding, so its logit is noise, and by
            default only codes are drawn.
    """
    config = model.config
    length_mask_BN = length_mask(lengths_B, base_BN.shape[1])
    guided = GuidedNetwork(model, text_BC, lengths_B, guidance)
    ids_BN = base_BN.masked_fill(~length_mask_BN, config.pad_id)
    history_BNC = torch.zeros((), device=base_BN.device)
    for layer in range(1, config.num_layers):
        history_BNC = history_BNC + model.embed(ids_BN, layer - 1)
        logits_BNV = guided(partial(model, layer=layer), history_BNC)
        choices = logits_BNV if with_pad else logits_BNV[..., : config.num_codes]
        drawn_BN = gumbel_argmax(keep_top_k(choices, top_k), noise(layer), temperature)
        ids_BN = torch.where(known_mask, known_ids[..., layer], drawn_BN)
        ids_BN = ids_BN.masked_fill(~length_mask_BN, config.pad_id)
        yield LayerStep(ids_BN, logits_BNV)


class _DrawSettings(TypedDict):
    top_k: int
    temperature: float


def _draw_settings(
    config: TransformerConfig, top_k: int | None, temperature: float | None, variety: float
) -> _DrawSettings:
    usual = top_k_of_ratio(config.top_k_ratio, config.num_codes)
    return {
        "top_k": usual if top_k is None else top_k,
        "temperature": variety * (config.temperature if temperature is None else temperature),
    }
