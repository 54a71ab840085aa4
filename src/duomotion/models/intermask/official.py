"""Released InterMask checkpoints into ordinary checkpoint folders.

The authors' code leaves, and their download holds:

    checkpoints/DATASET/NAME/opt.txt                options of the training, NAME of the tokenizer
    checkpoints/DATASET/NAME/model/best_fid.tar     weights; also finest, best_top1 and latest
    data/stats/global_mean.npy, global_std.npy      InterHuman's statistics, in their repository

DATASET is interhuman or interx, NAME is trans_default and vq_default. Which tensor goes where is
said by the tables in `official_tokenizer` and `official_generator`.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, environment, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.intermask import official_generator, official_tokenizer
from duomotion.models.intermask.config import INTERX_TOKENIZER, InterMConfig, TokenizerConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.interx import INTERX
from duomotion.names import check_name
from duomotion.official import (
    check_options,
    check_state_dict,
    get_state_dict,
    join_names,
    read_official,
    read_options,
    read_statistics,
    renamed,
    sha256,
)

DEFAULT_WEIGHTS = "best_fid.tar"  # what the released code generates and evaluates with
TOKENIZER_KEYS = ("vq_model", "net")  # where the released code looks for the state dict
GENERATOR_KEYS = ("t2m_transformer", "trans")
STATISTICS = (("global_mean.npy", "global_std.npy"), ("mean.npy", "std.npy"))

# Option of the released code -> our field; sizes must agree with what the shapes of weights say.
TOKENIZER_SIZES = {"nb_code": "num_codes", "code_dim": "code_dim"}
GENERATOR_SIZES = {"latent_dim": "width", "ff_size": "feedforward", "n_layers": "num_blocks"}
TOKENIZER_SETTINGS = {"mu": "ema_decay"}
GENERATOR_SETTINGS = {
    "n_heads": "num_heads",
    "dropout": "dropout",
    "cond_drop_prob": "cond_drop",
    "step_unroll": "unroll_weight",
}
LOSSES = {
    "commit": "commitment",
    "loss_explicit": "position",
    "loss_vel": "velocity",
    "loss_bn": "bone",
    "loss_geo": "rotation",
    "loss_fc": "contact",
}
OPTIMISER = {
    "batch_size": "batch_size",
    "lr": "lr",
    "weight_decay": "weight_decay",
    "gamma": "gamma",
    "seed": "seed",
}
# What the tokenizer's code can be told to do otherwise, but never was.
FIXED = {
    "down_t": 2,
    "stride_t": 2,
    "depth": 2,
    "dilation_growth_rate": 3,
    "vq_act": "relu",
    "vq_norm": None,
    "num_quantizers": 1,
    "shared_codebook": False,
}


@dataclass(frozen=True)
class Run:
    """One training of the released code: its weights and the options beside them."""

    weights: Path
    options_file: Path
    options: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.options_file.parent

    @property
    def is_generator(self) -> bool:
        return "vq_name" in self.options and "nb_code" not in self.options


def import_official(
    source: str | Path,
    target: str | Path,
    *,
    tokenizer: str | Path | None = None,
    statistics: str | Path | None = None,
    text_encoder: str = "clip",
) -> dict[str, int]:
    """Make a checkpoint folder of a released InterMask model.

    Args:
        source: the folder of a training (checkpoints/interhuman/trans_default), the folder above it
            if that holds one generator, or a .tar in it. Of a generator the tokenizer comes along;
            a tokenizer can also be imported alone.
        target: the checkpoint folder to be written.
        tokenizer: the generator's tokenizer, as `source`, if it is not beside it.
        statistics: folder with global_mean.npy and global_std.npy, if they are not where the
            authors' repository has them. Inter-X needs none.
        text_encoder: the CLIP that the generator reads its prompts with.

    Returns:
        The number of parameters of each network, by its name.

    Raises:
        ValueError: a file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    run = find_run(Path(source))
    target = Path(target)
    if target.exists() and not (target / RECIPE).is_file():
        raise ValueError(f"{target} exists and is no checkpoint folder; name a new one")
    if not run.is_generator:
        return {"tokenizer": _import_tokenizer(run, target, statistics)[1]}
    beside = tokenizer if tokenizer is not None else _tokenizer_beside(run)
    with tempfile.TemporaryDirectory() as temporary:
        child = Path(temporary) / "tokenizer"
        tokenizer_run = find_run(Path(beside))
        config, tokenizer_parameters = _import_tokenizer(tokenizer_run, child, statistics)
        parameters = _import_generator(run, target, config, child, text_encoder)
    return {"tokenizer": tokenizer_parameters, "generator": parameters}


def find_run(path: Path) -> Run:
    """The training that a folder or a .tar belongs to.

    Raises:
        ValueError: there is none, or several and it is not clear which is meant.
    """
    if path.is_file():
        folder = path.parent.parent if path.parent.name == "model" else path.parent
        return Run(path, *_options(folder))
    if not path.is_dir():
        raise ValueError(f"{path}: no released checkpoint is there")
    if not (path / "opt.txt").is_file():
        inside = sorted(file.parent for file in path.glob("*/opt.txt"))
        chosen = [folder for folder in inside if "nb_code" not in _options(folder)[1]] or inside
        if len(chosen) != 1:
            raise ValueError(
                f"{path} holds no opt.txt"
                + (f"; name one of {join_names(chosen)}" if chosen else " of a released training")
            )
        path = chosen[0]
    weights = sorted((path / "model").glob("*.tar"))
    preferred = [file for file in weights if file.name == DEFAULT_WEIGHTS] or weights
    if len(preferred) != 1:
        raise ValueError(
            f"{path / 'model'} holds no {DEFAULT_WEIGHTS}"
            + (f"; name one of {join_names(weights)}" if weights else " and no other .tar")
        )
    return Run(preferred[0], *_options(path))


def tokenizer_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str
) -> tuple[TokenizerConfig, dict[str, Tensor]]:
    """Config and complete state of our `MotionTokenizer` from a released state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen, or the options say something else.
    """
    try:
        sizes = to_dict(official_tokenizer.official_config(official))
        config = from_dict(TokenizerConfig, sizes, where)
    except (KeyError, IndexError, ValueError):  # account_for names what is missing
        config = TokenizerConfig()
    with torch.device("meta"):
        expected = official_tokenizer.to_official(MotionTokenizer(config).state_dict(), config)
    check_state_dict(official, expected, where)
    sizes = {option: getattr(config, field) for option, field in TOKENIZER_SIZES.items()}
    sizes |= {"width": config.widths[0], "dataset_name": _dataset(config)}
    check_options(options, FIXED | sizes, where)
    settings = renamed(options, TOKENIZER_SETTINGS)
    config = from_dict(TokenizerConfig, to_dict(config) | settings, f"opt.txt of {where}")
    return config, official_tokenizer.from_official(official, config)


def generator_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str
) -> tuple[InterMConfig, dict[str, Tensor]]:
    """Config and complete state of our `InterMTransformer` from a released state dict.

    The frozen CLIP tower, which the authors' files leave out, and the table of frequencies, which
    follows from the width, have no place in ours.

    Raises:
        ValueError: as for `tokenizer_state`.
    """
    settings = renamed(options, GENERATOR_SETTINGS)
    if (share := _number(options, "interaction_mask_prob")) is not None:
        settings["random_mask_prob"] = 1 - share
    if "dropout" in settings:
        settings["attention_dropout"] = settings["dropout"]
    try:
        sizes = official_generator.official_sizes(official)
    except (KeyError, IndexError):  # account_for names what is missing
        sizes = {}
    fields = to_dict(InterMConfig()) | sizes | settings
    config = from_dict(InterMConfig, fields, f"opt.txt of {where}")
    with torch.device("meta"):
        ours = InterMTransformer(config).state_dict()
    expected = official_generator.to_official(ours)
    frozen = official_generator.FROZEN_CLIP
    kept = {name: tensor for name, tensor in official.items() if not name.startswith(frozen)}
    check_state_dict(kept, expected, where)
    table = official_generator.FREQUENCIES
    if not torch.allclose(kept[table].float(), expected[table], rtol=1e-5):
        raise ValueError(f"{where}: {table} holds other frequencies than those of its width")
    check_options(
        options, {name: getattr(config, ours) for name, ours in GENERATOR_SIZES.items()}, where
    )
    return config, official_generator.from_official(kept)


def _import_tokenizer(
    run: Run, target: Path, statistics: str | Path | None
) -> tuple[TokenizerConfig, int]:
    if run.is_generator:
        raise ValueError(f"{run.options_file} lists the options of a generator, not a tokenizer's")
    content = read_official(run.weights)
    official = get_state_dict(content, TOKENIZER_KEYS, run.weights)
    config, state = tokenizer_state(official, run.options, str(run.weights))
    if _dataset(config) == "interhuman":
        mean, std = _read_statistics(run, statistics)
    else:  # Inter-X is not normalised
        mean, std = torch.zeros(INTERX.num_features), torch.ones(INTERX.num_features)
    tensors = {f"tokenizer.{name}": tensor for name, tensor in state.items()}
    recipe = {
        "system": "intermask/tokenizer",
        "optim": _optimiser(run, content)
        | {"milestones": [0.7, 0.85], "clip_norm": 1.0},  # released code
        "model": to_dict(config),
        "losses": _numbers(run.options, LOSSES),
    }
    save_checkpoint(target, tensors | {"mean": mean, "std": std}, recipe, _provenance(run, content))
    return config, _count(official, without=official_tokenizer.CODEBOOK)


def _import_generator(
    run: Run, target: Path, tokenizer: TokenizerConfig, child: Path, text_encoder: str
) -> int:
    content = read_official(run.weights)
    official = get_state_dict(content, GENERATOR_KEYS, run.weights)
    config, state = generator_state(official, run.options, str(run.weights))
    if (config.num_codes, config.token_dim) != (tokenizer.num_codes, tokenizer.code_dim):
        raise ValueError(
            f"{run.weights} speaks {config.num_codes} codes of {config.token_dim} channels, its "
            f"tokenizer has {tokenizer.num_codes} of {tokenizer.code_dim}; name the tokenizer that "
            "it was trained with"
        )
    recipe = {
        "system": "intermask/generator",
        "optim": _optimiser(run, content),
        "model": to_dict(config),
        "data": {"text_encoder": text_encoder},
    }
    save_checkpoint(target, state, recipe, _provenance(run, content), children={"tokenizer": child})
    return _count(state)


def _options(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "opt.txt"
    if not path.is_file():
        raise ValueError(
            f"{path} is missing; the authors' download has it beside the folder model that holds "
            "the .tar files"
        )
    return path, read_options(path)


def _tokenizer_beside(run: Run) -> Path:
    name = str(run.options["vq_name"])
    check_name(name, f"{run.options_file}: vq_name")
    folder = run.folder.resolve().parent / name
    if not folder.is_dir():
        raise ValueError(
            f"{run.options_file} names the tokenizer {name!r}, but there is no folder {folder}"
        )
    return folder


def _number(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return value


def _dataset(config: TokenizerConfig) -> str:
    return "interx" if config.num_joints == INTERX_TOKENIZER.num_joints else "interhuman"


def _numbers(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    found = {field: _number(options, option) for option, field in names.items()}
    return {field: value for field, value in found.items() if value is not None}


def _optimiser(run: Run, content: Mapping[str, Any]) -> dict[str, Any]:
    steps = max(1, int(_number(content, "total_it") or 1))
    return {"steps": steps, **_numbers(run.options, OPTIMISER)}


def _provenance(run: Run, content: Mapping[str, Any]) -> dict[str, Any]:
    dataset = str(run.options.get("dataset_name", "interhuman"))
    return {
        **environment(torch.device("cpu")),
        "step": int(_number(content, "total_it") or 0),
        "epoch": int(_number(content, "ep") or 0),
        "data": [dataset],
        "released": f"{dataset}/{run.folder.resolve().name}/{run.weights.name}",
        "sha256": sha256(run.weights),
    }


def _read_statistics(run: Run, given: str | Path | None) -> tuple[Tensor, Tensor]:
    folder = run.folder.resolve()
    around = [folder / "meta"] + [above / "data" / "stats" for above in list(folder.parents)[:3]]
    for place in [Path(given)] if given is not None else around:
        for names in STATISTICS:
            paths = [place / name for name in names]
            if all(path.is_file() for path in paths):
                return read_statistics(paths[0], paths[1], INTERHUMAN.num_features)
    raise ValueError(
        f"{given or run.folder}: {' and '.join(STATISTICS[0])} are missing; name the folder that "
        "holds InterHuman's statistics, data/stats in the authors' repository"
    )


def _count(state: Mapping[str, Tensor], without: str = "") -> int:
    return sum(tensor.numel() for name, tensor in state.items() if name != without)
