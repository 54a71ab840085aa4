"""The open benchmark: how close a model's motion comes to held-out motion of the open pairs.

The test split is small, 36 clips, so distances between distributions are measured on random windows
of the clips, texts look for their motion in pools of 12, and rows that are no model show what the
scale means. Nothing is a quality score unless it tells real motion with its own captions from the
same motion with other captions, and from a mean pose, at p < 0.01 (`separation`).

Axes: N clips, E embedding.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.stats import hypergeom

from duomotion.checkpoint import environment
from duomotion.data.interhuman import Clip, read_split
from duomotion.distributed import Processes
from duomotion.evaluation import agreement, physics
from duomotion.evaluation.embedding import Embedder, OpenEmbedder
from duomotion.evaluation.metrics import (
    Estimate,
    FrechetDistance,
    Multimodality,
    in_the_evaluators_space,
    over_repeats,
)
from duomotion.evaluation.neighbours import Library
from duomotion.evaluation.protocols import OPEN
from duomotion.evaluation.sources import (
    Ask,
    Generated,
    Motion,
    Source,
    mean_pose,
    real,
    reconstructed,
    retrieval,
)
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import Generator

WINDOW = 45  # frames; about as long as the shortest test clip
WINDOWS = 4  # of each clip, at random places
PERMUTATIONS = 999
SIGNIFICANT = 0.01
PHYSICS = (
    "foot_sliding", "floor_depth", "hover", "jerk", "bone_drift", "body_depth", "body_litres",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one source of motion scored: by metric, a mean over repeats and its 95 % margin."""

    name: str
    scores: dict[str, Estimate]

    @classmethod
    def over(cls, name: str, repeats: Sequence[dict[str, float]]) -> "Row":
        """From the scores of each repeat."""
        return cls(name, {key: over_repeats([each[key] for each in repeats]) for key in repeats[0]})

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Numbers only, for JSON."""
        return {name: score._asdict() for name, score in self.scores.items()}


@dataclass(frozen=True)
class Seen:
    """Motions of one source in one repeat, beside the real ones, as the evaluator sees them."""

    texts_NE: np.ndarray
    made_NE: np.ndarray
    real_windows: np.ndarray
    made_windows: np.ndarray


class Benchmark:
    """The test clips, the evaluator and what rows are measured against.

    Args:
        test: held-out clips with their captions.
        train: clips that a copy would come from.
        repeats: times that every source is asked for all clips, each time with a caption drawn anew
            and another seed.
    """

    def __init__(
        self,
        embedder: OpenEmbedder,
        test: Sequence[Clip],
        train: Sequence[Clip],
        *,
        repeats: int = OPEN.repeats,
    ) -> None:
        if len(test) < OPEN.pool:
            raise ValueError(
                f"the open benchmark needs at least {OPEN.pool} test clips, not {len(test)}"
            )
        if missing := [clip.name for clip in test if not clip.captions]:
            raise ValueError(f"these test clips have no caption: {', '.join(missing[:5])}")
        if repeats < 2:
            raise ValueError(f"a confidence interval needs at least 2 repeats, not {repeats}")
        self.embedder, self.test, self.repeats = embedder, list(test), repeats
        self.training = Library.of({clip.name: clip.positions for clip in train})
        self._known: dict[bytes, dict[str, float]] = {}

    def row(self, name: str, source: Source, *, shuffled: bool = False) -> Row:
        """Score one source; with `shuffled` its motions are judged by other clips' captions."""
        repeats = [self.scores(source, seed, shuffled=shuffled) for seed in range(self.repeats)]
        return Row.over(name, repeats)

    def scores(self, source: Source, seed: int, *, shuffled: bool = False) -> dict[str, float]:
        """All metrics of one repeat."""
        rng = np.random.default_rng(seed)
        asks = self.asks(seed, rng)
        made = source(asks)
        texts = [ask.text for ask in asks]
        if shuffled:
            texts = [texts[index] for index in derangement(len(texts), rng)]
        seen = self.seen(texts, made, rng)
        found = in_the_evaluators_space(
            OPEN,
            reference_ND=seen.real_windows,
            compared_ND=seen.made_windows,
            texts_NE=seen.texts_NE,
            made_NE=seen.made_NE,
            rng=rng,
        )
        return found if shuffled else {**found, **self._without_a_network(asks, made)}

    def asks(self, seed: int, rng: np.random.Generator) -> list[Ask]:
        """A text for every test clip, in random order."""
        return [
            Ask(clip, clip.captions[rng.integers(len(clip.captions))], seed)
            for clip in (self.test[index] for index in rng.permutation(len(self.test)))
        ]

    def seen(self, texts: list[str], made: list[Motion], rng: np.random.Generator) -> Seen:
        truth = real([Ask(clip, "", 0) for clip in self.test])
        return Seen(
            self.embedder.texts(texts),
            self.embedder.motions([motion.features() for motion in made]),
            self.embedder.motions(list(windows(truth, rng))),
            self.embedder.motions(list(windows(made, rng))),
        )

    def _without_a_network(self, asks: list[Ask], made: list[Motion]) -> dict[str, float]:
        each = [self._measured(ask.clip, motion) for ask, motion in zip(asks, made, strict=True)]
        scores = {name: float(np.mean([x[name] for x in each])) for name in each[0]}
        scores["nearest_mm"] = float(np.median([x["nearest_mm"] for x in each]))
        return {**scores, "spread": agreement.spread([motion.positions for motion in made])}

    def _measured(self, clip: Clip, motion: Motion) -> dict[str, float]:
        """What is measured of one motion beside the recorded one, once for the same two."""
        key = hashlib.sha256(clip.name.encode() + motion.positions.tobytes()).digest()
        if key not in self._known:
            report = physics.report(Interaction.from_positions(motion.positions))
            self._known[key] = {
                "contacts": agreement.contact_agreement(motion.positions, clip.positions),
                "roles": agreement.role_consistency(motion.positions, clip.positions),
                "nearest_mm": self.training.nearest(motion.positions)[1],
                **{name: report[name] for name in PHYSICS},
            }
        return self._known[key]


def windows(motions: Sequence[Motion], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Features of `WINDOWS` random stretches of each motion."""
    for motion in motions:
        for start in rng.integers(max(1, motion.num_frames - WINDOW), size=WINDOWS):
            yield motion.features(start, start + WINDOW + 1)


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of `count` things in which none keeps its place."""
    while True:
        order = rng.permutation(count)
        if (order != np.arange(count)).all():
            return order


def multimodality(embedder: OpenEmbedder, source: Source, test: Sequence[Clip]) -> float:
    """How far the motions of one text are apart, over `OPEN.multimodality_texts` test clips."""
    metric = Multimodality(OPEN)
    for clip in test[: OPEN.multimodality_texts]:
        seeds = range(OPEN.multimodality_samples)
        made = source([Ask(clip, clip.captions[0], seed) for seed in seeds])
        metric.update(embedder.motions([motion.features() for motion in made])[None])
    return metric.value(np.random.default_rng(0))


@dataclass(frozen=True)
class Separation:
    """p that a metric would tell real motion from something worse as well by chance.

    Attributes:
        shuffled: from the same motion with other clips' captions; None for what reads no captions.
        mean_pose: from people who stand still in the mean pose.
    """

    shuffled: float | None
    mean_pose: float

    @property
    def is_significant(self) -> bool:
        return max(self.shuffled or 0.0, self.mean_pose) < SIGNIFICANT


def separation(benchmark: Benchmark, still: Source) -> dict[str, Separation]:
    """Whether each score of quality means something on these clips, by permutation tests.

    Captions change places among the clips; against the mean pose, each clip changes places with
    its counterpart. p is the share of the permutations, the true order among them, that come out as
    well as the true order.

    Args:
        still: `mean_pose`.
    """
    rng = np.random.default_rng(0)
    asks = benchmark.asks(0, rng)
    ours, others = (benchmark.seen([a.text for a in asks], s(asks), rng) for s in (real, still))
    gaps = np.linalg.norm(ours.texts_NE[:, None] - ours.made_NE, axis=-1)
    still_gaps = np.linalg.norm(ours.texts_NE[:, None] - others.made_NE, axis=-1)
    found = {"fid": Separation(None, _fid_separation(ours, others, rng))}
    for name, benefit in TEXT_BENEFITS.items():
        orders = [rng.permutation(len(gaps)) for _ in range(PERMUTATIONS)]
        true = benefit(gaps).mean()
        shuffled = _share(true, [benefit(gaps[order]).mean() for order in orders])
        lead = benefit(gaps) - benefit(still_gaps)
        signs = rng.choice([-1, 1], size=(PERMUTATIONS, len(lead)))
        found[name] = Separation(shuffled, _share(lead.mean(), (signs * lead).mean(1)))
    return found


def _share(true: float, permuted: Sequence[float] | np.ndarray) -> float:
    return float((1 + (np.asarray(permuted) >= true - 1e-12).sum()) / (1 + len(permuted)))


def _hits(k: int) -> Callable[[np.ndarray], np.ndarray]:
    """For each text, the chance that its motion is among the k nearest of a random pool."""

    def chances(gaps_NN: np.ndarray) -> np.ndarray:
        own = np.diagonal(gaps_NN)
        closer = (gaps_NN < own[:, None]).sum(1) + ((gaps_NN == own[:, None]).sum(1) - 1) / 2
        others = len(gaps_NN) - 1
        return hypergeom.cdf(k - 1, others, np.round(closer).astype(int), OPEN.pool - 1)

    return chances


TEXT_BENEFITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "r1": _hits(1),
    "r2": _hits(2),
    "r3": _hits(3),
    "mm_dist": lambda gaps_NN: -np.diagonal(gaps_NN),
}
"""How well each text finds its motion, from the distances (texts, motions) of all clips."""


def _fid_separation(ours: Seen, others: Seen, rng: np.random.Generator) -> float:
    clips = [x.reshape(-1, WINDOWS, x.shape[-1]) for x in (ours.made_windows, others.made_windows)]

    def lead(one: np.ndarray, other: np.ndarray) -> float:
        distances = []
        for windows_of_clips in (one, other):
            fid = FrechetDistance(OPEN)
            fid.update(ours.real_windows, windows_of_clips.reshape(-1, one.shape[-1]))
            distances.append(fid.value())
        return distances[1] - distances[0]

    permuted = []
    for _ in range(PERMUTATIONS):
        swapped = rng.random(len(clips[0]))[:, None, None] < 0.5
        permuted.append(
            lead(np.where(swapped, clips[1], clips[0]), np.where(swapped, clips[0], clips[1]))
        )
    return _share(lead(*clips), permuted)


@dataclass(frozen=True)
class OpenReport:
    """What the open benchmark found.

    Attributes:
        rows: real motion first, then what is no model, then models.
        separations: of each candidate for a score of quality.
        seconds: a clip, for each model; the median of those made in this run.
        facts: evaluator, data, repeats, versions, hardware.
    """

    rows: tuple[Row, ...]
    separations: dict[str, Separation]
    seconds: dict[str, float]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        return {
            "rows": {row.name: row.as_dict() for row in self.rows},
            "separation": {name: asdict(each) for name, each in self.separations.items()},
            "seconds": self.seconds,
            "facts": self.facts,
        }


def run(
    models: Sequence[Generator],
    data: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    repeats: int = OPEN.repeats,
    processes: Processes | None = None,
) -> OpenReport:
    """Score models by the open benchmark.

    Args:
        data: the prepared open pairs.
        folder: where generated clips are kept, in a folder a model.

    Raises:
        ValueError: the data set is not there or too small, or the evaluator is another one.
    """
    if not isinstance(embedder, OpenEmbedder):
        raise ValueError(
            f"{embedder.name} is not an evaluator of the open benchmark; the recipe evaluator-open "
            "trains one"
        )
    processes = processes or Processes(torch.device("cpu"))
    train, test = (read_split(data, split)[0] for split in ("train", "test"))
    benchmark = Benchmark(embedder, test, train, repeats=repeats)
    still = mean_pose(train)
    rows = [
        benchmark.row("real motion", real),
        benchmark.row("real motion, other captions", real, shuffled=True),
        benchmark.row("mean pose", still),
        benchmark.row("training clip of the nearest caption", retrieval(train, embedder)),
    ]
    seconds = {}
    for model in models:
        rows.append(benchmark.row(f"{model.name}, reconstruction only", reconstructed(model)))
        source = Generated(model, folder / f"{model.name}-{model.fingerprint}", processes)
        row = benchmark.row(model.name, source)
        spread = multimodality(embedder, source, test)
        rows.append(replace(row, scores={**row.scores, "multimodality": Estimate(spread, nan)}))
        if source.seconds:
            seconds[model.name] = median(source.seconds)
    facts = {
        "protocol": asdict(OPEN),
        "evaluator": embedder.name,
        "data": str(data),
        "clips": len(test),
        "repeats": repeats,
        **environment(processes.device),
    }
    return OpenReport(tuple(rows), separation(benchmark, still), seconds, facts)
