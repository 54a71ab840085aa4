"""What every system is asked: one request for one interaction."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duomotion.motion.canonical import resample
from duomotion.motion.interaction import Interaction
from duomotion.motion.retarget import to_smpl22
from duomotion.text.prompt import check_prompt

FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One interaction to be generated.

    Attributes:
        text: what happens; empty where only known motion guides the rest.
        frames: length at 30 frames a second.
        seed: the same seed gives the same motion on the same machine.
        known: motion that is given, on SMPL-22 at 30 fps, `frames` long.
        known_mask: (P, T) bool, True where `known` is to be kept.
        guidance: how closely the text is followed; None takes the model's setting.
        steps: iterations; None takes the model's setting.
    """

    text: str
    frames: int
    seed: int = 0
    known: Interaction | None = None
    known_mask: np.ndarray | None = None
    guidance: float | None = None
    steps: int | None = None


class Generator(ABC):
    """A loaded model that answers requests."""

    name: str
    min_frames: int
    max_frames: int

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> list[Interaction]:
        """The interactions asked for, each the same as if it had been asked for alone."""

    @abstractmethod
    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        """Features (P, T, 262) in metres through the model's tokenizer or autoencoder and back."""

    def generate(
        self,
        text: str,
        *,
        seconds: float = 4.0,
        seed: int = 0,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Interaction:
        """Two people doing what the text says.

        Raises:
            ValueError: the text is empty, too long or in another script, or the length, guidance or
                number of steps is out of range.
        """
        request = Request(
            text=check_prompt(text),
            frames=self._frames(seconds),
            seed=seed,
            guidance=guidance,
            steps=steps,
        )
        return self.answer([request])[0]

    def react(
        self,
        actor: Interaction,
        text: str = "",
        *,
        seed: int = 0,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Interaction:
        """A partner for one given person, who comes back unchanged as the first of two.

        Args:
            actor: one person of any skeleton that can be mapped to SMPL-22, at any frame rate.
            text: what happens between the two; may be empty.

        Raises:
            ValueError: there is not exactly one person, their motion is too short or too long, or a
                setting is out of range.
        """
        if actor.num_people != 1:
            raise ValueError(
                f"a reaction needs the motion of one person, this one has {actor.num_people}"
            )
        actor = resample(to_smpl22(actor), FPS)
        request = Request(
            text=check_prompt(text) if text.strip() else "",
            frames=self._frames(actor.seconds),
            seed=seed,
            known=actor,
            known_mask=np.ones((1, actor.num_frames), bool),
            guidance=guidance,
            steps=steps,
        )
        return self.answer([request])[0]

    def _frames(self, seconds: float) -> int:
        shortest, longest = self.min_frames / FPS, self.max_frames / FPS
        if not shortest <= seconds <= longest:
            raise ValueError(
                f"a length of {seconds:g} s is not possible: {self.name} makes motion of "
                f"{shortest:g} to {longest:g} s"
            )
        return round(seconds * FPS)
