"""What a call of a model asks for: its arguments, checked, as requests.

Every function raises ValueError where something is out of range, or the model has no use for it.
"""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from duomotion.models.windows import KEPT_SECONDS
from duomotion.motion.canonical import resample
from duomotion.motion.interaction import Interaction
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Request, Sampling
from duomotion.text.prompt import check_prompt, of_partner

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel

MAX_SECONDS = KEPT_SECONDS  # of motion that is made; its seams are compared with all of it
MAX_GIVEN_SECONDS = 3_600.0
ENDLESS = 10**9  # frames, a year, of a stream without a given length

Stretch = tuple[float, float]
"""Start and end in seconds."""


def request_texts(
    model: "MotionModel",
    texts: Sequence[str],
    *,
    seconds: float | None,
    seeds: Sequence[int],
    sampling: Sampling,
) -> list[Request]:
    """Takes of the first text, one a seed, then of the next.

    Args:
        seconds: length of each; None for as long as what the text says takes.
    """
    texts = [check_prompt(text) for text in texts]
    if seconds is None:
        lengths = [model.lengths(texts, seed) for seed in seeds]
    else:
        lengths = [[_count_frames(model, seconds, MAX_SECONDS)] * len(texts)] * len(seeds)
    for frames in set(chain(*lengths)):
        _check_constraints(model, sampling, frames)
    return [
        Request(text=text, frames=each[index], seed=seed, sampling=sampling)
        for index, text in enumerate(texts)
        for seed, each in zip(seeds, lengths, strict=True)
    ]


def request_stream(
    model: "MotionModel", text: str, *, seconds: float | None, seed: int, sampling: Sampling
) -> Request:
    """What a text says, for a given time or without end."""
    refuse_constraints(sampling, "streamed")
    frames = ENDLESS
    if seconds is not None:
        frames = _count_frames(model, seconds, ENDLESS / model.fps)
    return Request(text=check_prompt(text), frames=frames, seed=seed, sampling=sampling)


def request_reaction(
    model: "MotionModel", actor: Interaction, text: str, *, seed: int, sampling: Sampling
) -> Request:
    """A partner for one person.

    Args:
        text: as by `reaction_text`.
    """
    if actor.num_people != 1:
        raise ValueError(
            f"a reaction needs the motion of one person, this one has {actor.num_people}"
        )
    actor = _to_model_skeleton(model, actor, MAX_GIVEN_SECONDS)
    _check_constraints(model, sampling, actor.num_frames, beside_known=True)
    frames = _count_frames(model, actor.seconds, MAX_GIVEN_SECONDS)
    return Request(text=text, frames=frames, seed=seed, known=actor, sampling=sampling)


def request_inpainting(
    model: "MotionModel",
    clip: Interaction,
    text: str,
    *,
    unknown: Stretch | Sequence[Stretch],
    person: int | None,
    seed: int,
    sampling: Sampling,
) -> Request:
    """Stretches of a clip, of one person or, where that is None, of all."""
    known = _to_model_skeleton(model, clip, MAX_GIVEN_SECONDS)
    frames = _count_frames(model, known.seconds, MAX_GIVEN_SECONDS)
    _check_constraints(model, sampling, frames, beside_known=True)
    return Request(
        text=_optional(text),
        frames=frames,
        seed=seed,
        known=known,
        known_mask=_known_mask(model, known, unknown, person, seconds=clip.seconds),
        sampling=sampling,
    )


def request_extension(
    model: "MotionModel",
    clip: Interaction,
    text: str,
    *,
    seconds: float,
    seed: int,
    sampling: Sampling,
) -> tuple[Interaction, Request]:
    """The clip on the model's skeleton and at its frame rate, and all of it once it has gone on."""
    frames = _count_frames(model, seconds, MAX_SECONDS)
    refuse_constraints(sampling, "extended")
    clip = _to_model_skeleton(model, clip, MAX_SECONDS)
    if frames <= clip.num_frames:
        raise ValueError(
            f"the clip is {clip.seconds:.2f} s long; seconds, the length of the result, has to "
            f"be more, not {seconds:g}"
        )
    return clip, Request(text=_optional(text), frames=frames, seed=seed, sampling=sampling)


def reaction_text(model: "MotionModel", text: str, partner: str) -> str:
    """What happens where one person is given, of whom nothing has to be said."""
    if model.num_people == 1:
        raise ValueError(
            f"{model.name} makes the motion of one person and can't add a partner; name a model "
            "of two people"
        )
    if partner and not text.strip():
        return of_partner(partner)
    return _optional(model.merge_prompts(text, partner))


def refuse_constraints(sampling: Sampling, done: str) -> None:
    """Raises ValueError where constraints are given for motion that is `done`."""
    if sampling.contacts or sampling.paths:
        raise ValueError(f"contacts and paths can't be given where motion is {done}")


def _optional(text: str) -> str:
    return check_prompt(text) if text.strip() else ""


def _count_frames(model: "MotionModel", seconds: float, longest: float) -> int:
    """How many frames a length of at most `longest` seconds is."""
    shortest = model.min_frames / model.fps
    if not shortest <= seconds <= longest:
        raise ValueError(
            f"a length of {seconds:g} s is not possible: {model.name} makes motion of "
            f"{shortest:g} to {longest:g} s"
        )
    return round(seconds * model.fps)


def _to_model_skeleton(model: "MotionModel", clip: Interaction, longest: float) -> Interaction:
    """Given motion of at most `longest` seconds on the model's skeleton and at its frame rate."""
    if clip.num_people > model.num_people:
        makes = {1: "one person", 2: "two people"}[model.num_people]
        instead = "name a model of two" if clip.num_people == 2 else "no model takes so many"
        raise ValueError(
            f"{model.name} makes the motion of {makes}; the given motion has "
            f"{clip.num_people} people, {instead}"
        )
    if clip.num_frames * model.fps > (longest * model.fps + 0.5) * clip.fps:
        raise ValueError(
            f"the given motion, {clip.num_frames} frames at {clip.fps:g} a second, is longer "
            f"than the {longest:,g} s that can be given"
        )
    return resample(model.bodies(clip), model.fps)


def _known_mask(
    model: "MotionModel",
    clip: Interaction,
    unknown: Stretch | Sequence[Stretch],
    person: int | None,
    *,
    seconds: float,
) -> np.ndarray:
    """(P, T) bool, True where a clip is to stay.

    Args:
        clip: on the model's skeleton.
        unknown: what is not, of one person or, where that is None, of all.
        seconds: length of the clip as it was given.
    """
    if person is not None and not 0 <= person < clip.num_people:
        raise ValueError(f"there is no person {person}: the clip has {clip.num_people}")
    mask_PT = np.ones((clip.num_people, clip.num_frames), bool)
    for first, last in np.reshape(unknown, (-1, 2)).tolist():
        is_inside = 0 <= first < last <= seconds + 0.5 / model.fps
        ends = (first, last) if is_inside else (0.0, 0.0)
        start, stop = (min(round(model.fps * second), clip.num_frames) for second in ends)
        if start == stop:
            raise ValueError(
                f"the stretch from {first:g} s to {last:g} s can't be regenerated: it has to "
                f"lie within the {seconds:g} s of the clip and end after it starts"
            )
        mask_PT[slice(None) if person is None else person, start:stop] = False
    if not mask_PT.any():
        raise ValueError("what is unknown is the whole clip; some of it has to stay known")
    if not mask_PT[:, : model.max_frames].any():
        raise ValueError(
            f"something has to stay known of the clip's first {model.max_frames / model.fps:g} s"
        )
    return mask_PT


def _check_constraints(
    model: "MotionModel", sampling: Sampling, frames: int, *, beside_known: bool = False
) -> None:
    """Raises ValueError where a constraint does not fit, or a clip is made in windows.

    Nor do paths fit beside known motion: that is somewhere else, and people may be in the other
    order.
    """
    if sampling.paths and beside_known:
        raise ValueError("paths can't be given beside known motion")
    constraints = (*(sampling.contacts or ()), *(sampling.paths or ()))
    if constraints and frames > model.max_frames:
        raise ValueError(
            f"contacts and paths can be given for up to {model.max_frames / model.fps:g} s of "
            f"motion, not for {frames / model.fps:g} s"
        )
    for constraint in constraints:
        constraint.check(SMPL22, frames / model.fps)
