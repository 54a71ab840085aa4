"""What models make of what they are asked for, cached on disk: what the benchmarks score.

Mostly they are asked queries: for motions as long as held-out clips, each for one of its clip's
captions.
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

from duomotion import __version__
from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.models.base import MotionModel
from duomotion.models.reconstructor import Reconstructor
from duomotion.progress import counter
from duomotion.sampling.request import Sampling
from duomotion.storage import atomic_file

GENERATION, RECONSTRUCTION, REACTION = "generation", "reconstruction", "reaction"
TAKEN = "seconds_taken"  # beside the arrays of a cached clip
SUFFIX = {GENERATION: "", RECONSTRUCTION: ", reconstruction only", REACTION: ", reactions"}
"""What motion is made for, and how the row of a model's name ends then."""


def computation(models: Mapping[str, Reconstructor], sampling: Sampling) -> dict[str, Any]:
    """The part of a report's facts that says how models were run."""
    precision = {name: model.precision for name, model in models.items()}
    return {"precision": precision, "sampling": asdict(sampling)}


class Arrays(Protocol):
    """A named tuple of arrays."""

    def _asdict(self) -> dict[str, Any]: ...


Asked = TypeVar("Asked")
Made = TypeVar("Made", bound=Arrays)


class CachedSource(ABC, Generic[Asked, Made]):
    """What a model makes of what it is asked for.

    Clips are cached and not made again; under torchrun each process makes its share.

    Args:
        folder: has a folder for each model, for each way of sampling and for each purpose, of each
            version of this package.
        purpose: what motion is made for, where that makes a difference.

    Attributes:
        kind: the tuple of arrays that a clip is.
        batch: clips that are made at once.
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
        version = f"v{__version__}"  # how features become bodies may change with it
        parts = filter(None, (model.name, version, model.fingerprint, purpose, str(sampling)))
        self.folder = folder / "-".join(parts).replace(", ", "-").replace(" ", "-")
        self._seconds: dict[Path, float] = {}

    @property
    def seconds(self) -> list[float]:
        """What each clip took, whenever it was made."""
        return list(self._seconds.values())

    @abstractmethod
    def make(self, asked: Sequence[Asked], /) -> Sequence[Made]:
        """A batch of clips."""

    @abstractmethod
    def identity(self, asked: Asked, /) -> tuple[object, ...]:
        """What tells a clip from others of the same model."""

    def length(self, asked: Asked, /) -> int:
        """Frames, where they are asked for; clips of one length share a batch."""
        return 0

    def key(self, asked: Asked, /) -> str:
        """A file's name."""
        text = "\0".join(map(str, self.identity(asked)))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __call__(self, asked: Sequence[Asked]) -> list[Made]:
        paths = [self.folder / f"{self.key(each)}.npz" for each in asked]
        cached = [self._cached(path) for path in paths]
        # Shares are of all clips: what is missing may differ from process to process by now.
        share = slice(self.processes.rank, None, self.processes.size)
        shared = list(zip(asked, paths, cached, strict=True))[share]
        own = [(each, path) for each, path, clip in shared if clip is None]
        own.sort(key=lambda pair: self.length(pair[0]))
        is_shown = bool(own) and self.processes.is_first
        with counter(self.model.name, unit="clip", total=len(shared), is_shown=is_shown) as add:
            add(len(shared) - len(own))
            for start in range(0, len(own), self.batch):
                batch = own[start : start + self.batch]
                started = time.perf_counter()
                made = self.make([each for each, _ in batch])
                taken = (time.perf_counter() - started) / len(batch)
                for clip, (_, path) in zip(made, batch, strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    arrays: dict[str, Any] = {**clip._asdict(), TAKEN: taken}
                    with atomic_file(path) as temporary, temporary.open("wb") as file:
                        np.savez(file, **arrays)
                add(len(batch))
        self.processes.wait()
        return [
            clip or self._cached(path) or _vanished(path)
            for clip, path in zip(cached, paths, strict=True)
        ]

    def _cached(self, path: Path) -> Made | None:
        """A clip that was made before; None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            taken = float(arrays.pop(TAKEN))
            clip = self.kind(**arrays)
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile):
            return None
        self._seconds[path] = taken
        return clip


class ClipSource(CachedSource[Query[Any], Made]):
    """What a model makes of the texts, each as long as the recorded motion."""

    def identity(self, query: Query[Any], /) -> tuple[object, ...]:
        return query.clip.name, query.text, query.seed, query.clip.num_frames

    def length(self, query: Query[Any], /) -> int:
        return query.clip.num_frames


def _vanished(path: Path) -> NoReturn:
    raise OSError(f"{path}: the generated clip can't be read back")
