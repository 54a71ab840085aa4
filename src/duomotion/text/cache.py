"""Text embeddings kept on disk: a text is embedded once, in whatever run it comes up first."""

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from duomotion.progress import counter
from duomotion.storage import atomic_file
from duomotion.text.encoder import TextEmbedding, TextEncoder
from duomotion.text.encoders import load_encoder

# Texts embedded between two visits to the disk: an interruption loses no more than these.
BATCH = 64
# Bytes of a file beside the vectors, at the most.
_OVERHEAD = 1000

Memory = dict[Path, list[torch.Tensor]]

_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


class RecentTexts(Memory):
    """A memory of the last `most` texts, for several threads."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self._adding = most, Lock()

    def __setitem__(self, path: Path, entry: list[torch.Tensor]) -> None:
        with self._adding:
            super().__setitem__(path, entry)
            if len(self) > self._most:
                del self[next(iter(self))]


@contextmanager
def in_memory(memory: Memory | None = None) -> Iterator[None]:
    """Within, embeddings are kept in `memory`, by default a new one, and the disk is left alone.

    For texts of which each comes up at one time only, and which are too many for a file each.
    """
    token = _memory.set({} if memory is None else memory)
    try:
        yield
    finally:
        _memory.reset(token)


def cached_encoder(name: str, *, dim: int) -> "CachedEncoder":
    """The encoder called `name`, for a network that reads vectors of `dim` numbers.

    Raises:
        ValueError: there is no such encoder, or its vectors have another length.
    """
    encoder = CachedEncoder(load_encoder(name))
    if encoder.dim != dim:
        raise ValueError(
            f"text encoder {name!r} gives {encoder.dim} numbers; model.text_dim is {dim} and must "
            "be the same"
        )
    return encoder


class CachedEncoder:
    """Another encoder, with a memory on disk.

    One safetensors file a text: hidden_LC, read and a checksum, 2 kB for the sentence encoder and
    0.24 MB for CLIP ViT-L/14. A file that holds anything else than an embedding of the encoder's
    shape is regenerated; a folder that can't be written costs a warning and the time. Several
    threads may encode at once.
    """

    def __init__(self, encoder: TextEncoder, folder: str | Path | None = None) -> None:
        """Wrap `encoder`.

        Args:
            encoder: embeds what is not on disk yet.
            folder: by default `text` in the folder that the environment variable DUOMOTION_CACHE
                names, or in ~/.cache/duomotion.

        Raises:
            ValueError: the variable names the home of somebody who has none.
        """
        self._encoder = encoder
        self._folder = Path(folder) if folder else default_folder()
        self._encoding = Lock()  # tokenizers are not made for several threads
        self._shape_LC = encoder.encode([]).hidden_BLC.shape[1:]
        self.name = encoder.name
        self.dim = encoder.dim

    def encode(self, texts: list[str]) -> TextEmbedding:
        """Embed the texts, in their order."""
        if not texts:
            return self._encoder.encode([])
        found = {text: self._read(text) for text in dict.fromkeys(texts)}
        missing = [text for text, entry in found.items() if entry is None]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            with self._encoding:
                fresh = self._encoder.encode(batch)
            for text, *entry in zip(batch, fresh.hidden_BLC, fresh.pool_index_B, strict=True):
                found[text] = entry
                self._write(text, *entry)
        hidden, pool_index = zip(*(found[text] for text in texts), strict=True)
        return TextEmbedding(torch.stack(hidden), torch.stack(pool_index))

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed those texts that are not on disk yet, so that `encode` only reads later."""
        missing = [text for text in dict.fromkeys(texts) if not self._path(text).exists()]
        starts = range(0, len(missing), BATCH)
        with counter("captions", unit="text", total=len(missing), is_shown=len(starts) > 1) as add:
            for start in starts:
                self.encode(batch := missing[start : start + BATCH])
                add(len(batch))

    def _path(self, text: str) -> Path:
        key = hashlib.sha256(f"{self.name}\0{text}".encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.safetensors"

    def _read(self, text: str) -> list[torch.Tensor] | None:
        if (memory := _memory.get()) is not None:
            return memory.get(self._path(text))
        try:
            with self._path(text).open("rb") as file:
                entry = load(file.read(4 * self._shape_LC.numel() + _OVERHEAD))
            hidden_LC, pool_index, checksum = (entry[name] for name in ("hidden", "read", "sha256"))
        except (OSError, KeyError, SafetensorError):
            return None
        is_whole = (
            (hidden_LC.shape, hidden_LC.dtype) == (self._shape_LC, torch.float32)
            and (pool_index.shape, pool_index.dtype) == ((), torch.int64)
            and bool(hidden_LC.isfinite().all())
            and 0 <= pool_index.item() < len(hidden_LC)
            and checksum.tolist() == _checksum(hidden_LC, pool_index).tolist()
        )
        return [hidden_LC, pool_index] if is_whole else None

    def _write(self, text: str, hidden_LC: torch.Tensor, pool_index: torch.Tensor) -> None:
        if (memory := _memory.get()) is not None:
            memory[self._path(text)] = [hidden_LC, pool_index]
            return
        checksum = _checksum(hidden_LC, pool_index)
        entry = {"hidden": hidden_LC, "read": pool_index, "sha256": checksum}
        try:
            with atomic_file(self._path(text)) as path:
                save_file(entry, path)
        except OSError as error:
            warnings.warn(
                f"text embeddings are not kept in {self._folder}: {error.strerror}", stacklevel=3
            )


def default_folder() -> Path:
    """Where embeddings are kept unless someone says otherwise.

    Raises:
        ValueError: it is in the home of somebody who has none.
    """
    root = os.environ.get("DUOMOTION_CACHE") or "~/.cache/duomotion"
    try:
        return Path(root).expanduser() / "text"
    except RuntimeError:
        raise ValueError(
            f"{root}: there is no such home folder; set DUOMOTION_CACHE to a folder for text "
            "embeddings"
        ) from None


def _checksum(hidden_LC: torch.Tensor, pool_index: torch.Tensor) -> torch.Tensor:
    """(32,) uint8: SHA-256 of both tensors' bytes."""
    content = hidden_LC.numpy().tobytes() + pool_index.numpy().tobytes()
    return torch.tensor(list(hashlib.sha256(content).digest()), dtype=torch.uint8)
