"""What a check of a generated clip is: measurements within limits, and many of them as a score.

`prompts` and `action_prompts` have those of two people, `solo_prompts` those of one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from duomotion.evaluation.metrics import physics
from duomotion.motion.interaction import Interaction

Measurements = dict[str, float]
Limits = dict[str, tuple[float, float]]
Generate = Callable[[str, int], Interaction]


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        passed: all measurements are within their limits.
        measurements: by name, in metres, degrees, seconds, m/s or shares from 0 to 1.
        failed: the names of those outside of their limits.
    """

    passed: bool
    measurements: Measurements
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """A sentence and how to see that a clip shows it.

    Attributes:
        texts: the wording a user would type, then paraphrases.
        check: the measurement.
        kinds: kinds of real clips (data.open_pairs) that show it; none for one person.
        word: part of such a clip's captions that also has to be there.
    """

    texts: tuple[str, ...]
    check: Callable[[Interaction], CheckResult]
    kinds: tuple[str, ...] = ()
    word: str = ""

    @property
    def text(self) -> str:
        return self.texts[0]

    def shown_by(self, kind: str, captions: Iterable[str]) -> bool:
        """Whether a real clip of this kind and with these captions shows it."""
        return kind in self.kinds and any(self.word in caption for caption in captions)


def check_limits(limits: Limits, measured: Measurements) -> CheckResult:
    """Which measurements are outside of their limits."""
    assert measured.keys() == limits.keys()
    failed = [name for name, (low, high) in limits.items() if not low <= measured[name] <= high]
    return CheckResult(not failed, measured, tuple(failed))


def best(limits: Limits, found: Iterable[Measurements]) -> CheckResult:
    """The candidate that fails the fewest limits; of several the one with the largest
    measurements, in their order. Not a number for all when there is none.
    """
    results = [check_limits(limits, measured) for measured in found]
    return best_of(results or [check_limits(limits, dict.fromkeys(limits, nan))])


def best_of(results: Iterable[CheckResult]) -> CheckResult:
    """The same of results of one check."""
    return max(results, key=lambda r: (-len(r.failed), *r.measurements.values()))


def all_of(parts: Mapping[str, CheckResult]) -> CheckResult:
    """Several checks of one clip; their measurements are called "PART NAME"."""
    return CheckResult(
        passed=all(result.passed for result in parts.values()),
        measurements={
            f"{part} {name}": value
            for part, result in parts.items()
            for name, value in result.measurements.items()
        },
        failed=tuple(f"{part} {name}" for part, result in parts.items() for name in result.failed),
    )


@dataclass(frozen=True)
class Trial:
    """One generated clip: what was asked, whether it shows it, and its physics.report."""

    prompt: str
    seed: int
    result: CheckResult
    physics: dict[str, float]


@dataclass(frozen=True)
class Score:
    """The trials of all prompts, and the physical limits of sound motion."""

    trials: tuple[Trial, ...]
    limits: physics.Limits = physics.PAIR_LIMITS

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(trial.prompt for trial in self.trials))

    def of(self, prompt: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.prompt == prompt]

    def passes(self, prompt: str) -> int:
        """How many seeds show what the prompt says."""
        return sum(trial.result.passed for trial in self.of(prompt))

    @property
    def shown(self) -> tuple[str, ...]:
        """The prompts that more than half of the seeds show."""
        return tuple(name for name in self.prompts if 2 * self.passes(name) > len(self.of(name)))

    def table(self) -> str:
        """A line a prompt, in Markdown: passes, what failed how often, and the physics."""
        lines = [
            "| prompt | passes | shown | what failed "
            "| sliding m/s | overlap m | top m/s^2 | unsound |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name in self.prompts:
            trials = self.of(name)
            failed = Counter(what for trial in trials for what in trial.result.failed)
            unsound = Counter(
                what for trial in trials for what in self.limits.broken(trial.physics)
            )
            sliding = np.mean([trial.physics["foot_sliding"] for trial in trials])
            overlap = np.max([trial.physics["body_depth"] for trial in trials])
            acceleration = np.max([trial.physics["top_acceleration"] for trial in trials])
            lines.append(
                f"| {name} | {self.passes(name)}/{len(trials)} "
                f"| {'yes' if name in self.shown else 'no'} | {_counts(failed)} "
                f"| {sliding:.2f} | {overlap:.2f} | {acceleration:.0f} "
                f"| {_counts(unsound)} |"
            )
        return "\n".join([*lines, f"{len(self.shown)} of {len(self.prompts)} prompts shown."])


def score(
    generate: Generate,
    prompts: Mapping[str, Prompt],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    wording: int = 0,
    limits: physics.Limits = physics.PAIR_LIMITS,
) -> Score:
    """Generate every prompt with every seed and check it.

    Args:
        generate: (text, seed) -> interaction of SMPL-22 people, as long as the text takes.
        wording: which of a prompt's texts to type.
        limits: of sound motion.
    """
    trials = []
    for name, prompt in prompts.items():
        for seed in seeds:
            made = generate(prompt.texts[wording], seed)
            trials.append(Trial(name, seed, prompt.check(made), physics.report(made)))
    return Score(tuple(trials), limits)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{what} {count}x" for what, count in counter.most_common()) or "-"
