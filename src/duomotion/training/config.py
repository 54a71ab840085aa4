"""How a training goes, and configs as plain data: strict reading, overrides from a command line.

A config is a frozen dataclass whose fields are numbers, strings, booleans, None, `Literal`s,
tuples, lists, dicts with string keys, other configs, and unions of these with at most one config.
"""

import ast
import dataclasses
import difflib
import json
import math
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from duomotion.precision import Precision

Config = TypeVar("Config")


@dataclass(kw_only=True, frozen=True)
class OptimConfig:
    """The optimiser and its schedule. Defaults: InterMask's transformer, released code.

    Raises:
        ValueError: a value is out of its range; the sentence names every such field.
    """

    steps: int  # optimiser steps of the whole training
    batch_size: int = 52  # clips per step, over all processes together
    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-5
    warmup_steps: int = 0  # InterMask: a quarter of the first epoch
    schedule: Literal["multistep", "cosine", "constant"] = "multistep"
    milestones: tuple[float, ...] = (0.5, 0.7, 0.85)  # "multistep": fractions of `steps`
    gamma: float = 1 / 3  # "multistep": the factor at each milestone
    clip_norm: float | None = None  # largest norm of the gradient; None: as it is
    ema_decay: float | None = None  # None: no averaged weights
    seed: int = 3407
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _check(
            {
                "steps has to be at least 1": self.steps >= 1,
                "batch_size has to be at least 1": self.batch_size >= 1,
                "lr has to be positive": 0 < self.lr < math.inf,
                "betas have to lie in [0, 1)": all(0 <= beta < 1 for beta in self.betas),
                "weight_decay can't be negative": 0 <= self.weight_decay < math.inf,
                "warmup_steps can't be negative": self.warmup_steps >= 0,
                "milestones have to rise within (0, 1)": all(0 < m < 1 for m in self.milestones)
                and list(self.milestones) == sorted(set(self.milestones)),
                "gamma has to lie in (0, 1]": 0 < self.gamma <= 1,
                "clip_norm has to be positive": self.clip_norm is None or self.clip_norm > 0,
                "ema_decay has to lie in (0, 1)": self.ema_decay is None or 0 < self.ema_decay < 1,
                "seed can't be negative": self.seed >= 0,
            }
        )


@dataclass(kw_only=True, frozen=True)
class LogConfig:
    """How often a training reports, validates and saves itself.

    Raises:
        ValueError: a value is out of its range; the sentence names every such field.
    """

    log_every: int = 50  # steps
    validate_every: int = 2000  # steps; the last step always validates
    checkpoint_every: int | None = None  # steps; None: by time alone
    checkpoint_seconds: float | None = 600.0  # None: by steps alone
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _check(
            {
                "log_every has to be at least 1": self.log_every >= 1,
                "validate_every has to be at least 1": self.validate_every >= 1,
                "checkpoint_every has to be at least 1": self.checkpoint_every is None
                or self.checkpoint_every >= 1,
                "checkpoint_seconds can't be negative": self.checkpoint_seconds is None
                or self.checkpoint_seconds >= 0,
            }
        )


def to_dict(config: Any) -> dict[str, Any]:
    """`config`, a dataclass instance, as what its JSON file would hold: tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[Config], values: Any, where: str) -> Config:
    """The config of class `cls` that `values` (objects, lists and scalars, as of JSON) describe.

    Fields that are left out take their defaults.

    Raises:
        ValueError: unknown, missing, wrongly typed or refused fields; one sentence that begins with
            `where` and names them all.
    """
    problems: list[str] = []
    config = _read(cls, values, "", problems)
    if problems:
        raise ValueError(f"{where}: {'; '.join(problems)}.")
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


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint at the one of `names` that `name` may be a slip of; all of them if none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _check(rules: dict[str, bool]) -> None:
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ValueError(", ".join(broken))


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
        if kind is float or float(value).is_integer():
            return kind(value)
    elif kind in (bool, str, types.NoneType) and isinstance(value, kind):
        return value
    problems.append(f"{path or 'it'} has to be {_describe(kind)}, not {value!r}")
    return None


def _read_config(cls: Any, values: dict[str, Any], path: str, problems: list[str]) -> Any:
    before = len(problems)
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    prefix = f"{path}." if path else ""
    for name in values:
        if name not in fields:
            problems.append(f"{prefix}{name} is unknown ({nearest(name, list(fields))})")
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
    for kind in kinds:
        attempt: list[str] = []
        result = _read(kind, value, path, attempt)
        if not attempt:
            return result
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            problems += attempt
            return None
    expected = " or ".join(_describe(kind) for kind in kinds)
    problems.append(f"{path} has to be {expected}, not {value!r}")
    return None


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
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
