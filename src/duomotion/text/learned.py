"""What a model has learned from, as far as its captions tell, and what it reads prompts as. (Ours.)

A prompt's cosine to the nearest caption says little: two people who shake hands in unusual words
are as far from all captions as a sword fight is. So the captions compete with a list of other
things that people do (`text.actions`), less what is learned itself. docs/unseen-actions.md has the
measures that were tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from duomotion.checkpoint import read_json, read_tensors, write_json
from duomotion.config import Within, from_dict, to_dict
from duomotion.motion.interaction import Reading
from duomotion.text import actions
from duomotion.text.cache import cached_encoder
from duomotion.text.sentence import DIM

LEARNED = "learned"
"""The folder in a checkpoint."""
_VECTORS, _KINDS = "vectors.safetensors", "kinds.json"

NEAREST = 3  # captions, or other actions, whose mean cosine says how near something is
KNOWN = 0.09  # by how much captions have to be nearer than other actions, see above
MOST_KINDS = 1_000
MOST_CAPTIONS = 2_500
_LARGEST = 600_000  # bytes, of the vectors of so many captions
LONGEST = 120  # characters of a kind's name, and of an example


@dataclass(frozen=True)
class Described:
    """A caption of a clip that is trained on, and the kind of action it describes."""

    caption: str
    kind: str
    clip: str


@dataclass(frozen=True)
class Kind:
    """A kind of action: how many clips show it, and one of their captions as an example.

    Attributes:
        composed: whether these clips were composed of recordings of one person.

    Raises:
        ValueError: name or example is too long for a line, or not to be printed.
    """

    name: str
    clips: Annotated[int, Within(1, 2**31)]
    example: str
    composed: bool = False

    def __post_init__(self) -> None:
        for text in (self.name, self.example):
            if not text.isprintable() or len(text) > LONGEST:
                raise ValueError(
                    f"name and example have to be at most {LONGEST} printable characters each"
                )


@dataclass(frozen=True)
class Kinds:
    """The kinds of action that a model has learned.

    Attributes:
        num_people: how many people a clip shows.
        kinds: those of recorded clips before those of composed ones, and of each of the two those
            first that most clips show.
    """

    num_people: Annotated[int, Within(1, 2)]
    kinds: Annotated[tuple[Kind, ...], Within(1, MOST_KINDS)]


@dataclass(frozen=True, eq=False)
class Learned:
    """The kinds of action, and vectors of captions.

    Attributes:
        known: the kinds.
        vectors_KC: of K captions, of length one.
        kinds_K: int64, which of the kinds each caption is of.
    """

    known: Kinds
    vectors_KC: Tensor
    kinds_K: Tensor

    @classmethod
    def of(
        cls,
        described: Sequence[Described],
        num_people: int,
        *,
        composed: Sequence[Described] = (),
        seed: int = 0,
    ) -> "Learned":
        """What is learned from captions of clips of one person or two.

        Where there are more captions than are kept, those of frequent kinds are thinned out at
        random, to as many of each.

        Args:
            composed: captions of clips that were composed, whose kinds are many; they get the room
                that the others leave.
        """
        rng = np.random.default_rng(seed)
        chosen = _chosen(described, MOST_KINDS, MOST_CAPTIONS, rng)
        num_recorded = len(chosen)
        room = MOST_CAPTIONS - sum(len(captions) for _, _, captions in chosen)
        chosen += _chosen(composed, MOST_KINDS - num_recorded, room, rng)
        kinds, vectors, indices = [], [], []
        for index, (name, clips, captions) in enumerate(chosen):
            vectors_NC, is_composed = _encode(captions), index >= num_recorded
            example = _tidy(_example(captions, vectors_NC))
            kinds.append(Kind(_tidy(name), clips, example, is_composed))
            vectors.append(vectors_NC)
            indices += [index] * len(captions)
        return cls(
            Kinds(num_people, tuple(kinds)),
            actions.unpack(actions.pack(torch.cat(vectors))),
            torch.tensor(indices),
        )

    def read(self, text: str) -> Reading:
        """What a prompt is read as."""
        vector_C = _encode([text])[0]
        cosine_K = self.vectors_KC @ vector_C
        captions_NM, counts_N = self._captions
        # Of a kind with fewer captions the last of those nearest are the padding.
        nearest_NM = cosine_K[captions_NM].where(captions_NM >= 0, -torch.inf)
        nearest_NM = nearest_NM.topk(min(NEAREST, nearest_NM.shape[1])).values
        scores_N = nearest_NM.nan_to_num(neginf=0.0).sum(1) / counts_N.clamp(1, NEAREST)
        best = int(scores_N.argmax())
        known = self._knows(vector_C)
        return Reading(
            self.known.kinds[best].name,
            round(scores_N[best].item(), 4),
            known,
            composed=known and not self.recorded._knows(vector_C),
        )

    @cached_property
    def _captions(self) -> tuple[Tensor, Tensor]:
        """Numbers of each kind's captions (N, M), padded with -1, and how many they are (N,)."""
        rows = [torch.nonzero(self.kinds_K == kind)[:, 0] for kind in range(len(self.known.kinds))]
        counts_N = torch.tensor([len(row) for row in rows])
        return pad_sequence(rows, batch_first=True, padding_value=-1), counts_N

    def _knows(self, vector_C: Tensor) -> bool:
        """Whether captions are so much nearer to a prompt than other actions that it is known."""
        if not len(self.vectors_KC):
            return False
        lead = _nearest(self.vectors_KC @ vector_C) - _nearest(self.others @ vector_C)
        return lead >= KNOWN

    @cached_property
    def recorded(self) -> "Learned":
        """What is learned from recorded clips alone."""
        kinds = self.known.kinds
        if not any(kind.composed for kind in kinds):
            return self
        kept = [index for index, kind in enumerate(kinds) if not kind.composed]
        places_K, kept_K = torch.nonzero(self.kinds_K[:, None] == torch.tensor(kept)).T
        return Learned(
            Kinds(self.known.num_people, tuple(kinds[index] for index in kept)),
            self.vectors_KC[places_K],
            kept_K,
        )

    @cached_property
    def others(self) -> Tensor:
        """Vectors (N, C) of actions that are not among what is learned, read as prompts are.

        Each one competes with the others: "two people fence" is not learned where it is nearer to
        "two people fight with swords" than to captions, but not by `KNOWN`.
        """
        all_NC = actions.vectors(self.known.num_people)
        among_NN = (all_NC @ all_NC.T).fill_diagonal_(-1)
        leads = [
            _nearest(own_K) - _nearest(other_N)
            for own_K, other_N in zip(all_NC @ self.vectors_KC.T, among_NN, strict=True)
        ]
        return all_NC[torch.tensor(leads) < KNOWN]

    def save(self, folder: Path) -> None:
        """Write what `read_learned` reads: 0.2 kB a caption.

        Raises:
            OSError: a file can't be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _KINDS, to_dict(self.known))
        tensors = {
            "captions": actions.pack(self.vectors_KC),
            "kinds": self.kinds_K.to(torch.int16),
        }
        save_file(tensors, folder / _VECTORS)


def read_learned(folder: Path) -> Learned | None:
    """What the model in a checkpoint's folder has learned from, if it says so.

    Raises:
        ValueError: the files are not what `Learned.save` writes.
    """
    known = read_known(folder)
    if known is None:
        return None
    path = folder / LEARNED / _VECTORS
    tensors = read_tensors(path, limit=_LARGEST)
    captions, kinds = (tensors.get(name, torch.empty(0)) for name in ("captions", "kinds"))
    fits = (
        captions.ndim == 2
        and captions.shape[1] == DIM // 2
        and captions.dtype == torch.uint8
        and kinds.shape == captions.shape[:1]
        and kinds.dtype == torch.int16
        and kinds.unique().tolist() == list(range(len(known.kinds)))
    )
    if not fits:
        raise ValueError(
            f"{path}: has to hold 'captions', {DIM // 2} bytes each, and for each of them one of "
            f"the {len(known.kinds)} kinds as 'kinds', no kind without a caption"
        )
    return Learned(known, actions.unpack(captions), kinds.long())


def read_known(folder: Path) -> Kinds | None:
    """The kinds of action that the model in a checkpoint's folder has learned, if it says so.

    Raises:
        ValueError: the file is not what `Learned.save` writes.
    """
    path = folder / LEARNED / _KINDS
    return from_dict(Kinds, read_json(path), str(path)) if path.parent.exists() else None


def _chosen(
    described: Sequence[Described], most_kinds: int, room: int, rng: np.random.Generator
) -> list[tuple[str, int, list[str]]]:
    """Name, number of clips and captions of each kind, the kinds with most clips first.

    At most so many kinds, and in all as many captions as there is room for, `NEAREST` or more of
    each kind that has them.
    """
    by_kind: dict[str, dict[str, None]] = {}
    clips: dict[str, set[str]] = {}
    for each in described:
        by_kind.setdefault(each.kind, {})[each.caption] = None
        clips.setdefault(each.kind, set()).add(each.clip)
    names = sorted(by_kind, key=lambda name: (-len(clips[name]), name))
    names = names[: min(most_kinds, room // NEAREST)]
    most = _most_each([len(by_kind[name]) for name in names], room) if names else 0
    chosen = []
    for name in names:
        captions = sorted(by_kind[name])
        if len(captions) > most:
            captions = sorted(rng.choice(captions, most, replace=False).tolist())
        chosen.append((name, len(clips[name]), captions))
    return chosen


def _encode(texts: list[str]) -> Tensor:
    return cached_encoder("sentence", dim=DIM).encode(texts).vectors


def _nearest(cosine_N: Tensor) -> float:
    return cosine_N.topk(min(NEAREST, len(cosine_N))).values.mean().item()


def _example(captions: list[str], vectors_NC: Tensor) -> str:
    """Of the shorter half of the captions the one in their middle."""
    order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
    short = order[: -(-len(order) // 2)]
    middle = (vectors_NC[short] @ vectors_NC.mean(0)).argmax().item()
    return captions[short[int(middle)]]


def _tidy(text: str) -> str:
    """Fit for a line that is printed."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return shorten(printable, LONGEST, placeholder="…")


def _most_each(counts: Sequence[int], room: int) -> int:
    """The largest number that lets no more than `room` stay if no kind has more."""
    return max(most for most in range(1, room + 1) if sum(min(n, most) for n in counts) <= room)
