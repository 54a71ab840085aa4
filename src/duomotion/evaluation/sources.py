"""Where the motion that is scored comes from: recordings, models, and what is neither.

A source is asked for motions as long as held-out clips, each for one of its clip's captions.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar
from zipfile import BadZipFile

import numpy as np

from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.open.opensets import Motion, OpenSet
from duomotion.models.base import MotionModel
from duomotion.models.evaluator.embedding import OpenEmbedder
from duomotion.progress import counter
from duomotion.sampling.request import AS_TUNED, Sampling
from duomotion.storage import atomic_file


class Computing(Protocol):
    """What is known of how any model computes."""

    @property
    def precision(self) -> str: ...


def computation(models: Mapping[str, Computing], sampling: Sampling) -> dict[str, Any]:
    """The part of a report's facts that says how models were run."""
    precision = {name: model.precision for name, model in models.items()}
    return {"precision": precision, "sampling": asdict(sampling)}


Source = Callable[[Sequence[Query[Any]]], list[Motion]]


def real(data: OpenSet) -> Source:
    """The recorded motion."""
    return lambda queries: [data.motion.recorded(query.clip) for query in queries]


def mean_pose(data: OpenSet, train: Sequence[Any]) -> Source:
    """People who stand still as the people of the training clips do on average."""
    seen = [data.motion.recorded(clip).features() for clip in train]
    pose = data.motion.decoded(np.concatenate(seen, 1).mean(1, keepdims=True))
    return lambda queries: [pose.held(np.zeros(query.clip.num_frames, int)) for query in queries]


def retrieval(data: OpenSet, train: Sequence[Any], embedder: OpenEmbedder) -> Source:
    """The training clip whose caption's sentence is most like the text, cut or held to length."""
    captions = [(caption, clip) for clip in train for caption in data.captions(clip)]
    known = embedder.sentences([caption for caption, _ in captions])

    def look_up(queries: Sequence[Query[Any]]) -> list[Motion]:
        vectors = embedder.sentences([query.text for query in queries])
        nearest = (vectors @ known.T).argmax(1).tolist()
        found = []
        for query, row in zip(queries, nearest, strict=True):
            clip = captions[row][1]
            frames = np.minimum(np.arange(query.clip.num_frames), clip.num_frames - 1)
            found.append(data.motion.recorded(clip).held(frames))
        return found

    return look_up


def reconstructed(data: OpenSet, model: MotionModel) -> Source:
    """The recorded motion through the model's tokenizer or autoencoder and back."""

    def around(queries: Sequence[Query[Any]]) -> list[Motion]:
        seen = [data.motion.recorded(query.clip).features() for query in queries]
        return [data.motion.decoded(model.reconstruct(features)) for features in seen]

    return around


class Arrays(Protocol):
    """A named tuple of arrays."""

    def _asdict(self) -> dict[str, Any]: ...


Made = TypeVar("Made", bound=Arrays)


class CachedSource(ABC, Generic[Made]):
    """What a model makes of the texts, each as long as the recorded motion.

    Clips are kept and not made again; under torchrun each process makes its share.

    Args:
        folder: has a folder for each model, for each way of sampling and for each purpose.
        purpose: what motion is made for, where that makes a difference.

    Attributes:
        kind: the tuple of arrays that a clip is.
        batch: clips that are made at once.
        seconds: that each clip took that was made now.
    """

    kind: Callable[..., Made]
    batch: int = 1

    def __init__(
        self,
        model: MotionModel,
        folder: Path,
        processes: Processes,
        *,
        sampling: Sampling,
        purpose: str = "",
    ) -> None:
        self.model, self.processes, self.sampling = model, processes, sampling
        parts = filter(None, (model.name, model.fingerprint, purpose, str(sampling)))
        self.folder = folder / "-".join(parts).replace(", ", "-").replace(" ", "-")
        self.seconds: list[float] = []

    @abstractmethod
    def make(self, queries: Sequence[Query[Any]]) -> Sequence[Made]:
        """A batch of clips."""

    def key(self, query: Query[Any]) -> str:
        """A file's name: the same for the same clip, text, seed and length."""
        text = f"{query.clip.name}\0{query.text}\0{query.seed}\0{query.clip.num_frames}"
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __call__(self, queries: Sequence[Query[Any]]) -> list[Made]:
        paths = [self.folder / f"{self.key(query)}.npz" for query in queries]
        kept = [self._kept(path) for path in paths]
        # Shares are of all clips: what is missing may differ from process to process by now.
        share = slice(self.processes.rank, None, self.processes.size)
        own = [
            (query, path)
            for query, path, clip in list(zip(queries, paths, kept, strict=True))[share]
            if clip is None
        ]
        own.sort(key=lambda pair: pair[0].clip.num_frames)  # clips of one length share a batch
        is_shown = bool(own) and self.processes.is_first
        with counter(self.model.name, unit="clip", total=len(own), is_shown=is_shown) as add:
            for start in range(0, len(own), self.batch):
                batch = own[start : start + self.batch]
                started = time.perf_counter()
                made = self.make([query for query, _ in batch])
                self.seconds += [(time.perf_counter() - started) / len(batch)] * len(batch)
                for clip, (_, path) in zip(made, batch, strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_file(path) as temporary, temporary.open("wb") as file:
                        np.savez(file, **clip._asdict())
                add(len(batch))
        self.processes.wait()
        return [
            clip or self._kept(path) or _vanished(path)
            for clip, path in zip(kept, paths, strict=True)
        ]

    def _kept(self, path: Path) -> Made | None:
        """A clip that was made before; None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return self.kind(**arrays)
        except (OSError, ValueError, TypeError, EOFError, BadZipFile):
            return None


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
        self.kind, self.fps, self.unit = data.motion, data.layout.FPS, data.protocol.frame_unit

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


def _vanished(path: Path) -> NoReturn:
    raise OSError(f"{path}: the generated clip can't be read back")
