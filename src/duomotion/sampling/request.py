"""What every system is asked: one request for one interaction, and how it is to be sampled."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from duomotion.body.constraints import Contact, RootPath
from duomotion.motion.interaction import Interaction

MAX_GUIDANCE = 100.0  # far beyond what any model follows a text with
MAX_VARIETY = 10.0  # more makes no sense: codes are drawn nearly at random by then
MAX_STEPS = 1_000  # far more than there are tokens
MAX_ATTEMPTS = 100  # far more than help
MAX_RESAMPLING = 100  # far more than help
MAX_SAMPLES = 1_000  # of one text
MAX_SEED = 2**32 - 1
SOLVERS = ("ddim", "dpmsolver++", "deis", "unipc", "lcm")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a model samples; None is as the model was tuned.

    Attributes:
        steps: iterations, 1 to `MAX_STEPS`.
        guidance: how closely the text is followed, 0 to `MAX_GUIDANCE`: 0 not at all, 1 as the
            network says by itself.
        variety: how much takes differ, 1 / `MAX_VARIETY` to `MAX_VARIETY`, 1 as tuned. Models of
            tokens multiply their temperatures by it.
        reaction_steps: iterations where one person is known as a whole and the other not at all,
            or, of a one-step student, where any motion is known; None takes `steps` where these
            are given.
        attempts: a clip in which a joint jumps or bodies pass through each other is drawn again
            with other random numbers, up to so many times in all, 1 to `MAX_ATTEMPTS`; the best is
            kept (`models.soundness`).
        solver: what takes a diffusion model's steps, one of `SOLVERS` (`sampling.diffusion`).
        resampling: times in all that each step of a diffusion model of motion itself, not of
            latents, is made where motion is known, 1 to `MAX_RESAMPLING`, so that what is generated
            comes to fit it.
        avoid_collisions: two people whose bodies are in each other are moved apart in the end, as
            little as that takes (`body.separation`).
        join_hands: hands of two people that nearly hold each other are brought together in the end
            (`motion.holds`).
        collision_steps: the last steps of a diffusion model, 0 to `MAX_STEPS`, in which they are
            also led apart while it samples (`models.pair_guidance`).
        contacts: touches that motion is led to in the same way (`body.constraints`).
        paths: of people over the floor, which models that are guided while they sample follow.
        body_model: the bodies that such models keep apart: "capsules", or the file of an SMPL model
            (`body.smpl_volumes`).

    Raises:
        ValueError: one is out of its range.
    """

    steps: int | None = None
    guidance: float | None = None
    variety: float | None = None
    reaction_steps: int | None = None
    attempts: int | None = None
    solver: str | None = None
    resampling: int | None = None
    avoid_collisions: bool | None = None
    join_hands: bool | None = None
    collision_steps: int | None = None
    contacts: tuple[Contact, ...] | None = None
    paths: tuple[RootPath, ...] | None = None
    body_model: str | None = None

    def __post_init__(self) -> None:
        if self.guidance is not None and not 0 <= self.guidance <= MAX_GUIDANCE:
            raise ValueError(f"guidance has to be 0 to {MAX_GUIDANCE:g}, not {self.guidance:g}")
        if self.variety is not None and not 1 / MAX_VARIETY <= self.variety <= MAX_VARIETY:
            raise ValueError(
                f"variety has to be {1 / MAX_VARIETY:g} to {MAX_VARIETY:g}, not {self.variety:g}"
            )
        for name in ("steps", "reaction_steps"):
            steps = getattr(self, name)
            if steps is not None and not 1 <= steps <= MAX_STEPS:
                label = name.replace("_", " ")
                raise ValueError(f"{label} have to be 1 to {MAX_STEPS:,}, not {steps}")
        if self.attempts is not None and not 1 <= self.attempts <= MAX_ATTEMPTS:
            raise ValueError(f"attempts have to be 1 to {MAX_ATTEMPTS}, not {self.attempts}")
        if self.solver is not None and self.solver not in SOLVERS:
            raise ValueError(f"there is no solver {self.solver!r}; choose {', '.join(SOLVERS)}")
        if self.collision_steps is not None and not 0 <= self.collision_steps <= MAX_STEPS:
            raise ValueError(
                f"collision steps have to be 0 to {MAX_STEPS:,}, not {self.collision_steps}"
            )
        people = [path.person for path in self.paths or ()]
        if len(set(people)) < len(people):
            raise ValueError("each person can have one path")
        if self.resampling is not None and not 1 <= self.resampling <= MAX_RESAMPLING:
            raise ValueError(f"resampling has to be 1 to {MAX_RESAMPLING}, not {self.resampling}")

    def given(self) -> dict[str, Any]:
        """What is not as the model was tuned, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def resolved(self, tuned: "Sampling", model: str) -> "Sampling":
        """The same with the model's own settings where nothing is given.

        Args:
            tuned: the model's settings; None where it has no use for one.
            model: its name, for errors.

        Raises:
            ValueError: something is given that the model has no use for.
        """
        given = self.given()
        for name in given:
            if getattr(tuned, name) is None:
                known = ", ".join(tuned.given()) or "none"
                raise ValueError(f"{model} has no sampling setting {name}; it has {known}")
        if "steps" in given and tuned.reaction_steps is not None:
            given = {"reaction_steps": given["steps"], **given}
        return replace(tuned, **given)

    def __str__(self) -> str:
        """What is not as it was tuned, as in `steps 18, guidance 4.5`."""
        return ", ".join(
            f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.given().items()
        )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "; ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else format(value, "g")


AS_TUNED = Sampling()


def check_seed(seed: int) -> None:
    """Raises ValueError where a seed is out of its range."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed has to be 0 to {MAX_SEED:,}, not {seed}")


def sample_seeds(seed: int, num_samples: int) -> range:
    """The seeds of several takes.

    Raises:
        ValueError: there is none, there are too many, or a seed is out of range.
    """
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise ValueError(f"samples have to be 1 to {MAX_SAMPLES:,}, not {num_samples}")
    check_seed(seed)
    check_seed(seed + num_samples - 1)
    return range(seed, seed + num_samples)


def window_seed(seed: int, window: int, attempt: int) -> int:
    """The seed of a clip's window after the first, of which no other clip or window is likely.

    Args:
        window: counts from 0, the clip's first.
        attempt: counts from 0; the first attempt at the first window has the clip's own seed.
    """
    return int(np.random.SeedSequence((seed, window, attempt)).generate_state(1)[0])


def knows_whole_people(mask_PT: np.ndarray) -> bool:
    """Whether everyone is known at all times or not at all."""
    return bool((mask_PT.all(1) | ~mask_PT.any(1)).all())


@dataclass(frozen=True, kw_only=True)
class Request:
    """One interaction to be generated.

    Attributes:
        text: what happens; empty where only known motion guides the rest.
        frames: length at the model's frame rate.
        seed: the same seed gives the same motion on the same machine; 0 to `MAX_SEED`.
        known: motion of the first people, on the model's skeleton and at its frame rate, `frames`
            long.
        known_mask: (P, T) bool, True where `known` is to be kept; None keeps all of it.
        sampling: steps, guidance and such.
    """

    text: str
    frames: int
    seed: int = 0
    known: Interaction | None = None
    known_mask: np.ndarray | None = None
    sampling: Sampling = AS_TUNED

    @property
    def mask(self) -> np.ndarray:
        """(P, T) bool of the people in `known`."""
        assert self.known is not None
        if self.known_mask is not None:
            return self.known_mask
        return np.ones((self.known.num_people, self.known.num_frames), bool)

    @property
    def knows_whole_people(self) -> bool:
        """Whether somebody is known, and everyone at all times or not at all."""
        return self.known is not None and knows_whole_people(self.mask)

    def part(self, start: int, stop: int) -> "Request":
        """The same for some of its frames."""
        if self.known is None:
            return replace(self, frames=stop - start)
        known, mask = self.known.frames(start, stop), self.mask[:, start:stop]
        return replace(self, frames=stop - start, known=known, known_mask=mask)
