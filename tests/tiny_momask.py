"""MoMask with the real architecture at a tiny size and random weights, as a checkpoint folder."""

from pathlib import Path

import torch
from motions import standing

from duomotion.checkpoint import environment, save_checkpoint
from duomotion.config import to_dict
from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.motion.layouts import layout_named

TRANSFORMER = {
    "num_codes": 32,
    "token_dim": 8,
    "width": 16,
    "num_heads": 2,
    "num_blocks": 1,
    "feedforward": 16,
    "text_dim": 384,
    "scale_text": True,
}


def checkpoint(
    folder: Path, layout: str = "humanml3d", *, residual: bool = True, length: bool = False
) -> Path:
    """Write an untrained generator; what it makes is near a standing pose."""
    torch.manual_seed(0)
    described = layout_named(layout)
    sizes = ResidualTokenizerConfig(
        layout=layout,
        num_features=described.num_features,
        width=8,
        depth=1,
        num_layers=3,
        num_codes=32,
        code_dim=8,
    )
    codec = ResidualCodec(sizes)
    for parameter in codec.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    body = described.bodies(standing(people=1, frames=50))
    codec.mean.copy_(torch.from_numpy(described.encode(body)[0].mean(0)))
    codec.std.fill_(0.02 * float(codec.mean[3]))
    parts = {
        "tokenizer": (codec, "momask/tokenizer", sizes),
        "residual": (None, "momask/residual", ResidualConfig(**TRANSFORMER, num_layers=3)),
        "length": (None, "length/estimator", LengthConfig(text_dim=384, num_classes=30, width=16)),
    }
    children = {}
    provenance = {**environment(torch.device("cpu")), "data": ["random weights"]}
    for name, (network, system, config) in parts.items():
        if (name == "residual" and not residual) or (name == "length" and not length):
            continue
        if isinstance(config, ResidualConfig):
            network = lively(ResidualTransformer(config))
        elif isinstance(config, LengthConfig):
            network = LengthEstimator(config)
        children[name] = folder.with_name(f"{folder.name}-{name}")
        recipe = {"system": system, "model": to_dict(config)}
        save_checkpoint(children[name], network.state_dict(), recipe, provenance)
    config = MaskedConfig(**TRANSFORMER, steps=4)
    recipe = {
        "system": "momask/masked",
        "model": to_dict(config),
        "data": {"text_encoder": "sentence"},
    }
    state = lively(MaskedTransformer(config)).state_dict()
    save_checkpoint(folder, state, recipe, provenance, children=children)
    return folder


def lively(network: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return network
