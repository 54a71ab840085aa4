"""A fixture, random weights, and what several networks are made of."""

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

State = Mapping[str, Tensor]
TABLES = ("codebook", "emb.weight", "embed", "output_proj_weight")


@dataclass(frozen=True)
class Fixture:
    """What one pair of files holds; `given` and `made` become tensors in/NAME and out/NAME."""

    name: str
    config: dict[str, Any]
    given: dict[str, Tensor]
    made: dict[str, Tensor]
    weights: dict[str, Tensor] = field(default_factory=dict)
    margins: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        groups = {"weights": self.weights, "in": self.given, "out": self.made}
        tensors = {
            f"{group}/{name}": tensor.detach().clone().contiguous()
            for group, members in groups.items()
            for name, tensor in members.items()
        }
        save_file(tensors, folder / f"{self.name}.safetensors")
        parameters = sum(tensor.numel() for tensor in self.weights.values())
        description = {
            "name": self.name,
            "config": self.config,
            "weights": {"count": len(self.weights), "parameters": parameters},
            "margins": self.margins,
        }
        (folder / f"{self.name}.json").write_text(json.dumps(description, indent=1))


def random_weights(state: State, keep: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Numbers that keep signals near unit size; tensors in `keep` stay as they are."""
    made = {}
    for name, tensor in state.items():
        noise = torch.randn(tensor.shape)
        if name in keep:
            made[name] = tensor.clone()
        elif tensor.ndim == 1:
            made[name] = 0.1 * noise + name.endswith("weight")
        elif any(part in name for part in TABLES) and tensor.shape[-1] > 1:
            made[name] = noise
        else:
            made[name] = noise / tensor[0].numel() ** 0.5
    return made


def draw_ids(num_codes: int, *shape: int) -> Tensor:
    return torch.randint(num_codes, shape)


def draw_lengths(sizes: random.Random, batch: int, low: int, high: int) -> Tensor:
    """Lengths (batch,), of which the first is the longest."""
    others = [sizes.randint(low, high) for _ in range(batch - 1)]
    return torch.tensor([high, *others])


def linear(w: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def conv(w: State, name: str, x: Tensor, **more: Any) -> Tensor:
    weight = w[f"{name}.weight"]
    function = F.conv1d if weight.ndim == 3 else F.conv2d
    return function(x, weight, w[f"{name}.bias"], **({"padding": 1} | more))


def layer_norm(w: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def encoder(w: State, prefix: str, width: int, heads: int, feedforward: int) -> nn.Module:
    """torch's post-norm transformer with the weights below `prefix`, (B, L, D) -> (B, L, D)."""
    own = {key.removeprefix(prefix): value for key, value in w.items() if key.startswith(prefix)}
    layers = 1 + max(int(key.split(".")[1]) for key in own)
    layer = nn.TransformerEncoderLayer(
        width, heads, feedforward, activation="gelu", batch_first=True
    )
    network = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    network.load_state_dict(own)
    return network.train(False)


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width), sines and cosines side by side."""
    frequencies = 10000 ** (-torch.arange(0, width, 2).double() / width)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1).float()


def perplexity(ids: Tensor, num_codes: int) -> Tensor:
    share = torch.bincount(ids.flatten(), minlength=num_codes) / ids.numel()
    return torch.exp(-(share * (share + 1e-7).log()).sum())


def nearest(codebook_KC: Tensor, x_NC: Tensor) -> Tensor:
    return (x_NC[:, None] - codebook_KC).square().sum(-1).argmin(1)


def padded(lengths_B: Tensor, tokens: int) -> Tensor:
    """(B, tokens), True behind the end of a sample."""
    return torch.arange(tokens) >= lengths_B[:, None]


def keep_most_likely(logits: Tensor, ratio: float) -> Tensor:
    """Logits with all but the ceil((1 - ratio) V) largest at minus infinity."""
    count = math.ceil((1 - ratio) * logits.shape[-1])
    least = logits.sort(-1, descending=True).values[..., count - 1 : count]
    return logits.masked_fill(logits < least, -torch.inf)


def greedy_ratio(num_codes: int) -> float:
    """The share of codes to drop so that one is left."""
    return 1 - 0.5 / num_codes
