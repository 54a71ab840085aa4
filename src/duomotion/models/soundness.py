"""Whether generated motion moves as bodies do; what does not is drawn again."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from duomotion.evaluation.metrics.physics import SOUND_LITRES, body_depths, body_litres
from duomotion.models.progress import OnStep
from duomotion.motion.interaction import Interaction
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Request, window_seed

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel

# The medians of recordings are 37 m/s^2 and 0.1 l; see `physics.Limits` for more of their values.
ACCELERATION = 100.0  # m/s^2, the largest of a joint


def flaw(clip: Interaction, known_PT: np.ndarray | None = None) -> float:
    """How far a clip is from moving as bodies do, at most 1 where it does.

    Args:
        known_PT: bool, frames that were given and are not judged; of the clip's first people.
    """
    positions = clip.positions.astype(np.float64)
    _, accelerations = joint_motion(positions, clip.fps)
    largest_PT = accelerations.max(-1, initial=0)
    if known_PT is not None:
        given = known_PT[:, :-2] & known_PT[:, 1:-1] & known_PT[:, 2:]
        largest_PT[: len(given)][given] = 0
    found = float(largest_PT.max(initial=0)) / ACCELERATION
    if clip.num_people == 2 and clip.skeletons[0].same_tree(SMPL22):
        found = max(found, body_litres(clip, body_depths(positions)) / SOUND_LITRES)
    return found


def best_draws(
    model: "MotionModel",
    requests: Sequence[Request],
    on_step: OnStep | None = None,
    *,
    kept: tuple[int, int] | None = None,
) -> list[Interaction]:
    """The interactions asked for; what does not move as bodies do is drawn again.

    The best attempt is kept, of equally good ones the first, and finished: what finishing would
    hide, such as bodies in each other, tells a bad draw.

    Args:
        requests: of one length, none longer than the model's window, with the same settings.
        kept: from which frame to before which clips are judged, finished and returned; None: all.
    """

    def draw(asked: Sequence[Request]) -> list[Interaction]:
        drawn = model.answer(asked, on_step=on_step)
        return drawn if kept is None else [clip.frames(*kept) for clip in drawn]

    parts = requests if kept is None else [request.part(*kept) for request in requests]
    best = draw(requests)
    attempts = requests[0].sampling.resolved(model.tuned, model.name).attempts or 1
    flaws = [inf] * len(requests)
    if attempts > 1:
        flaws = [_flaw(clip, part) for clip, part in zip(best, parts, strict=True)]
    for attempt in range(1, attempts):
        unsound = [index for index, found in enumerate(flaws) if found > 1]
        again = [
            replace(requests[i], seed=window_seed(requests[i].seed, 0, attempt)) for i in unsound
        ]
        clips = draw(again) if again else []
        for index, clip in zip(unsound, clips, strict=True):
            if (found := _flaw(clip, parts[index])) < flaws[index]:
                best[index], flaws[index] = clip, found
    return [model.finish(clip, part) for clip, part in zip(best, parts, strict=True)]


def _flaw(clip: Interaction, request: Request) -> float:
    return flaw(clip, None if request.known is None else request.mask)
