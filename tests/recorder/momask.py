"""MoMask: both transformers with their decoding, and the length estimator."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.official_transformers import MASKED, POSITIONS, RESIDUAL, to_official
from recorder import masked
from recorder.fixture import (
    Fixture,
    State,
    draw_ids,
    draw_lengths,
    encoder,
    greedy_ratio,
    keep_most_likely,
    layer_norm,
    linear,
    padded,
    random_weights,
    sinusoids,
)


def draw_sizes(sizes: random.Random) -> dict:
    heads = sizes.choice([2, 3])
    return {
        "code_dim": sizes.randint(6, 12), "latent_dim": 2 * heads * sizes.randint(2, 4),
        "ff_size": sizes.randint(10, 30), "num_layers": sizes.randint(1, 3), "num_heads": heads,
        "clip_dim": sizes.randint(5, 20), "num_tokens": sizes.randint(15, 40),
        "cond_scale": sizes.choice([3, 4]),
    }  # fmt: skip


def common(described: dict) -> dict:
    return {
        "num_codes": described["num_tokens"], "token_dim": described["code_dim"],
        "width": described["latent_dim"], "num_heads": described["num_heads"],
        "num_blocks": described["num_layers"], "feedforward": described["ff_size"],
        "text_dim": described["clip_dim"],
    }  # fmt: skip


def outputs(
    w: State, x_BNC: Tensor, front: list[Tensor], padding_BN: Tensor, sizes: dict
) -> Tensor:
    """Tokens behind what stands in front of them -> (B, N, channels)."""
    x = linear(w, "input_process.poseEmbedding", x_BNC)
    x = x + sinusoids(x.shape[1], x.shape[2])
    x = torch.cat((torch.stack(front, 1), x), 1)
    hidden = F.pad(padding_BN, (len(front), 0), value=False)
    network = encoder(
        w, "seqTransEncoder.", sizes["latent_dim"], sizes["num_heads"], sizes["ff_size"]
    )
    x = network(x, src_key_padding_mask=hidden)[:, len(front) :]
    x = F.gelu(linear(w, "output_process.dense", x))
    x = layer_norm(w, "output_process.LayerNorm", x, 1e-12)
    return linear(w, "output_process.poseFinal", x)


def masked_transformer(sizes: random.Random) -> Fixture:
    described = draw_sizes(sizes)
    codes = described["num_tokens"]
    described |= {"timesteps": sizes.randint(4, 9), "topk_filter_thres": greedy_ratio(codes)}
    state = MaskedTransformer(MaskedConfig(**common(described))).state_dict()
    w = random_weights(to_official(state, MASKED), keep=(POSITIONS,))
    batch, tokens = sizes.randint(2, 3), sizes.randint(8, 15)
    lengths = draw_lengths(sizes, batch, 3, tokens)
    padding, text = padded(lengths, tokens), torch.randn(batch, described["clip_dim"])
    ids = draw_ids(codes + 1, batch, tokens).masked_fill(padding, codes + 1)

    def network(ids_BN: Tensor):
        vectors = F.embedding(ids_BN, w["token_emb.weight"])
        return lambda text_BC: outputs(
            w, vectors, [linear(w, "cond_emb", text_BC)], padding, described
        )

    def predict(ids_BN: Tensor) -> Tensor:
        return masked.guided(network(ids_BN), text, described["cond_scale"])

    run = masked.decode(
        predict, padding, mask_id=codes, steps=described["timesteps"],
        ratio=described["topk_filter_thres"], per_frame=lengths,
    )  # fmt: skip
    if run["margin"] < masked.MARGIN:
        return masked_transformer(sizes)
    made = {f"generate/{name}": run[name] for name in run if name not in ("logits", "margin")}
    made |= {
        "logits_cond": network(ids)(text).mT,
        "logits_force_mask": network(ids)(torch.zeros_like(text)).mT,
        "logits_cfg": predict(ids).mT,
    }
    given = {"token_ids": ids, "padding_mask": padding, "lengths": lengths, "cond": text}
    return Fixture("momask_mask_transformer", described, given, made, w)


def residual_transformer(sizes: random.Random) -> Fixture:
    described = draw_sizes(sizes)
    codes, layers = described["num_tokens"], sizes.randint(3, 5)
    described |= {"num_quantizers": layers, "topk_filter_thres": greedy_ratio(codes + 1)}
    config = ResidualConfig(num_layers=layers, **common(described))
    state = to_official(ResidualTransformer(config).state_dict(), RESIDUAL)
    w = random_weights(state, keep=(POSITIONS,))
    shared = w["embed_proj_shared_weight"]
    inputs = torch.cat((w["token_embed_weight_"], shared))
    scoring = torch.cat((shared, w["output_proj_weight_"]))
    batch, tokens = sizes.randint(2, 3), sizes.randint(8, 15)
    lengths = draw_lengths(sizes, batch, 3, tokens)
    padding, text = padded(lengths, tokens), torch.randn(batch, described["clip_dim"])
    codes_BNC = torch.randn(batch, tokens, described["code_dim"])

    def network(history_BNC: Tensor, layer: int):
        name = linear(w, "quant_emb", F.one_hot(torch.tensor(layer), layers).float())

        def forward(text_BC: Tensor) -> Tensor:
            front = [linear(w, "cond_emb", text_BC), name.expand(batch, -1)]
            hidden = outputs(w, history_BNC, front, padding, described)
            return torch.einsum("bnc,vc->bnv", hidden, scoring[layer - 1])

        return forward

    scale = described["cond_scale"]
    made = {}
    for layer in range(1, layers):
        forward = network(codes_BNC, layer)
        made[f"layer{layer}/logits_cond"] = forward(text).mT
        made[f"layer{layer}/logits_cfg"] = masked.guided(forward, text, scale).mT
    base = draw_ids(codes, batch, tokens).masked_fill(padding, codes)
    ids, history, all_logits = [base], torch.zeros_like(codes_BNC), []
    for layer in range(1, layers):
        history = history + F.embedding(ids[-1], inputs[layer - 1])
        all_logits.append(masked.guided(network(history, layer), text, scale))
        picked = keep_most_likely(all_logits[-1], described["topk_filter_thres"]).argmax(-1)
        ids.append(picked.masked_fill(padding, codes))
    result = torch.stack(ids, -1)
    inside = (result == codes) & ~padding[..., None]
    made |= {
        "generate/all_ids": result.masked_fill(result == codes, -1),
        "generate/logits_per_layer": torch.stack(all_logits),
    }
    given = {
        "base_ids": base.masked_fill(padding, -1), "padding_mask": padding, "lengths": lengths,
        "cond": text, "motion_codes": codes_BNC,
    }  # fmt: skip
    margins = {"pad_id_predicted_inside_sequence": float(inside.sum())}
    return Fixture("momask_residual_transformer", described, given, made, w, margins)


def length_estimator(sizes: random.Random) -> Fixture:
    config = LengthConfig(
        text_dim=sizes.randint(5, 20),
        num_classes=sizes.randint(9, 30),
        width=4 * sizes.randint(4, 9),
    )
    w = random_weights(LengthEstimator(config).state_dict())
    text = torch.randn(sizes.randint(2, 5), config.text_dim)
    x = text
    for first in (0, 4, 8):
        x = layer_norm(w, f"output.{first + 1}", linear(w, f"output.{first}", x))
        x = F.leaky_relu(x, 0.2)
    made = {"logits": linear(w, "output.11", x)}
    described = {"input_size": config.text_dim, "output_size": config.num_classes}
    return Fixture("momask_length_estimator", described, {"text_emb": text}, made, w)
