"""The prompts' protocol: how good a model is on the open data, without a learned evaluator.

Reconstruction of held-out takes, what ten prompts ask for, physical soundness next to the real
clips', how many of the generated clips are copies of training clips, and how much seeds differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from duomotion.data.kinds import kinds_of
from duomotion.evaluation.metrics import physics
from duomotion.evaluation.open.checks import Score, score
from duomotion.evaluation.open.copies import Copies, count_clips, find_copies
from duomotion.evaluation.open.opensets import OPEN_SETS, OpenSet, open_set_of
from duomotion.evaluation.report import Content
from duomotion.evaluation.tables import by_layers
from duomotion.models.base import MotionModel
from duomotion.motion.errors import errors_by_layers, mean_scores, reconstruction_scores
from duomotion.motion.interaction import Interaction
from duomotion.progress import one_bar, track
from duomotion.sampling.request import AS_TUNED, Sampling


@dataclass(frozen=True)
class PromptReport:
    """What the prompts' protocol found.

    Attributes:
        model: the model's name.
        seeds: how many clips were generated for each prompt.
        sampling: what was not as the model was tuned.
        reconstruction: errors of each held-out take, in mm.
        layers: errors around the root in mm with 0, 1, ... residual layers; empty without layers.
        prompts: the trials of every prompt.
        paraphrases: the same for each further way to say it.
        sliding: foot sliding in m/s of generated and of real clips, means.
        copies: how near the clips of the prompts come to training clips, and to each other.
    """

    model: str
    seeds: int
    sampling: str
    reconstruction: dict[str, dict[str, float]]
    layers: list[float]
    prompts: Score
    paraphrases: tuple[Score, ...]
    sliding: dict[str, float]
    copies: Copies

    def as_dict(self) -> dict:
        """Numbers only, for JSON."""
        return {
            "model": self.model,
            "seeds": self.seeds,
            "sampling": self.sampling,
            "reconstruction": self.reconstruction,
            "layers_mm": self.layers,
            "prompts": {name: self.prompts.passes(name) for name in self.prompts.prompts},
            "shown": list(self.prompts.shown),
            "paraphrases": [
                {name: score.passes(name) for name in score.prompts} for score in self.paraphrases
            ],
            "paraphrases_shown": [list(score.shown) for score in self.paraphrases],
            "sliding": self.sliding,
            "copies": self.copies.as_dict(),
        }

    def files(self) -> dict[str, Content]:
        """prompts.md and prompts.json."""
        return {"prompts.md": self.markdown(), "prompts.json": self.as_dict()}

    def markdown(self) -> str:
        """Tables for a person."""
        lines = [f"# {self.model}: what ten prompts ask for", ""]
        if self.sampling:
            lines += [f"Sampling: {self.sampling}.", ""]
        if self.reconstruction:
            lines += ["| held-out take | MPJPE mm | root-aligned mm | MPJVE mm/frame |"]
            lines += ["|---|---|---|---|"]
            rows = {**self.reconstruction, "mean": mean_scores(self.reconstruction.values())}
            for name, row in rows.items():
                lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in row.values()) + " |")
            lines.append("")
        if self.layers:
            lines += ["Root-aligned MPJPE in mm, by the number of residual layers:", ""]
            lines += [by_layers({self.model: self.layers})]
        ratio = self.sliding["generated"] / self.sliding["real"]
        lines += [
            self.prompts.table(),
            "",
            *_other_words(self.paraphrases),
            "",
            f"Foot sliding: {self.sliding['generated']:.3f} m/s generated, "
            f"{self.sliding['real']:.3f} m/s real, ratio {ratio:.2f}.",
            "",
            self.copies.markdown(),
        ]
        return "\n".join(lines) + "\n"


def run(
    model: MotionModel, root: str | Path, *, seeds: int = 5, sampling: Sampling = AS_TUNED
) -> PromptReport:
    """Run the protocol on a model.

    Args:
        root: the prepared open pairs, or for a model of one person the open solo clips.

    Raises:
        ValueError: the data set is not there, or there is no seed.
    """
    if seeds < 1:
        raise ValueError(f"{seeds} seeds are too few; at least 1 clip a prompt is needed")
    data = OPEN_SETS[open_set_of([model])]
    train, test = (data.read(root, split) for split in ("train", "test"))
    real = data.searched(train)
    wordings = min(len(prompt.texts) for prompt in data.prompts.values())
    asked = wordings * len(data.prompts) * seeds
    total = len(real) + asked + count_clips(data, train, test, seeds)
    with one_bar("evaluation", unit="clip", total=total) as add:

        def generate(text: str, seed: int) -> Interaction:
            made = model.generate(text, seed=seed, sampling=sampling)
            add(1)
            return made

        sliding = [
            physics.report(data.bodies(data.motion.recorded(clip)))["foot_sliding"]
            for clip in track(real, "real clips", unit="clip")
        ]
        prompts, *paraphrases = (
            score(generate, data.prompts, seeds=range(seeds), wording=wording, limits=data.limits)
            for wording in range(wordings)
        )
        copies = find_copies(
            model,
            data,
            train,
            test,
            kinds=kinds_of(root, train, data.captions),
            seeds=seeds,
            sampling=sampling,
        )
    return PromptReport(
        model=model.name,
        seeds=seeds,
        sampling=str(sampling),
        reconstruction=_reconstruction(model, data, test),
        layers=errors_by_layers(model, map(data.whole, test), data.layout),
        prompts=prompts,
        paraphrases=tuple(paraphrases),
        sliding={
            "generated": mean(trial.physics["foot_sliding"] for trial in prompts.trials),
            "real": mean(sliding),
        },
        copies=copies,
    )


def _other_words(paraphrases: Sequence[Score]) -> list[str]:
    """A table of how often each prompt is shown when it is said in other words."""
    numbers = range(1, len(paraphrases) + 1)
    lines = [
        "| prompt | " + " | ".join(f"paraphrase {number}" for number in numbers) + " |",
        "|---" * (len(paraphrases) + 1) + "|",
    ]
    for name in paraphrases[0].prompts:
        cells = (f"{score.passes(name)}/{len(score.of(name))}" for score in paraphrases)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    counts = (str(len(score.shown)) for score in paraphrases)
    return [*lines, "| shown | " + " | ".join(counts) + " |"]


def _reconstruction(
    model: MotionModel, data: OpenSet, test: Sequence[Any]
) -> dict[str, dict[str, float]]:
    """Errors of each held-out take, means over its clips."""
    takes: dict[str, list[dict[str, float]]] = {}
    motions = {clip.name: data.whole(clip) for clip in test}
    for name, row in reconstruction_scores(model.reconstruct, motions, data.layout).items():
        takes.setdefault(name.rsplit("-", 1)[0], []).append(row)
    return {take: mean_scores(rows) for take, rows in takes.items()}
