"""Words as the evaluators of HumanML3D, KIT-ML and Inter-X read them: vectors and kinds.

Every word has a GloVe vector and a kind: its tag, or a kind of its own where it matters for motion.
Words that have no vector are all the same one, "unk". Released as NAME_data.npy (V, C),
NAME_words.pkl (a list) and NAME_idx.pkl (a dict to rows); here vectors.safetensors and words.json.

Source: released code of text-to-motion (utils/word_vectorizer.py); Inter-X uses the same.

Axes: B texts, W words, C numbers of a vector, K kinds, V words that have vectors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from duomotion.checkpoint import read_tensors
from duomotion.data.captions import OTHER
from duomotion.official.reading import read_plain_pickle
from duomotion.reading import read_array, read_text
from duomotion.storage import atomic_folder

VECTORS, LIST = "vectors", "words.json"
START, END, UNKNOWN = "sos", "eos", "unk"

TAGS = ("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV")
# Kinds of their own, whatever the tag.
SPECIAL = {
    "place": (
        "left", "right", "clockwise", "counterclockwise", "anticlockwise", "forward", "back",
        "backward", "up", "down", "straight", "curve",
    ),
    "body": (
        "arm", "chin", "foot", "feet", "face", "hand", "mouth", "leg", "waist", "eye", "knee",
        "shoulder", "thigh",
    ),
    "object": (
        "stair", "dumbbell", "chair", "window", "floor", "car", "ball", "handrail", "baseball",
        "basketball",
    ),
    "act": (
        "walk", "run", "swing", "pick", "bring", "kick", "put", "squat", "throw", "hop", "dance",
        "jump", "turn", "stumble", "stop", "sit", "lift", "lower", "raise", "wash", "stand",
        "kneel", "stroll", "rub", "bend", "balance", "flap", "jog", "shuffle", "lean", "rotate",
        "spin", "spread", "climb",
    ),
    "manner": (
        "slowly", "carefully", "fast", "careful", "slow", "quickly", "happy", "angry", "sad",
        "happily", "angrily", "sadly",
    ),
}  # fmt: skip
KINDS = (*TAGS, *SPECIAL, OTHER)
_SPECIAL_KIND = {word: kind for kind, words in SPECIAL.items() for word in words}


@dataclass(frozen=True, eq=False)
class Words:
    """Vectors (V, C) float32 and the word of each.

    Raises:
        ValueError: they don't belong together, or a word is missing that every text needs.
    """

    vectors_VC: np.ndarray
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.vectors_VC.ndim != 2 or len(self.vectors_VC) != len(self.words):
            raise ValueError(f"{len(self.words)} words can't have vectors {self.vectors_VC.shape}")
        if len(self.rows) != len(self.words):
            raise ValueError("a word is there twice")
        if not np.isfinite(self.vectors_VC).all():
            raise ValueError("a vector holds NaN or infinity")
        if missing := [word for word in (START, END, UNKNOWN) if word not in self.rows]:
            raise ValueError(f"there is no vector for {', '.join(missing)}")

    @cached_property
    def rows(self) -> dict[str, int]:
        """Where each word's vector is."""
        return {word: row for row, word in enumerate(self.words)}

    def save(self, folder: Path) -> None:
        """Write the folder; raises OSError where it can't be written."""
        with atomic_folder(folder) as temporary:
            save_file(
                {VECTORS: torch.from_numpy(self.vectors_VC)}, temporary / f"{VECTORS}.safetensors"
            )
            (temporary / LIST).write_text(json.dumps(self.words), encoding="utf-8")

    def read(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (B, W, C), one-hot kinds (B, W, K) and numbers of words (B,) of tagged texts.

        Args:
            texts: "word/TAG word/TAG"; a start and an end are put around them.
            longest: words of a text that are read; what comes later is left out.
        """
        ids = [self._ids(text.split()[:longest]) for text in texts]
        lengths = [len(rows) for rows in ids]
        words_BW = torch.zeros(len(texts), max(lengths), 2, dtype=torch.int64)
        for row, pairs in zip(words_BW, ids, strict=True):
            row[: len(pairs)] = torch.tensor(pairs)
        vectors_VC = torch.from_numpy(self.vectors_VC)
        kinds_BWK = torch.nn.functional.one_hot(words_BW[..., 1], len(KINDS)).float()
        return vectors_VC[words_BW[..., 0]], kinds_BWK, torch.tensor(lengths)

    def _ids(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """Row and kind of each word, with those of start and end around them."""
        around = [(self.rows[word], KINDS.index(OTHER)) for word in (START, END)]
        return [around[0], *(self._id(token) for token in tokens), around[1]]

    def _id(self, token: str) -> tuple[int, int]:
        word, _, tag = token.rpartition("/")
        if word not in self.rows:
            return self.rows[UNKNOWN], KINDS.index(OTHER)
        kind = _SPECIAL_KIND.get(word, tag if tag in TAGS else OTHER)
        return self.rows[word], KINDS.index(kind)


def load_words(folder: Path) -> Words:
    """What `Words.save` wrote.

    Raises:
        ValueError: something is missing or damaged.
    """
    path, listing = folder / f"{VECTORS}.safetensors", folder / LIST
    for each in (path, listing):
        if not each.is_file():
            raise ValueError(f"{each} is not there; the evaluator needs the vectors of its words")
    try:
        vectors, words = read_tensors(path)[VECTORS], json.loads(read_text(listing))
        return Words(vectors.float().numpy(), tuple(words))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder} holds no vectors of words: {error}") from None


def official_words(folder: Path, size: int) -> Words:
    """The vectors of a released folder glove/: NAME_data.npy, NAME_words.pkl, NAME_idx.pkl.

    Args:
        size: numbers of a vector that the evaluator reads.

    Raises:
        ValueError: a file is missing, damaged, or holds something else.
        OSError: a file can't be read.
    """
    found = sorted(folder.glob("*_data.npy"))
    if len(found) != 1:
        raise ValueError(
            f"{folder} holds {len(found)} files *_data.npy; name the folder glove/ of the released "
            "code, with one of them beside its *_words.pkl and *_idx.pkl"
        )
    data = found[0]
    paths = [Path(f"{str(data).removesuffix('_data.npy')}_{part}.pkl") for part in ("words", "idx")]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise ValueError(f"{folder} has no {' and no '.join(missing)}")
    vectors = read_array(data)
    words, index = (read_plain_pickle(path) for path in paths)
    rows = index if isinstance(index, dict) else {}
    if not isinstance(words, list) or any(
        not isinstance(row := rows.get(word), int) or not 0 <= row < len(vectors) for word in words
    ):
        raise ValueError(f"{paths[0]} and {paths[1]} don't say which word has which vector")
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise ValueError(f"{data} has vectors {vectors.shape}; the evaluator reads {size} numbers")
    order = [int(rows[word]) for word in words]
    try:
        return Words(vectors[order].astype(np.float32), tuple(map(str, words)))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
