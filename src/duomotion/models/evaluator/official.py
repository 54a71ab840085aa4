"""Official evaluators into ordinary checkpoint folders.

interclip         interclip.ckpt of InterGen, saved by Lightning
interx-evaluator  text_mot_match/model/finest.tar of Inter-X
t2m-evaluator     text_mot_match/model/finest.tar of text-to-motion; HumanML3D's or KIT-ML's

None of them holds the words that it reads: those of InterCLIP are CLIP's, those of the others are
in the folder glove/ of their code. Nor does text-to-motion's hold the mean and standard deviation
with which it reads motion: they are in Comp_v6_KLD005/meta beside it.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from duomotion.checkpoint import RECIPE, environment, save_checkpoint
from duomotion.config import from_dict, to_dict
from duomotion.models.evaluator import interclip
from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator
from duomotion.models.evaluator.interclip import InterCLIP, InterCLIPConfig
from duomotion.models.evaluator.interx import INTERX, InterXEvaluator
from duomotion.models.evaluator.t2m import HUMANML3D, KIT, NUM_CONTACTS, STATISTICS, T2MEvaluator
from duomotion.models.evaluator.words import official_words
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.official.reading import read_official, read_statistics, sha256
from duomotion.official.runs import count_parameters
from duomotion.official.states import check_state_dict, count_layers, get_state_dict
from duomotion.storage import check_replaceable
from duomotion.text.official_clip import read_tokenizer

Kind = Literal["interclip", "interx-evaluator", "t2m-evaluator"]

SYSTEMS = {
    "interclip": "evaluator/interclip",
    "interx-evaluator": "evaluator/interx",
    "t2m-evaluator": "evaluator/t2m",
}
WORDS = "words"  # folder inside an evaluator's checkpoint: tokenizer or vectors of words
NUM_PEOPLE = 2  # whom InterCLIP reads
PARTS = ("movement_encoder", "text_encoder", "motion_encoder")
DATASETS = {
    "interx-evaluator": {INTERX.motion_dim: "interx"},
    "t2m-evaluator": {HUMANML3D.motion_dim: "humanml3d", KIT.motion_dim: "kit-ml"},
}


def import_evaluator(
    kind: Kind,
    source: str | Path,
    target: str | Path,
    *,
    vocabulary: str | Path | None = None,
    statistics: str | Path | None = None,
) -> int:
    """Make a checkpoint folder of an official evaluator.

    Args:
        vocabulary: for InterCLIP: bpe_simple_vocab_16e6.txt.gz of CLIP's code, or a folder with the
            tokenizer files of any of OpenAI's CLIP models; for the others: the folder glove/ of
            their code.
        statistics: for "t2m-evaluator": the folder meta/ with mean.npy and std.npy.

    Returns:
        The number of parameters.

    Raises:
        ValueError: a file is missing, damaged, holds more than tensors or belongs to another
            network; the sentence names it.
        OSError: a file can't be read or written.
    """
    source, target = Path(source), Path(target)
    check_replaceable(target, RECIPE)
    if vocabulary is None:
        raise ValueError(f"--vocabulary is missing: the checkpoint does not hold {_MISSING[kind]}")
    if kind == "t2m-evaluator" and statistics is None:
        raise ValueError(
            "--statistics is missing: the evaluator normalises motion with the mean.npy and "
            "std.npy that were released beside it, in Comp_v6_KLD005/meta"
        )
    content = read_official(source)
    with tempfile.TemporaryDirectory() as temporary:
        words = Path(temporary) / WORDS
        if kind == "interclip":
            official = get_state_dict(content, ("state_dict",), source)
            config, state = interclip_state(official, str(source))
            read_tokenizer(Path(vocabulary), config.vocabulary).save_pretrained(words)
            dataset, extra = "interhuman", {}
        else:
            parts = {part: get_state_dict(content, (part,), source) for part in PARTS}
            state = {f"{part}.{name}": x for part in PARTS for name, x in parts[part].items()}
            config = bigru_config(state, NETWORKS[kind], str(source))
            dataset = _dataset(kind, config, str(source))
            official_words(Path(vocabulary), config.word_dim).save(words)
            extra = {}
            if statistics is not None and kind == "t2m-evaluator":
                mean, std = (Path(statistics) / f"{name}.npy" for name in STATISTICS)
                numbers = read_statistics(mean, std, config.motion_dim + NUM_CONTACTS)
                extra = dict(zip(STATISTICS, numbers, strict=True))
        provenance = {
            **environment(torch.device("cpu")),
            "data": [dataset],
            "official": source.name,
            "sha256": sha256(source),
        }
        recipe = {"system": SYSTEMS[kind], "model": to_dict(config)}
        save_checkpoint(target, state | extra, recipe, provenance, children={WORDS: words})
    return count_parameters(state)


_MISSING = {
    "interclip": "CLIP's words; name the bpe_simple_vocab_16e6.txt.gz of CLIP's code",
    "interx-evaluator": "the vectors of words; name Inter-X's folder glove/",
    "t2m-evaluator": "the vectors of words; name text-to-motion's folder glove/",
}


def interclip_state(
    official: Mapping[str, Tensor], where: str
) -> tuple[InterCLIPConfig, dict[str, Tensor]]:
    """Config and complete state of our `InterCLIP` from an official state dict.

    Raises:
        ValueError: tensors are missing, unknown or misshapen.
    """
    bare = {name.removeprefix(interclip.PREFIX): tensor for name, tensor in official.items()}
    try:
        config = from_dict(InterCLIPConfig, _interclip_sizes(bare), where)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = InterCLIPConfig()
    with torch.device("meta"):
        expected = interclip.to_official(InterCLIP(config).state_dict())
    check_state_dict(bare, expected, where)
    table = bare[interclip.SINUSOIDS].float()
    if not torch.allclose(table, sinusoid_sequence(*table.shape), atol=1e-3):
        raise ValueError(f"{where}: {interclip.SINUSOIDS} holds other numbers than sinusoids")
    return config, interclip.from_official(bare)


def _interclip_sizes(bare: Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes that shapes tell; the numbers of heads are the authors' code's."""
    embedding_dim, width = bare["motion_encoder.out.weight"].shape
    vocabulary, text_width = bare["token_embedding.weight"].shape
    read = bare["motion_encoder.embed_motion.weight"].shape[1]
    return {
        "num_features": read // NUM_PEOPLE + interclip.NUM_CONTACTS,
        "width": width,
        "num_layers": count_layers(bare, "motion_encoder.transformer.layers."),
        "feedforward": bare["motion_encoder.transformer.layers.0.linear1.bias"].shape[0],
        "embedding_dim": embedding_dim,
        "vocabulary": vocabulary,
        "text_length": bare["positional_embedding"].shape[0],
        "text_width": text_width,
        "text_layers": count_layers(bare, "textTransEncoder.layers."),
    }


def bigru_config(
    official: Mapping[str, Tensor], network: Callable[[BiGRUConfig], BiGRUEvaluator], where: str
) -> BiGRUConfig:
    """Sizes of an official evaluator whose state is ours too, name by name.

    Raises:
        ValueError: tensors are missing, unknown or misshapen.
    """
    try:
        movement_width, motion_dim, _ = official["movement_encoder.main.0.weight"].shape
        word_dim, tag_dim = official["text_encoder.pos_emb.weight"].shape
        sizes = {
            "motion_dim": motion_dim,
            "movement_width": movement_width,
            "movement_dim": official["movement_encoder.out_net.bias"].shape[0],
            "motion_width": official["motion_encoder.input_emb.bias"].shape[0],
            "word_dim": word_dim,
            "tag_dim": tag_dim,
            "text_width": official["text_encoder.input_emb.bias"].shape[0],
            "embedding_dim": official["motion_encoder.output_net.3.bias"].shape[0],
        }
        config = from_dict(BiGRUConfig, sizes, where)
    except (KeyError, IndexError, ValueError):  # check_state_dict names what is missing
        config = HUMANML3D
    with torch.device("meta"):
        expected = network(config).state_dict()
    own = {name: tensor for name, tensor in expected.items() if name not in STATISTICS}
    check_state_dict(official, own, where)
    return config


NETWORKS: dict[str, Callable[[BiGRUConfig], BiGRUEvaluator]] = {
    "interx-evaluator": InterXEvaluator,
    "t2m-evaluator": T2MEvaluator,
}


def _dataset(kind: str, config: BiGRUConfig, where: str) -> str:
    known = DATASETS[kind]
    if config.motion_dim not in known:
        read = " or ".join(f"{size} ({name})" for size, name in known.items())
        raise ValueError(
            f"{where} reads {config.motion_dim} numbers a frame; an evaluator of this kind reads "
            f"{read}"
        )
    return known[config.motion_dim]
