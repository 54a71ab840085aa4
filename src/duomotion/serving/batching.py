"""Requests of several threads answered in one pass of a model.

A model answers a request in a batch as it answers it alone, so who shares a pass does not matter.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context, copy_context
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from duomotion.models.base import MotionModel
from duomotion.models.batches import BATCH_SIZE
from duomotion.models.progress import OnStep
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import Request

WINDOW = 0.02  # seconds for which a pass waits for requests that are on their way

Model = TypeVar("Model", bound=MotionModel)


class CancelledError(Exception):
    """Nobody waits for the motion any more."""


@dataclass(eq=False)
class _Call:
    """One call of a model's `answer`."""

    model: MotionModel
    requests: Sequence[Request]
    on_step: OnStep | None
    cancelled: threading.Event
    context: Context = field(default_factory=copy_context)
    done: threading.Event = field(default_factory=threading.Event)
    outcome: list[Interaction] | BaseException | None = None

    @property
    def key(self) -> Hashable:
        """Equal for calls that fit into one pass."""
        return id(self.model), self.model.batch_key(self.requests[0])

    def finish(self, outcome: list[Interaction] | BaseException) -> None:
        self.outcome = outcome
        self.done.set()


class Batcher:
    """Threads that take waiting calls, as many as fit at once, the oldest first."""

    def __init__(self, passes: int, on_pass: Callable[[int], None] | None = None) -> None:
        """Start.

        Args:
            passes: that are made at the same time.
            on_pass: called before each pass with the number of calls in it.
        """
        self._on_pass = on_pass
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._busy = 0  # threads that may call soon
        for _ in range(passes):
            threading.Thread(target=self._run, daemon=True).start()

    def expect(self, threads: int) -> None:
        """Count more threads that may call soon, or with a negative number fewer."""
        with self._changed:
            self._busy += threads
            self._changed.notify_all()

    def sharing(self, model: Model, cancelled: threading.Event) -> Model:
        """The model for one expected thread; its calls raise `CancelledError` once told to."""
        shared = copy(model)
        shared.answer = partial(self._call, model, cancelled)
        return shared

    def _call(
        self,
        model: MotionModel,
        cancelled: threading.Event,
        requests: Sequence[Request],
        *,
        on_step: OnStep | None = None,
    ) -> list[Interaction]:
        call = _Call(model, requests, on_step, cancelled)
        with self._changed:
            self._waiting.append(call)
            self._busy -= 1
            self._changed.notify_all()
        try:
            call.done.wait()
        finally:
            self.expect(1)
        if cancelled.is_set():
            raise CancelledError
        if isinstance(call.outcome, BaseException):
            raise call.outcome
        assert call.outcome is not None
        return call.outcome

    def _run(self) -> None:
        while True:
            if calls := self._next():
                if self._on_pass is not None:
                    self._on_pass(len(calls))
                _answer(calls)

    def _next(self) -> list[_Call]:
        """The oldest call and those that fit; none where another thread was faster."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            self._changed.wait_for(
                lambda: not self._busy or len(self._waiting) >= BATCH_SIZE, timeout=WINDOW
            )
            for call in [call for call in self._waiting if call.cancelled.is_set()]:
                self._waiting.remove(call)
                call.finish(CancelledError())
            if not self._waiting:
                return []
            key = self._waiting[0].key
            calls = [call for call in self._waiting if call.key == key][:BATCH_SIZE]
            for call in calls:
                self._waiting.remove(call)
            return calls


def _answer(calls: Sequence[_Call]) -> None:
    """Finish the calls; where a pass fails, each gets one of its own."""
    try:
        answer = partial(calls[0].model.answer, on_step=_reporting(calls))
        made = iter(calls[0].context.run(answer, _requests(calls)))
    except BaseException as error:
        if len(calls) == 1 or isinstance(error, CancelledError):
            for call in calls:
                call.finish(error)
        else:
            for call in calls:
                _answer([call])
        return
    for call in calls:
        call.finish([next(made) for _ in call.requests])


def _requests(calls: Sequence[_Call]) -> list[Request]:
    return [request for call in calls for request in call.requests]


def _reporting(calls: Sequence[_Call]) -> OnStep:
    def report(step: int, steps: int) -> None:
        if all(call.cancelled.is_set() for call in calls):
            raise CancelledError
        for call in calls:
            if call.on_step is not None:
                call.on_step(step, steps)

    return report
