"""The protocol "actions": whether models show what people do alone but no recorded pair does.

Forty prompts (`action_prompts`) in several seeds each, next to the recorded pair whose caption is
the nearest.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from duomotion.checkpoint import environment
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.open.action_prompts import ACTION_PROMPTS
from duomotion.evaluation.open.checks import Generate, Prompt, Score, score
from duomotion.evaluation.open.opensets import OPEN_SETS, evaluator_of, open_set_of
from duomotion.evaluation.open.sources import FromPrompts, Typed, nearest_clips
from duomotion.evaluation.report import Content
from duomotion.evaluation.sources import computation
from duomotion.evaluation.tables import computed
from duomotion.models.base import MotionModel
from duomotion.motion.interaction import Interaction
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Sampling

PHYSICS = ("foot_sliding", "body_depth", "top_acceleration")


@dataclass(frozen=True)
class ActionReport:
    """What the protocol found.

    Attributes:
        scores: what is no model first, then models.
        facts: data, seeds, versions, hardware.
    """

    scores: dict[str, Score]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        return {
            "rows": {
                name: {
                    "shown": list(found.shown),
                    "passes": {prompt: found.passes(prompt) for prompt in found.prompts},
                    **_means(found),
                }
                for name, found in self.scores.items()
            },
            "facts": self.facts,
        }

    def files(self) -> dict[str, Content]:
        """report.md, report.csv with a line for each clip, and report.json."""
        return {
            "report.md": self.markdown(),
            "report.csv": self.comma_separated(),
            "report.json": self.as_dict(),
        }

    def markdown(self) -> str:
        """Tables for a person."""
        lines = [
            "# Actions that no recorded pair shows",
            "",
            f"{len(next(iter(self.scores.values())).prompts)} prompts, {self.facts['seeds']} seeds "
            "each. Shown is what more than half of the seeds show; sliding, overlap and "
            "acceleration are means over the clips.",
            "",
            "| motion | prompts shown | clips that pass | sliding m/s | overlap m | top m/s^2 |",
            "|---|---|---|---|---|---|",
        ]
        for name, found in self.scores.items():
            means = _means(found)
            passed = sum(trial.result.passed for trial in found.trials)
            lines.append(
                f"| {name} | {len(found.shown)}/{len(found.prompts)} "
                f"| {passed}/{len(found.trials)} | {means['foot_sliding']:.3f} "
                f"| {means['body_depth']:.3f} | {means['top_acceleration']:.0f} |"
            )
        for name, found in self.scores.items():
            lines += ["", f"## {name}", "", found.table()]
        return "\n".join([*lines, "", computed(self.facts), ""])

    def comma_separated(self) -> str:
        """Columns motion, prompt, seed, passed, failed (measurements), and the physics."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["motion", "prompt", "seed", "passed", "failed", *PHYSICS])
        for name, found in self.scores.items():
            for trial in found.trials:
                failed = ", ".join(trial.result.failed)
                physics = [trial.physics[what] for what in PHYSICS]
                writer.writerow(
                    [name, trial.prompt, trial.seed, int(trial.result.passed), failed, *physics]
                )
        return text.getvalue()


def run(
    models: Sequence[MotionModel],
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    seeds: int,
    prompts: Mapping[str, Prompt] = ACTION_PROMPTS,
    sampling: Sampling = AS_TUNED,
    processes: Processes | None = None,
) -> ActionReport:
    """Run the protocol on models of two people.

    Args:
        root: the prepared open pairs.
        embedder: the evaluator of this data set, which reads captions.
        folder: where generated clips are cached, in one folder per model.
        seeds: clips for each prompt.

    Raises:
        ValueError: the data set is not there, the evaluator is another one, or a model makes the
            motion of one person.
    """
    data = OPEN_SETS[open_set_of(models)]
    if data.num_people != 2:
        raise ValueError(
            f"{models[0].name} makes the motion of one person; the protocol actions is for models "
            "of two people"
        )
    processes = processes or Processes(torch.device("cpu"))
    find = nearest_clips(data, data.read(root, "train"), evaluator_of(data, embedder))

    def retrieve(text: str, seed: int) -> Interaction:
        (clip,) = find([text])
        return data.bodies(data.motion.recorded(clip))

    scores = {
        "training clip of the nearest caption": score(retrieve, prompts, (0,), limits=data.limits)
    }
    asked = [Typed(prompt.text, seed) for prompt in prompts.values() for seed in range(seeds)]
    total = -(-len(models) * len(asked) // processes.size)
    with one_bar("evaluation", unit="clip", total=total, is_shown=processes.is_first):
        for model in models:
            made = _made(FromPrompts(model, folder, processes, sampling=sampling), asked)
            scores[model.name] = score(made, prompts, range(seeds), limits=data.limits)
    facts = {
        "data": str(root),
        "seeds": seeds,
        **computation({model.name: model for model in models}, sampling),
        **environment(processes.device),
    }
    return ActionReport(scores, facts)


def _made(source: FromPrompts, asked: Sequence[Typed]) -> Generate:
    """What a model made of all that it was asked for, to look up."""
    made = dict(zip(asked, source(asked), strict=True))
    return lambda text, seed: made[Typed(text, seed)].interaction(source.model.fps)


def _means(found: Score) -> dict[str, float]:
    """Of the physics of all clips."""
    return {what: mean(trial.physics[what] for trial in found.trials) for what in PHYSICS}
