"""State dicts of the authors' networks: found, checked against ours, and renamed."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MAX_NAMED = 1000  # tensors in a sentence


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


def translate(name: str, names: Mapping[str, str]) -> str | None:
    """Our name of an official tensor, or the other way round; None where the table has none.

    Args:
        names: name -> name; * in both stands for the number of a block or layer, the first number
            between dots.
    """
    if name in names:
        return names[name]
    number = re.search(r"(?<=\.)\d+(?=\.)", name)
    if number is None:
        return None
    template = names.get(f"{name[: number.start()]}*{name[number.end() :]}")
    return None if template is None else template.replace("*", number.group())


def rename_tensors(
    state: Mapping[str, Tensor], names: Mapping[str, str], where: str
) -> dict[str, Tensor]:
    """The same tensors under the names that `translate` gives them.

    Raises:
        ValueError: a name that is not in the table.
    """
    renamed = {name: translate(name, names) for name in state}
    if unknown := [name for name, ours in renamed.items() if ours is None]:
        raise ValueError(f"{where}: there is no place for {join_names(unknown)}")
    return {str(renamed[name]): tensor for name, tensor in state.items()}


def count_layers(state: Mapping[str, Tensor], stack: str) -> int:
    """How many numbers follow `stack`, which ends with a dot, in the names of tensors."""
    return len({name[len(stack) :].split(".")[0] for name in state if name.startswith(stack)})


def join_names(names: Iterable[Any], most: int = 6) -> str:
    """The names with commas, no more than `most` of them."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
