"""The evaluators, the CLIP text tower, and metrics of embeddings."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import sqrtm
from torch import Tensor, nn

from duomotion.models.evaluator.bigru import BiGRUConfig
from duomotion.models.evaluator.interclip import SINUSOIDS, InterCLIP, InterCLIPConfig, to_official
from duomotion.models.evaluator.t2m import STATISTICS, T2MEvaluator
from recorder.fixture import (
    Fixture,
    State,
    conv,
    draw_lengths,
    encoder,
    layer_norm,
    linear,
    padded,
    random_weights,
    sinusoids,
)

SCALES = {"intergen": (6, 3, 1), "intermask": (6, 3, 3), "t2m": (1, 1, 1)}
"""Factors of FID's embeddings, of diversity's and of multimodality's distances."""


def interclip(sizes: random.Random) -> Fixture:
    heads, text_heads = sizes.choice([2, 4]), 8
    described = {
        "NUM_LAYERS": sizes.randint(1, 3), "NUM_HEADS": heads, "INPUT_DIM": sizes.randint(20, 40),
        "LATENT_DIM": 2 * heads * sizes.randint(2, 5), "FF_SIZE": sizes.randint(10, 30),
        "text_dim": text_heads * sizes.randint(1, 3), "text_heads": text_heads,
        "text_layers": sizes.randint(1, 3), "vocab": sizes.randint(20, 40),
        "emb_out": sizes.randint(5, 20),
    }  # fmt: skip
    length = sizes.randint(12, 30)
    config = InterCLIPConfig(
        num_features=described["INPUT_DIM"] + 4, width=described["LATENT_DIM"],
        num_layers=described["NUM_LAYERS"], num_heads=heads, feedforward=described["FF_SIZE"],
        embedding_dim=described["emb_out"], vocabulary=described["vocab"], text_length=length,
        text_width=described["text_dim"], text_layers=described["text_layers"],
    )  # fmt: skip
    w = random_weights(to_official(InterCLIP(config).state_dict()), keep=(SINUSOIDS,))
    batch, frames = sizes.randint(2, 4), sizes.randint(10, 30)
    lengths = draw_lengths(sizes, batch, 5, frames)
    features = described["INPUT_DIM"] + 4
    motions = torch.randn(batch, frames, 2 * features)
    motions = motions.masked_fill(padded(lengths, frames)[..., None], 0)
    read = motions.unflatten(-1, (2, features))[..., :-4].flatten(2)
    x = linear(w, "motion_encoder.embed_motion", read)
    x = torch.cat((w["motion_encoder.query_token"].expand(batch, 1, -1), x), 1)
    x = x + sinusoids(frames + 1, x.shape[-1])
    network = encoder(w, "motion_encoder.transformer.", x.shape[-1], heads, described["FF_SIZE"])
    x = network(x, src_key_padding_mask=F.pad(padded(lengths, frames), (1, 0)))[:, 0]
    raw = linear(w, "motion_encoder.out", layer_norm(w, "motion_encoder.out_ln", x))
    ids = torch.randint(described["vocab"] - 1, (batch, length))
    ends = torch.randint(length, (batch,))
    ids[torch.arange(batch), ends] = described["vocab"] - 1
    hidden = F.embedding(ids, w["token_embedding.weight"]) + w["positional_embedding"]
    width = described["text_dim"]
    network = encoder(w, "textTransEncoder.", width, text_heads, described["FF_SIZE"])
    hidden = layer_norm(w, "text_ln", network(hidden))
    text = linear(w, "out", hidden[torch.arange(batch), ends])
    motion, text = (w["latent_scale"] * x / x.norm(dim=-1, keepdim=True) for x in (raw, text))
    scores, targets = motion @ text.T, torch.arange(batch)
    made = {
        "motion_emb": motion, "text_emb": text, "motion_emb_before_norm": raw,
        "clip_loss": (F.cross_entropy(scores, targets) + F.cross_entropy(scores.T, targets)) / 2,
    }  # fmt: skip
    given = {"token_ids": ids, "motions": motions, "lengths": lengths}
    return Fixture("interclip_evaluator", described, given, made, w)


def sequence(w: State, name: str, x_LC: Tensor) -> Tensor:
    """What a recurrent encoder makes of one sequence that is not padded."""
    x = linear(w, f"{name}.input_emb", x_LC)
    gru = nn.GRU(x.shape[-1], x.shape[-1], batch_first=True, bidirectional=True)
    prefix = f"{name}.gru."
    gru.load_state_dict(
        {key.removeprefix(prefix): value for key, value in w.items() if key.startswith(prefix)}
    )
    _, last = gru(x[None], w[f"{name}.hidden"])
    x = linear(w, f"{name}.output_net.0", last.flatten())
    x = F.leaky_relu(layer_norm(w, f"{name}.output_net.1", x), 0.2)
    return linear(w, f"{name}.output_net.3", x)


def bigru(name: str, sizes: random.Random) -> Fixture:
    is_interx = name.startswith("interx")
    read = 672 if is_interx else 247
    described = {
        "dim_movement_enc_hidden": sizes.randint(5, 20),
        "dim_movement_latent": sizes.randint(5, 20),
        "dim_word": sizes.randint(5, 20), "dim_pos_ohot": sizes.randint(9, 20),
        "dim_text_hidden": sizes.randint(5, 20), "dim_coemb_hidden": sizes.randint(5, 20),
        "dim_motion_hidden": sizes.randint(5, 20), "dim_pose": read if is_interx else read + 4,
    }  # fmt: skip
    described |= {} if is_interx else {"dim_pose_in": read}
    config = BiGRUConfig(
        motion_dim=read, movement_width=described["dim_movement_enc_hidden"],
        movement_dim=described["dim_movement_latent"], word_dim=described["dim_word"],
        tag_dim=described["dim_pos_ohot"], text_width=described["dim_text_hidden"],
        embedding_dim=described["dim_coemb_hidden"], motion_width=described["dim_motion_hidden"],
    )  # fmt: skip
    state = T2MEvaluator(config).state_dict()
    w = random_weights({key: state[key] for key in state if key not in STATISTICS})
    batch, words, frames = sizes.randint(2, 4), sizes.randint(6, 15), 4 * sizes.randint(5, 9)
    lengths = draw_lengths(sizes, batch, 12, frames)[torch.randperm(batch)]
    shape = (56, 12) if is_interx else (read + 4,)
    motions = torch.randn(batch, frames, *shape)
    for motion, length in zip(motions, lengths, strict=True):
        motion[length:] = 0
    prepared = motions[..., :read] if not is_interx else motions.clone()
    if is_interx:
        prepared[:, :, 55, [3, 4, 5, 9, 10, 11]] = 0
        prepared = prepared.flatten(2)
    x = prepared.mT
    for layer in (0, 3):
        x = F.leaky_relu(conv(w, f"movement_encoder.main.{layer}", x, stride=2), 0.2)
    movements = linear(w, "movement_encoder.out_net", x.mT)
    motion_emb = torch.stack(
        [
            sequence(w, "motion_encoder", each[: length // 4])
            for each, length in zip(movements, lengths, strict=True)
        ]
    )
    counts = torch.tensor(sorted((sizes.randint(2, words) for _ in range(batch)), reverse=True))
    vectors = torch.randn(batch, words, described["dim_word"])
    tags = F.one_hot(torch.randint(described["dim_pos_ohot"], (batch, words)))
    tags = F.pad(tags, (0, described["dim_pos_ohot"] - tags.shape[-1])).float()
    summed = vectors + linear(w, "text_encoder.pos_emb", tags)
    text_emb = torch.stack(
        [sequence(w, "text_encoder", x[:n]) for x, n in zip(summed, counts, strict=True)]
    )
    order = lengths.argsort(descending=True)
    made = {
        "align_idx": order, "motion_embedding": motion_emb[order],
        "text_embedding": text_emb[order], "movements": movements[order],
        "prepared_motion": prepared[:, :3],
    }  # fmt: skip
    given = {
        "motions": motions, "m_lens": lengths, "word_embs": vectors, "pos_onehot": tags,
        "cap_lens": counts,
    }  # fmt: skip
    return Fixture(name, described, given, made, w)


def text_tower(sizes: random.Random) -> Fixture:
    """Of InterGen only its frozen CLIP; no test of ours reads the rest of that recording."""
    heads, layers, vocabulary, batch = sizes.choice([2, 4]), sizes.randint(1, 3), 30, 3
    width = 4 * heads * sizes.randint(1, 3)
    shapes = {
        "token_embedding.weight": (vocabulary, width), "positional_embedding": (77, width),
        "ln_final.weight": (width,), "ln_final.bias": (width,),
    }  # fmt: skip
    for layer in range(layers):
        name = f"clip_transformer.resblocks.{layer}"
        shapes |= {
            f"{name}.attn.in_proj_weight": (3 * width, width),
            f"{name}.attn.in_proj_bias": (3 * width,),
        }
        for part, shape in {
            "attn.out_proj": (width, width), "mlp.c_fc": (4 * width, width),
            "mlp.c_proj": (width, 4 * width), "ln_1": (width,), "ln_2": (width,),
        }.items():  # fmt: skip
            shapes |= {f"{name}.{part}.weight": shape, f"{name}.{part}.bias": shape[:1]}
    w = random_weights({name: torch.empty(shape) for name, shape in shapes.items()})
    ids = torch.randint(vocabulary - 1, (batch, 77))
    ids[:, 5] = vocabulary - 1
    x = F.embedding(ids, w["token_embedding.weight"]) + w["positional_embedding"]
    causal = torch.full((77, 77), -torch.inf).triu(1)
    for layer in range(layers):
        name = f"clip_transformer.resblocks.{layer}"
        y = layer_norm(w, f"{name}.ln_1", x).transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            y, y, y, width, heads, w[f"{name}.attn.in_proj_weight"],
            w[f"{name}.attn.in_proj_bias"], None, None, False, 0.0,
            w[f"{name}.attn.out_proj.weight"], w[f"{name}.attn.out_proj.bias"],
            training=False, attn_mask=causal, need_weights=False,
        )  # fmt: skip
        x = x + attended.transpose(0, 1)
        y = linear(w, f"{name}.mlp.c_fc", layer_norm(w, f"{name}.ln_2", x))
        x = x + linear(w, f"{name}.mlp.c_proj", y * torch.sigmoid(1.702 * y))
    made = {"text/clip_hidden": layer_norm(w, "ln_final", x)[:, :8]}
    described = {"text_dim": width, "clip_heads": heads}
    return Fixture("intergen_denoiser", described, {"token_ids": ids}, made, w)


def metrics(sizes: random.Random) -> Fixture:
    rng = np.random.default_rng(sizes.randint(0, 10**6))
    described = {
        "batch_interhuman": sizes.randint(20, 30), "batch_t2m": sizes.randint(8, 15),
        "diversity_times": sizes.randint(20, 40), "mm_texts": sizes.randint(3, 6),
        "mm_repeats": sizes.randint(8, 12), "mm_times": sizes.randint(3, 6),
        "replicate_values": rng.uniform(3, 6, sizes.randint(3, 8)).tolist(),
    }  # fmt: skip
    count, dim = sizes.randint(90, 150), sizes.randint(5, 12)
    text, noise, real = rng.normal(size=(3, count, dim))
    motion = text + noise
    several = rng.normal(size=(described["mm_texts"], described["mm_repeats"], dim))
    given = {"text_emb": text, "motion_emb": motion, "gt_motion_emb": real, "mm_emb": several}
    made: dict[str, np.ndarray] = {}
    for name, (scale, spread, mm_spread) in SCALES.items():
        pool = described["batch_t2m" if name == "t2m" else "batch_interhuman"]
        used = count // pool * pool
        starts = range(0, used, pool)
        distances = np.stack(
            [
                np.linalg.norm(text[i : i + pool, None] - motion[None, i : i + pool], axis=-1)
                for i in starts
            ]
        )
        own = np.diagonal(distances, axis1=1, axis2=2)
        rank = (distances < own[..., None]).sum(-1)
        seen, truth = motion[:used], real[:used]
        mu, cov = scale * seen.mean(0), scale**2 * np.cov(seen, rowvar=False)
        mu_r, cov_r = scale * truth.mean(0), scale**2 * np.cov(truth, rowvar=False)
        fid = ((mu - mu_r) ** 2).sum() + np.trace(cov + cov_r - 2 * sqrtm(cov @ cov_r).real)
        pairs = [rng.choice(used, described["diversity_times"], replace=False) for _ in "ab"]
        mm = [
            rng.choice(described["mm_repeats"], described["mm_times"], replace=False) for _ in "ab"
        ]
        diversity = np.linalg.norm(seen[pairs[0]] - seen[pairs[1]], axis=-1).mean()
        multimodality = np.linalg.norm(several[:, mm[0]] - several[:, mm[1]], axis=-1).mean()
        given |= {
            f"{name}/diversity_first": pairs[0], f"{name}/diversity_second": pairs[1],
            f"{name}/mm_first": mm[0], f"{name}/mm_second": mm[1],
        }  # fmt: skip
        made |= {
            f"{name}/{key}": np.asarray(value)
            for key, value in {
                "distance_matrix_first_batch": distances[0], "mm_distance": own.mean(),
                "r_precision": [(rank < k).mean() for k in (1, 2, 3)], "samples_used": used,
                "fid": fid, "mu": mu, "cov": cov, "diversity": spread * diversity,
                "multimodality": mm_spread * multimodality,
            }.items()
        }  # fmt: skip
    values = np.array(described["replicate_values"])
    made["confidence_interval"] = np.asarray(1.96 * values.std() / len(values) ** 0.5)
    tensors = [
        {name: torch.from_numpy(array) for name, array in group.items()} for group in (given, made)
    ]
    return Fixture("metrics", described, *tensors)
