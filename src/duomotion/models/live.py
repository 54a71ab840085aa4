"""A partner who is made while the motion of a person arrives."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from duomotion.body.separation import BLEND
from duomotion.models.soundness import best_draws
from duomotion.motion.canonical import held, resample
from duomotion.motion.interaction import Interaction, joined, together
from duomotion.sampling.request import Request, Sampling

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel

PAST_SECONDS = 3.0  # of both people's motion, from which the partner goes on
AHEAD_SECONDS = 1.0  # behind what has arrived, which are made and thrown away


class LiveReaction:
    """Answers each stretch of a person's motion with the partner's motion over the same frames.

    Each answer is generated in a sliding window. Known in it are the last `PAST_SECONDS` of both
    people and the person's new stretch. `AHEAD_SECONDS` after the stretch are generated too and
    discarded, since models tend to finish an action at the end of a window. Frames that were
    returned never change. The delay is the length of a stretch plus the time of one window, which
    is drawn once unless `Sampling.attempts` says otherwise.

    The model sees nothing before the window and nothing of what the person will do next.
    """

    def __init__(self, model: "MotionModel", *, text: str, seed: int, sampling: Sampling) -> None:
        """Begin; see `MotionModel.live_reaction`."""
        if sampling.attempts is None and model.tuned.attempts is not None:
            sampling = replace(sampling, attempts=1)
        self.model = model
        self._text, self._seed, self._sampling = text, seed, sampling
        self._both: Interaction | None = None  # the last `PAST_SECONDS` of both
        self._frames = 0

    @property
    def seconds(self) -> float:
        """How much has been given."""
        return self._frames / self.model.fps

    def push(self, stretch: Interaction, *, at: float | None = None) -> Interaction:
        """The partner's motion while the person moves as in `stretch`, at the model's frame rate.

        Args:
            stretch: one person's next frames, of any skeleton that can be mapped to the model's.
            at: seconds at which it begins, counted from the first stretch; checked if given.

        Raises:
            ValueError: it is not of one person, too long, or not the next one; what was given
                before stays, and the next stretch is awaited still.
        """
        model = self.model
        if stretch.num_people != 1:
            raise ValueError(
                f"a live reaction takes the motion of one person, not of {stretch.num_people}"
            )
        self._check_time(at)
        given = resample(model.bodies(stretch), model.fps)
        longest = model.max_frames - round((PAST_SECONDS + AHEAD_SECONDS) * model.fps)
        if given.num_frames > longest:
            raise ValueError(
                f"a stretch of {given.seconds:g} s is too long: {model.name} answers stretches of "
                f"up to {longest / model.fps:g} s"
            )
        partner = self._partner(given)
        both = together([given, partner])
        if self._both is not None:
            both = joined([self._both, both])
        kept = round(PAST_SECONDS * model.fps)
        self._both = both.frames(max(0, both.num_frames - kept), both.num_frames)
        self._frames += given.num_frames
        return partner

    def _check_time(self, at: float | None) -> None:
        if at is None:
            return
        missing = round((at - self.seconds) * self.model.fps)
        if missing < 0:
            raise ValueError(
                f"frames from {at:g} s on come too late: the stream is at {self.seconds:g} s"
            )
        if missing > 0:
            raise ValueError(
                f"frames from {self.seconds:g} s to {at:g} s are missing: give them first"
            )

    def _partner(self, given: Interaction) -> Interaction:
        model, before = self.model, self._both
        past = 0 if before is None else before.num_frames
        new = given.num_frames
        ahead = max(round(AHEAD_SECONDS * model.fps), model.min_frames - past - new)
        frames = past + new + ahead
        actor = given if before is None else joined([before.person(0), given])
        known = held(actor, frames)
        mask_PT = np.arange(frames)[None] < past + new
        if before is not None:
            known = together([known, held(before.person(1), frames)])
            mask_PT = np.concatenate((mask_PT, np.arange(frames)[None] < past))
        request = Request(
            text=self._text,
            frames=frames,
            seed=self._seed,
            known=known,
            known_mask=mask_PT,
            sampling=self._sampling,
        )
        start = max(0, past - BLEND)
        (both,) = best_draws(model, [request], kept=(start, past + new + BLEND))
        return both.person(1).frames(past - start, past - start + new)
