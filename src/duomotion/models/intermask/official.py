"""Official InterMask checkpoints into ordinary checkpoint folders.

The authors' code leaves, and their download holds:

    checkpoints/DATASET/NAME/opt.txt                options of the training, NAME of the tokenizer
    checkpoints/DATASET/NAME/model/best_fid.tar     weights; also finest, best_top1 and latest
    data/stats/global_mean.npy, global_std.npy      InterHuman's statistics, in their repository

DATASET is interhuman or interx, NAME is trans_default and vq_default. Which tensor goes where is
said by the tables in `official_tokenizer` and `official_generator`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.intermask import official_generator, official_tokenizer
from duomotion.models.intermask.config import INTERX_TOKENIZER, InterMConfig, TokenizerConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.interx import INTERX
from duomotion.official.reading import read_official, read_statistics
from duomotion.official.runs import (
    Run,
    check_options,
    count_parameters,
    fields_from,
    find_training,
    number_from,
    numbers_from,
    options_of,
    provenance,
    tokenizer_beside,
    training_folder,
    training_options,
)
from duomotion.official.states import check_state_dict, get_state_dict, join_names
from duomotion.storage import check_replaceable

DEFAULT_WEIGHTS = "best_fid.tar"  # what the authors' code generates and evaluates with
TOKENIZER_KEYS = ("vq_model", "net")  # where the authors' code looks for the state dict
GENERATOR_KEYS = ("t2m_transformer", "trans")
STATISTICS = (("global_mean.npy", "global_std.npy"), ("mean.npy", "std.npy"))

# Option of the authors' code -> our field; sizes must agree with what the shapes of weights say.
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
RECONSTRUCTION = {"l1_smooth": 1.0, "l1": 0.0}  # recons_loss -> beta
# What the tokenizer's code can be told to do otherwise, and ours can not.
FIXED = {
    "down_t": 2,
    "stride_t": 2,
    "vq_act": "relu",
    "vq_norm": None,
    "num_quantizers": 1,
    "shared_codebook": False,
}


def import_official(
    source: str | Path,
    target: str | Path,
    *,
    tokenizer: str | Path | None = None,
    statistics: str | Path | None = None,
    text_encoder: str = "clip",
) -> dict[str, int]:
    """Make a checkpoint folder of an official InterMask model.

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
    check_replaceable(target, RECIPE)
    if not _is_generator(run):
        return {"tokenizer": _import_tokenizer(run, target, statistics)[1]}
    beside = tokenizer if tokenizer is not None else tokenizer_beside(run.folder)
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
        return Run(path, training_options(training_folder(path)))
    folder = find_training(path, lambda inside: "nb_code" not in training_options(inside))
    weights = sorted((folder / "model").glob("*.tar"))
    preferred = [file for file in weights if file.name == DEFAULT_WEIGHTS] or weights
    if len(preferred) != 1:
        raise ValueError(
            f"{folder / 'model'} holds no {DEFAULT_WEIGHTS}"
            + (f"; name one of {join_names(weights)}" if weights else " and no other .tar")
        )
    return Run(preferred[0], training_options(folder))


def _is_generator(run: Run) -> bool:
    return "vq_name" in run.options and "nb_code" not in run.options


def tokenizer_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str
) -> tuple[TokenizerConfig, dict[str, Tensor]]:
    """Config and complete state of our `MotionTokenizer` from an official state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen, or the options say something else.
    """
    growth = _dilation_growth(options, where)
    try:
        config = official_tokenizer.official_config(official, growth)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = TokenizerConfig()
    config = from_dict(TokenizerConfig, to_dict(config), where)
    with torch.device("meta"):
        expected = official_tokenizer.to_official(MotionTokenizer(config).state_dict(), config)
    check_state_dict(official, expected, where)
    sizes = options_of(config, TOKENIZER_SIZES)
    sizes |= {"width": config.widths[0], "depth": len(config.dilations)}
    check_options(options, FIXED | sizes | {"dataset_name": _dataset(config)}, where)
    settings = fields_from(options, TOKENIZER_SETTINGS)
    config = from_dict(TokenizerConfig, to_dict(config) | settings, f"opt.txt of {where}")
    return config, official_tokenizer.from_official(official, config)


def generator_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str
) -> tuple[InterMConfig, dict[str, Tensor]]:
    """Config and complete state of our `InterMTransformer` from an official state dict.

    The frozen CLIP tower, which the authors' files leave out, and the table of frequencies, which
    follows from the width, have no place in ours.

    Raises:
        ValueError: as for `tokenizer_state`.
    """
    settings = fields_from(options, GENERATOR_SETTINGS)
    if (share := number_from(options, "interaction_mask_prob")) is not None:
        settings["random_mask_prob"] = 1 - share
    if "dropout" in settings:
        settings["attention_dropout"] = settings["dropout"]
    try:
        sizes = official_generator.official_sizes(official)
    except (KeyError, IndexError):  # check_state_dict names what is missing
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
    check_options(options, options_of(config, GENERATOR_SIZES), where)
    return config, official_generator.from_official(kept)


def _import_tokenizer(
    run: Run, target: Path, statistics: str | Path | None
) -> tuple[TokenizerConfig, int]:
    if _is_generator(run):
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
        "losses": numbers_from(run.options, LOSSES) | _reconstruction(run.options, run.weights),
    }
    save_checkpoint(target, tensors | {"mean": mean, "std": std}, recipe, provenance(run, content))
    codebook = official[official_tokenizer.CODEBOOK]
    return config, count_parameters(official) - codebook.numel()


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
    save_checkpoint(target, state, recipe, provenance(run, content), children={"tokenizer": child})
    return count_parameters(state)


def _dilation_growth(options: Mapping[str, Any], where: str) -> int:
    name = "dilation_growth_rate"
    growth = options.get(name, official_tokenizer.DILATION_GROWTH)
    if not isinstance(growth, int) or isinstance(growth, bool) or growth < 1:
        raise ValueError(f"opt.txt of {where}: {name} has to be 1 or more, not {growth!r}")
    return growth


def _reconstruction(options: Mapping[str, Any], where: Path) -> dict[str, float]:
    """The shape of the reconstruction losses, where the options tell it."""
    name = options.get("recons_loss", "l1_smooth")
    if name not in RECONSTRUCTION:
        known = " or ".join(RECONSTRUCTION)
        raise ValueError(f"opt.txt of {where}: recons_loss {name!r} is not known, only {known}")
    return {"beta": RECONSTRUCTION[name]}


def _dataset(config: TokenizerConfig) -> str:
    return "interx" if config.num_joints == INTERX_TOKENIZER.num_joints else "interhuman"


def _optimiser(run: Run, content: Mapping[str, Any]) -> dict[str, Any]:
    steps = max(1, int(number_from(content, "total_it") or 1))
    return {"steps": steps, **numbers_from(run.options, OPTIMISER)}


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
