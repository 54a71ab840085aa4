"""Many clips, several at a time.

A clip is the same in a batch and alone, so it does not matter which clips share one.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from duomotion.models.progress import OnProgress, of_clips
from duomotion.models.windows import begin_clips, continue_clip, fill_gaps
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import Request

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel

BATCH_SIZE = 8  # clips that are generated at once where many are asked for
LOOK_AHEAD = 64  # clips among which those that can share a batch are looked for

Result = TypeVar("Result")


def in_batches(
    keys: Sequence[Hashable], make: Callable[[list[int]], Sequence[Result]]
) -> list[Result]:
    """What `make` gives for the items whose indices it gets, one result an item, in their order.

    Items of equal keys are made at once, at most `BATCH_SIZE` of them.
    """
    alike: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        alike.setdefault(key, []).append(index)
    made: dict[int, Result] = {}
    for indices in alike.values():
        for start in range(0, len(indices), BATCH_SIZE):
            batch = indices[start : start + BATCH_SIZE]
            made.update(zip(batch, make(batch), strict=True))
    return [made[index] for index in range(len(keys))]


def make_clips(
    model: "MotionModel", requests: Sequence[Request], callback: OnProgress | None = None
) -> Iterator[tuple[Interaction, list[int]]]:
    """The clips asked for, of any length, and the frames at which their further windows begin.

    First windows with equal `batch_key` are generated together; where gaps of known motion that is
    longer than a window are filled, each window alone, and no beginnings are told.
    """
    has_gaps = [each.known is not None and each.frames > model.max_frames for each in requests]
    keys = [model.batch_key(each.part(0, min(each.frames, model.max_frames))) for each in requests]
    begun: dict[int, Interaction] = {}
    for index, request in enumerate(requests):
        own = of_clips(callback, index, 1, len(requests))
        if has_gaps[index]:
            clip, starts = fill_gaps(model, request, own), []
        else:
            if index not in begun:
                ahead = range(index, min(index + LOOK_AHEAD, len(requests)))
                alike = [
                    each
                    for each in ahead
                    if keys[each] == keys[index] and each not in begun and not has_gaps[each]
                ][:BATCH_SIZE]
                report = of_clips(callback, index + len(begun), len(alike), len(requests))
                clips = begin_clips(model, [requests[each] for each in alike], report)
                begun.update(zip(alike, clips, strict=True))
            clip, starts = continue_clip(model, begun.pop(index), request, callback=own)
        yield clip.with_caption(request.text, model.read(request.text)), starts
