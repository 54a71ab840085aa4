"""What every model does for a user: it generates, reacts, inpaints and extends.

A system that makes the features of a layout derives from `models.feature_model.FeatureModel`, which
answers requests; any other kind writes `answer` itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from typing import NamedTuple, Protocol, TypeVar, overload

import numpy as np

from duomotion.models.live import LiveReaction
from duomotion.models.soundness import flaw
from duomotion.motion.canonical import held, resample
from duomotion.motion.interaction import Interaction, Reading, joined, together
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.seams import seams
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.gaps import count_windows, gap_at, window_stop
from duomotion.sampling.request import AS_TUNED, Request, Sampling, check_seed, sample_seeds
from duomotion.text.learned import Learned
from duomotion.text.prompt import check_prompt, of_partner, roles
from duomotion.training.prefetch import prefetched

FPS = 30.0  # of models of two people
MAX_SECONDS = 60.0
DEFAULT_SECONDS = 4.0  # of motion whose length neither the user nor the model knows
BATCH_SIZE = 8  # clips that are generated at once where many are asked for
LOOK_AHEAD = 64  # clips among which those that can share a batch are looked for
OVERLAP_SECONDS = 2.0  # of one window with the next, where motion is longer than a window
MAX_TRIES = 6  # for one window
SMOOTH = 0.9  # the `seam_score` of a good window; what comes behind it moves the percentile
CONTEXT_SECONDS = 1.0  # of known motion behind a gap, which a window that closes it shows
MAX_GIVEN_SECONDS = 3_600.0
BACK_SECONDS = 1.0  # by which each try begins earlier than the one before
LOOKBACK_SECONDS = BACK_SECONDS * (MAX_TRIES - 1)  # by which a window begins earlier at most
ENDLESS = 10**9  # frames, a year, of a stream without a given length

Result = TypeVar("Result")
Stretch = tuple[float, float]
"""Start and end in seconds."""

OnStep = Callable[[int, int], None]
"""Iterations done and in total, of what is generated at once."""


class Progress(NamedTuple):
    """How far the generation of a clip is; motion longer than a window is made window by window."""

    step: int  # iterations done
    steps: int  # of the window
    window: int  # windows done
    windows: int  # of the clip; a window that is drawn again starts again
    clip: int = 0  # clips done
    at_once: int = 1  # clips that are being made together
    clips: int = 1  # in all

    @property
    def share(self) -> float:
        """From 0 to 1."""
        of_clip = min(1.0, (self.window + self.step / self.steps) / self.windows)
        return (self.clip + self.at_once * of_clip) / self.clips


OnProgress = Callable[[Progress], None]


def of_clips(callback: OnProgress | None, clip: int, at_once: int, clips: int) -> OnProgress | None:
    """What tells `callback` how far some of several clips are."""
    if callback is None:
        return None
    return lambda progress: callback(progress._replace(clip=clip, at_once=at_once, clips=clips))


class Reconstructor(Protocol):
    """What brings motion into tokens or latents and back."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def reconstruct(self, features: np.ndarray, /) -> np.ndarray:
        """Features (P, T, F) in metres and back, perhaps a few frames shorter."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer or autoencoder without what generates."""

    name: str
    reconstruct: Callable[[np.ndarray], np.ndarray]
    precision: str = "float32"


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


class MotionModel(ABC):
    """A loaded model that answers requests.

    Attributes:
        fps: frames a second of what it makes.
        num_people: how many it makes the motion of.
        min_frames, max_frames: of what it makes at once.
        frame_unit: frames that are made together, such as those of a token.
        precision: the number format in which its networks compute.
        learned: what it has learned from; None where its checkpoint does not say.
    """

    name: str
    fps: float = FPS
    num_people: int = 2
    frame_unit: int = 1
    min_frames: int
    max_frames: int
    precision: str = "float32"
    learned: Learned | None = None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any weight or setting."""

    @property
    def tuned(self) -> Sampling:
        """How it samples unless told otherwise; None for settings that it has no use for."""
        return AS_TUNED

    @abstractmethod
    def answer(
        self, requests: Sequence[Request], *, on_step: OnStep | None = None
    ) -> list[Interaction]:
        """The interactions asked for, each the same as if it had been asked for alone."""

    def finish(self, clip: Interaction, request: Request) -> Interaction:
        """The draw that was kept, as users get it."""
        return clip

    @abstractmethod
    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """The layout's features (P, T, F) through the tokenizer or autoencoder and back."""

    def reconstruct_by_layers(self, features: np.ndarray) -> list[np.ndarray]:
        """The same from the first layer of tokens alone, the first two, up to all of them.

        Empty for a model whose tokens have no layers.
        """
        return []

    def batch_key(self, request: Request) -> Hashable:
        """Equal for requests that may share a batch: of one length, with the same settings.

        Nothing is padded in such a batch. Padding would change how products are rounded, and with
        that, now and then, a draw and all that follows from it.
        """
        return (
            -(-request.frames // self.frame_unit),
            not request.text,
            request.sampling,
            request.knows_whole_people,
        )

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """What the network makes of the texts: features (P, T, F) of the layout, T = frames.

        Published evaluators see these: not smoothed, no foot held, nobody put on the ground. Each
        is the same as if it had been asked for alone.

        Raises:
            ValueError: the model makes no such features.
        """
        raise ValueError(f"{self.name} makes no features that published evaluators read")

    def reactions(
        self, requests: Sequence[Request], actors: Sequence[np.ndarray], people: Sequence[int]
    ) -> list[np.ndarray]:
        """What the network makes of the other person beside given ones.

        Args:
            actors: features (T, F) in metres of given people, T = frames of the request.
            people: 0 or 1, which of the two each of them is; the origin is where 0 starts.

        Returns:
            Features (T, F) in metres of the others; as with `features`, published evaluators
            see these, and each is the same as if it had been asked for alone.

        Raises:
            ValueError: the model makes no reactions.
        """
        raise ValueError(f"{self.name} makes no reactions that published evaluators read")

    def bodies(self, interaction: Interaction) -> Interaction:
        """The same motion on the skeleton on which the model generates.

        Raises:
            ValueError: the skeleton can't be mapped.
        """
        return to_smpl22(interaction)

    def lengths(self, texts: Sequence[str], seed: int) -> list[int]:
        """How many frames what each text says takes; the same for the same text and seed."""
        return [round(self.fps * DEFAULT_SECONDS)] * len(texts)

    def read(self, text: str) -> Reading | None:
        """What the model reads a text as, which comes with each clip that has a caption.

        None of an empty text, and where the model does not know what it has learned from.
        """
        return self.learned.read(text) if text and self.learned is not None else None

    def check(self, *, seed: int, sampling: Sampling) -> None:
        """Raises ValueError where a setting is out of range or the model has no use for it."""
        check_seed(seed)
        sampling.resolved(self.tuned, self.name)

    @overload
    def generate(
        self,
        text: str,
        *,
        partner: str = "",
        seconds: float | None = None,
        num_samples: None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Interaction: ...

    @overload
    def generate(
        self,
        text: str,
        *,
        partner: str = "",
        seconds: float | None = None,
        num_samples: int,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> list[Interaction]: ...

    @overload
    def generate(
        self,
        text: list[str] | tuple[str, ...],
        *,
        partner: str = "",
        seconds: float | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> list[Interaction]: ...

    def generate(
        self,
        text: str | list[str] | tuple[str, ...],
        *,
        partner: str = "",
        seconds: float | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Interaction | list[Interaction]:
        """People doing what the text says; longer than the model's window as by `extend`.

        Args:
            text: what both do, or one of them where `partner` says what the other does; or a list
                of texts.
            seconds: length of the motion; None for as long as what the text says takes.
            num_samples: takes of each text. The first has the seed `seed`, the next `seed + 1`, and
                so on; each is the same as if it had been asked for alone.
            callback: called after each iteration.

        Returns:
            One clip; a list of them of a list of texts or where `num_samples` is given, take by
            take of the first text, then of the next.

        Raises:
            ValueError: a text is empty, too long or in another script, there is a partner and the
                model makes one person, or the length, the number of takes or a setting is out of
                range or none of the model's.
        """
        texts = [text] if isinstance(text, str) else text
        clips = self.generate_many(
            [self.merge_prompts(each, partner) for each in texts],
            seconds=seconds,
            num_samples=1 if num_samples is None else num_samples,
            seed=seed,
            sampling=sampling,
            callback=callback,
        )
        return next(clips) if isinstance(text, str) and num_samples is None else list(clips)

    def merge_prompts(self, text: str, partner: str) -> str:
        """One sentence of what happens and of what the partner does, if anything is said of them.

        Raises:
            ValueError: the model makes the motion of one person, or a text can't be used.
        """
        if partner and self.num_people == 1:
            raise ValueError(
                f"{self.name} makes the motion of one person, so there is no partner; say what the "
                "one person does, or name a model of two people"
            )
        return roles(text, partner) if partner else text

    def generate_many(
        self,
        texts: Sequence[str],
        *,
        seconds: float | None = None,
        num_samples: int = 1,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Iterator[Interaction]:
        """What `generate` gives for a list of texts, clip by clip.

        Those of equal length, among the next `LOOK_AHEAD`, are generated several at a time.

        Raises:
            ValueError: as `generate`, before anything is generated.
        """
        self.check(seed=seed, sampling=sampling)
        seeds = sample_seeds(seed, num_samples)
        texts = [check_prompt(text) for text in texts]
        if seconds is None:
            lengths = [self.lengths(texts, each) for each in seeds]
        else:
            lengths = [[self._frames(seconds, MAX_SECONDS)] * len(texts)] * len(seeds)
        for frames in set(chain(*lengths)):
            self._check_constraints(sampling, frames)
        requests = [
            Request(text=text, frames=each[index], seed=own, sampling=sampling)
            for index, text in enumerate(texts)
            for own, each in zip(seeds, lengths, strict=True)
        ]
        return (clip for clip, _ in self._batches(requests, callback))

    def generate_long(
        self, text: str, *, seconds: float, seed: int = 0
    ) -> tuple[Interaction, list[int]]:
        """What `generate` gives, and the frames at which further windows begin.

        Raises:
            ValueError: as `generate`.
        """
        check_seed(seed)
        frames = self._frames(seconds, MAX_SECONDS)
        return next(self._batches([Request(text=check_prompt(text), frames=frames, seed=seed)]))

    def request(
        self,
        text: str,
        *,
        partner: str = "",
        seconds: float | None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
    ) -> Request:
        """What `generate` with these arguments asks for; raises as it does."""
        self.check(seed=seed, sampling=sampling)
        text = check_prompt(self.merge_prompts(text, partner))
        if seconds is None:
            (frames,) = self.lengths([text], seed)
        else:
            frames = self._frames(seconds, MAX_SECONDS)
        self._check_constraints(sampling, frames)
        return Request(text=text, frames=frames, seed=seed, sampling=sampling)

    def fulfil(self, requests: Sequence[Request]) -> list[Interaction]:
        """The clips of what `request` and `reaction_request` give, in their order.

        Those of equal `batch_key` are generated several at a time; each clip is the same as if it
        had been asked for alone.
        """
        is_filled = [
            request.known is not None and request.frames > self.max_frames for request in requests
        ]
        rest = [each for each, filled in zip(requests, is_filled, strict=True) if not filled]
        made = self._batches(rest)
        return [
            self._answer_one(request, None) if filled else next(made)[0]
            for request, filled in zip(requests, is_filled, strict=True)
        ]

    def _batches(
        self, requests: Sequence[Request], callback: OnProgress | None = None
    ) -> Iterator[tuple[Interaction, list[int]]]:
        windows = [
            replace(request, frames=min(request.frames, self.max_frames)) for request in requests
        ]
        keys = [self.batch_key(window) for window in windows]
        made: dict[int, Interaction] = {}
        for index, request in enumerate(requests):
            if index not in made:
                ahead = range(index, min(index + LOOK_AHEAD, len(requests)))
                alike = [i for i in ahead if i not in made and keys[i] == keys[index]][:BATCH_SIZE]
                begun = of_clips(callback, index + len(made), len(alike), len(requests))
                report = self._window_report(begun, 0, request, 0)
                clips = self._drawn([windows[i] for i in alike], report)
                made.update(zip(alike, clips, strict=True))
            own = of_clips(callback, index, 1, len(requests))
            yield self._extended(made.pop(index), request, given=0, callback=own)

    def stream(
        self,
        text: str,
        *,
        partner: str = "",
        seconds: float | None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
    ) -> Iterator[Interaction]:
        """What `generate` gives, in consecutive stretches; a background thread works ahead.

        A stretch is yielded once no later window can replace its frames: windows may begin up to
        `LOOKBACK_SECONDS` before the end of the motion generated so far.

        Args:
            seconds: length of the whole; None: without end.

        Raises:
            ValueError: as `generate`, before anything is generated; constraints are given.
        """
        self.check(seed=seed, sampling=sampling)
        _refuse_constraints(sampling, "streamed")
        frames = ENDLESS if seconds is None else self._frames(seconds, ENDLESS / self.fps)
        text = check_prompt(self.merge_prompts(text, partner))
        return self._streamed(Request(text=text, frames=frames, seed=seed, sampling=sampling))

    def _streamed(self, request: Request) -> Iterator[Interaction]:
        with prefetched(self._stretches(request), ahead=1) as stretches:
            yield from stretches

    def _stretches(self, request: Request) -> Iterator[Interaction]:
        done, lookback = 0, round(LOOKBACK_SECONDS * self.fps)
        reading = self.read(request.text)
        first = replace(request, frames=min(request.frames, self.max_frames))
        (clip,) = self._drawn([first], None)
        windows = self._windows(clip, request, given=0, callback=None)
        for window in chain([_Window(clip, 0, 0)], windows):
            made = window.dropped + window.clip.num_frames
            sure = made if made == request.frames else max(done, made - lookback)
            if sure > done:
                stretch = window.clip.frames(done - window.dropped, sure - window.dropped)
                yield stretch.with_caption(request.text, reading)
            done = sure

    def live_reaction(
        self,
        text: str = "",
        *,
        partner: str = "",
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
    ) -> LiveReaction:
        """A partner for one person whose motion arrives bit by bit, see `LiveReaction`.

        Args:
            text: as for `react`.
            partner: as for `react`.
            sampling: unless it says otherwise, a window is drawn once.

        Raises:
            ValueError: the model makes one person, or a setting is out of range, none of the
                model's, or a constraint.
        """
        self.check(seed=seed, sampling=sampling)
        self._check_adds_partner()
        _refuse_constraints(sampling, "streamed")
        if sampling.attempts is None and self.tuned.attempts is not None:
            sampling = replace(sampling, attempts=1)
        text = self._reaction_text(text, partner)
        return LiveReaction(
            self,
            lambda request: self._drawn([request], None)[0],
            text=text,
            seed=seed,
            sampling=sampling,
        )

    def _reaction_text(self, text: str, partner: str) -> str:
        """What happens where one person is given, of whom nothing has to be said."""
        if partner and not text.strip():
            return of_partner(partner)
        return _optional(self.merge_prompts(text, partner))

    def _check_adds_partner(self) -> None:
        if self.num_people == 1:
            raise ValueError(
                f"{self.name} makes the motion of one person and can't add a partner; name a model "
                "of two people"
            )

    def react(
        self,
        actor: Interaction,
        text: str = "",
        *,
        partner: str = "",
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Interaction:
        """A partner for one given person, who comes back unchanged as the first of two.

        Args:
            actor: one person of any skeleton that can be mapped to the model's, at any frame rate;
                what is longer than the model's window is answered window by window.
            text: what happens between the two, or what the given person does; may be empty.
            partner: what the other person does, in addition to the text or alone.
            callback: called after each iteration.

        Raises:
            ValueError: the model makes one person, there is not exactly one given person, their
                motion is too short or too long, or a setting is out of range or none of the
                model's.
        """
        request = self.reaction_request(actor, text, partner=partner, seed=seed, sampling=sampling)
        return self._answer_one(request, callback)

    def reaction_request(
        self,
        actor: Interaction,
        text: str = "",
        *,
        partner: str = "",
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
    ) -> Request:
        """What `react` with these arguments asks for; raises as it does."""
        self.check(seed=seed, sampling=sampling)
        self._check_adds_partner()
        if actor.num_people != 1:
            raise ValueError(
                f"a reaction needs the motion of one person, this one has {actor.num_people}"
            )
        actor = self._to_model_skeleton(actor, MAX_GIVEN_SECONDS)
        self._check_constraints(sampling, actor.num_frames, beside_known=True)
        return Request(
            text=self._reaction_text(text, partner),
            frames=self._frames(actor.seconds, MAX_GIVEN_SECONDS),
            seed=seed,
            known=actor,
            sampling=sampling,
        )

    def inpaint(
        self,
        clip: Interaction,
        text: str = "",
        *,
        unknown: Stretch | Sequence[Stretch],
        person: int | None = None,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Interaction:
        """Stretches of an interaction regenerated; all other frames come back as they are.

        Args:
            clip: comes back on the model's skeleton and at its frame rate; stretches that are
                longer than the model's window are regenerated window by window.
            text: what happens; may be empty.
            unknown: start and end of a stretch in seconds, or several of them. All but the ends of
                a clip: in-betweening; from somewhere to the end: continuation.
            person: 0 or 1 where the other person's motion is to stay; None for all people.
            callback: called after each iteration.

        Raises:
            ValueError: a stretch lies outside the clip, they leave nothing known, there is no such
                person, the length is out of range, or a setting is or is none of the model's.
        """
        self.check(seed=seed, sampling=sampling)
        clip, given = self._to_model_skeleton(clip, MAX_GIVEN_SECONDS), clip
        frames = self._frames(clip.seconds, MAX_GIVEN_SECONDS)
        self._check_constraints(sampling, frames, beside_known=True)
        if person is not None and not 0 <= person < clip.num_people:
            raise ValueError(f"there is no person {person}: the clip has {clip.num_people}")
        mask = np.ones((clip.num_people, frames), bool)
        for first, last in np.reshape(unknown, (-1, 2)).tolist():
            is_inside = 0 <= first < last <= given.seconds + 0.5 / self.fps
            ends = (first, last) if is_inside else (0.0, 0.0)
            start, stop = (min(round(self.fps * second), frames) for second in ends)
            if start == stop:
                raise ValueError(
                    f"the stretch from {first:g} s to {last:g} s can't be regenerated: it has to "
                    f"lie within the {given.seconds:g} s of the clip and end after it starts"
                )
            mask[slice(None) if person is None else person, start:stop] = False
        if not mask.any():
            raise ValueError("what is unknown is the whole clip; some of it has to stay known")
        if not mask[:, : self.max_frames].any():
            raise ValueError(
                f"something has to stay known of the clip's first {self.max_frames / self.fps:g} s"
            )
        request = Request(
            text=_optional(text),
            frames=frames,
            seed=seed,
            known=clip,
            known_mask=mask,
            sampling=sampling,
        )
        return self._answer_one(request, callback)

    def extend(
        self,
        clip: Interaction,
        text: str = "",
        *,
        seconds: float,
        seed: int = 0,
        sampling: Sampling = AS_TUNED,
        callback: OnProgress | None = None,
    ) -> Interaction:
        """An interaction that goes on; what there was comes back as it is.

        Args:
            clip: any length; comes back on the model's skeleton and at its frame rate.
            text: what happens from then on; may be empty.
            seconds: length of the result.
            callback: called after each iteration.

        Raises:
            ValueError: the result would not be longer than the clip, the length is out of range, or
                a setting is or is none of the model's.
        """
        self.check(seed=seed, sampling=sampling)
        frames = self._frames(seconds, MAX_SECONDS)
        _refuse_constraints(sampling, "extended")
        clip = self._to_model_skeleton(clip, MAX_SECONDS)
        if frames <= clip.num_frames:
            raise ValueError(
                f"the clip is {clip.seconds:.2f} s long; seconds, the length of the result, has to "
                f"be more, not {seconds:g}"
            )
        request = Request(text=_optional(text), frames=frames, seed=seed, sampling=sampling)
        given = clip.num_frames
        return self._extended(clip, request, given=given, callback=callback)[0]

    def _check_constraints(
        self, sampling: Sampling, frames: int, *, beside_known: bool = False
    ) -> None:
        """Raises ValueError where a constraint does not fit, or a clip is made in windows.

        Nor do paths fit beside known motion: that is somewhere else, and people may be in the
        other order.
        """
        if sampling.paths and beside_known:
            raise ValueError("paths can't be given beside known motion")
        constraints = (*(sampling.contacts or ()), *(sampling.paths or ()))
        if constraints and frames > self.max_frames:
            raise ValueError(
                f"contacts and paths can be given for up to {self.max_frames / self.fps:g} s of "
                f"motion, not for {frames / self.fps:g} s"
            )
        for constraint in constraints:
            constraint.check(SMPL22, frames / self.fps)

    def _to_model_skeleton(self, clip: Interaction, longest: float) -> Interaction:
        """Given motion of `longest` seconds or less on the model's skeleton and at its frame rate.

        Raises:
            ValueError: it is longer, has more people than the model makes the motion of, or another
                skeleton.
        """
        if clip.num_people > self.num_people:
            makes = {1: "one person", 2: "two people"}[self.num_people]
            instead = "name a model of two" if clip.num_people == 2 else "no model takes so many"
            raise ValueError(
                f"{self.name} makes the motion of {makes}; the given motion has "
                f"{clip.num_people} people, {instead}"
            )
        if clip.num_frames * self.fps > (longest * self.fps + 0.5) * clip.fps:
            raise ValueError(
                f"the given motion, {clip.num_frames} frames at {clip.fps:g} a second, is longer "
                f"than the {longest:,g} s that can be given"
            )
        return resample(self.bodies(clip), self.fps)

    def _drawn(self, requests: Sequence[Request], on_step: OnStep | None) -> list[Interaction]:
        """The interactions asked for; what does not move as bodies do is drawn again.

        The best attempt is kept, of equally good ones the first, and finished: what finishing
        would hide, such as bodies in each other, tells a bad draw.
        """
        best = self.answer(requests, on_step=on_step)
        attempts = requests[0].sampling.resolved(self.tuned, self.name).attempts or 1
        flaws = [inf] * len(requests)
        if attempts > 1:
            flaws = [_flaw(clip, request) for clip, request in zip(best, requests, strict=True)]
        for attempt in range(1, attempts):
            unsound = [index for index, found in enumerate(flaws) if found > 1]
            again = [
                replace(requests[i], seed=window_seed(requests[i].seed, 0, attempt))
                for i in unsound
            ]
            clips = self.answer(again, on_step=on_step) if again else []
            for index, clip in zip(unsound, clips, strict=True):
                if (found := _flaw(clip, requests[index])) < flaws[index]:
                    best[index], flaws[index] = clip, found
        return [self.finish(clip, request) for clip, request in zip(best, requests, strict=True)]

    def _answer_one(self, request: Request, callback: OnProgress | None) -> Interaction:
        if request.frames > self.max_frames:
            clip = self._filled(request, callback)
        else:
            report = self._window_report(callback, 0, request, 0)
            (clip,) = self._drawn([request], report)
        return clip.with_caption(request.text, self.read(request.text))

    def _filled(self, request: Request, callback: OnProgress | None) -> Interaction:
        """Known motion that is longer than a window, its gaps generated window by window.

        Windows join each other as in `_windows`.
        """
        assert request.known is not None
        unknown_T = self._unknown(request)
        overlap, longest = (round(each * self.fps) for each in (OVERLAP_SECONDS, MAX_SECONDS))
        settled: list[Interaction] = []
        whole, dropped, windows, earliest = None, 0, 0, 0
        while (frame := dropped + (0 if whole is None else whole.num_frames)) < request.frames:
            gap = gap_at(unknown_T, frame)
            if gap is None or frame < gap[0]:
                given = request.known.frames(frame, request.frames if gap is None else gap[0])
                whole = given if whole is None else joined([whole, given])
            else:
                report = self._gap_report(callback, windows, unknown_T, frame)
                if whole is None:
                    whole = self._first_window(request, report)
                else:
                    earliest = max(gap[0], earliest)
                    left = replace(
                        request,
                        frames=request.frames - dropped,
                        known=request.known.frames(dropped, request.frames),
                        known_mask=request.mask[:, dropped:],
                    )
                    best = self._best_window(whole, left, windows, earliest - dropped, report)
                    whole, earliest = best.clip, dropped + best.start + overlap
                windows += 1
            if (excess := whole.num_frames - longest) > 0:
                settled.append(whole.frames(0, excess))
                whole, dropped = whole.frames(excess, whole.num_frames), dropped + excess
        assert whole is not None
        return joined([*settled, whole])

    def _first_window(self, request: Request, on_step: OnStep | None) -> Interaction:
        """The beginning of known motion that is longer than a window, and begins with a gap."""
        assert request.known is not None
        window = replace(
            request,
            frames=self.max_frames,
            known=request.known.frames(0, self.max_frames),
            known_mask=request.mask[:, : self.max_frames],
        )
        (clip,) = self._drawn([window], on_step)
        return clip.frames(0, self._window_stop(request, 0, self.max_frames))

    def _unknown(self, request: Request) -> np.ndarray:
        """(T,) bool, frames of known motion in which something of somebody is to be generated."""
        known_T = request.mask.all(0) & (len(request.mask) == self.num_people)
        return np.logical_not(known_T)

    def _window_stop(self, request: Request, start: int, end: int) -> int:
        context = round(CONTEXT_SECONDS * self.fps)
        return window_stop(self._unknown(request), start, end, context=context)

    def _gap_report(
        self, callback: OnProgress | None, windows: int, unknown_T: np.ndarray, frame: int
    ) -> OnStep | None:
        """What tells `callback` of the steps of a window of known motion."""
        if callback is None:
            return None
        total = windows + count_windows(
            unknown_T,
            frame,
            longest=self.max_frames,
            overlap=round(OVERLAP_SECONDS * self.fps),
            context=round(CONTEXT_SECONDS * self.fps),
        )
        return lambda step, steps: callback(Progress(step, steps, windows, total))

    def _window_report(
        self, callback: OnProgress | None, window: int, request: Request, given: int
    ) -> OnStep | None:
        """What tells `callback` of the steps of one window of a clip.

        Args:
            window: windows that are done.
            given: frames of the clip that are given.
        """
        if callback is None:
            return None
        first = 0 if given else self.max_frames
        step = self.max_frames - round(OVERLAP_SECONDS * self.fps)
        more = max(0, -(-(request.frames - max(given, first)) // step))
        windows = max(more + (not given), window + 1)
        return lambda step, steps: callback(Progress(step, steps, window, windows))

    def _extended(
        self,
        clip: Interaction,
        request: Request,
        *,
        given: int,
        callback: OnProgress | None,
    ) -> tuple[Interaction, list[int]]:
        """Window after window; also returns where they begin."""
        whole, starts = clip, []
        for window in self._windows(clip, request, given=given, callback=callback):
            whole = window.clip
            starts.append(window.start)
        return whole.with_caption(request.text, self.read(request.text)), starts

    def _windows(
        self, clip: Interaction, request: Request, *, given: int, callback: OnProgress | None
    ) -> "Iterator[_Window]":
        """Each window begins with the end of what there is.

        Where it would show that a window begins, another is drawn, which begins a little earlier,
        but not before the frames that the user has given.
        """
        whole, dropped = clip, 0
        starts: list[int] = []
        overlap, longest = (round(each * self.fps) for each in (OVERLAP_SECONDS, MAX_SECONDS))
        # What a stream has not yielded yet is always kept.
        longest = max(longest, self.max_frames + round(LOOKBACK_SECONDS * self.fps))
        while dropped + whole.num_frames < request.frames:
            report = self._window_report(callback, len(starts) + (not given), request, given)
            # So that it goes on.
            earliest = max(given, overlap + (starts[-1] if starts else 0)) - dropped
            left = replace(request, frames=request.frames - dropped)
            _, start, whole = self._best_window(whole, left, len(starts) + 1, earliest, report)
            starts.append(dropped + start)
            excess = max(0, whole.num_frames - longest)
            whole, dropped = whole.frames(excess, whole.num_frames), dropped + excess
            yield _Window(whole, dropped, starts[-1])

    def _best_window(
        self,
        whole: Interaction,
        request: Request,
        window: int,
        earliest: int,
        on_step: OnStep | None,
    ) -> "_Try":
        """One more window behind what there is: of several tries the one that shows least.

        Args:
            window: its number, for seeds.
            earliest: frame at which it may begin.
        """
        tries: list[_Try] = []
        while len(tries) < MAX_TRIES and all(each.score > SMOOTH for each in tries):
            seed = window_seed(request.seed, window, len(tries))
            back = round(BACK_SECONDS * self.fps) * len(tries)
            start = max(whole.num_frames - back, min(earliest, whole.num_frames))
            longer = self._next_window(whole.frames(0, start), replace(request, seed=seed), on_step)
            tries.append(_Try(seam_score(longer, start), start, longer))
        return min(tries, key=lambda each: each.score)

    def _next_window(
        self, made: Interaction, request: Request, on_step: OnStep | None
    ) -> Interaction:
        """What there is with one more window behind it, up to the frames of the request."""
        done = made.num_frames
        overlap = min(round(OVERLAP_SECONDS * self.fps), done)
        new = min(request.frames - done, self.max_frames - overlap)
        length = max(overlap + new, self.min_frames)
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
            new = self._window_stop(request, done, done + new) - done
        window = replace(request, frames=length, known=held(known, length), known_mask=mask_PT)
        (clip,) = self._drawn([window], on_step)
        return joined([made, clip.frames(overlap, overlap + new)])

    def _frames(self, seconds: float, longest: float | None = None) -> int:
        shortest = self.min_frames / self.fps
        longest = longest or self.max_frames / self.fps
        if not shortest <= seconds <= longest:
            raise ValueError(
                f"a length of {seconds:g} s is not possible: {self.name} makes motion of "
                f"{shortest:g} to {longest:g} s"
            )
        return round(seconds * self.fps)


class _Try(NamedTuple):
    """A clip with one more window, which begins at frame `start`."""

    score: float
    start: int
    clip: Interaction


class _Window(NamedTuple):
    """The motion up to the end of a window that begins at frame `start`."""

    clip: Interaction  # at most the last `MAX_SECONDS`
    dropped: int  # frames before it
    start: int


def window_seed(seed: int, window: int, attempt: int) -> int:
    """The seed of a clip's window after the first, of which no other clip or window is likely.

    Args:
        window: counts from 0, the clip's first.
        attempt: counts from 0; the first attempt at the first window has the clip's own seed.
    """
    return int(np.random.SeedSequence((seed, window, attempt)).generate_state(1)[0])


def seam_score(clip: Interaction, start: int) -> float:
    """How much it shows that motion goes on at frame `start`; at most 1 where it does not.

    Nine of ten places of a clip have feet that slide less than twice as much as in all of it.
    """
    seam = seams(clip, [start])
    return max(seam["speed"], seam["acceleration"], seam["sliding"] / 2)


def _flaw(clip: Interaction, request: Request) -> float:
    return flaw(clip, None if request.known is None else request.mask)


def _refuse_constraints(sampling: Sampling, done: str) -> None:
    """Raises ValueError where constraints are given for motion that is `done`."""
    if sampling.contacts or sampling.paths:
        raise ValueError(f"contacts and paths can't be given where motion is {done}")


def _optional(text: str) -> str:
    return check_prompt(text) if text.strip() else ""
