"""What every model does for a user: it generates, reacts, inpaints and extends.

A system that makes the features of a layout derives from `models.feature_model.FeatureModel`, which
answers requests; any other kind writes `answer` itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Self, overload

import numpy as np

from duomotion.models.batches import make_clips
from duomotion.models.live import LiveReaction
from duomotion.models.progress import OnProgress, OnStep
from duomotion.models.requests import (
    Stretch,
    reaction_text,
    refuse_constraints,
    request_extension,
    request_inpainting,
    request_reaction,
    request_stream,
    request_texts,
)
from duomotion.models.windows import continue_clip, stream_clip
from duomotion.motion.interaction import Interaction, Reading
from duomotion.motion.retarget import to_smpl22
from duomotion.sampling.request import AS_TUNED, Request, Sampling, check_seed, sample_seeds
from duomotion.text.learned import Learned
from duomotion.text.prompt import roles

FPS = 30.0  # of models of two people
DEFAULT_SECONDS = 4.0  # of motion whose length neither the user nor the model knows


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

    @property
    def any_length(self) -> bool:
        """Whether nothing but `max_frames` binds it to a number of frames."""
        return False

    def in_one_piece(self, max_frames: int) -> Self:
        """This model, from now on with a window of at least so many frames, so without seams.

        Raises:
            ValueError: it is bound to its number of frames.
        """
        raise ValueError(
            f"{self.name} makes at most {self.max_frames / self.fps:g} s in one piece; "
            "only models that no window binds make more"
        )

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
            request.known is None,
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
        requests = request_texts(self, texts, seconds=seconds, seeds=seeds, sampling=sampling)
        return (clip for clip, _ in make_clips(self, requests, callback))

    def generate_long(
        self, text: str, *, seconds: float, seed: int = 0, sampling: Sampling = AS_TUNED
    ) -> tuple[Interaction, list[int]]:
        """What `generate` gives, and the frames at which further windows begin.

        Raises:
            ValueError: as `generate`.
        """
        self.check(seed=seed, sampling=sampling)
        requests = request_texts(self, [text], seconds=seconds, seeds=[seed], sampling=sampling)
        return next(make_clips(self, requests))

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
        texts = [self.merge_prompts(text, partner)]
        (request,) = request_texts(self, texts, seconds=seconds, seeds=[seed], sampling=sampling)
        return request

    def fulfil(
        self, requests: Sequence[Request], *, callback: OnProgress | None = None
    ) -> list[Interaction]:
        """The clips of what `request` and `reaction_request` give, in their order.

        Those of equal `batch_key` are generated several at a time; each clip is the same as if it
        had been asked for alone.
        """
        return [clip for clip, _ in make_clips(self, requests, callback)]

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
        text = self.merge_prompts(text, partner)
        return stream_clip(
            self, request_stream(self, text, seconds=seconds, seed=seed, sampling=sampling)
        )

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
        text = reaction_text(self, text, partner)
        refuse_constraints(sampling, "streamed")
        return LiveReaction(self, text=text, seed=seed, sampling=sampling)

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
        (made,) = self.fulfil([request], callback=callback)
        return made

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
        text = reaction_text(self, text, partner)
        return request_reaction(self, actor, text, seed=seed, sampling=sampling)

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
        request = request_inpainting(
            self, clip, text, unknown=unknown, person=person, seed=seed, sampling=sampling
        )
        (made,) = self.fulfil([request], callback=callback)
        return made

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
        clip, request = request_extension(
            self, clip, text, seconds=seconds, seed=seed, sampling=sampling
        )
        longer, _ = continue_clip(self, clip, request, given=clip.num_frames, callback=callback)
        return longer.with_caption(request.text, self.read(request.text))
