"""What other people's PyTorch code has saved: tensors and options, and never code.

Importers use `read_official` and `read_options` to read, and `check_state_dict` to make sure that
each tensor of a released network found its place in ours.
"""

import ast
import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.reading import open_file, read_array, read_text

TOO_LONG = 1_000_000  # bytes; the authors' opt.txt files have about two thousand
MAX_NAMED = 1000  # tensors in a sentence
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


def get_state_dict(
    content: Mapping[str, Any], names: Iterable[str], path: Path
) -> dict[str, Tensor]:
    """The state dict that lies under the first of `names` that is there.

    Raises:
        ValueError: there is none, or it holds something else than tensors.
    """
    for name in names:
        if isinstance(state := content.get(name), dict):
            if unnamed := [key for key in state if not isinstance(key, str)]:
                raise ValueError(f"{path}: {name} holds {join_names(unnamed)}, which are no names")
            others = [key for key, value in state.items() if not isinstance(value, Tensor)]
            if others:
                raise ValueError(f"{path}: {name} holds {join_names(others)}, which are no tensors")
            if repeated := [key for key, value in state.items() if not _is_stored_whole(value)]:
                raise ValueError(
                    f"{path}: {name} holds {join_names(repeated)} with fewer numbers than their "
                    "shapes"
                )
            if broken := [key for key, value in state.items() if not _is_finite(value)]:
                raise ValueError(f"{path}: {name} holds {join_names(broken)} with NaN or infinity")
            return dict(state)
    raise ValueError(
        f"{path} holds no state dict named {' or '.join(names)}; "
        f"it has {join_names(content) or '-'}"
    )


def _is_stored_whole(tensor: Tensor) -> bool:
    """Whether every number of a tensor has its own place in the file."""
    if tensor.layout is not torch.strided or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.float().isfinite().all())


def check_state_dict(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str
) -> None:
    """Make sure that `state` has the names and shapes of `expected`, and real numbers in them.

    Raises:
        ValueError: the missing, unknown and misshapen tensors, in one sentence.
    """
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    shared = {name: state[name] for name in expected if name in state}
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in shared.items()
        if tensor.shape != expected[name].shape
    ]
    misshapen += [
        f"{name} of {tensor.dtype}"
        for name, tensor in shared.items()
        if not tensor.is_floating_point()
    ]
    problems = {"it lacks": missing, "it has the unknown": unknown, "it has": misshapen}
    found = [f"{what} {join_names(names, MAX_NAMED)}" for what, names in problems.items() if names]
    if found:
        raise ValueError(f"{where} does not fit the network: {'; '.join(found)}")


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


def check_options(options: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Make sure that the options that are there have the expected values.

    Raises:
        ValueError: those that have not, in one sentence.
    """
    differing = [
        f"{option} {options[option]!r} and not {value!r}"
        for option, value in expected.items()
        if option in options and options[option] != value
    ]
    if differing:
        raise ValueError(f"{where} does not fit its opt.txt, which says {', '.join(differing)}")


def renamed(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The options that are there, by our names; `names` is option -> ours."""
    return {ours: options[option] for option, ours in names.items() if option in options}


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


def join_names(names: Iterable[Any], most: int = 6) -> str:
    """The names with commas, no more than `most` of them."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except Exception:  # many kinds, none of which is a problem: then it is plain text
        return text
    return value if isinstance(value, int | float | bool | None) else text


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().partition("\n")[0] or type(problem).__name__).rstrip(".")[:200]
