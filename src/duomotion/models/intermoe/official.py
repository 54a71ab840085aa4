"""The official InterMoE checkpoint into ordinary checkpoint folders.

The authors' download of the denoiser also holds the autoencoder and CLIP's text tower, which
`duomotion import-official clip` reads. They have the autoencoder on its own, too, as vae.ckpt.
Statistics are InterHuman's, data/global_mean.npy and global_std.npy of InterGen's repository.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, environment, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.intermoe import official_autoencoder, official_denoiser
from duomotion.models.intermoe.autoencoder import SkeletalAutoencoder, SkeletalCodec
from duomotion.models.intermoe.config import AutoencoderConfig, DenoiserConfig
from duomotion.models.intermoe.generate import check_latents
from duomotion.models.intermoe.network import InterMoEDenoiser
from duomotion.models.intermoe.recipes import autoencoder as autoencoder_recipe
from duomotion.models.intermoe.recipes import denoiser as denoiser_recipe
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.official.reading import read_official, read_statistics, sha256
from duomotion.official.runs import count_parameters
from duomotion.official.states import check_state_dict, get_state_dict
from duomotion.official.text_head import CLIP
from duomotion.storage import check_replaceable

PREFIX = "model."  # of all names in a Lightning checkpoint
AUTOENCODER = "vae."  # of an autoencoder's in that of a denoiser
STATISTICS = ("global_mean.npy", "global_std.npy")
STATES = ("state_dict", "model")


def import_official(
    source: str | Path,
    target: str | Path,
    *,
    autoencoder: str | Path | None = None,
    statistics: str | Path | None = None,
    text_encoder: str = "clip",
) -> dict[str, int]:
    """Make a checkpoint folder of the official InterMoE model.

    Args:
        source: the denoiser's checkpoint.
        target: the checkpoint folder to be written.
        autoencoder: vae.ckpt, in the place of the autoencoder that the checkpoint holds.
        statistics: folder with global_mean.npy and global_std.npy, if they are not beside it.
        text_encoder: the CLIP that prompts are read with.

    Returns:
        The number of parameters of the denoiser, of its text head and of the autoencoder, biases of
        experts and matrices of the skeleton included, as the released code counts them.

    Raises:
        ValueError: a file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    path, target = Path(source), Path(target)
    content, official = _read(path)
    check_replaceable(target, RECIPE)
    beside = path if autoencoder is None else Path(autoencoder)
    own = official if autoencoder is None else _read(beside)[1]
    codec_config, codec_state, codec_count = autoencoder_state(own, str(beside))
    config, state = denoiser_state(official, str(path))
    check_latents(SkeletalCodec(codec_config), config, beside)
    place = Path(statistics) if statistics is not None else path.parent
    mean_file, std_file = (place / name for name in STATISTICS)
    mean, std = read_statistics(mean_file, std_file, INTERHUMAN.num_features)
    with tempfile.TemporaryDirectory() as folder:
        child = Path(folder) / "autoencoder"
        save_checkpoint(
            child,
            _below("autoencoder", codec_state) | {"mean": mean, "std": std},
            to_dict(replace(autoencoder_recipe(), model=codec_config)),
            _provenance(beside, content if autoencoder is None else {}),
        )
        latents = torch.zeros(config.num_features)
        save_checkpoint(
            target,
            _below("denoiser", state) | {"mean": latents, "std": latents + 1},
            to_dict(replace(denoiser_recipe(), model=config))
            | {"data": {"text_encoder": text_encoder}},
            _provenance(path, content),
            children={"autoencoder": child},
        )
    head = {name: tensor for name, tensor in state.items() if name.startswith("text_head.")}
    total, text = count_parameters(state), count_parameters(head)
    return {"denoiser": total - text, "text head": text, "autoencoder": codec_count}


def autoencoder_state(
    official: Mapping[str, Tensor], where: str
) -> tuple[AutoencoderConfig, dict[str, Tensor], int]:
    """Config and complete state of our `SkeletalAutoencoder`, and how many numbers it came from.

    Args:
        official: of a denoiser's checkpoint, or of vae.ckpt.

    Raises:
        ValueError: tensors are missing, unknown or misshapen, or the skeleton is another one.
    """
    within = {name: tensor for name, tensor in official.items() if name.startswith(AUTOENCODER)}
    own = {name.removeprefix(AUTOENCODER): tensor for name, tensor in (within or official).items()}
    try:
        config = official_autoencoder.official_config(own)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = AutoencoderConfig()
    config = from_dict(AutoencoderConfig, to_dict(config), where)
    with torch.device("meta"):
        network = SkeletalAutoencoder(config, INTERHUMAN)
        expected = official_autoencoder.to_official(network.state_dict(), config.num_blocks)
    check_state_dict(own, expected, where)
    for name, matrix in official_autoencoder.matrices(config.num_blocks).items():
        if not torch.allclose(own[name].float(), matrix, atol=1e-3):
            raise ValueError(f"{where}: {name} is not that of InterHuman's skeleton")
    state = official_autoencoder.from_official(own, config.num_blocks)
    return config, state, count_parameters(own)


def denoiser_state(
    official: Mapping[str, Tensor], where: str
) -> tuple[DenoiserConfig, dict[str, Tensor]]:
    """Config and complete state of our `InterMoEDenoiser` from an official state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen.
    """
    strange = (AUTOENCODER, *CLIP)
    own = {name: tensor for name, tensor in official.items() if not name.startswith(strange)}
    try:
        config = official_denoiser.official_config(own)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = official_denoiser.released(DenoiserConfig())
    config = from_dict(DenoiserConfig, to_dict(config), where)
    with torch.device("meta"):
        expected = official_denoiser.to_official(InterMoEDenoiser(config).state_dict())
    check_state_dict(own, expected, where)
    waves = sinusoid_sequence(official_denoiser.POSITIONS, config.width)
    for table in official_denoiser.TABLES:
        if not torch.allclose(own[table].float(), waves, atol=1e-3):
            raise ValueError(f"{where}: {table} holds other waves than those of its width")
    return config, official_denoiser.from_official(own)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file holds, and its state dict without prefixes."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; the authors' downloads end in .ckpt")
    content = read_official(path)
    state = get_state_dict(content, STATES, path)
    return content, {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}


def _below(place: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{place}.{name}": tensor for name, tensor in state.items()}


def _provenance(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    step = content.get("global_step")
    return {
        **environment(torch.device("cpu")),
        "step": step if isinstance(step, int) else 0,
        "data": ["interhuman"],
        "official": path.name,
        "sha256": sha256(path),
    }
