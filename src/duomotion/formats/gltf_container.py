"""What a .glb file of a stranger holds: its JSON document and arrays of numbers, checked."""

import json
import struct
from collections.abc import Sized
from pathlib import Path
from typing import Any

import numpy as np

from duomotion.reading import open_file

LARGEST_FILE = 256_000_000  # bytes
LARGEST = 1e18  # no place, turn or size, and its square is a number
LARGEST_DOCUMENT = 20_000_000  # bytes of JSON

_NUMBERS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Container:
    """A .glb file.

    Attributes:
        path: the file, for what is said about it.
        document: the JSON document.
        binary: the bytes that its buffer views refer to.

    Raises:
        ValueError: the file is no .glb file of glTF 2.0, is cut short or too large.
        OSError: the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path, limit=LARGEST_FILE) as file:
            data = file.read()
        if len(data) < 20 or data[:4] != b"glTF":
            raise ValueError(f"{path} is no .glb file: it does not begin with glTF")
        version, total = struct.unpack_from("<II", data, 4)
        if version != 2 or total > len(data):
            raise ValueError(
                f"{path}: glTF version {version}, {total} bytes of which {len(data)} are there; "
                "version 2 is read"
            )
        text, rest = self._chunk(data[:total], 12, b"JSON")
        self.binary = self._chunk(data[:total], rest, b"BIN\0")[0] if rest < total else b""
        if len(text) > LARGEST_DOCUMENT:
            raise ValueError(f"{path}: more than {LARGEST_DOCUMENT} bytes of JSON")
        try:
            self.document = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"{path}: the JSON of the file is damaged") from None
        if not isinstance(self.document, dict):
            raise ValueError(f"{path}: the JSON of the file is no glTF document")

    def _chunk(self, data: bytes, start: int, kind: bytes) -> tuple[bytes, int]:
        """The content of the chunk at a place, and where the next one begins."""
        size, found = (
            struct.unpack_from("<I4s", data, start) if start + 8 <= len(data) else (0, b"")
        )
        if found != kind or start + 8 + size > len(data):
            raise ValueError(f"{self.path}: the file is cut short or damaged at byte {start}")
        return data[start + 8 : start + 8 + size], start + 8 + size

    def items(self, name: str, holder: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """A list of objects, such as the document's nodes; empty where it is missing."""
        found = (self.document if holder is None else holder).get(name, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise ValueError(f"{self.path}: {name} is no list of objects")
        return found

    def index(self, holder: dict[str, Any], key: str, items: Sized) -> int:
        """An index into `items`."""
        return self._index(holder.get(key), key, items)

    def indices(self, holder: dict[str, Any], key: str, items: Sized) -> list[int]:
        """A list of indices into `items`; empty where it is missing."""
        found = holder.get(key, [])
        if not isinstance(found, list):
            raise ValueError(f"{self.path}: {key} is no list of indices")
        return [self._index(each, key, items) for each in found]

    def _index(self, found: object, key: str, items: Sized) -> int:
        if not isinstance(found, int) or not 0 <= found < len(items):
            raise ValueError(
                f"{self.path}: {key} is {found!r:.40}, not an index below {len(items)}"
            )
        return int(found)

    def _chosen(self, holder: dict[str, Any], key: str, name: str) -> dict[str, Any]:
        items = self.items(name)
        return items[self.index(holder, key, items)]

    def numbers(self, holder: dict[str, Any], key: str, default: list[float]) -> np.ndarray:
        """As many finite numbers as `default` has, which stands for what is missing."""
        found = holder.get(key, default)
        try:
            values = np.array(found, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            values = np.array(np.nan)
        if values.shape != (len(default),) or not (np.abs(values) < LARGEST).all():
            raise ValueError(f"{self.path}: {key} has to hold {len(default)} finite numbers")
        return values

    def array(self, holder: dict[str, Any], key: str, kind: str) -> np.ndarray:
        """The numbers (N,) or (N, width) of an accessor as floats.

        Args:
            kind: the type that the accessor has to have, as in "VEC3".
        """
        accessor = self._chosen(holder, key, "accessors")
        number = _NUMBERS.get(accessor.get("componentType"))  # type: ignore[arg-type]
        count, width = accessor.get("count"), _WIDTHS[kind]
        problem = f"{self.path}: the accessor of {key} can't be read: "
        if accessor.get("type") != kind or number is None or "sparse" in accessor:
            raise ValueError(f"{problem}plain {kind} of 8 or 16 bit integers or floats is expected")
        if not isinstance(count, int) or not 0 < count <= len(self.binary):
            raise ValueError(f"{problem}count is {count!r:.40}")
        view = self._chosen(accessor, "bufferView", "bufferViews")
        buffer = self._chosen(view, "buffer", "buffers")
        if "uri" in buffer or view.get("buffer") != 0 or view.get("extensions"):
            raise ValueError(f"{problem}only numbers in the file itself, uncompressed, are read")
        size = np.dtype(number).itemsize * width
        starts = [view.get("byteOffset", 0), accessor.get("byteOffset", 0)]
        stride, length = view.get("byteStride", size), view.get("byteLength")
        sizes = [*starts, stride, length]
        if not all(isinstance(each, int) and 0 <= each <= len(self.binary) for each in sizes):
            raise ValueError(f"{problem}its place is outside of the file")
        needed = starts[1] + (count - 1) * stride + size
        if stride < size or needed > length or starts[0] + length > len(self.binary):
            raise ValueError(f"{problem}its place is outside of the file")
        values = np.ndarray(
            (count, width),
            np.dtype(number).newbyteorder("<"),
            self.binary,
            sum(starts),
            (stride, np.dtype(number).itemsize),
        ).astype(np.float64)
        if number is not np.float32 and accessor.get("normalized"):
            values = np.maximum(values / np.iinfo(number).max, -1)  # pyrefly: ignore
        if not (np.abs(values) < LARGEST).all():
            raise ValueError(f"{problem}it holds values that are not finite or far too large")
        return values[:, 0] if kind == "SCALAR" else values
