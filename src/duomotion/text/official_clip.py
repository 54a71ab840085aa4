"""The frozen CLIP text tower inside a released checkpoint, as a folder that `ClipEncoder` reads.

InterGen and the systems made from it (InterMoE, TIMotion, in2IN) keep a whole text tower of
ViT-L/14@336px in their checkpoints, under CLIP's own names. So does nobody with the words: which
tokens a text has is in bpe_simple_vocab_16e6.txt.gz, which comes with CLIP's code.
"""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from duomotion.official.reading import read_official
from duomotion.official.states import check_state_dict, get_state_dict
from duomotion.reading import open_file
from duomotion.storage import atomic_folder, check_replaceable

PREFIX = "model."  # of all names in a Lightning checkpoint of these systems
HEAD_WIDTH = 64  # in all of CLIP's transformers
LONGEST_LIST = 50_000_000  # bytes; CLIP's own list of byte pairs has some three million
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
BLOCK = "clip_transformer.resblocks"

# CLIP's name -> the name in transformers; * is the number of a block.
NAMES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
} | {
    f"{official}.{parameter}": f"{ours}.{parameter}"
    for official, ours in {
        "ln_final": "final_layer_norm",
        f"{BLOCK}.*.ln_1": "encoder.layers.*.layer_norm1",
        f"{BLOCK}.*.ln_2": "encoder.layers.*.layer_norm2",
        f"{BLOCK}.*.attn.out_proj": "encoder.layers.*.self_attn.out_proj",
        f"{BLOCK}.*.mlp.c_fc": "encoder.layers.*.mlp.fc1",
        f"{BLOCK}.*.mlp.c_proj": "encoder.layers.*.mlp.fc2",
    }.items()
    for parameter in ("weight", "bias")
}
# One tensor of CLIP's that is three in transformers, in this order.
STACKED = {
    f"{BLOCK}.*.attn.in_proj_{parameter}": tuple(
        f"encoder.layers.*.self_attn.{part}_proj.{parameter}" for part in "qkv"
    )
    for parameter in ("weight", "bias")
}


def import_text_tower(checkpoint: str | Path, vocabulary: str | Path, target: str | Path) -> int:
    """Write the text tower of a released checkpoint as a folder for `clip:FOLDER`.

    Args:
        checkpoint: an InterGen checkpoint (intergen.ckpt) or another that holds the tower.
        vocabulary: bpe_simple_vocab_16e6.txt.gz of CLIP's code, or a folder with the tokenizer
            files of any of OpenAI's CLIP models, which all have the same.
        target: the folder to be written.

    Returns:
        The number of parameters.

    Raises:
        ValueError: a file is damaged or holds something else; the sentence names it.
        OSError: a file can't be read or written.
    """
    path, target = Path(checkpoint), Path(target)
    state = get_state_dict(read_official(path), ("state_dict",), path)
    check_replaceable(target, "config.json")
    tower = tower_state(state, str(path))
    config = _config(tower)
    tokenizer = read_tokenizer(Path(vocabulary), config.vocab_size)
    with atomic_folder(target) as temporary:
        config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        save_file(tower, temporary / "model.safetensors", metadata={"format": "pt"})
    return sum(tensor.numel() for tensor in tower.values())


def tower_state(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """State of transformers' `CLIPTextModel` from that of a system which holds the tower.

    What does not belong to the tower is left out.

    Raises:
        ValueError: tensors of the tower are missing or misshapen, in one sentence.
    """
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    beginnings = {name.partition("*")[0] for name in (*NAMES, *STACKED)}
    tower = {name: bare[name] for name in bare if name.startswith(tuple(beginnings))}
    numbers = {name.split(".")[2] for name in tower if name.startswith(f"{BLOCK}.")}
    blocks = [str(index) for index in range(max(1, len(numbers)))]
    check_state_dict(tower, _expected(tower, blocks), f"the CLIP text tower of {where}")
    found = {}
    for block in blocks:
        for official, ours in NAMES.items():
            found[ours.replace("*", block)] = tower[official.replace("*", block)].contiguous()
        for official, parts in STACKED.items():
            thirds = tower[official.replace("*", block)].chunk(3)
            for part, tensor in zip(parts, thirds, strict=True):
                found[part.replace("*", block)] = tensor.clone()
    return found


def _expected(tower: Mapping[str, Tensor], blocks: list[str]) -> dict[str, Tensor]:
    """The tower's names with its shapes, as far as its token embedding shows its width."""
    embedding = tower.get("token_embedding.weight", torch.empty(49408, 768, device="meta"))
    vocabulary, width = (*embedding.shape, 1, 1)[:2]
    shapes = {
        "token_embedding.weight": (vocabulary, width),
        "positional_embedding": (77, width),
        f"{BLOCK}.*.mlp.c_fc.weight": (4 * width, width),
        f"{BLOCK}.*.mlp.c_fc.bias": (4 * width,),
        f"{BLOCK}.*.mlp.c_proj.weight": (width, 4 * width),
        f"{BLOCK}.*.attn.out_proj.weight": (width, width),
        f"{BLOCK}.*.attn.in_proj_weight": (3 * width, width),
        f"{BLOCK}.*.attn.in_proj_bias": (3 * width,),
    }
    return {
        name.replace("*", block): torch.empty(shapes.get(name, (width,)), device="meta")
        for block in blocks
        for name in (*NAMES, *STACKED)
    }


def _config(tower: Mapping[str, Tensor]) -> Any:
    from transformers import CLIPTextConfig

    vocabulary, width = tower["embeddings.token_embedding.weight"].shape
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=sum(name.endswith("fc1.bias") for name in tower),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )


def read_tokenizer(source: Path, size: int) -> Any:
    """CLIP's tokenizer from its own list of byte pairs, or from a folder with tokenizer files.

    Args:
        size: tokens that the network has vectors for.

    Raises:
        ValueError: nothing or something else is there, or another number of tokens.
    """
    from transformers import CLIPTokenizer

    if source.is_dir():
        try:
            tokenizer = CLIPTokenizer.from_pretrained(str(source), local_files_only=True)
        except Exception as error:  # damaged files raise half a dozen unrelated types
            raise ValueError(f"{source} holds no tokenizer of CLIP") from error
    elif source.is_file():
        tokens, merges = _byte_pairs(source, size)
        vocabulary = {token: index for index, token in enumerate(tokens)}
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges)
    else:
        raise ValueError(
            f"{source} is not there; the words of CLIP are needed, which no such checkpoint "
            "holds: name the bpe_simple_vocab_16e6.txt.gz of CLIP's code, or a folder with the "
            "tokenizer files of one of OpenAI's CLIP models"
        )
    if len(tokenizer) != size:
        raise ValueError(
            f"{source} has {len(tokenizer):,} tokens; the checkpoint has {size:,}, so it is not "
            "the vocabulary it was trained with"
        )
    return tokenizer


def _byte_pairs(path: Path, size: int) -> tuple[list[str], Any]:
    """All tokens in their order, and the merges that make them, from CLIP's own file.

    It lists merges from its second line on, more of them than CLIP uses. Tokens are the 256 bytes,
    these at the end of a word, what the merges make, and the two special ones.
    """
    try:
        with open_file(path) as packed, gzip.open(packed) as file:
            content = file.read(LONGEST_LIST + 1)
        if len(content) > LONGEST_LIST:
            raise ValueError(f"it holds more than {LONGEST_LIST:,} bytes")
        lines = content.decode("utf-8").split("\n")
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise ValueError(f"{path} is not the gzipped list of CLIP's byte pairs: {error}") from None
    letters = _byte_letters()
    tokens = letters + [f"{letter}</w>" for letter in letters]
    merges = []
    for number, line in enumerate(lines[1 : 1 + size - len(tokens) - len(SPECIAL)], 2):
        pair = line.split()
        if len(pair) != 2:
            raise ValueError(f"{path}, line {number}: two parts of a word are expected")
        merges.append((pair[0], pair[1]))
        tokens.append(pair[0] + pair[1])
    return [*tokens, *SPECIAL], merges


def _byte_letters() -> list[str]:
    """The letter that stands for each byte: printable ones for themselves, then the others."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = len([byte for byte in range(256) if byte not in printable])
    return [chr(code) for code in (*printable, *range(256, 256 + others))]
