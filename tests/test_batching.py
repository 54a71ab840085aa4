"""Calls of several threads in one pass: who shares it, who fails, and who hangs up."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from motions import standing

from duomotion.models.base import MotionModel
from duomotion.sampling.request import Request
from duomotion.serving import batching
from duomotion.serving.batching import Batcher, CancelledError


class Toy(MotionModel):
    """Stands, with the seed as caption; each pass waits until it may go."""

    name, min_frames, max_frames = "toy", 10, 100

    def __init__(self):
        self.passes = []
        self.may_go = threading.Event()
        self.may_go.set()

    @property
    def fingerprint(self):
        return ""

    def reconstruct(self, features):
        raise NotImplementedError

    def answer(self, requests, *, on_step=None):
        self.passes.append([request.seed for request in requests])
        assert self.may_go.wait(10)
        for step in range(3):
            if on_step is not None:
                on_step(step + 1, 3)
        if any(request.seed == 666 for request in requests):
            raise RuntimeError("a cursed seed")
        return [
            standing(frames=request.frames).with_caption(str(request.seed)) for request in requests
        ]


def ask(batcher, model, seed, *, frames=20, cancelled=None, on_step=None):
    shared = batcher.sharing(model, cancelled or threading.Event())
    try:
        (clip,) = shared.answer([Request(text="", frames=frames, seed=seed)], on_step=on_step)
        return clip.caption, clip.num_frames
    finally:
        batcher.expect(-1)


def test_calls_that_come_together_and_fit_share_a_pass(monkeypatch):
    monkeypatch.setattr(batching, "WINDOW", 5)  # a busy machine may be late
    model, sizes = Toy(), []
    batcher = Batcher(1, sizes.append)
    frames = [20, 20, 30, 20, 30, 20]
    batcher.expect(len(frames))
    with ThreadPoolExecutor(len(frames)) as threads:
        answers = [
            threads.submit(ask, batcher, model, seed, frames=count)
            for seed, count in enumerate(frames)
        ]
        found = [answer.result(10) for answer in answers]
    assert found == [(str(seed), count) for seed, count in enumerate(frames)]
    assert sorted(map(sorted, model.passes)) == [[0, 1, 3, 5], [2, 4]]
    assert sum(sizes) == len(frames)


def test_a_pass_sees_what_its_caller_does():
    asked_by, seen = ContextVar("asked_by", default=""), []

    class Looking(Toy):
        def answer(self, requests, *, on_step=None):
            seen.append(asked_by.get())
            return super().answer(requests, on_step=on_step)

    batcher = Batcher(1)
    batcher.expect(1)
    asked_by.set("me")
    ask(batcher, Looking(), 1)
    assert seen == ["me"]


def test_no_pass_is_larger_than_models_make_at_once():
    model, sizes = Toy(), []
    batcher = Batcher(2, sizes.append)
    batcher.expect(20)
    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(ask, batcher, model, seed) for seed in range(20)]
        assert [answer.result(10)[0] for answer in answers] == [str(seed) for seed in range(20)]
    assert max(map(len, model.passes)) <= 8


def test_a_request_that_fails_harms_no_other():
    model = Toy()
    batcher = Batcher(1)
    seeds = [1, 666, 2]
    batcher.expect(len(seeds))
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(ask, batcher, model, seed) for seed in seeds]
        assert answers[0].result(10)[0] == "1" and answers[2].result(10)[0] == "2"
        with pytest.raises(RuntimeError, match="cursed"):
            answers[1].result(10)


def test_steps_are_reported_to_all_who_share_a_pass():
    model, steps = Toy(), {1: [], 2: []}
    batcher = Batcher(1)
    batcher.expect(2)
    with ThreadPoolExecutor(2) as threads:
        answers = [
            threads.submit(
                ask, batcher, model, seed, on_step=lambda *step, seed=seed: steps[seed].append(step)
            )
            for seed in (1, 2)
        ]
        for answer in answers:
            answer.result(10)
    assert steps == {1: [(1, 3), (2, 3), (3, 3)], 2: [(1, 3), (2, 3), (3, 3)]}


def test_a_pass_ends_when_nobody_waits_for_it_any_more():
    model = Toy()
    batcher = Batcher(1)
    model.may_go.clear()
    gone, waits = threading.Event(), threading.Event()
    batcher.expect(2)
    with ThreadPoolExecutor(3) as threads:
        answers = [
            threads.submit(ask, batcher, model, seed, cancelled=cancelled)
            for seed, cancelled in ((1, gone), (2, waits))
        ]
        while not model.passes:
            pass
        gone.set()
        # It waits for the pass to end.
        batcher.expect(1)
        late = threads.submit(ask, batcher, model, 3, cancelled=gone)
        model.may_go.set()
        assert answers[1].result(10)[0] == "2"  # the other one's motion is finished
        for cancelled in (answers[0], late):
            with pytest.raises(CancelledError):
                cancelled.result(10)
    assert sorted(model.passes[0]) == [1, 2] and len(model.passes) == 1

    model.may_go.clear()
    alone = threading.Event()
    batcher.expect(1)
    with ThreadPoolExecutor(1) as threads:
        steps = []
        answer = threads.submit(
            ask,
            batcher,
            model,
            4,
            cancelled=alone,
            on_step=lambda *step: (steps.append(step), alone.set()),
        )
        model.may_go.set()
        with pytest.raises(CancelledError):
            answer.result(10)
    assert steps == [(1, 3)]
