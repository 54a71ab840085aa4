"""Reference implementation of MoMask's generation, which the fast one has to equal.

Transformers are `torch.nn.TransformerEncoder`, guidance takes two passes, and each of them computes
everything, also the sum over the layers below; all as in the released code, except for draws (see
`decoding.residual_steps`).

Axes: B batch, N tokens, C channels, D width, V codes, Q quantisation layers.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.layers.masks import length_mask
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.momask.config import TransformerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer, TextTransformer
from duomotion.sampling.masking import NEVER_REMASK, cosine_schedule, keep_top_k, top_k_of_ratio
from duomotion.sampling.tokens import NO_CODE, TIE_BREAK, Noise, sample_noise


class ReferenceEncoder:
    """The blocks of a transformer with its input and output layers."""

    def __init__(self, model: TextTransformer, config: TransformerConfig) -> None:
        self.model = model
        layer = nn.TransformerEncoderLayer(
            config.width, config.num_heads, config.feedforward, activation="gelu"
        )
        encoder = nn.TransformerEncoder(layer, config.num_blocks, enable_nested_tensor=False)
        state = model.blocks.state_dict()
        encoder.load_state_dict(
            {f"layers.{name.replace('in_proj.', 'in_proj_')}": state[name] for name in state}
        )
        self.encoder = encoder.to(model.positions.device).eval()

    def __call__(self, x_BNC: Tensor, prefix: Sequence[Tensor], padding_BN: Tensor) -> Tensor:
        """Token embeddings, preceded by those of `prefix` (B, D) -> (B, N, output_dim)."""
        model, num_prefix = self.model, len(prefix)
        x_NBD = model.input_projection(x_BNC).transpose(0, 1)
        positions = sinusoid_sequence(len(x_NBD), x_NBD.shape[-1], device=x_NBD.device)
        x_LBD = torch.cat((torch.stack(tuple(prefix)), x_NBD + positions[:, None]))
        hidden = F.pad(padding_BN, (num_prefix, 0), value=False)
        x_LBD = self.encoder(x_LBD, src_key_padding_mask=hidden)[num_prefix:]
        x_LBD = model.output_norm(F.gelu(model.output_dense(x_LBD)))
        return model.output_projection(x_LBD).transpose(0, 1)


class ReferenceMoMask:
    """Both transformers, in evaluation mode, without `decoding`."""

    def __init__(self, masked: MaskedTransformer, residual: ResidualTransformer) -> None:
        self.masked, self.residual = copy.deepcopy(masked), copy.deepcopy(residual)
        self.masked_encoder = ReferenceEncoder(self.masked, masked.config)
        self.residual_encoder = ReferenceEncoder(self.residual, residual.config)

    @torch.no_grad()
    def decode_tokens(
        self,
        text_BC: Tensor,
        lengths_B: Tensor,
        *,
        rng: Sequence[torch.Generator],
    ) -> Tensor:
        """Ids (B, N, Q) of samples of which nothing is known, with the settings of the configs."""
        config = self.masked.config
        padding_BN = ~length_mask(lengths_B, int(lengths_B.max()))
        noise = sample_noise(rng, lengths_B, config.num_codes)
        top_k = top_k_of_ratio(config.top_k_ratio, config.num_codes)
        ids_BN = torch.where(padding_BN, config.pad_id, config.mask_id)
        scores_BN = torch.where(padding_BN, NEVER_REMASK, 0.0)
        for index, time in enumerate(torch.linspace(0, 1, config.steps, device=ids_BN.device)):
            count_B = torch.round(cosine_schedule(time) * lengths_B).clamp(min=1)
            is_mask = scores_BN.argsort(1).argsort(1) < count_B[:, None]
            ids_BN = torch.where(is_mask, config.mask_id, ids_BN)
            logits = _guided(partial(self._base, ids_BN, padding_BN), text_BC, config.guidance)
            noise_BNV = noise(index)
            drawn_BN = (keep_top_k(logits, top_k) / config.temperature + noise_BNV).argmax(-1)
            ids_BN = torch.where(is_mask, drawn_BN, ids_BN)
            confidence = logits.softmax(-1) + TIE_BREAK * noise_BNV
            scores_BN = confidence.gather(-1, drawn_BN[..., None])[..., 0]
            scores_BN = scores_BN.masked_fill(~is_mask, NEVER_REMASK)
        return self._above(ids_BN, text_BC, padding_BN, noise)

    def _above(self, base_BN: Tensor, text_BC: Tensor, padding_BN: Tensor, noise: Noise) -> Tensor:
        config = self.residual.config
        top_k = top_k_of_ratio(config.top_k_ratio, config.num_codes)
        layers = [torch.where(padding_BN, config.pad_id, base_BN)]
        for layer in range(1, config.num_layers):
            one_pass = partial(self._layer, layers, layer, padding_BN)
            logits = _guided(one_pass, text_BC, config.guidance)
            codes = logits[..., : config.num_codes]
            scores = keep_top_k(codes, top_k) / config.temperature + noise(layer)
            layers.append(torch.where(padding_BN, config.pad_id, scores.argmax(-1)))
        return torch.stack(layers, -1).masked_fill(padding_BN[..., None], NO_CODE)

    def _base(self, ids_BN: Tensor, padding_BN: Tensor, text_BC: Tensor) -> Tensor:
        prefix = [self.masked.text_projection(text_BC)]
        return self.masked_encoder(self.masked.token_embedding(ids_BN), prefix, padding_BN)

    def _layer(
        self, layers: list[Tensor], layer: int, padding_BN: Tensor, text_BC: Tensor
    ) -> Tensor:
        model = self.residual
        history = torch.stack([model.embed(ids, below) for below, ids in enumerate(layers)]).sum(0)
        number_B = torch.full((len(text_BC),), layer, device=text_BC.device)
        layer_BD = model.layer_embedding(F.one_hot(number_B, model.config.num_layers).float())
        prefix = [model.text_projection(text_BC), layer_BD]
        hidden_BNC = self.residual_encoder(history, prefix, padding_BN)
        weight_VC, bias = model.scoring(layer)
        logits = torch.einsum("vc,bnc->bnv", weight_VC, hidden_BNC)
        return logits if bias is None else logits + bias


def _guided(one_pass: Callable[[Tensor], Tensor], text_BC: Tensor, scale: float) -> Tensor:
    unconditioned = one_pass(torch.zeros_like(text_BC))
    return unconditioned + scale * (one_pass(text_BC) - unconditioned)
