"""InterMask's 2D VQ-VAE in three layouts, MoMask's residual VQ-VAE, updates of a codebook."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from duomotion.models.intermask.config import INTERX_TOKENIZER, TokenizerConfig
from duomotion.models.intermask.official_tokenizer import to_official
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.models.momask.official_tokenizer import to_official as residual_to_official
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.motion.skeleton import SMPL22
from recorder.fixture import Fixture, State, conv, linear, nearest, perplexity, random_weights

CODEBOOK = "quantizer.layers.{}.codebook"


def residual_blocks(w: State, prefix: str, x: Tensor, growth: int) -> Tensor:
    depth = sum(name.startswith(prefix) and name.endswith("conv1.bias") for name in w)
    for block in range(depth):
        dilation = growth ** (depth - 1 - block)
        name = f"{prefix}{block}"
        hidden = conv(w, f"{name}.conv1", F.relu(x), padding=dilation, dilation=dilation)
        x = x + conv(w, f"{name}.conv2", F.relu(hidden), padding=0)
    return x


def sage(w: State, name: str, x_BDJT: Tensor) -> Tensor:
    """GraphSAGE of which only the first frame of the first motion has edges."""
    x_BTJD = x_BDJT.permute(0, 3, 2, 1)
    message = F.relu(linear(w, f"{name}.lin", x_BTJD[0, 0]))
    neighbours = [[] for _ in message]
    for child, parent in SMPL22.bones:
        neighbours[child].append(parent)
        neighbours[parent].append(child)
    heard = torch.zeros_like(x_BTJD)
    for joint, others in enumerate(neighbours):
        heard[0, 0, joint] = message[others].mean(0)
    return (linear(w, f"{name}.lin_l", heard) + linear(w, f"{name}.lin_r", x_BTJD)).permute(
        0, 3, 2, 1
    )


def encode(w: State, x: Tensor, growth: int, stride, *, graph: bool) -> Tensor:
    if graph:
        x = F.relu(sage(w, "encoder.gcn_layer1", x))
        x = F.relu(sage(w, "encoder.gcn_layer2", x))
    else:
        x = F.relu(conv(w, "encoder.model.0", x))
    first = 0 if graph else 2
    last = max(int(name.split(".")[2]) for name in w if name.startswith("encoder.model."))
    for level in range(first, last):
        x = conv(w, f"encoder.model.{level}.0", x, stride=stride)
        x = residual_blocks(w, f"encoder.model.{level}.1.model.", x, growth)
    return conv(w, f"encoder.model.{last}", x)


def decode(w: State, x: Tensor, growth: int, joints: tuple[int, ...], *, graph: bool) -> Tensor:
    """`joints` after each level of a map; of a sequence only how many levels there are."""
    x = F.relu(conv(w, "decoder.model.0", x))
    for level, count in enumerate(joints, 2):
        x = residual_blocks(w, f"decoder.model.{level}.0.model.", x, growth)
        size = (2 * x.shape[-1],) if x.ndim == 3 else (count, 2 * x.shape[-1])
        x = conv(w, f"decoder.model.{level}.2", F.interpolate(x, size=size))
    after = 2 + len(joints)
    x = F.relu(conv(w, f"decoder.model.{after}", x))
    if graph:
        return sage(w, "decoder.gcn_layer2", F.relu(sage(w, "decoder.gcn_layer1", x)))
    return conv(w, f"decoder.model.{after + 2}", x)


def to_map(motion: Tensor) -> Tensor:
    """Features (B, T, 262) or maps (B, T, J, D) -> (B, D, J, T)."""
    if motion.ndim == 4:
        return motion.permute(0, 3, 2, 1)
    batch, frames, _ = motion.shape
    position, velocity = motion[..., :66], motion[..., 66:132]
    rotation = F.pad(motion[..., 132:258], (6, 0))
    parts = [part.reshape(batch, frames, 22, -1) for part in (position, velocity, rotation)]
    return torch.cat(parts, -1).permute(0, 3, 2, 1)


def from_map(x_BDJT: Tensor, *, features: bool) -> Tensor:
    x = x_BDJT.permute(0, 3, 2, 1)
    if not features:
        return x
    parts = [x[..., :3].flatten(2), x[..., 3:6].flatten(2), x[..., 1:, 6:].flatten(2)]
    return F.pad(torch.cat(parts, -1), (0, 4))


def look_up(codebook_KC: Tensor, ids: Tensor) -> Tensor:
    """Codes of ids, and zeros of -1."""
    return codebook_KC[ids.clamp(min=0)] * (ids >= 0)[..., None]


def intermask(name: str, sizes: random.Random) -> Fixture:
    is_interx, graph = name.endswith("interx"), name.endswith("interhuman")
    growth, depth = sizes.choice([2, 3]), sizes.choice([1, 3])
    width, code_dim, num_codes = (sizes.choice(range(8, 20, 2)) for _ in range(3))
    base = INTERX_TOKENIZER if is_interx else TokenizerConfig()
    config = TokenizerConfig(
        num_joints=base.num_joints, joint_dim=base.joint_dim, bones=base.bones,
        input_layer="graph" if graph else "conv", kernel=base.kernel, stride=base.stride,
        decoder_joints=base.decoder_joints, widths=(width,) * 3, code_dim=code_dim,
        num_codes=num_codes, dilations=(1,) * depth,
    )  # fmt: skip
    weights = random_weights(to_official(MotionTokenizer(config).state_dict(), config))
    book = CODEBOOK.format(0)
    batches = [(1, 4 * sizes.randint(3, 8)), (sizes.randint(2, 3), 4 * sizes.randint(3, 6))]
    given, made = {}, {}
    for batch, frames in batches:
        shape = (batch, frames, 56, 6) if is_interx else (batch, frames, 262)
        motion = torch.randn(shape)
        latent = encode(weights, to_map(motion), growth, config.stride, graph=graph)
        if batch == 1:
            weights[book] = latent.std() * torch.randn(num_codes, code_dim)
        codebook = weights[book]
        rows = latent.permute(0, 2, 3, 1)  # part by part
        ids = nearest(codebook, rows.reshape(-1, code_dim)).view(batch, -1)
        codes = codebook[ids]
        wanted = torch.randint(-1, num_codes, ids.shape)

        def decoded(vectors: Tensor, like: Tensor = latent) -> Tensor:
            maps = vectors.mT.reshape(like.shape)
            out = decode(weights, maps, growth, config.decoder_joints, graph=graph)
            return from_map(out, features=not is_interx)

        given |= {f"b{batch}/motion": motion, f"b{batch}/indices": wanted[..., None]}
        made |= {
            f"b{batch}/{key}": value
            for key, value in {
                "latent": latent,
                "code_indices": ids[..., None],
                "codes": codes.mT[None],
                "reconstruction": decoded(codes),
                "commit_loss": F.mse_loss(rows.reshape(codes.shape), codes),
                "perplexity": perplexity(ids, num_codes),
                "decoded_from_indices": decoded(look_up(codebook, wanted)),
            }.items()
        }
    described = {
        "joints_num": config.num_joints, "input_dim": config.joint_dim, "nb_code": num_codes,
        "dataset_name": "interx" if is_interx else "interhuman", "code_dim": code_dim,
        "width": width, "depth": depth, "dilation_growth_rate": growth, "down_t": 2,
        "stride_t": 2, "num_quantizers": 1, "mu": 0.95, "gcn": graph,
    }  # fmt: skip
    return Fixture(name, described, given, made, weights)


def momask(num_features: int, sizes: random.Random) -> Fixture:
    growth, depth, levels = sizes.choice([2, 3]), sizes.choice([1, 2, 4]), sizes.choice([1, 2])
    width, code_dim, num_codes = (sizes.choice(range(8, 20, 2)) for _ in range(3))
    layers = sizes.randint(2, 4)
    config = ResidualTokenizerConfig(
        num_features=num_features, width=width, depth=depth, num_levels=levels, num_layers=layers,
        num_codes=num_codes, code_dim=code_dim, dilation_growth=growth,
    )  # fmt: skip
    state = residual_to_official(ResidualTokenizer(config).state_dict(), config)
    weights = random_weights(state)
    batch, tokens = sizes.randint(2, 3), sizes.randint(4, 9)
    motion = torch.randn(batch, tokens * 2**levels, num_features)
    latent = encode(weights, motion.mT, growth, 2, graph=False)
    residual = latent.mT.reshape(-1, code_dim)
    ids, codes, commitments = [], [], []
    for layer in range(layers):
        book = CODEBOOK.format(layer)
        weights[book] = residual.std() * torch.randn(num_codes, code_dim)
        ids.append(nearest(weights[book], residual).view(batch, tokens))
        codes.append(weights[book][ids[-1]])
        commitments.append(F.mse_loss(residual, codes[-1].flatten(0, 1)))
        residual = residual - codes[-1].flatten(0, 1)

    def decoded(ids_BNQ: Tensor) -> Tensor:
        books = (weights[CODEBOOK.format(layer)] for layer in range(ids_BNQ.shape[-1]))
        layers_ = zip(books, ids_BNQ.unbind(-1), strict=True)
        vectors = torch.stack([look_up(book, layer) for book, layer in layers_]).sum(0)
        return decode(weights, vectors.mT, growth, (1,) * levels, graph=False).mT

    wanted = torch.randint(-1, num_codes, (batch, tokens, layers))
    made = {
        "latent": latent,
        "code_indices": torch.stack(ids, -1),
        "codes": torch.stack(codes).mT,
        "reconstruction": decoded(torch.stack(ids, -1)),
        "commit_loss": torch.stack(commitments).mean(),
        "perplexity": torch.stack([perplexity(layer, num_codes) for layer in ids]).mean(),
        "decoded_from_indices": decoded(wanted),
        "decoded_from_base_layer": decoded(wanted[..., :1]),
    }
    described = {
        "input_width": num_features, "nb_code": num_codes, "code_dim": code_dim, "width": width,
        "depth": depth, "dilation_growth_rate": growth, "down_t": levels, "stride_t": 2,
        "num_quantizers": layers,
    }  # fmt: skip
    given = {"motion": motion, "indices": wanted, "base_indices": wanted[..., :1]}
    return Fixture(f"momask_rvq_{num_features}", described, given, made, weights)


def codebook_updates(sizes: random.Random) -> Fixture:
    """Moving averages in which a code used less than once per batch is replaced."""
    num_codes, code_dim, decay = sizes.randint(5, 12), sizes.randint(3, 9), 0.9
    half = sizes.randint(num_codes, 20)
    given, made = {}, {}
    for step in range(3):
        x = (1 + step) * torch.randn(2, code_dim, half)
        rows = x.mT.reshape(-1, code_dim)
        if step == 0:
            codebook = rows[:num_codes].clone()
            sums, counts = codebook.clone(), torch.ones(num_codes)
            made["codebook_after_init"] = codebook.clone()
        ids = draw = torch.randint(num_codes - step, (len(rows),))
        made[f"nearest{step}"] = nearest(codebook, rows)
        used = F.one_hot(draw, num_codes).float()
        sums = decay * sums + (1 - decay) * used.T @ rows
        counts = decay * counts + (1 - decay) * used.sum(0)
        codebook = torch.where(counts[:, None] >= 1, sums / counts[:, None], rows[:num_codes])
        given |= {f"x{step}": x, f"idx{step}": ids}
        made |= {
            f"codebook{step}": codebook, f"code_sum{step}": sums, f"code_count{step}": counts,
            f"perplexity{step}": perplexity(ids, num_codes),
        }  # fmt: skip
    described = {"nb_code": num_codes, "code_dim": code_dim, "mu": decay}
    return Fixture("vq_codebook_ema", described, given, made)
