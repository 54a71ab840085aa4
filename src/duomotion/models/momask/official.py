"""Official MoMask checkpoints into ordinary checkpoint folders.

The authors' download holds, for DATASET t2m (HumanML3D) and kit (KIT-ML):

    checkpoints/DATASET/t2m_nlayer8_.../opt.txt, model/latest.tar            masked transformer
    checkpoints/DATASET/tres_nlayer8_.../opt.txt, model/net_best_fid.tar     residual transformer
    checkpoints/DATASET/rvq_nq6_.../opt.txt, model/net_best_fid.tar, meta/   tokenizer
    checkpoints/DATASET/length_estimator/model/finest.tar                    length estimator

meta/ has mean.npy and std.npy. Options of both transformers name the tokenizer. Which tensor goes
where is said by the tables in `official_tokenizer` and `official_transformers`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from duomotion.checkpoint import RECIPE, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models import systems
from duomotion.models.momask import official_tokenizer, official_transformers
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.motion.humanml3d import HUMANML3D, KIT
from duomotion.official.reading import read_official, read_statistics
from duomotion.official.runs import (
    Run,
    check_options,
    count_parameters,
    fields_from,
    find_training,
    options_of,
    provenance,
    tokenizer_beside,
    training_options,
)
from duomotion.official.states import check_state_dict, get_state_dict, join_names
from duomotion.storage import check_replaceable

Config = TypeVar("Config", MaskedConfig, ResidualConfig)

LAYOUTS = {"t2m": HUMANML3D, "kit": KIT}
TOKENIZER_WEIGHTS = RESIDUAL_WEIGHTS = "net_best_fid.tar"
MASKED_WEIGHTS = "latest.tar"  # what the authors' code generates with
LENGTH_WEIGHTS = "finest.tar"
TOKENIZER_KEYS = ("vq_model", "net")  # where the authors' code looks for the state dict
MASKED_KEYS = ("t2m_transformer", "trans")
RESIDUAL_KEYS = ("res_transformer",)

# Option of the authors' code -> our field; sizes must agree with what the shapes of weights say.
TOKENIZER_SIZES = {
    "nb_code": "num_codes",
    "code_dim": "code_dim",
    "width": "width",
    "depth": "depth",
    "down_t": "num_levels",
    "num_quantizers": "num_layers",
}
TRANSFORMER_SIZES = {"latent_dim": "width", "ff_size": "feedforward", "n_layers": "num_blocks"}
TOKENIZER_SETTINGS = {
    "dilation_growth_rate": "dilation_growth",
    "mu": "ema_decay",
    "quantize_dropout_prob": "quantize_dropout",
}
TRANSFORMER_SETTINGS = {
    "n_heads": "num_heads",
    "dropout": "dropout",
    "cond_drop_prob": "cond_drop",
}
# What the tokenizer's code can be told to do otherwise, and ours can not.
FIXED = {"stride_t": 2, "vq_act": "relu", "vq_norm": None, "shared_codebook": False}
GUIDANCE = {"kit-ml": 2.0}  # of the masked transformer, where it is not the default; section 4


def import_official(
    source: str | Path,
    target: str | Path,
    *,
    text_encoder: str = "clip-vector",
) -> dict[str, int]:
    """Make a checkpoint folder of an official MoMask model.

    Args:
        source: the folder of a data set (checkpoints/t2m), or of one training in it. Of a masked
            transformer the tokenizer that its options name comes along, and the residual
            transformer and length estimator that lie beside it; a tokenizer can also be imported
            alone.
        target: the checkpoint folder to be written.
        text_encoder: the CLIP that the generator reads its prompts with.

    Returns:
        The number of parameters of each network, by its name.

    Raises:
        ValueError: a file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    folder, target = find_training(Path(source), _is_masked), Path(target)
    check_replaceable(target, RECIPE)
    if "latent_dim" not in training_options(folder):
        return {"tokenizer": _import_tokenizer(folder, target)[1]}
    with tempfile.TemporaryDirectory() as temporary:
        inside = Path(temporary)
        tokenizer, parameters = _import_tokenizer(tokenizer_beside(folder), inside / "tokenizer")
        counts = {"tokenizer": parameters}
        children = {"tokenizer": inside / "tokenizer"}
        residual = _residual_beside(folder)
        if residual is not None:
            children["residual"] = inside / "residual"
            counts["residual"] = _import_residual(residual, children["residual"], tokenizer)
        length = folder.parent / "length_estimator" / "model" / LENGTH_WEIGHTS
        if length.is_file():
            children["length"] = inside / "length"
            counts |= systems()["length"].importers["length"](length, out=children["length"])
        counts["masked"] = _import_masked(folder, target, tokenizer, children, text_encoder)
    return counts


def tokenizer_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str
) -> tuple[ResidualTokenizerConfig, dict[str, Tensor]]:
    """Config and complete state of our `ResidualTokenizer` from an official state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen, or the options say something else.
    """
    try:
        sizes = official_tokenizer.official_sizes(official)
        config = from_dict(ResidualTokenizerConfig, sizes, where)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = ResidualTokenizerConfig()
    layouts = {layout.num_features: layout.name for layout in LAYOUTS.values()}
    with torch.device("meta"):
        expected = official_tokenizer.to_official(ResidualTokenizer(config).state_dict(), config)
    check_state_dict(official, expected, where)
    if config.num_features not in layouts:
        raise ValueError(f"{where}: {config.num_features} features are of no layout")
    check_options(options, FIXED | options_of(config, TOKENIZER_SIZES), where)
    settings = fields_from(options, TOKENIZER_SETTINGS) | {"layout": layouts[config.num_features]}
    config = from_dict(ResidualTokenizerConfig, to_dict(config) | settings, f"opt.txt of {where}")
    return config, official_tokenizer.from_official(official, config)


def transformer_state(
    official: Mapping[str, Tensor], options: Mapping[str, Any], where: str, kind: type[Config]
) -> tuple[Config, dict[str, Tensor]]:
    """Config and complete state of a transformer, masked or residual, from an official state dict.

    The frozen CLIP tower, which the authors' files leave out, and the table of positions, which
    follows from the width, have no place in ours.

    Raises:
        ValueError: as for `tokenizer_state`, and where a residual transformer's tables are not
            shared, as they are in all that was released.
    """
    is_masked = kind is MaskedConfig
    names = official_transformers.MASKED if is_masked else official_transformers.RESIDUAL
    settings = fields_from(options, TRANSFORMER_SETTINGS)
    if "dropout" in settings:
        settings["attention_dropout"] = settings["dropout"]
    try:
        sizes = official_transformers.official_sizes(official)
    except (KeyError, IndexError):  # check_state_dict names what is missing
        sizes = {}
    config = from_dict(kind, sizes | settings, f"opt.txt of {where}")
    with torch.device("meta"):
        network = _network(config)
        expected = official_transformers.to_official(network.state_dict(), names)
    own = {
        name: tensor
        for name, tensor in official.items()
        if not name.startswith(official_transformers.FROZEN_CLIP)
    }
    check_state_dict(own, expected, where)
    table = own[official_transformers.POSITIONS].float()
    if not torch.allclose(table, official_transformers.positions(config.width), atol=1e-2):
        raise ValueError(f"{where} was trained with other positions than those of its width")
    check_options(options, options_of(config, TRANSFORMER_SIZES), where)
    return config, official_transformers.from_official(own, names)


def _network(config: MaskedConfig | ResidualConfig) -> nn.Module:
    if isinstance(config, MaskedConfig):
        return MaskedTransformer(config)
    return ResidualTransformer(config)


def _import_tokenizer(folder: Path, target: Path) -> tuple[ResidualTokenizerConfig, int]:
    run = _run(folder, TOKENIZER_WEIGHTS)
    content = read_official(run.weights)
    official = get_state_dict(content, TOKENIZER_KEYS, run.weights)
    config, tokenizer = tokenizer_state(official, run.options, str(run.weights))
    mean_path, std_path = (folder / "meta" / name for name in ("mean.npy", "std.npy"))
    for path in (mean_path, std_path):
        if not path.is_file():
            raise ValueError(f"{path} is missing; the tokenizer was trained with these numbers")
    mean, std = read_statistics(mean_path, std_path, config.num_features)
    state = {f"tokenizer.{name}": tensor for name, tensor in tokenizer.items()}
    recipe = {"system": "momask/tokenizer", "model": to_dict(config)}
    save_checkpoint(target, state | {"mean": mean, "std": std}, recipe, provenance(run, content))
    codebooks = config.num_layers * config.num_codes * config.code_dim
    return config, count_parameters(official) - codebooks


def _import_masked(
    folder: Path,
    target: Path,
    tokenizer: ResidualTokenizerConfig,
    children: Mapping[str, Path],
    text_encoder: str,
) -> int:
    run = _run(folder, MASKED_WEIGHTS)
    content = read_official(run.weights)
    official = get_state_dict(content, MASKED_KEYS, run.weights)
    config, state = transformer_state(official, run.options, str(run.weights), MaskedConfig)
    _same_codes(config, tokenizer, run)
    recipe = {
        "system": "momask/masked",
        "model": to_dict(config) | {"guidance": GUIDANCE.get(tokenizer.layout, config.guidance)},
        "data": {"text_encoder": text_encoder},
    }
    save_checkpoint(target, state, recipe, provenance(run, content), children=children)
    return count_parameters(state)


def _import_residual(folder: Path, target: Path, tokenizer: ResidualTokenizerConfig) -> int:
    run = _run(folder, RESIDUAL_WEIGHTS)
    content = read_official(run.weights)
    official = get_state_dict(content, RESIDUAL_KEYS, run.weights)
    config, state = transformer_state(official, run.options, str(run.weights), ResidualConfig)
    _same_codes(config, tokenizer, run)
    if config.num_layers != tokenizer.num_layers:
        raise ValueError(
            f"{run.weights} makes {config.num_layers} layers of tokens, its tokenizer has "
            f"{tokenizer.num_layers}"
        )
    recipe = {"system": "momask/residual", "model": to_dict(config)}
    save_checkpoint(target, state, recipe, provenance(run, content))
    return count_parameters(state)


def _is_masked(folder: Path) -> bool:
    """Whether a training is one of a masked transformer."""
    options = training_options(folder)
    has_weights = (folder / "model" / MASKED_WEIGHTS).is_file()
    return has_weights and "latent_dim" in options and not options.get("share_weight")


def _residual_beside(folder: Path) -> Path | None:
    """The residual transformer trained with the same tokenizer as a masked one."""
    tokenizer = training_options(folder).get("vq_name")
    found = []
    for file in sorted(folder.resolve().parent.glob("*/opt.txt")):
        options = training_options(file.parent)
        if options.get("share_weight") and options.get("vq_name") == tokenizer:
            found.append(file.parent)
    if len(found) > 1:
        raise ValueError(
            f"several residual transformers go with {folder}: {join_names(found)}; keep one of "
            "them beside it"
        )
    return found[0] if found else None


def _run(folder: Path, weights: str) -> Run:
    path = folder / "model" / weights
    if not path.is_file():
        raise ValueError(f"{path} is missing; it is what the released code generates with")
    return Run(path, training_options(folder))


def _same_codes(
    config: MaskedConfig | ResidualConfig, tokenizer: ResidualTokenizerConfig, run: Run
) -> None:
    if config.num_codes != tokenizer.num_codes:
        raise ValueError(
            f"{run.weights} speaks {config.num_codes} codes, its tokenizer has "
            f"{tokenizer.num_codes}"
        )
