"""What models make of queries, cached on disk: what the benchmarks of both rooms score.

A source answers queries: motions as long as held-out clips, each for one of its clip's captions.
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
from duomotion.models.base import MotionModel, Reconstructor
from duomotion.progress import counter
from duomotion.sampling.request import Sampling
from duomotion.storage import atomic_file


def computation(models: Mapping[str, Reconstructor], sampling: Sampling) -> dict[str, Any]:
    """The part of a report's facts that says how models were run."""
    precision = {name: model.precision for name, model in models.items()}
    return {"precision": precision, "sampling": asdict(sampling)}


class Arrays(Protocol):
    """A named tuple of arrays."""

    def _asdict(self) -> dict[str, Any]: ...


Made = TypeVar("Made", bound=Arrays)


class CachedSource(ABC, Generic[Made]):
    """What a model makes of the texts, each as long as the recorded motion.

    Clips are cached and not made again; under torchrun each process makes its share.

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
        cached = [self._cached(path) for path in paths]
        # Shares are of all clips: what is missing may differ from process to process by now.
        share = slice(self.processes.rank, None, self.processes.size)
        own = [
            (query, path)
            for query, path, clip in list(zip(queries, paths, cached, strict=True))[share]
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
            clip or self._cached(path) or _vanished(path)
            for clip, path in zip(cached, paths, strict=True)
        ]

    def _cached(self, path: Path) -> Made | None:
        """A clip that was made before; None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return self.kind(**arrays)
        except (OSError, ValueError, TypeError, EOFError, BadZipFile):
            return None


def _vanished(path: Path) -> NoReturn:
    raise OSError(f"{path}: the generated clip can't be read back")
