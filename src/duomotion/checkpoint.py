"""Checkpoints: folders of weights (safetensors) and JSON. Nothing in them is ever unpickled.

model.safetensors     the network's state
recipe.json           everything that defines the training; `system` names the network's family
provenance.json       versions, step, date, data, scores, seed, hardware
training.safetensors  only where training may go on: optimiser state and averaged weights
training.json         only where training may go on: the position in the training
<child>/              a checkpoint that this one needs, such as a generator's tokenizer, or other
                      files, such as an evaluator's words, a generator's captions or what it has
              learned from

A checkpoint may come from anybody: what it states is compared with what it holds before memory is
taken for it.
"""

import datetime
import importlib.metadata
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from duomotion.config import from_dict
from duomotion.reading import brief, open_file, read_text
from duomotion.storage import atomic_folder, check_replaceable

WEIGHTS = "model.safetensors"
RECIPE = "recipe.json"
PROVENANCE = "provenance.json"
TRAINING_TENSORS = "training.safetensors"
TRAINING_POSITION = "training.json"
LONGEST_NAME = 200  # characters of a tensor's name in a sentence
LARGEST_JSON = 1_000_000  # bytes; a recipe has about two thousand
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}

Config = TypeVar("Config")
Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint in memory; `folder` is where it came from and where its children lie."""

    tensors: dict[str, Tensor]
    recipe: dict[str, Any]
    provenance: dict[str, Any]
    folder: Path

    @property
    def text_encoder(self) -> str:
        """The name of the text encoder that its network reads; raises as `text_encoder_of`."""
        return text_encoder_of(self.recipe, self.folder)


@dataclass(frozen=True, eq=False)
class TrainingState:
    """What exact resumption needs beside the weights."""

    tensors: dict[str, Tensor]
    position: dict[str, Any]


def save_checkpoint(
    folder: str | Path,
    tensors: Mapping[str, Tensor],
    recipe: Mapping[str, Any],
    provenance: Mapping[str, Any],
    *,
    dtype: torch.dtype | None = None,
    children: Mapping[str, Path] | None = None,
    training: TrainingState | None = None,
) -> None:
    """Write a checkpoint in one piece: `folder` holds the old one or the new one, never a mixture.

    Args:
        tensors: the network's `state_dict`, on any device.
        recipe: has to name its `system`.
        dtype: the type in which floating tensors are stored if it can hold their numbers; None: as
            they are.
        children: sub-folder name -> checkpoint folder to copy there.
        training: what `read_training` shall give back.

    Raises:
        ValueError: `folder` holds something else than a checkpoint, which would be lost.
        OSError: the disk is full or the folder can't be written; an older checkpoint stays.
    """
    assert "system" in recipe
    check_replaceable(folder, RECIPE)
    try:
        with atomic_folder(folder) as temporary:
            save_file(_storable(tensors, dtype), temporary / WEIGHTS)
            write_json(temporary / RECIPE, recipe)
            write_json(temporary / PROVENANCE, provenance)
            if training is not None:
                save_file(_storable(training.tensors), temporary / TRAINING_TENSORS)
                write_json(temporary / TRAINING_POSITION, training.position)
            for name, child in (children or {}).items():
                without = shutil.ignore_patterns(TRAINING_TENSORS, TRAINING_POSITION)
                shutil.copytree(child, temporary / name, ignore=without)
    except OSError as error:
        reason = f"can't write the checkpoint ({error.strerror or error})"
        raise OSError(error.errno, reason, str(folder)) from error


def read_checkpoint(folder: str | Path, system: str | None = None) -> Checkpoint:
    """Read a checkpoint; its tensors are on the CPU.

    Args:
        system: that it has to be of.

    Raises:
        ValueError: a file is missing, cut or not what it should be, which the sentence names, or
            the checkpoint is of another system.
    """
    folder = Path(folder)
    recipe = read_recipe(folder, system)
    provenance = read_json(folder / PROVENANCE)
    return Checkpoint(read_tensors(folder / WEIGHTS), recipe, provenance, folder)


def read_recipe(folder: str | Path, system: str | None = None) -> dict[str, Any]:
    """Read a checkpoint's recipe alone; as `read_checkpoint`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no checkpoint folder is there")
    path = folder / RECIPE
    recipe = read_json(path)
    if not isinstance(recipe.get("system"), str):
        raise ValueError(f"{path}: the field 'system' has to name the system")
    if system not in (None, recipe["system"]):
        raise ValueError(f"{folder} is a checkpoint of {recipe['system']!r}, not of {system!r}")
    return recipe


def text_encoder_of(recipe: Mapping[str, Any], folder: str | Path) -> str:
    """The name of the text encoder in the recipe of the checkpoint `folder`.

    Raises:
        ValueError: there is none.
    """
    data = recipe.get("data")
    name = data.get("text_encoder") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise ValueError(
            f"{Path(folder) / RECIPE}: the field 'data.text_encoder' has to name the text encoder"
        )
    return name


def pack_checkpoint(source: str | Path, target: str | Path) -> None:
    """Copy a checkpoint and those inside it in half precision and without training state.

    Folders inside it that are no checkpoints, such as an evaluator's words, are copied as they are.

    Raises:
        ValueError: as for `read_checkpoint` and `save_checkpoint`.
        OSError: `target` can't be written.
    """
    checkpoint = read_checkpoint(source)
    inside = [path for path in Path(source).glob("[!.]*") if path.is_dir()]
    with tempfile.TemporaryDirectory() as folder:
        children = {child.name: child for child in inside}
        for child in inside:
            if (child / WEIGHTS).is_file():
                children[child.name] = Path(folder) / child.name
                pack_checkpoint(child, children[child.name])
        save_checkpoint(
            target,
            checkpoint.tensors,
            checkpoint.recipe,
            checkpoint.provenance,
            dtype=torch.float16,
            children=children,
        )


def read_training(folder: str | Path) -> TrainingState:
    """Read what `save_checkpoint` was given as `training`.

    Raises:
        ValueError: as for `read_checkpoint`.
    """
    folder = Path(folder)
    position = read_json(folder / TRAINING_POSITION)
    return TrainingState(read_tensors(folder / TRAINING_TENSORS), position)


def model_config(checkpoint: Checkpoint, kind: Any) -> Any:
    """The config of class `kind`, or one of a union, that a checkpoint's recipe has as `model`.

    Raises:
        ValueError: it is missing, or no such config.
    """
    path = checkpoint.folder / RECIPE
    if "model" not in checkpoint.recipe:
        raise ValueError(f"{path}: the field 'model' is missing")
    return from_dict(kind, checkpoint.recipe["model"], f"{path}: model")


def load_network(
    checkpoint: Checkpoint, build: Callable[[Config], Network], config: Config
) -> Network:
    """The network of a checkpoint, on the CPU and in evaluation mode.

    No memory is taken for it before its tensors are known to be those that are stored.

    Args:
        build: makes it, untrained.

    Raises:
        ValueError: it can't be made with `config`, or as for `load_weights`.
    """
    try:
        with torch.device("meta"), _WithoutStart():
            shapes = build(config).state_dict()
    except ValueError as problem:
        raise ValueError(f"{checkpoint.folder / RECIPE}: model: {problem}") from None
    _check_fit(shapes, checkpoint)
    with _WithoutStart():
        network = build(config)
    network.load_state_dict(checkpoint.tensors)
    return network.eval()


_DRAWING = (Tensor.normal_, Tensor.uniform_)


class _WithoutStart(TorchFunctionMode):
    """Networks are made without the random numbers that training starts from."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" or func in _DRAWING:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def load_weights(module: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's tensors into `module`, which keeps its own types and device.

    Raises:
        ValueError: tensors are missing, unexpected or of another shape; `module` is unchanged.
    """
    _check_fit(module.state_dict(), checkpoint)
    module.load_state_dict(checkpoint.tensors)


def _check_fit(own: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    stored = checkpoint.tensors
    problems = []
    if missing := [name for name in own if name not in stored]:
        problems.append(f"lacks {enumerate_names(missing)}")
    if unexpected := [name for name in stored if name not in own]:
        problems.append(f"has the unknown {enumerate_names(unexpected)}")
    if misshapen := [
        f"{name} {tuple(stored[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in stored and stored[name].shape != tensor.shape
    ]:
        problems.append(f"has {enumerate_names(misshapen)}")
    if problems:
        raise ValueError(
            f"{checkpoint.folder / WEIGHTS} doesn't fit the network: it {'; it '.join(problems)}"
        )


def read_tensors(path: Path, *, limit: int | None = None) -> dict[str, Tensor]:
    """Read a safetensors file, of at most `limit` bytes.

    Raises:
        ValueError: the file is missing, cut or larger, or a number in it is not finite or of no
            type that networks have; the sentence names it.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing")
    # Of a file that can't be opened safetensors says that it is not there.
    open_file(path, limit=limit).close()
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({brief(error)})") from error
    odd = [
        f"{name} ({tensor.dtype})"
        for name, tensor in tensors.items()
        if tensor.dtype not in FLOATS and (tensor.is_floating_point() or tensor.is_complex())
    ]
    if odd:
        raise ValueError(f"{path}: numbers of this type are not read: {enumerate_names(odd)}")
    broken = [name for name, x in tensors.items() if not x.float().isfinite().all()]
    if broken:
        raise ValueError(f"{path}: not all numbers are finite in {enumerate_names(broken)}")
    return tensors


def environment(device: torch.device) -> dict[str, Any]:
    """The part of a provenance that any training has: versions, date (UTC) and hardware."""
    is_cuda = device.type == "cuda"
    return {
        "duomotion": importlib.metadata.version("duomotion"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": torch.cuda.get_device_name(device) if is_cuda else _processor(),
    }


def _storable(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Contiguous CPU tensors that share no memory, as safetensors wants them."""
    storable, seen = {}, set()
    for name, tensor in tensors.items():
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        plain = tensor.detach().to("cpu", kind).contiguous()
        if kind != tensor.dtype and not plain.isfinite().all():
            plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        storable[name] = plain
    return storable


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; raises OSError where the file can't be written."""
    path.write_text(json.dumps(values, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file is missing, too large, or holds something else; the sentence names it.
    """
    if not path.is_file():
        raise ValueError(f"{path}: the file is missing")
    text = read_text(path, limit=LARGEST_JSON)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from error
    except RecursionError:
        raise ValueError(f"{path}: lists and objects in it are nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: has to hold a JSON object")
    return values


def enumerate_names(names: list[str], most: int = 6) -> str:
    """The first of the names, for a sentence."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name[:LONGEST_NAME] for name in names[:most]) + more


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]}, {len(models)} threads" if models else platform.processor()


def size_mb(folder: Path) -> float:
    """Of all weights of a checkpoint, those of its parts included."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6
