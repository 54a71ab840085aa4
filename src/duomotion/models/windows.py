"""Motion that is longer than a model's window, made window by window.

It goes on from what there is (`continue_clip`, `stream_clip`), or its gaps are filled
(`fill_gaps`). Each window begins with the last `OVERLAP_SECONDS` of the motion before it. Where it
would show that it begins (`seam_score`), it is drawn again and begins a little earlier.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from duomotion.models.progress import OnProgress, OnStep, Progress
from duomotion.models.soundness import best_draws
from duomotion.motion.canonical import held
from duomotion.motion.interaction import Interaction, joined, together
from duomotion.motion.seams import seams
from duomotion.sampling.gaps import Gaps
from duomotion.sampling.request import Request, window_seed
from duomotion.training.prefetch import prefetched

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel

OVERLAP_SECONDS = 2.0  # of one window with the next
MAX_TRIES = 6  # for one window
SMOOTH = 0.9  # the `seam_score` of a good window; what comes behind it moves the percentile
BACK_SECONDS = 1.0  # by which each try begins earlier than the one before
LOOKBACK_SECONDS = BACK_SECONDS * (MAX_TRIES - 1)  # by which a window begins earlier at most
CONTEXT_SECONDS = 1.0  # of known motion behind a gap, which a window that closes it shows
KEPT_SECONDS = 60.0  # of the end of the motion, with which seams are compared


class _Window(NamedTuple):
    """The motion up to the end of a window that begins at frame `start`."""

    clip: Interaction  # at most the last `KEPT_SECONDS`
    dropped: int  # frames before it
    start: int


class _Try(NamedTuple):
    """A clip with one more window, which begins at frame `start`."""

    score: float
    start: int
    clip: Interaction


def begin_clips(
    model: "MotionModel", requests: Sequence[Request], callback: OnProgress | None = None
) -> list[Interaction]:
    """The first windows of clips that may share a batch."""
    firsts = [each.part(0, min(each.frames, model.max_frames)) for each in requests]
    return best_draws(model, firsts, _report(model, requests[0], callback, window=0, given=0))


def continue_clip(
    model: "MotionModel",
    clip: Interaction,
    request: Request,
    *,
    given: int = 0,
    callback: OnProgress | None = None,
) -> tuple[Interaction, list[int]]:
    """A clip that goes on to the frames of the request, and where the windows begin.

    Args:
        request: for `KEPT_SECONDS` or less.
        given: frames of the clip that the user has given, before which no window begins; 0 where
            it is a first window.
    """
    starts = []
    for window in _windows(model, clip, request, given=given, callback=callback):
        assert not window.dropped
        clip = window.clip
        starts.append(window.start)
    return clip, starts


def stream_clip(model: "MotionModel", request: Request) -> Iterator[Interaction]:
    """Consecutive stretches of a clip of any length; a background thread works ahead.

    A stretch is yielded once no later window can replace its frames.
    """
    with prefetched(_stretches(model, request), ahead=1) as stretches:
        yield from stretches


def _stretches(model: "MotionModel", request: Request) -> Iterator[Interaction]:
    done, lookback = 0, round(LOOKBACK_SECONDS * model.fps)
    reading = model.read(request.text)
    (clip,) = begin_clips(model, [request])
    for window in chain([_Window(clip, 0, 0)], _windows(model, clip, request)):
        made = window.dropped + window.clip.num_frames
        sure = made if made == request.frames else max(done, made - lookback)
        if sure > done:
            stretch = window.clip.frames(done - window.dropped, sure - window.dropped)
            yield stretch.with_caption(request.text, reading)
        done = sure


def fill_gaps(
    model: "MotionModel", request: Request, callback: OnProgress | None = None
) -> Interaction:
    """Known motion that is longer than a window, with what is unknown of it generated."""
    assert request.known is not None
    gaps = _gaps(model, request)
    overlap, context, longest = (
        round(each * model.fps) for each in (OVERLAP_SECONDS, CONTEXT_SECONDS, KEPT_SECONDS)
    )
    settled: list[Interaction] = []
    whole, dropped, windows, earliest = None, 0, 0, 0
    while (frame := dropped + (0 if whole is None else whole.num_frames)) < request.frames:
        gap = gaps.at(frame)
        if gap is None or frame < gap[0]:
            given = request.known.frames(frame, request.frames if gap is None else gap[0])
            whole = given if whole is None else joined([whole, given])
        else:
            report = _gap_report(model, gaps, callback, window=windows, frame=frame)
            if whole is None:
                whole = _first_window(model, request, report)
            else:
                earliest = max(gap[0], earliest)
                seen = frame + model.max_frames + context + 1
                left = request.part(dropped, min(request.frames, seen))
                best = _best_window(model, whole, left, windows, earliest - dropped, report)
                whole, earliest = best.clip, dropped + best.start + overlap
            windows += 1
        if (excess := whole.num_frames - longest) > 0:
            settled.append(whole.frames(0, excess))
            whole, dropped = whole.frames(excess, whole.num_frames), dropped + excess
    assert whole is not None
    return joined([*settled, whole])


def seam_score(clip: Interaction, start: int) -> float:
    """How much it shows that motion goes on at frame `start`; at most 1 where it does not.

    Nine of ten places of a clip have feet that slide less than twice as much as in all of it.
    """
    seam = seams(clip, [start])
    return max(seam["speed"], seam["acceleration"], seam["sliding"] / 2)


def _windows(
    model: "MotionModel",
    clip: Interaction,
    request: Request,
    *,
    given: int = 0,
    callback: OnProgress | None = None,
) -> Iterator[_Window]:
    """Window after window behind a clip, as for `continue_clip`, but without a limit."""
    whole, dropped = clip, 0
    starts: list[int] = []
    overlap, longest = (round(each * model.fps) for each in (OVERLAP_SECONDS, KEPT_SECONDS))
    # What a stream has not yielded yet is always kept.
    longest = max(longest, model.max_frames + round(LOOKBACK_SECONDS * model.fps))
    while dropped + whole.num_frames < request.frames:
        window = len(starts) + (not given)
        report = _report(model, request, callback, window=window, given=given)
        # So that it goes on.
        earliest = max(given, overlap + (starts[-1] if starts else 0)) - dropped
        left = request.part(dropped, request.frames)
        _, start, whole = _best_window(model, whole, left, len(starts) + 1, earliest, report)
        starts.append(dropped + start)
        excess = max(0, whole.num_frames - longest)
        whole, dropped = whole.frames(excess, whole.num_frames), dropped + excess
        yield _Window(whole, dropped, starts[-1])


def _first_window(model: "MotionModel", request: Request, on_step: OnStep | None) -> Interaction:
    """The beginning of known motion that is longer than a window, and begins with a gap."""
    (clip,) = best_draws(model, [request.part(0, model.max_frames)], on_step)
    return clip.frames(0, _stop(model, request, 0, model.max_frames))


def _best_window(
    model: "MotionModel",
    whole: Interaction,
    request: Request,
    window: int,
    earliest: int,
    on_step: OnStep | None,
) -> _Try:
    """One more window behind what there is: of several tries the one that shows least.

    Args:
        window: its number, for seeds.
        earliest: frame at which it may begin.
    """
    tries: list[_Try] = []
    while len(tries) < MAX_TRIES and all(each.score > SMOOTH for each in tries):
        seed = window_seed(request.seed, window, len(tries))
        back = round(BACK_SECONDS * model.fps) * len(tries)
        start = max(whole.num_frames - back, min(earliest, whole.num_frames))
        again = replace(request, seed=seed)
        longer = _next_window(model, whole.frames(0, start), again, on_step)
        tries.append(_Try(seam_score(longer, start), start, longer))
    return min(tries, key=lambda each: each.score)


def _next_window(
    model: "MotionModel", made: Interaction, request: Request, on_step: OnStep | None
) -> Interaction:
    """What there is with one more window behind it, up to the frames of the request."""
    done = made.num_frames
    overlap = min(round(OVERLAP_SECONDS * model.fps), done)
    new = min(request.frames - done, model.max_frames - overlap)
    length = max(overlap + new, model.min_frames)
    known = made.frames(done - overlap, done)
    mask_PT = np.tile(np.arange(length) < overlap, (known.num_people, 1))
    if request.known is not None:
        ahead = request.known.frames(done, done + new)
        people = [
            joined([known.person(p), ahead.person(p)])
            if p < ahead.num_people
            else held(known.person(p), overlap + new)
            for p in range(known.num_people)
        ]
        known = together(people)
        mask_PT[: len(request.mask), overlap : overlap + new] = request.mask[:, done:][:, :new]
        new = _stop(model, request, done, done + new) - done
    window = replace(request, frames=length, known=held(known, length), known_mask=mask_PT)
    (clip,) = best_draws(model, [window], on_step)
    return joined([made, clip.frames(overlap, overlap + new)])


def _gaps(model: "MotionModel", request: Request) -> Gaps:
    """Frames of known motion in which something of somebody is to be generated."""
    known_T = request.mask.all(0) & (len(request.mask) == model.num_people)
    return Gaps.of(np.logical_not(known_T))


def _stop(model: "MotionModel", request: Request, start: int, end: int) -> int:
    """Up to which frame a window of known motion is kept, see `Gaps.window_stop`."""
    context = round(CONTEXT_SECONDS * model.fps)
    return _gaps(model, request).window_stop(start, end, context=context)


def _report(
    model: "MotionModel",
    request: Request,
    callback: OnProgress | None,
    *,
    window: int,
    given: int,
) -> OnStep | None:
    """What tells `callback` of the steps of one window of a clip that goes on.

    Args:
        window: windows that are done.
        given: frames of the clip that are given.
    """
    if callback is None:
        return None
    first = 0 if given else model.max_frames
    step = model.max_frames - round(OVERLAP_SECONDS * model.fps)
    more = max(0, -(-(request.frames - max(given, first)) // step))
    windows = max(more + (not given), window + 1)
    return lambda step, steps: callback(Progress(step, steps, window, windows))


def _gap_report(
    model: "MotionModel",
    gaps: Gaps,
    callback: OnProgress | None,
    *,
    window: int,
    frame: int,
) -> OnStep | None:
    """What tells `callback` of the steps of one window of known motion.

    Args:
        window: windows that are done.
        frame: up to which the gaps are filled.
    """
    if callback is None:
        return None
    windows = window + gaps.count_windows(
        frame,
        longest=model.max_frames,
        overlap=round(OVERLAP_SECONDS * model.fps),
        context=round(CONTEXT_SECONDS * model.fps),
    )
    return lambda step, steps: callback(Progress(step, steps, window, windows))
