"""What a worker does: it plans clips, so that like ones can share a batch, and makes them.

A clip depends on its prompt alone: on a CPU, networks compute in one thread wherever they run, and
neither who shares a batch nor what was made before changes a bit.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from duomotion.sampling.request import AS_TUNED, Sampling
from duomotion.scale.lines import Prompt

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel
    from duomotion.motion.interaction import Interaction
    from duomotion.sampling.request import Request

MOST_MODELS = 4  # that a worker holds

Result = TypeVar("Result")


class OutOfMemoryError(Exception):
    """A worker has not enough memory for what it is to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for all lines of a job.

    Attributes:
        model, seed, seconds: of lines that don't say otherwise.
        device: of the networks.
    """

    model: str
    seed: int = 0
    seconds: float | None = None
    sampling: Sampling = AS_TUNED
    device: str = "cpu"


@dataclass(frozen=True)
class Plan:
    """What is known of a clip before it is made.

    Attributes:
        key: equal for clips that may share a batch.
        frames: its length.
    """

    key: Hashable
    frames: int


def fingerprint(settings: Settings) -> str:
    """Of the job's model, which is loaded.

    Raises:
        ValueError: there is no such model or device, or the model's folder is damaged.
        OSError: a file of the model can't be read.
        OutOfMemoryError: there is not enough memory for it.
    """
    with _ready():
        return _model(settings.model, settings.device).fingerprint


def plan(settings: Settings, prompts: Sequence[Prompt]) -> list[Plan | str]:
    """A plan of each clip, or why there can't be one; raises OutOfMemoryError."""
    with _ready():
        return [_or_reason(lambda prompt=prompt: _planned(settings, prompt)) for prompt in prompts]


def make(
    settings: Settings, prompts: Sequence[Prompt], plans: Sequence[Plan]
) -> "list[Interaction | str]":
    """Clips that share a batch, or why there is none; raises OutOfMemoryError."""

    def alone(index: int) -> "Interaction | str":
        one = slice(index, index + 1)
        return _or_reason(lambda: _made(settings, prompts[one], plans[one])[0])

    with _ready():
        together = _or_reason(lambda: _made(settings, prompts, plans))
        if isinstance(together, str):
            return [together] if len(prompts) == 1 else list(map(alone, range(len(prompts))))
        return [*together]


@dataclass(frozen=True, eq=False)
class _Extension:
    """Motion of all people that is to go on; made on its own."""

    given: "Interaction"
    text: str
    seconds: float
    seed: int


def _planned(settings: Settings, prompt: Prompt) -> Plan:
    model = _model(prompt.model or settings.model, settings.device)
    asked = _asked(settings, prompt, model)
    if isinstance(asked, _Extension):
        return Plan(prompt, asked.given.num_frames)
    window = asked
    if asked.known is None:
        window = replace(asked, frames=min(asked.frames, model.max_frames))
    return Plan((prompt.model, model.batch_key(window)), asked.frames)


def _made(
    settings: Settings, prompts: Sequence[Prompt], plans: Sequence[Plan]
) -> "list[Interaction]":
    model = _model(prompts[0].model or settings.model, settings.device)
    asked = [
        _asked(settings, prompt, model, each.frames / model.fps)
        for prompt, each in zip(prompts, plans, strict=True)
    ]
    extensions = [each for each in asked if isinstance(each, _Extension)]
    if extensions:
        return [
            model.extend(
                each.given,
                each.text,
                seconds=each.seconds,
                seed=each.seed,
                sampling=settings.sampling,
            )
            for each in extensions
        ]
    return model.fulfil([each for each in asked if not isinstance(each, _Extension)])


def _asked(
    settings: Settings, prompt: Prompt, model: "MotionModel", planned: float | None = None
) -> "Request | _Extension":
    """What a prompt asks of the model.

    Args:
        planned: length in seconds of what is generated from text alone, once it is known.
    """
    seed = settings.seed if prompt.seed is None else prompt.seed
    seconds = settings.seconds if prompt.seconds is None else prompt.seconds
    options = {"seed": seed, "sampling": settings.sampling}
    if prompt.known is None:
        length = seconds if planned is None else planned
        return model.request(prompt.text, partner=prompt.partner, seconds=length, **options)
    from duomotion.formats import load

    given = load(prompt.known)
    if given.num_people < model.num_people:
        if prompt.seconds is not None:
            raise ValueError(
                f"seconds can't be chosen for a reaction: it is as long as the {given.seconds:g} s "
                f"in {prompt.known}"
            )
        return model.reaction_request(given, prompt.text, partner=prompt.partner, **options)
    if seconds is None:
        raise ValueError(
            f"seconds has to say how long the {given.seconds:g} s in {prompt.known} are to become"
        )
    return _Extension(given, model.merge_prompts(prompt.text, prompt.partner), seconds, seed)


@lru_cache(MOST_MODELS)
def _model(name: str, device: str) -> "MotionModel":
    from duomotion.loading import load

    return load(name, device=device)


@contextmanager
def _ready() -> Iterator[None]:
    """Within, clips come out alike wherever they are made."""
    import torch

    from duomotion.text.cache import in_memory

    torch.set_num_threads(1)
    with in_memory(), _memory_errors():
        yield


@contextmanager
def _memory_errors() -> Iterator[None]:
    """What libraries raise where memory is short, as one error."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(str(error)) from None
    except RuntimeError as error:  # torch's; on the CPU it has no type of its own
        if "out of memory" in str(error) or "allocate memory" in str(error):
            raise OutOfMemoryError(str(error).splitlines()[0]) from None
        raise


def _or_reason(make: Callable[[], Result]) -> Result | str:
    """What is made, or one sentence on why it can't be."""
    try:
        with _memory_errors():
            return make()
    except OutOfMemoryError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return " ".join(f"{where}{error.strerror or error}".split())
    except ValueError as error:
        return " ".join(str(error).split())
    except Exception as error:
        return f"the model failed: {type(error).__name__}: {' '.join(str(error).split())}"
