"""InterMask: the Inter-M transformer and its decoding, text head, objective, tokenizer's losses."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.official_generator import FREQUENCIES, to_official
from duomotion.motion.skeleton import SMPL22
from recorder import masked
from recorder.fixture import (
    Fixture,
    State,
    draw_ids,
    draw_lengths,
    encoder,
    greedy_ratio,
    layer_norm,
    linear,
    padded,
    random_weights,
    sinusoids,
)

PARTS = 5
TEXT_HEADS = 8
FEET, LOW = [7, 10, 8, 11], [0.12, 0.05, 0.12, 0.05]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def attend(
    w: State, name: str, query: Tensor, memory: Tensor, heads: int, hidden: Tensor | None = None
) -> Tensor:
    query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    out, _ = F.multi_head_attention_forward(
        query, memory, memory, query.shape[-1], heads,
        w[f"{name}.in_proj_weight"], w[f"{name}.in_proj_bias"], None, None, False, 0.0,
        w[f"{name}.out_proj.weight"], w[f"{name}.out_proj.bias"],
        training=False, key_padding_mask=hidden, need_weights=False,
    )  # fmt: skip
    return out.transpose(0, 1)


def feed(w: State, name: str, x: Tensor) -> Tensor:
    return linear(w, f"{name}.model.3", F.gelu(linear(w, f"{name}.model.0", x)))


def block(w: State, name: str, x: Tensor, c: Tensor, padding_BN: Tensor, heads: int) -> Tensor:
    """`padding_BN` is that of one person; the separator stands between the two."""
    n = padding_BN.shape[1]
    joint = torch.cat((padding_BN, padding_BN[:, :1] & False, padding_BN), 1)
    chunks = linear(w, f"{name}.adaLN_mod_combined.model.1", F.silu(c)).chunk(6, -1)
    normed = modulate(x, *chunks[:2])
    x = x + chunks[2][:, None] * attend(
        w, f"{name}.self_attn.attention", normed, normed, heads, joint
    )
    x = x + chunks[5][:, None] * feed(w, f"{name}.ffn_combined", modulate(x, *chunks[3:5]))
    people, chunks = (
        (x[:, :n], x[:, n + 1 :]),
        linear(w, f"{name}.adaLN_mod_split.model.1", F.silu(c)).chunk(14, -1),
    )
    batch, frames = len(x), n // PARTS
    after = []
    for person, partner in (people, people[::-1]):
        grid = modulate(person, *chunks[:2]).view(batch, PARTS, frames, -1)
        columns = grid.transpose(1, 2).flatten(0, 1)
        spatial = attend(w, f"{name}.spa_temp_attn.spatial_attention", columns, columns, heads)
        spatial = spatial.view(batch, frames, PARTS, -1).transpose(1, 2).flatten(1, 2)
        rows = modulate(person, *chunks[3:5]).view(batch * PARTS, frames, -1)
        hidden = padding_BN.reshape(batch * PARTS, frames)
        temporal = attend(w, f"{name}.spa_temp_attn.temporal_attention", rows, rows, heads, hidden)
        y = (person + chunks[2][:, None] * spatial) + (
            person + chunks[5][:, None] * temporal.reshape(person.shape)
        )
        query, memory = modulate(y, *chunks[6:8]), modulate(partner, *chunks[8:10])
        cross = f"{name}.local_inter_attn.interaction_attention"
        y = y + chunks[10][:, None] * attend(w, cross, query, memory, heads, padding_BN)
        after.append(
            y + chunks[13][:, None] * feed(w, f"{name}.ffn_split", modulate(y, *chunks[11:13]))
        )
    return torch.cat((after[0], x[:, n : n + 1], after[1]), 1)


def position_grid(frames: int, width: int) -> Tensor:
    """(PARTS, frames, width): half of the channels for the part, half for the frame."""
    channels = -(-width // 4) * 2
    part = sinusoids(PARTS, channels)[:, None].expand(-1, frames, -1)
    return torch.cat((part, sinusoids(frames, channels).expand(PARTS, -1, -1)), -1)[..., :width]


def embed(w: State, ids_BL: Tensor) -> Tensor:
    """(B, 2 N) ids -> (B, 2 N + 1, D), [SEP] in the middle and without a position."""
    first, second = ids_BL.chunk(2, 1)
    separator = torch.full_like(first[:, :1], len(w["token_emb.weight"]) - 1)
    tokens = F.embedding(torch.cat((first, separator, second), 1), w["token_emb.weight"])
    x = linear(w, "input_process.poseEmbedding", tokens)
    grid = position_grid(first.shape[1] // PARTS, x.shape[-1]).flatten(0, 1)
    return x + torch.cat((grid, torch.zeros_like(grid[:1]), grid))


def logits(w: State, ids_BL: Tensor, lengths_B: Tensor, text_BC: Tensor, heads: int) -> Tensor:
    """(B, 2 N, V)."""
    n = ids_BL.shape[1] // 2
    padding_BN = padded(lengths_B, n // PARTS).repeat(1, PARTS)
    c, x = linear(w, "cond_emb", text_BC), embed(w, ids_BL)
    for name in sorted({name.split(".adaLN")[0] for name in w if "adaLN_mod_split" in name}):
        x = block(w, name, x, c, padding_BN, heads)
    x = F.gelu(linear(w, "output_process.dense", torch.cat((x[:, :n], x[:, n + 1 :]), 1)))
    shift, scale = linear(w, "output_process.adaLN_mod.model.1", F.silu(c)).chunk(2, -1)
    return linear(w, "output_process.poseFinal", modulate(x, shift, scale))


def draw_network(sizes: random.Random) -> tuple[dict, dict[str, Tensor]]:
    """Sizes, under the names of the recordings, and random weights."""
    heads, text_dim = sizes.choice([2, 4]), TEXT_HEADS * sizes.randint(1, 3)
    described = {
        "num_tokens": sizes.randint(20, 50), "code_dim": sizes.randint(6, 12),
        "latent_dim": heads * 4 * sizes.randint(1, 3), "ff_size": sizes.randint(10, 30),
        "num_layers": sizes.randint(1, 3), "num_heads": heads, "text_dim": text_dim,
        "text_ff": sizes.randint(10, 20), "text_heads": TEXT_HEADS,
        "opt_step_unroll": sizes.choice([0.5, 1.0]),
    }  # fmt: skip
    config = InterMConfig(
        num_codes=described["num_tokens"], token_dim=described["code_dim"],
        width=described["latent_dim"], feedforward=described["ff_size"], num_heads=heads,
        num_blocks=described["num_layers"], text_dim=text_dim,
        text_feedforward=described["text_ff"], text_layers=sizes.randint(1, 2),
    )  # fmt: skip
    state = to_official(InterMTransformer(config).state_dict())
    return described, random_weights(state, keep=(FREQUENCIES,))


def transformer(sizes: random.Random) -> Fixture:
    described, w = draw_network(sizes)
    codes, heads = described["num_tokens"], described["num_heads"]
    described |= {
        "timesteps": 2 * sizes.randint(3, 6), "gumbel_temperature": 0.75,
        "cond_scale": sizes.choice([2, 3]), "topk_filter_thres": greedy_ratio(codes),
    }  # fmt: skip
    batch, frames = sizes.randint(2, 3), sizes.randint(4, 7)
    lengths = draw_lengths(sizes, batch, 2, frames)
    n = PARTS * frames
    text = torch.randn(batch, described["text_dim"])
    padding = padded(lengths, frames).repeat(1, 2 * PARTS)
    ids = draw_ids(codes + 1, batch, 2 * n).masked_fill(padding, codes + 1)
    scale, steps = described["cond_scale"], described["timesteps"]

    def network(ids_BL: Tensor):
        return lambda text_BC: logits(w, ids_BL, lengths, text_BC, heads)

    def predict(ids_BL: Tensor) -> Tensor:
        return masked.guided(network(ids_BL), text, scale)

    actor = draw_ids(codes, batch, n).masked_fill(padding[:, :n], codes + 1)
    noise = -torch.rand(steps, batch, 2 * n, codes).clamp(min=1e-9).log().neg().log()
    ratio, common = described["topk_filter_thres"], {"mask_id": codes}
    runs = {
        "generate_gumbel": masked.decode(
            predict, padding, steps=steps, ratio=0.9, per_frame=2 * PARTS * lengths, noise=noise,
            temperature=described["gumbel_temperature"], **common,
        ),
        "generate_top1": masked.decode(
            predict, padding, steps=steps, ratio=ratio, per_frame=2 * PARTS * lengths, **common
        ),
        "generate_reaction": masked.decode(
            lambda ids_BN: predict(torch.cat((actor, ids_BN), 1))[:, n:],
            padding[:, n:], steps=steps // 2, ratio=ratio, per_frame=PARTS * lengths, **common,
        ),
    }  # fmt: skip
    if min(runs[run]["margin"] for run in ("generate_gumbel", "generate_reaction")) < masked.MARGIN:
        return transformer(sizes)
    reaction = runs["generate_reaction"]
    known = actor.masked_fill(padding[:, :n], -1)
    reaction["final_ids"] = torch.cat((known, reaction["final_ids"]), 1)
    made = {
        f"{run}/{name}": value
        for run, recorded in runs.items()
        for name, value in recorded.items()
        if name not in ("logits", "margin")
    }
    x = embed(w, ids)
    c = linear(w, "cond_emb", text)
    made |= {
        "generate_gumbel/logits_iteration1": runs["generate_gumbel"]["logits"][1],
        "logits_cond": network(ids)(text).mT,
        "logits_force_mask": network(ids)(torch.zeros_like(text)).mT,
        f"logits_cfg{scale}": predict(ids).mT,
        "embedded_with_position": x,
        "position_grid": position_grid(frames, described["latent_dim"]),
        "block0_output": block(w, "Transformer.blocks.0", x, c, padding[:, :n], heads),
    }
    given = {
        "token_ids": ids, "lengths": lengths, "padding_mask": padding, "cond": text,
        "reaction_person1_ids": actor.masked_fill(padding[:, :n], 0),
        "generate_gumbel/noise": noise,
    }  # fmt: skip
    return Fixture("intermask_transformer", described, given, made, w)


def text_head(sizes: random.Random) -> Fixture:
    described, w = draw_network(sizes)
    w = {name: tensor for name, tensor in w.items() if name.startswith(("clipTrans", "clipln"))}
    width, batch, length = described["text_dim"], sizes.randint(2, 4), sizes.randint(15, 30)
    hidden = torch.randn(batch, length, width)
    end = torch.randint(length, (batch,))
    out = encoder(w, "clipTrans.", width, TEXT_HEADS, described["text_ff"])(hidden)
    text = layer_norm(w, "clipln", out)[torch.arange(batch), end]
    made = {"clipTrans": out[:, : length // 2], "cond": text}
    return Fixture("intermask_text_head", described, {"clip_hidden": hidden, "eot": end}, made, w)


def training_loss(sizes: random.Random) -> Fixture:
    described, w = draw_network(sizes)
    codes, heads = described["num_tokens"], described["num_heads"]
    batch, frames = 2 * sizes.randint(1, 2), sizes.randint(4, 6)
    lengths = draw_lengths(sizes, batch, 2, frames)
    n = PARTS * frames
    padding = padded(lengths, frames).repeat(1, 2 * PARTS)
    text, ids = torch.randn(batch, described["text_dim"]), draw_ids(codes, batch, 2 * n)
    second_half = torch.arange(batch)[:, None] >= batch // 2
    second_person = torch.arange(2 * n)[None] >= n
    masks = {
        "random": torch.rand(batch, 2 * n) < 0.6,
        "interaction": second_half == second_person,
    }
    made = {}
    for stage, mask in masks.items():
        mask = mask & ~padding
        randomised = mask & (torch.rand(mask.shape) < 0.2)
        hidden = mask & ~randomised & (torch.rand(mask.shape) < 0.88)
        shown = torch.where(randomised, draw_ids(codes, *mask.shape), ids)
        shown = shown.masked_fill(hidden, codes).masked_fill(padding, codes + 1)
        labels = torch.where(mask, ids, codes)
        first = logits(w, shown, lengths, text, heads)
        probability, best = first.softmax(-1).max(-1)
        scores = probability.masked_fill(~hidden, masked.SETTLED)
        time = torch.acos(hidden.float().mean(1)) / (torch.pi / 2) + 1 / 21
        count = masked.count_masked(masked.cosine(time.clamp(max=1)), 2 * n)
        still = masked.least(scores, count) & hidden
        filled = hidden & ~still
        again = torch.where(filled, best, shown)
        second_labels = labels.masked_fill(filled, codes)
        second = logits(w, again, lengths, text, heads)
        ce, acc = cross_entropy(first, labels, codes)
        unroll_ce, unroll_acc = cross_entropy(second, second_labels, codes)
        made |= {
            f"{stage}/{key}": value
            for key, value in {
                "mask": mask, "mask_random_id": randomised, "mask_token": hidden, "x_ids": shown,
                "padding_mask": padding, "labels": labels, "logits": first.mT, "ce": ce,
                "acc": acc, "unroll_x_ids": again, "unroll_labels": second_labels,
                "unroll_logits": second.mT, "unroll_ce": unroll_ce, "unroll_acc": unroll_acc,
                "loss": ce + described["opt_step_unroll"] * unroll_ce,
            }.items()
        }  # fmt: skip
    given = {"token_ids": ids, "lengths": lengths, "cond": text}
    return Fixture("intermask_training_loss", described, given, made, w)


def cross_entropy(logits_BLV: Tensor, labels_BL: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Mean over the labels that are not `ignored`, and how many of them are right."""
    seen = labels_BL != ignored
    right = (logits_BLV.argmax(-1) == labels_BL)[seen].float().mean()
    return F.cross_entropy(logits_BLV.mT, labels_BL, ignore_index=ignored), right


def losses(sizes: random.Random) -> Fixture:
    """Terms of the tokenizer's loss on people who stand nearly still, and on noise."""
    batch, frames = sizes.randint(1, 3), sizes.randint(10, 20)
    mean, std = 0.3 * torch.randn(262), torch.rand(262) + 0.5
    raw = torch.randn(batch, 1, 262) + 0.002 * torch.randn(batch, frames, 262)
    raw[..., :66].view(batch, frames, 22, 3)[..., FEET, 1] = 0.02
    truth = (raw - mean) / std
    given = {
        "gt1": truth, "pred1": truth + 0.1 * torch.randn(truth.shape),
        "random_gt": torch.randn(2, frames, 262), "random_pred": torch.randn(2, frames, 262),
        "global_mean": mean, "global_std": std,
    }  # fmt: skip
    pairs = {"real": ("gt1", "pred1"), "random": ("random_gt", "random_pred")}
    made = {}
    for name, penalty in {"l1_smooth": F.smooth_l1_loss, "l1": F.l1_loss}.items():
        for data, pair in pairs.items():
            terms = loss_terms(*(given[key] for key in pair), mean, std, penalty)
            made |= {f"geometric_{name}/{data}/{key}": value for key, value in terms.items()}
        made[f"geometric_{name}/bone_lengths_gt1"] = bone_lengths(joints(truth))
    weights = {"commit": 0.02, "explicit": 1, "vel": 100, "bn": 5, "geo": 0.01, "fc": 500}
    described = {"frames": frames, "loss_weights_used_by_trainer": weights}
    return Fixture("intermask_losses", described, given, made)


def joints(x: Tensor) -> Tensor:
    return x[..., :66].unflatten(-1, (22, 3))


def bone_lengths(positions: Tensor) -> Tensor:
    ends, starts = zip(*SMPL22.bones, strict=True)
    return (positions[..., ends, :] - positions[..., starts, :]).norm(dim=-1)


def rotations(x: Tensor) -> Tensor:
    """6-D numbers as two columns one after the other, x and y."""
    sixd = x[..., 132:258].unflatten(-1, (21, 6))
    first = F.normalize(sixd[..., :3], dim=-1)
    third = F.normalize(torch.linalg.cross(first, sixd[..., 3:]), dim=-1)
    return torch.stack((first, torch.linalg.cross(third, first), third), -1)


def loss_terms(truth: Tensor, made: Tensor, mean: Tensor, std: Tensor, penalty) -> dict:
    given, guess = joints(truth), joints(made)
    turn = rotations(truth) @ rotations(made).mT
    cosine = (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    feet, guessed_feet = (joints(x * std + mean)[..., FEET, :] for x in (truth, made))
    slow = feet.diff(dim=1).square().sum(-1) < 0.001
    contact = slow & (feet[:, :-1, :, 1] < torch.tensor(LOW))
    slides = guessed_feet.diff(dim=1)[contact]
    return {
        "rec": penalty(made[..., :-4], truth[..., :-4]),
        "explicit": penalty(guess, given),
        "vel": penalty(guess.diff(dim=1), given.diff(dim=1)),
        "bn": penalty(bone_lengths(guess), bone_lengths(given)),
        "geo": cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos().mean(),
        "fc": penalty(slides, torch.zeros_like(slides)) if len(slides) else torch.zeros(()),
    }
