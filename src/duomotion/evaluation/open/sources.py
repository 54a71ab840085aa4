"""Where the motion that the open benchmark scores comes from: recordings, models, and neither.

A source answers queries: motions as long as held-out clips, each for one of its clip's captions.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import SentenceEmbedder
from duomotion.evaluation.open.opensets import Motion, OpenSet, PairMotion
from duomotion.evaluation.sources import REACTION, CachedSource, ClipSource
from duomotion.models.base import MotionModel
from duomotion.motion.canonical import facing
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import AS_TUNED, Sampling

Source = Callable[[Sequence[Query[Any]]], list[Motion]]


def real(data: OpenSet) -> Source:
    """The recorded motion."""
    return lambda queries: [data.motion.recorded(query.clip) for query in queries]


def mean_pose(data: OpenSet, train: Sequence[Any]) -> Source:
    """People who stand still as the people of the training clips do on average."""
    features = [data.motion.recorded(clip).features() for clip in train]
    pose = data.motion.decoded(np.concatenate(features, 1).mean(1, keepdims=True))
    return lambda queries: [pose.held(np.zeros(query.clip.num_frames, int)) for query in queries]


def retrieval(data: OpenSet, train: Sequence[Any], embedder: SentenceEmbedder) -> Source:
    """The clip that `nearest_clips` finds, cut or held to length."""
    find = nearest_clips(data, train, embedder)

    def retrieve(queries: Sequence[Query[Any]]) -> list[Motion]:
        found = []
        for query, clip in zip(queries, find([query.text for query in queries]), strict=True):
            frames = np.minimum(np.arange(query.clip.num_frames), clip.num_frames - 1)
            found.append(data.motion.recorded(clip).held(frames))
        return found

    return retrieve


def retrieved_partners(data: OpenSet, train: Sequence[Any], embedder: SentenceEmbedder) -> Source:
    """The recorded first person, with the second one of the clip that `retrieval` finds."""
    retrieve = retrieval(data, train, embedder)

    def answer(queries: Sequence[Query[Any]]) -> list[Motion]:
        answers: list[Motion] = []
        for query, found in zip(queries, retrieve(queries), strict=True):
            assert isinstance(found, PairMotion)
            answers.append(partnered(PairMotion.recorded(query.clip), found))
        return answers

    return answer


def partnered(pair: PairMotion, other: PairMotion) -> PairMotion:
    """The first of one pair with the second of another, who begins as beside their own first."""
    (actor, _), (first, second) = pair.positions, other.positions
    turn = yaw(facing(actor[0], SMPL22) - facing(first[0], SMPL22))
    flat = np.array([1, 0, 1])
    placed = (second - flat * first[0, 0]) @ turn.T + flat * actor[0, 0]
    return PairMotion(np.stack([actor, placed]), np.stack([pair.sixd[0], other.sixd[1]]))


def nearest_clips(
    data: OpenSet, train: Sequence[Any], embedder: SentenceEmbedder
) -> Callable[[Sequence[str]], list[Any]]:
    """For texts the training clips whose caption's sentence is most like each of them."""
    captions = [(caption, clip) for clip in train for caption in data.captions(clip)]
    known = embedder.sentences([caption for caption, _ in captions])

    def find(texts: Sequence[str]) -> list[Any]:
        nearest = (embedder.sentences(texts) @ known.T).argmax(1).tolist()
        return [captions[row][1] for row in nearest]

    return find


def reconstructed(data: OpenSet, model: MotionModel) -> Source:
    """The recorded motion through the model's tokenizer or autoencoder and back."""

    def reconstruct(queries: Sequence[Query[Any]]) -> list[Motion]:
        recorded = [data.motion.recorded(query.clip).features() for query in queries]
        return [data.motion.decoded(model.reconstruct(features)) for features in recorded]

    return reconstruct


class Generated(ClipSource[Motion]):
    """What users get, in whole units of as many frames as the protocol says."""

    purpose = ""
    kind: type[Any]

    def __init__(
        self,
        data: OpenSet,
        model: MotionModel,
        folder: Path,
        processes: Processes,
        *,
        sampling: Sampling = AS_TUNED,
    ) -> None:
        super().__init__(model, folder, processes, sampling=sampling, purpose=self.purpose)
        self.kind, self.layout, self.unit = data.motion, data.layout, data.protocol.frame_unit

    def frames(self, query: Query[Any]) -> int:
        """Of the clip that is made."""
        return query.clip.num_frames // self.unit * self.unit

    def make(self, queries: Sequence[Query[Any]], /) -> list[Motion]:
        return [self._made(query) for query in queries]

    def _made(self, query: Query[Any]) -> Motion:
        made = self.model.generate(
            query.text,
            seconds=self.frames(query) / self.layout.fps,
            seed=query.seed,
            sampling=self.sampling,
        )
        return self.kind.of(made)


class Reactions(Generated):
    """The recorded first person, and what the model makes of the other."""

    purpose = REACTION

    def _made(self, query: Query[Any]) -> Motion:
        recorded = self.kind.recorded(query.clip).features(0, self.frames(query))
        actor = self.layout.decode(recorded).person(0)
        made = self.model.react(actor, query.text, seed=query.seed, sampling=self.sampling)
        return self.kind.of(made)


class Typed(NamedTuple):
    """A prompt, for a clip as long as it takes."""

    text: str
    seed: int


class Bodies(NamedTuple):
    """An interaction of SMPL-22 people as arrays, all of one frame rate."""

    root_positions: np.ndarray
    rotations: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, interaction: Interaction) -> Self:
        offsets = np.stack([skeleton.offsets for skeleton in interaction.skeletons])
        return cls(interaction.root_positions, interaction.rotations, offsets)

    def interaction(self, fps: float) -> Interaction:
        skeletons = tuple(SMPL22.with_offsets(offsets) for offsets in self.offsets)
        return Interaction(self.root_positions, self.rotations, skeletons, fps)


class FromPrompts(CachedSource[Typed, Bodies]):
    """What users get who type no more than a prompt."""

    kind = Bodies

    def make(self, prompts: Sequence[Typed], /) -> list[Bodies]:
        return [
            Bodies.of(self.model.generate(text, seed=seed, sampling=self.sampling))
            for text, seed in prompts
        ]

    def identity(self, prompt: Typed, /) -> tuple[object, ...]:
        return tuple(prompt)
