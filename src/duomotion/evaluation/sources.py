"""Where the motion that is scored comes from: recordings, models, and what is neither.

A source is asked for motions as long as held-out clips, each for one of its clip's captions.
"""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, NoReturn, TypeVar
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from duomotion.data.interhuman import Clip
from duomotion.distributed import Processes
from duomotion.evaluation.embedding import OpenEmbedder
from duomotion.motion.features import ROTATIONS, encode_pair, positions
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import matrix_to_sixd_interleaved
from duomotion.sampling.request import FPS, Generator
from duomotion.storage import atomic_file

FLOOR = "keep"  # see `features.encode_pair`


class Motion(NamedTuple):
    """Two people: positions (2, T, 22, 3) in metres and local rotations (2, T, 21, 6)."""

    positions: np.ndarray
    sixd: np.ndarray

    @classmethod
    def of(cls, interaction: Interaction) -> "Motion":
        sixd = matrix_to_sixd_interleaved(interaction.rotations[:, :, 1:])
        return cls(interaction.positions, sixd)

    @property
    def num_frames(self) -> int:
        return self.positions.shape[1]

    def features(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Features (2, T - 1, 262) of some of its frames."""
        cut = slice(start, stop)
        return encode_pair(self.positions[:, cut], self.sixd[:, cut], floor=FLOOR)


class Ask(NamedTuple):
    """What a row is asked for: a motion as long as a test clip for one of its captions."""

    clip: Clip
    text: str
    seed: int


Source = Callable[[Sequence[Ask]], list[Motion]]


def real(asks: Sequence[Ask]) -> list[Motion]:
    """The recorded motion."""
    return [Motion(ask.clip.positions, ask.clip.sixd) for ask in asks]


def mean_pose(train: Sequence[Clip]) -> Source:
    """Two people who stand still as the people of the training clips do on average."""
    seen = [encode_pair(clip.positions, clip.sixd, floor=FLOOR) for clip in train]
    mean = np.concatenate(seen, 1).mean(1, keepdims=True)
    pose = positions(mean)
    sixd = mean[..., ROTATIONS].reshape(2, 1, 21, 6)

    def stand(asks: Sequence[Ask]) -> list[Motion]:
        return [
            Motion(pose.repeat(ask.clip.num_frames, 1), sixd.repeat(ask.clip.num_frames, 1))
            for ask in asks
        ]

    return stand


def retrieval(train: Sequence[Clip], embedder: OpenEmbedder) -> Source:
    """The training clip whose caption's sentence is most like the text, cut or held to length."""
    captions = [(caption, clip) for clip in train for caption in clip.captions]
    known = embedder.sentences([caption for caption, _ in captions])

    def look_up(asks: Sequence[Ask]) -> list[Motion]:
        vectors = embedder.sentences([ask.text for ask in asks])
        nearest = (vectors @ known.T).argmax(1).tolist()
        found = []
        for ask, row in zip(asks, nearest, strict=True):
            clip = captions[row][1]
            held = np.minimum(np.arange(ask.clip.num_frames), clip.num_frames - 1)
            found.append(Motion(clip.positions[:, held], clip.sixd[:, held]))
        return found

    return look_up


def reconstructed(model: Generator) -> Source:
    """The recorded motion through the model's tokenizer or autoencoder and back."""

    def around(asks: Sequence[Ask]) -> list[Motion]:
        found = []
        for ask in asks:
            back = model.reconstruct(Motion(ask.clip.positions, ask.clip.sixd).features())
            found.append(
                Motion(positions(back), back[..., ROTATIONS].reshape(*back.shape[:2], 21, 6))
            )
        return found

    return around


Made = TypeVar("Made", bound=NamedTuple)


class Kept(ABC, Generic[Made]):
    """What a model makes of the texts, each as long as the recorded motion.

    Clips are kept in a folder and not made again; under torchrun each process makes its share.

    Attributes:
        kind: the tuple of arrays that a clip is.
        batch: clips that are made at once.
        seconds: that each clip took that was made now.
    """

    kind: Callable[..., Made]
    batch: int = 1

    def __init__(self, model: Generator, folder: Path, processes: Processes) -> None:
        self.model, self.folder, self.processes = model, folder, processes
        self.seconds: list[float] = []

    @abstractmethod
    def make(self, asks: Sequence[Ask]) -> Sequence[Made]:
        """A batch of clips."""

    def __call__(self, asks: Sequence[Ask]) -> list[Made]:
        paths = [self.folder / f"{_key(ask)}.npz" for ask in asks]
        kept = [self._kept(path) for path in paths]
        # Shares are of all clips: what is missing may differ from process to process by now.
        share = slice(self.processes.rank, None, self.processes.size)
        own = [
            (ask, path)
            for ask, path, clip in list(zip(asks, paths, kept, strict=True))[share]
            if clip is None
        ]
        silent = not (own and self.processes.is_first)
        with tqdm(total=len(own), desc=self.model.name, unit="clip", disable=silent) as progress:
            for start in range(0, len(own), self.batch):
                batch = own[start : start + self.batch]
                started = time.perf_counter()
                made = self.make([ask for ask, _ in batch])
                self.seconds += [(time.perf_counter() - started) / len(batch)] * len(batch)
                for clip, (_, path) in zip(made, batch, strict=True):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_file(path) as temporary, temporary.open("wb") as file:
                        np.savez(file, **clip._asdict())
                progress.update(len(batch))
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


class Generated(Kept[Motion]):
    """What users get."""

    kind = Motion

    def make(self, asks: Sequence[Ask]) -> list[Motion]:
        return [
            Motion.of(
                self.model.generate(ask.text, seconds=ask.clip.num_frames / FPS, seed=ask.seed)
            )
            for ask in asks
        ]


def _key(ask: Ask) -> str:
    """A file's name: the same for the same clip, text, seed and length."""
    text = f"{ask.clip.name}\0{ask.text}\0{ask.seed}\0{ask.clip.num_frames}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _vanished(path: Path) -> NoReturn:
    raise OSError(f"{path}: the generated clip can't be read back")
