"""Items computed ahead in a thread."""

import threading
import time
from itertools import count, islice

import pytest

from duomotion.training.prefetch import prefetched


def no_thread():
    return not any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_items_come_in_their_order(ahead):
    with prefetched(iter(range(20)), ahead=ahead) as items:
        assert list(items) == list(range(20))
    with prefetched(iter(()), ahead=ahead) as items:
        assert list(items) == []
    assert no_thread()


def test_a_few_items_are_ready_before_they_are_asked_for():
    computed = []

    def numbers():
        for number in count():
            computed.append((number, threading.current_thread()))
            yield number

    with prefetched(numbers(), ahead=3) as items:
        for taken in range(3):
            deadline = time.monotonic() + 10
            while len(computed) < taken + 3 and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.02)  # would be enough for more
            assert [number for number, _ in computed] == list(range(taken + 3))
            assert next(items) == taken
    assert len({thread for _, thread in computed}) == 1
    assert computed[0][1] is not threading.current_thread()
    assert no_thread()


def test_an_error_comes_in_the_place_of_the_item():
    def numbers():
        yield 1
        yield 2
        raise ValueError("no third")

    with prefetched(numbers()) as items:
        assert list(islice(items, 2)) == [1, 2]
        with pytest.raises(ValueError, match="no third"):
            next(items)
    assert no_thread()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_the_thread_ends_with_its_use(error):
    with pytest.raises(error), prefetched(count()) as items:
        next(items)
        raise error
    assert no_thread()


def test_an_error_that_nobody_comes_to_is_forgotten():
    def numbers():
        yield 1
        raise ValueError

    with prefetched(numbers()) as items:
        assert next(items) == 1
    assert no_thread()
