"""What other people's PyTorch code has saved: tensors and options, and never code."""

import ast
import hashlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.reading import open_file, read_array, read_text

TOO_LONG = 1_000_000  # bytes; the authors' opt.txt files have about two thousand
TOO_MANY_WORDS = 50_000_000  # bytes; the authors' lists of words have some hundred thousand


def read_official(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote: tensors, numbers, texts and containers of them, on the CPU.

    Raises:
        ValueError: the file is damaged, is none of PyTorch's, or holds code to be run, which is
            refused and not run.
        OSError: the file can't be read.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("it is compressed, which PyTorch's own are not")
            damaged = archive.testzip()  # torch.load looks at no check sums
        if damaged is not None:
            raise ValueError(f"the check sum of {damaged} is wrong")
        # Mapped into memory, tensors would not be compared with the sizes of what is stored.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except OSError:
        raise
    except Exception as problem:  # damaged archives raise a dozen unrelated types
        code = re.search(r"(?i)unsupported (?:global: )?GLOBAL (\S+)", str(problem))
        if code is not None:
            raise ValueError(
                f"{path} holds more than tensors: it asks for {code[1]!r} to be run, which is "
                "refused; a released checkpoint holds only tensors"
            ) from None
        raise ValueError(
            f"{path} is not a whole PyTorch checkpoint ({_first_line(problem)}); it may be "
            "damaged or only half downloaded"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a checkpoint's dictionary")
    return content


def read_options(path: Path) -> dict[str, Any]:
    """The options of a training as its opt.txt lists them, one `name: value` a line.

    Values are numbers, booleans, None and texts. Lines of dashes around a title are passed over.

    Raises:
        ValueError: the file is no such list; the sentence names the line.
        OSError: the file can't be read.
    """
    options = {}
    for number, line in enumerate(read_text(path, limit=TOO_LONG).splitlines(), 1):
        if not line.strip() or line.startswith("---"):
            continue
        name, colon, text = line.partition(":")
        if not colon or not name.strip().isidentifier():
            raise ValueError(f"{path}, line {number}: 'name: value' is expected, not {line[:80]!r}")
        options[name.strip()] = _value(text.strip())
    return options


class _Plain(pickle._Unpickler):
    """Reads what a pickle can say without naming any code: numbers, texts, lists and such.

    The one that is written in Python: the other takes as much memory as a pickle asks for.
    """

    def find_class(self, module: str, name: str, /) -> Any:
        raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r} to be run")

    def persistent_load(self, pid: Any, /) -> Any:
        raise pickle.UnpicklingError("it refers to things outside it")


def read_plain_pickle(path: Path) -> list[str | int] | dict[str | int, str | int]:
    """A list or dict of texts and whole numbers from a pickle; whatever else is in it is refused.

    Nothing that a pickle names is looked up, let alone called.

    Raises:
        ValueError: the file is damaged, too large or holds something else.
        OSError: the file can't be read.
    """
    try:
        with open_file(path, limit=TOO_MANY_WORDS) as file:
            content = _Plain(file).load()
    except OSError:
        raise
    except Exception as problem:  # damaged pickles raise a dozen unrelated types
        raise ValueError(
            f"{path} is refused: {_first_line(problem)}; only texts and numbers are read from a "
            "pickle"
        ) from None
    inside = [*content, *content.values()] if isinstance(content, dict) else content
    if not isinstance(inside, list) or not all(isinstance(each, str | int) for each in inside):
        raise ValueError(f"{path} holds something else than a list or dict of texts and numbers")
    return content


def read_statistics(mean: Path, std: Path, size: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (size,) float32 of features from two .npy files.

    Raises:
        ValueError: a file is missing, damaged or holds something else.
        OSError: a file can't be read.
    """
    found = tuple(_read_array(path, size) for path in (mean, std))
    if not (found[1] > 0).all():
        raise ValueError(f"{std} holds deviations that are not above 0")
    return found[0], found[1]


def _read_array(path: Path, count: int) -> Tensor:
    """The numbers of a .npy file, float32.

    Raises:
        ValueError: the file is damaged, or holds something else than `count` finite numbers.
        OSError: the file can't be read.
    """
    if not path.exists():
        raise ValueError(f"{path} is not there")
    array = read_array(path)
    if array.shape != (count,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{path} has shape {array.shape}; {count} finite numbers are expected")
    return torch.from_numpy(array.astype(np.float32))


def sha256(path: Path) -> str:
    """64 hexadecimal digits that tell one file from another."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except Exception:  # many kinds, none of which is a problem: then it is plain text
        return text
    return value if isinstance(value, int | float | bool | None) else text


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().partition("\n")[0] or type(problem).__name__).rstrip(".")[:200]
