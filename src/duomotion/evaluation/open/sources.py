"""Where the motion that the open benchmark scores comes from: recordings, models, and neither.

A source answers queries: motions as long as held-out clips, each for one of its clip's captions.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import SentenceEmbedder
from duomotion.evaluation.open.opensets import Motion, OpenSet
from duomotion.evaluation.sources import CachedSource
from duomotion.models.base import MotionModel
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
    """The training clip whose caption's sentence is most like the text, cut or held to length."""
    captions = [(caption, clip) for clip in train for caption in data.captions(clip)]
    known = embedder.sentences([caption for caption, _ in captions])

    def retrieve(queries: Sequence[Query[Any]]) -> list[Motion]:
        vectors = embedder.sentences([query.text for query in queries])
        nearest = (vectors @ known.T).argmax(1).tolist()
        found = []
        for query, row in zip(queries, nearest, strict=True):
            clip = captions[row][1]
            frames = np.minimum(np.arange(query.clip.num_frames), clip.num_frames - 1)
            found.append(data.motion.recorded(clip).held(frames))
        return found

    return retrieve


def reconstructed(data: OpenSet, model: MotionModel) -> Source:
    """The recorded motion through the model's tokenizer or autoencoder and back."""

    def reconstruct(queries: Sequence[Query[Any]]) -> list[Motion]:
        recorded = [data.motion.recorded(query.clip).features() for query in queries]
        return [data.motion.decoded(model.reconstruct(features)) for features in recorded]

    return reconstruct


class Generated(CachedSource[Motion]):
    """What users get, in whole units of as many frames as the protocol says."""

    def __init__(
        self,
        data: OpenSet,
        model: MotionModel,
        folder: Path,
        processes: Processes,
        *,
        sampling: Sampling = AS_TUNED,
    ) -> None:
        super().__init__(model, folder, processes, sampling=sampling)
        self.kind, self.fps, self.unit = data.motion, data.layout.fps, data.protocol.frame_unit

    def make(self, queries: Sequence[Query[Any]]) -> list[Motion]:
        return [self._made(query) for query in queries]

    def _made(self, query: Query[Any]) -> Motion:
        frames = query.clip.num_frames // self.unit * self.unit
        made = self.model.generate(
            query.text,
            seconds=frames / self.fps,
            seed=query.seed,
            sampling=self.sampling,
        )
        return self.kind.of(made)
