"""The official InterGen checkpoint into an ordinary checkpoint folder.

The authors' download is one file, intergen.ckpt; their repository has InterHuman's statistics as
data/global_mean.npy and global_std.npy. The file also holds CLIP's text tower, which `duomotion
import-official clip` reads.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, environment, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.network import InterGenDenoiser
from duomotion.models.intergen.official_denoiser import (
    CLIP,
    POSITIONS,
    TABLES,
    from_official,
    official_config,
    to_official,
)
from duomotion.models.intergen.recipes import denoiser
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.official.reading import read_official, read_statistics, sha256
from duomotion.official.runs import count_parameters
from duomotion.official.states import check_state_dict, get_state_dict
from duomotion.storage import check_replaceable

PREFIX = "model."  # of all names in a Lightning checkpoint
STATISTICS = ("global_mean.npy", "global_std.npy")


def import_official(
    source: str | Path,
    target: str | Path,
    *,
    statistics: str | Path | None = None,
    text_encoder: str = "clip",
) -> dict[str, int]:
    """Make a checkpoint folder of the official InterGen model.

    Args:
        source: intergen.ckpt.
        target: the checkpoint folder to be written.
        statistics: folder with global_mean.npy and global_std.npy, if they are not beside it.
        text_encoder: the CLIP that prompts are read with.

    Returns:
        The number of parameters of the denoiser and of its text head.

    Raises:
        ValueError: a file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    path, target = Path(source), Path(target)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; the authors' download is intergen.ckpt")
    check_replaceable(target, RECIPE)
    content = read_official(path)
    official = get_state_dict(content, ("state_dict",), path)
    config, state = denoiser_state(official, str(path))
    place = Path(statistics) if statistics is not None else path.parent
    mean_file, std_file = (place / name for name in STATISTICS)
    mean, std = read_statistics(mean_file, std_file, INTERHUMAN.num_features)
    step = content.get("global_step")
    save_checkpoint(
        target,
        {f"denoiser.{name}": tensor for name, tensor in state.items()} | {"mean": mean, "std": std},
        to_dict(replace(denoiser(), model=config)) | {"data": {"text_encoder": text_encoder}},
        {
            **environment(torch.device("cpu")),
            "step": step if isinstance(step, int) else 0,
            "data": ["interhuman"],
            "official": path.name,
            "sha256": sha256(path),
        },
    )
    head = {name: tensor for name, tensor in state.items() if name.startswith("text_head.")}
    total, text = count_parameters(state), count_parameters(head)
    return {"denoiser": total - text, "text head": text}


def denoiser_state(
    official: Mapping[str, Tensor], where: str
) -> tuple[DenoiserConfig, dict[str, Tensor]]:
    """Config and complete state of our `InterGenDenoiser` from an official state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen.
    """
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in official.items()}
    own = {name: tensor for name, tensor in bare.items() if not name.startswith(CLIP)}
    try:
        config = official_config(own)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = DenoiserConfig()
    config = from_dict(DenoiserConfig, to_dict(config), where)
    with torch.device("meta"):
        expected = to_official(InterGenDenoiser(config).state_dict())
    check_state_dict(own, expected, where)
    waves = sinusoid_sequence(POSITIONS, config.width)
    for table in TABLES:
        if not torch.allclose(own[table].float(), waves, atol=1e-3):
            raise ValueError(f"{where}: {table} holds other waves than those of its width")
    return config, from_official(own)
