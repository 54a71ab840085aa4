"""Configs as plain data: strict reading, overrides from a command line.

A config is a frozen dataclass whose fields are numbers, strings, booleans, None, `Literal`s,
tuples, lists, dicts with string keys, other configs, and unions of these. Of several configs in a
union the one is taken whose fields fit.

A field that sizes a network says so by its type, `Size`, `Count` or another below. Their limits lie
far above every paper's, and keep a config that came with somebody's checkpoint from asking for a
network that no machine can build.
"""

import ast
import dataclasses
import difflib
import json
import reprlib
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

Config = TypeVar("Config")

MOST_PROBLEMS, MOST_UNKNOWN = 20, 6  # named in one sentence


@dataclass(frozen=True)
class Within:
    """What a number, or the length of a tuple, lies within; both ends belong to it."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"from {self.low:,.9g} to {self.high:,.9g}"


Size = Annotated[int, Within(1, 2**20)]  # of an axis of a tensor: channels, codes, words
Sizes = Annotated[tuple[Size, ...], Within(1, 16)]
Count = Annotated[int, Within(1, 128)]  # of blocks, layers, heads
ZeroOrMore = Annotated[int, Within(0, 128)]  # the same where there may be none
Levels = Annotated[int, Within(1, 8)]  # each of which halves the frames
Length = Annotated[int, Within(1, 10_000)]  # frames or tokens of a sequence, steps of decoding
Share = Annotated[float, Within(0, 1)]  # a probability
Factor = Annotated[float, Within(0, 1e6)]  # a weight, a scale, a temperature


def to_dict(config: Any) -> dict[str, Any]:
    """`config`, a dataclass instance, as what its JSON file would hold: tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


@overload
def from_dict(cls: type[Config], values: Any, where: str) -> Config: ...


@overload
def from_dict(cls: types.UnionType, values: Any, where: str) -> Any: ...


def from_dict(cls: Any, values: Any, where: str) -> Any:
    """The config of class `cls` (or one of a union) that `values` describe, as read from JSON.

    Fields that are left out take their defaults.

    Raises:
        ValueError: unknown, missing, wrongly typed or refused fields; one sentence that begins with
            `where` and names them all.
    """
    problems: list[str] = []
    config = _read(cls, values, "", problems)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        named = problems[:MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise ValueError(f"{where}: {'; '.join(named)}.")
    return config


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with "field.subfield=value" texts applied in order.

    A value is read as JSON, else as a Python literal, else taken as text: `3e-4`, `null` or `None`,
    `[0.5,0.7]` or `0.5,0.7`, `cosine`.

    Raises:
        ValueError: as for `from_dict`, and for a text without "=".
    """
    tree = to_dict(config)
    problems = [_set(tree, override) for override in overrides]
    if any(problems):
        raise ValueError(f"command line: {'; '.join(p for p in problems if p)}.")
    return from_dict(type(config), tree, "command line")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a config as `to_dict` gives it, named as overrides name them."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint at the one of `names` that `name` may be a slip of; all of them if none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _set(tree: dict[str, Any], override: str) -> str | None:
    path, equals, text = override.partition("=")
    if not equals:
        return f"{override} should read field=value"
    *parents, name = path.strip().split(".")
    for depth, parent in enumerate(parents, 1):
        if tree.get(parent) is None:
            tree[parent] = {}
        tree = tree[parent]
        if not isinstance(tree, dict):
            return f"{'.'.join(parents[:depth])} has no fields"
    tree[name] = _parse(text)
    return None


def _parse(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    return text


def _read(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """`value` as a `kind`; what is wrong is appended to `problems`, and then the result is void."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, within = arguments
        return _read_within(inner, within, value, path, problems)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _read_config(kind, value, path, problems)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, path, problems)
    if origin in (tuple, list) and isinstance(value, list | tuple):
        repeats = origin is list or arguments[-1] is ...
        kinds = arguments[:1] * len(value) if repeats else arguments
        if len(kinds) == len(value):
            items = enumerate(zip(kinds, value, strict=True))
            return origin(_read(k, item, f"{path}[{i}]", problems) for i, (k, item) in items)
    elif origin is dict and isinstance(value, dict):
        return {k: _read(arguments[1], v, f"{path}.{k}", problems) for k, v in value.items()}
    elif origin is Literal:
        if any(value == allowed and type(value) is type(allowed) for allowed in arguments):
            return value
    elif kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError, ValueError):  # infinity, and numbers too long for a float
            if kind is float or int(value) == value:
                return kind(value)
    elif kind in (bool, str, types.NoneType) and isinstance(value, kind):
        return value
    problems.append(f"{path or 'it'} has to be {_describe(kind)}, not {reprlib.repr(value)}")
    return None


def _read_within(kind: Any, within: Within, value: Any, path: str, problems: list[str]) -> Any:
    before = len(problems)
    result = _read(kind, value, path, problems)
    if len(problems) > before:
        return None
    measured = len(result) if isinstance(result, tuple) else result
    if not within.low <= measured <= within.high:
        expected = _describe(Annotated[kind, within])
        problems.append(f"{path} has to be {expected}, not {reprlib.repr(value)}")
    return result


def _read_config(cls: Any, values: dict[str, Any], path: str, problems: list[str]) -> Any:
    before = len(problems)
    hints = get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    prefix = f"{path}." if path else ""
    unknown = [name for name in values if name not in fields]
    for name in unknown[:MOST_UNKNOWN]:
        shown = reprlib.repr(name)[1:-1]
        problems.append(f"{prefix}{shown} is unknown ({nearest(name, list(fields))})")
    if (more := len(unknown) - MOST_UNKNOWN) > 0:
        problems.append(f"{path or 'it'} has {more} more unknown fields")
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _read(hints[name], values[name], prefix + name, problems)
        elif field.default is field.default_factory is dataclasses.MISSING:
            problems.append(f"{prefix}{name} is missing")
    if len(problems) > before:
        return None
    try:
        return cls(**arguments)
    except ValueError as error:
        problems.append(f"{path}: {error}" if path else str(error))
        return None


def _read_union(kinds: tuple[Any, ...], value: Any, path: str, problems: list[str]) -> Any:
    refused: list[list[str]] = []
    for kind in kinds:
        attempt: list[str] = []
        result = _read(kind, value, path, attempt)
        if not attempt:
            return result
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            refused.append(attempt)
    if refused:
        problems += min(refused, key=len)
        return None
    expected = " or ".join(_describe(kind) for kind in kinds)
    problems.append(f"{path} has to be {expected}, not {reprlib.repr(value)}")
    return None


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, within = arguments
        of = "of " if get_origin(inner) is tuple else ""
        return f"{_describe(inner)} {of}{within}"
    if origin is Literal:
        return "one of " + ", ".join(repr(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return f"a list, each {_describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}, each {_describe(arguments[0])}"
    if origin is dict or dataclasses.is_dataclass(kind):
        return "an object with fields"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(kind, "null")
