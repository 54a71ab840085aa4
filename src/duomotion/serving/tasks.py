"""What a client can ask for, one clip each, as calls of a model; and whether a model takes it.

Tasks travel from the server to the worker, so they hold motion and not the names of stored motion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol

from duomotion.models.base import MotionModel
from duomotion.models.progress import OnProgress, OnStep, Progress
from duomotion.models.requests import MAX_SECONDS
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import AS_TUNED, Request, Sampling
from duomotion.text.learned import Kind as ActionKind
from duomotion.text.prompt import check_prompt

Kind = Literal["generate", "react", "inpaint", "extend"]
"""What is asked of a model."""

OnShare = Callable[[float], None]
"""Takes the share that is done, from 0 to 1."""


class Task(Protocol):
    """One clip that is asked for."""

    def perform(self, model: MotionModel, on_share: OnShare) -> Interaction:
        """The clip.

        Raises:
            ValueError: the model can't make it.
        """
        ...


@dataclass(frozen=True)
class Call:
    """One call of a model.

    Attributes:
        method: of `MotionModel`.
        arguments: by name.
    """

    method: Kind
    arguments: Mapping[str, Any]

    def perform(self, model: MotionModel, on_share: OnShare) -> Interaction:
        return getattr(model, self.method)(**self.arguments, callback=_shares(on_share))


@dataclass(frozen=True, kw_only=True)
class GenerateInARow:
    """One prompt after the other, each of which goes on from the one before.

    Attributes:
        prompts: text and seconds of each.
    """

    prompts: tuple[tuple[str, float], ...]
    seed: int = 0
    sampling: Sampling = AS_TUNED

    def perform(self, model: MotionModel, on_share: OnShare) -> Interaction:
        texts = [check_prompt(text) for text, _ in self.prompts]
        seconds = [each for _, each in self.prompts]
        if sum(seconds) > MAX_SECONDS:
            raise ValueError(
                f"the prompts take {sum(seconds):g} s in all; at most {MAX_SECONDS:g} s are made"
            )

        def part(index: int) -> OnProgress:
            before, own = sum(seconds[:index]), seconds[index]
            return _shares(lambda share: on_share((before + share * own) / sum(seconds)))

        settings = {"seed": self.seed, "sampling": self.sampling}
        clip = model.generate(texts[0], seconds=seconds[0], callback=part(0), **settings)
        for index, text in enumerate(texts[1:], 1):
            length = sum(seconds[: index + 1])
            clip = model.extend(clip, text, seconds=length, callback=part(index), **settings)
        return clip.with_caption(", then ".join(texts))


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the server knows of a model that the worker has loaded; see `MotionModel`."""

    name: str
    system: str
    num_people: int
    fps: float
    frame_unit: int
    min_frames: int
    max_frames: int
    tuned: Sampling
    kinds: tuple[ActionKind, ...]

    @classmethod
    def of(cls, name: str, system: str, model: MotionModel) -> "Description":
        return cls(
            name=name,
            system=system,
            num_people=model.num_people,
            fps=model.fps,
            frame_unit=model.frame_unit,
            min_frames=model.min_frames,
            max_frames=model.max_frames,
            tuned=model.tuned,
            kinds=() if model.learned is None else model.learned.known.kinds,
        )

    def check(self, task: Task) -> None:
        """Raises ValueError where the model would refuse the task, without the model."""
        try:
            task.perform(_DryRun(self), lambda share: None)
        except _AcceptedError:
            return
        raise AssertionError("a task that asks a model nothing")


class _AcceptedError(Exception):
    """All checks are passed, and the model is asked for motion."""


class _DryRun(MotionModel):
    """Checks arguments as a model of this description does, and generates nothing."""

    def __init__(self, description: Description) -> None:
        self.name, self.fps = description.name, description.fps
        self.num_people, self.frame_unit = description.num_people, description.frame_unit
        self.min_frames, self.max_frames = description.min_frames, description.max_frames
        self._tuned = description.tuned

    @property
    def tuned(self) -> Sampling:
        return self._tuned

    @property
    def fingerprint(self) -> str:
        return ""

    def lengths(self, texts: Sequence[str], seed: int) -> list[int]:
        """The longest that an estimator may draw."""
        return [self.max_frames] * len(texts)

    def answer(self, requests: Sequence[Request], *, on_step: OnStep | None = None) -> NoReturn:
        raise _AcceptedError

    def reconstruct(self, features: object) -> NoReturn:
        raise AssertionError("a dry run")


def _shares(on_share: OnShare) -> OnProgress:
    def report(progress: Progress) -> None:
        on_share(progress.share)

    return report
