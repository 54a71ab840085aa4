"""A recorded first person, and the second as a model of two people generates them.

As Text2Interact (ICLR 2026) composes interactions: for a sentence about two roles a recording is
looked for that fits the first, the other's reaction is generated, and what an evaluator finds well
aligned with the sentence is kept, here if it moves like recorded people as well.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from duomotion.composition.clauses import Clause
from duomotion.composition.pairs import DAMAGED, Composed, kind_of
from duomotion.composition.placing import Person
from duomotion.composition.recordings import FPS, Take, read_motion
from duomotion.composition.sentences import Sentence
from duomotion.composition.texts import reaction_captions
from duomotion.data.interhuman import Clip, read_split
from duomotion.evaluation.metrics import physics
from duomotion.evaluation.metrics.embedder import SentenceEmbedder
from duomotion.evaluation.metrics.physics import PAIR_LIMITS
from duomotion.loading import load, shipped_evaluator
from duomotion.models.base import MotionModel
from duomotion.models.children import load_embedder
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.rotations import matrix_to_sixd_interleaved

FITS = 0.6  # cosine of the sentence vectors of a role and of a recording's caption, at least
NEAREST = 8  # recordings among which one is drawn for a role
SECONDS = 6.0  # of a clip, at most
APART = 1 << 20  # seeds of reactions are not those of pairs

NO_RECORDING = "no recording fits the first role"
NOT_ALIGNED = "the evaluator does not find the sentence in it"
UNSOUND = "no sound motion: {}"


class Judge:
    """Whether a clip shows what a sentence says, by an evaluator of the training split alone.

    Attributes:
        threshold: the alignment that best tells recorded training pairs with their own captions
            from the same with each other's.
    """

    def __init__(self, embedder: SentenceEmbedder, clips: Sequence[Clip]) -> None:
        self.embedder = embedder
        shown_NE = embedder.motions([_features(clip.positions, clip.sixd) for clip in clips])
        texts = [(number, text) for number, clip in enumerate(clips) for text in clip.captions]
        said_ME = embedder.texts([text for _, text in texts])
        owners_M = np.array([number for number, _ in texts])
        shuffled_M = owners_M[np.random.default_rng(0).permutation(len(owners_M))]
        own_M, other_M = (
            (shown_NE[numbers] * said_ME).sum(1) for numbers in (owners_M, shuffled_M)
        )
        self.threshold = threshold_between(other_M[shuffled_M != owners_M], own_M)

    def alignment(self, pair: Interaction, text: str) -> float:
        """The cosine of clip and text, whoever of the two is the first."""
        sixd = matrix_to_sixd_interleaved(pair.rotations[:, :, 1:])
        orders = [_features(pair.positions[order], sixd[order]) for order in ([0, 1], [1, 0])]
        return float((self.embedder.motions(orders) @ self.embedder.texts([text])[0]).max())


def _features(positions: np.ndarray, sixd: np.ndarray) -> np.ndarray:
    return INTERHUMAN.encode_pair(positions, sixd, floor="keep")


def threshold_between(low: np.ndarray, high: np.ndarray) -> float:
    """The number that leaves the smallest shares of `low` (N,) above and of `high` (M,) below."""
    candidates = np.unique(np.concatenate([low, high]))
    below = np.searchsorted(np.sort(high), candidates) / len(high)
    above = 1 - np.searchsorted(np.sort(low), candidates) / len(low)
    return float(candidates[(below + above).argmin()])


def load_reacting(name: str) -> MotionModel:
    """A model of two people by name or folder; raises ValueError for any other."""
    model = load(name)
    if model.num_people != 2:
        raise ValueError(
            f"{name} makes the motion of one person and can't react; name a model of two people"
        )
    return model


class Reactor:
    """Makes clips of a recording and a reaction.

    Args:
        root: the data set of one person.
        takes: its described stretches.
        model: of two people.
    """

    def __init__(
        self,
        root: Path,
        takes: Sequence[Take],
        sentences: Sequence[Sentence],
        model: MotionModel,
        judge: Judge,
    ) -> None:
        self.root, self.sentences, self.model, self.judge = root, list(sentences), model, judge
        self.weights = model.fingerprint
        self.longest = min(SECONDS, model.max_frames / model.fps)
        self.takes = [take for take in takes if take.lengths[0] <= self.longest]
        self.vectors_NC = self._vectors([take.clauses[0] for take in self.takes])

    @classmethod
    def read(
        cls,
        root: Path,
        takes: Sequence[Take],
        sentences: Sequence[Sentence],
        model: str,
        pairs: str,
    ) -> "Reactor":
        """With a model by name or folder, and the evaluator that comes with the package.

        Raises:
            ValueError: there is no such model or data set, or the model makes one person.
        """
        loaded = load_reacting(model)
        embedder = load_embedder(shipped_evaluator())
        assert isinstance(embedder, SentenceEmbedder)
        clips, _ = read_split(pairs, "train")
        return cls(root, takes, sentences, loaded, Judge(embedder, clips))

    def react(self, *, seed: int, number: int) -> tuple[Composed | None, Counter[str]]:
        """A clip, the same for the same arguments, or why there is none."""
        with _one_thread():
            return self._reacted(seed, number)

    def _reacted(self, seed: int, number: int) -> tuple[Composed | None, Counter[str]]:
        rng = np.random.default_rng((seed, number, APART))
        sentence = self.sentences[rng.integers(len(self.sentences))]
        take = self._fitting(sentence.first, rng)
        if take is None:
            return None, Counter([NO_RECORDING])
        low, high = take.lengths
        seconds = int(rng.uniform(low, min(high, self.longest)) * FPS) / FPS
        start, end = take.window(seconds, rng)
        motion = read_motion(self.root, take.clip, start, end)
        if motion is None:
            return None, Counter([DAMAGED])
        actor = Person.of(motion).motion
        draw = int(rng.integers(2**32))
        pair = self.model.react(
            actor,
            f"one person {sentence.first.singular}",
            partner=f"the other person {sentence.second.singular}",
            seed=draw,
        )
        alignment = self.judge.alignment(pair, sentence.text)
        if alignment < self.judge.threshold:
            return None, Counter([NOT_ALIGNED])
        if broken := unsound(pair):
            return None, Counter([UNSOUND.format(broken[0].replace("_", " "))])
        captions = reaction_captions(take.clauses, sentence.first, sentence.second, rng)
        record = {
            "arrangement": "reaction",
            "people": [
                {"clip": take.clip, "start": round(start, 3), "end": round(end, 3)},
                {"model": self.model.name, "weights": self.weights, "seed": draw},
            ],
            "sentence": sentence.text,
            "alignment": round(alignment, 3),
        }
        kind = kind_of(sentence.first.action.name, sentence.second.action.name)
        return Composed(pair, captions, kind, record), Counter()

    def _fitting(self, role: Clause, rng: np.random.Generator) -> Take | None:
        """One of the stretches whose captions come nearest to a role."""
        cosines_N = self.vectors_NC @ self._vectors([role])[0]
        nearest = np.argsort(-cosines_N, kind="stable")[:NEAREST]
        nearest = nearest[cosines_N[nearest] >= FITS]
        return self.takes[nearest[rng.integers(len(nearest))]] if len(nearest) else None

    def _vectors(self, clauses: Sequence[Clause]) -> np.ndarray:
        texts = [f"a person {clause.singular}" for clause in clauses]
        return self.judge.embedder.sentences(texts).numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within, sums do not depend on how many processes share the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def unsound(pair: Interaction) -> tuple[str, ...]:
    """What of the second person, and of the two together, recorded pairs do not show."""
    together, alone = physics.report(pair), physics.report(pair.person(1))
    both = ("body_depth", "body_overlap")
    return PAIR_LIMITS.broken({**alone, **{name: together[name] for name in both}})
