"""Things that people do, one short sentence each: what a prompt may be about instead.

A prompt is known to a model where the captions that the model has learned from are nearer to it
than these. actions.json has the sentences, of one person and of two; actions.safetensors their
vectors, `pack(SentenceEncoder().encode(sentences).vectors)` of each list.
"""

import json
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

_NAMES = {1: "one", 2: "two"}
STEPS = 7  # from zero to a vector's largest number; with the sign, four bits


def sentences(num_people: int) -> list[str]:
    """What one person does alone, or two do together."""
    text = (_folder() / "actions.json").read_text(encoding="utf-8")
    return json.loads(text)[_NAMES[num_people]]


def vectors(num_people: int) -> Tensor:
    """(N, C) of the sentences, of length one."""
    return unpack(load_file(_folder() / "actions.safetensors")[_NAMES[num_people]])


def pack(vectors_NC: Tensor) -> Tensor:
    """Directions in four bits a number: (N, C) -> (N, C / 2) uint8."""
    steps_NC = vectors_NC / vectors_NC.abs().amax(-1, keepdim=True) * STEPS
    codes_NC = (steps_NC.round() + STEPS).to(torch.uint8)
    return codes_NC[:, ::2] + 16 * codes_NC[:, 1::2]


def unpack(packed: Tensor) -> Tensor:
    """The vectors again, of length one; cosines of sentences change by up to 0.03."""
    codes_NC2 = torch.stack([packed % 16, packed // 16], -1)
    return F.normalize(codes_NC2.flatten(1).float() - STEPS, dim=-1)


def _folder() -> Path:
    return Path(str(files("duomotion.text")))
