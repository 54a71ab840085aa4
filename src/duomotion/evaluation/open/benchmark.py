"""The open benchmark: how close a model's motion comes to held-out motion of the open data.

The test splits are small, 36 clips of two people and 85 of one, so distances between distributions
are measured on random windows of the clips, texts look for their motion in small pools, and rows
that are no model show what the scale means. Nothing is a quality score unless it tells real motion
with its own captions from the same motion with other captions, and from a mean pose, at p < 0.01
(`separation`).

Axes: N clips, E embedding.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.stats import hypergeom

from duomotion.checkpoint import environment
from duomotion.data.testsets import Query
from duomotion.distributed import Processes
from duomotion.evaluation.metrics import agreement, physics
from duomotion.evaluation.metrics.distributions import (
    Estimate,
    FrechetDistance,
    Multimodality,
    in_the_evaluators_space,
    over_repeats,
)
from duomotion.evaluation.metrics.protocols import Protocol
from duomotion.evaluation.open.opensets import OPEN_SETS, Motion, open_set_of
from duomotion.evaluation.sources import (
    Generated,
    Source,
    computation,
    mean_pose,
    real,
    reconstructed,
    retrieval,
)
from duomotion.models.base import MotionModel
from duomotion.models.evaluator.embedding import Embedder, OpenEmbedder
from duomotion.motion.errors import errors_by_layers
from duomotion.sampling.request import AS_TUNED, Sampling

WINDOW = 1.5  # seconds; about as long as the shortest test clip of two people
WINDOWS = 4  # of each clip, at random places
PERMUTATIONS = 999
SIGNIFICANT = 0.01
TRIES = 10_000  # to find captions of other clips


@dataclass(frozen=True)
class Row:
    """What one source of motion scored: by metric, a mean over repeats and its 95 % margin."""

    name: str
    scores: dict[str, Estimate]

    @classmethod
    def over(cls, name: str, repeats: Sequence[dict[str, float]]) -> "Row":
        """From the scores of each repeat; later ones may lack some of the first one's."""
        return cls(
            name,
            {
                key: over_repeats([each[key] for each in repeats if key in each])
                for key in repeats[0]
            },
        )

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Numbers only, for JSON."""
        return {name: score._asdict() for name, score in self.scores.items()}


@dataclass(frozen=True)
class Embeddings:
    """Motions of one source in one repeat, beside the real ones, as the evaluator sees them."""

    texts_NE: np.ndarray
    made_NE: np.ndarray
    real_windows: np.ndarray
    made_windows: np.ndarray


class Benchmark:
    """The test clips, the evaluator and what rows are measured against.

    Args:
        embedder: tells what data set the clips are of.
        test: held-out clips with their captions.
        train: clips that a copy would come from.
        repeats: times that every source is asked for all clips, each time with a caption drawn anew
            and another seed.
    """

    def __init__(
        self,
        embedder: OpenEmbedder,
        test: Sequence[Any],
        train: Sequence[Any],
        *,
        repeats: int | None = None,
    ) -> None:
        self.data = OPEN_SETS[embedder.data]
        self.protocol = self.data.protocol
        repeats = self.protocol.repeats if repeats is None else repeats
        if len(test) < self.protocol.pool:
            raise ValueError(
                f"the open benchmark of {self.data.title} needs at least {self.protocol.pool} test "
                f"clips, not {len(test)}"
            )
        if missing := [clip.name for clip in test if not self.data.captions(clip)]:
            raise ValueError(f"these test clips have no caption: {', '.join(missing[:5])}")
        if repeats < 2:
            raise ValueError(f"a confidence interval needs at least 2 repeats, not {repeats}")
        self.embedder, self.test, self.repeats = embedder, list(test), repeats
        self.training = self.data.neighbours(train)
        self._known: dict[bytes, dict[str, float]] = {}

    def row(self, name: str, source: Source, *, shuffled: bool = False) -> Row:
        """Score one source; with `shuffled` its motions are judged by other clips' captions."""
        repeats = [self.scores(source, seed, shuffled=shuffled) for seed in range(self.repeats)]
        return Row.over(name, repeats)

    def scores(self, source: Source, seed: int, *, shuffled: bool = False) -> dict[str, float]:
        """All metrics of one repeat."""
        rng = np.random.default_rng(seed)
        queries = self.queries(seed, rng)
        made = source(queries)
        texts = [query.text for query in queries]
        if shuffled:
            texts = [texts[index] for index in derangement(texts, rng)]
        seen = self.seen(texts, made, rng)
        found = in_the_evaluators_space(
            self.protocol,
            reference_ND=seen.real_windows,
            compared_ND=seen.made_windows,
            texts_NE=seen.texts_NE,
            made_NE=seen.made_NE,
            rng=rng,
        )
        return found if shuffled else {**found, **self._without_a_network(queries, made)}

    def queries(self, seed: int, rng: np.random.Generator) -> list[Query]:
        """A text for every test clip, in random order."""
        clips = [self.test[index] for index in rng.permutation(len(self.test))]
        captions = [(clip, self.data.captions(clip)) for clip in clips]
        return [Query(clip, found[rng.integers(len(found))], seed) for clip, found in captions]

    def seen(self, texts: list[str], made: list[Motion], rng: np.random.Generator) -> Embeddings:
        truth = [self.data.motion.recorded(clip) for clip in self.test]
        frames = round(WINDOW * self.data.layout.fps)
        return Embeddings(
            self.embedder.texts(texts),
            self.embedder.motions([motion.features() for motion in made]),
            self.embedder.motions(list(windows(truth, frames, rng))),
            self.embedder.motions(list(windows(made, frames, rng))),
        )

    def _without_a_network(self, queries: list[Query], made: list[Motion]) -> dict[str, float]:
        each = [
            self._measured(query.clip, motion) for query, motion in zip(queries, made, strict=True)
        ]
        scores = {name: float(np.mean([x[name] for x in each])) for name in each[0]}
        scores["nearest_mm"] = float(np.median([x["nearest_mm"] for x in each]))
        return {**scores, "spread": agreement.spread([motion.positions for motion in made])}

    def _measured(self, clip: Any, motion: Motion) -> dict[str, float]:
        """What is measured of one motion beside the recorded one, once for the same two."""
        key = hashlib.sha256(clip.name.encode() + motion.positions.tobytes()).digest()
        if key not in self._known:
            report = physics.report(self.data.bodies(motion))
            recorded = self.data.motion.recorded(clip).positions
            self._known[key] = {
                **{
                    name: measure(motion.positions, recorded)
                    for name, measure in self.data.agreement.items()
                },
                "nearest_mm": self.training.nearest(motion.positions)[1],
                **{name: report[name] for name in self.data.physics},
            }
        return self._known[key]


def windows(
    motions: Sequence[Motion], frames: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Features of `WINDOWS` random stretches of so many frames of each motion."""
    for motion in motions:
        for start in rng.integers(max(1, motion.num_frames - frames), size=WINDOWS):
            yield motion.features(start, frames)


def derangement(texts: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """A random order that puts each text where another one was.

    Raises:
        ValueError: so many are the same that none is found.
    """
    for _ in range(TRIES):
        order = rng.permutation(len(texts))
        if all(texts[other] != text for text, other in zip(texts, order, strict=True)):
            return order
    raise ValueError(
        f"the {len(texts)} test clips have only {len(set(texts))} different captions, too few to "
        "give each clip that of another one"
    )


def multimodality(benchmark: Benchmark, source: Source) -> float:
    """How far the motions of one text are apart, over the first texts of the test clips."""
    protocol, data = benchmark.protocol, benchmark.data
    metric = Multimodality(protocol)
    for clip in benchmark.test[: protocol.multimodality_texts]:
        text, seeds = data.captions(clip)[0], range(protocol.multimodality_samples)
        made = source([Query(clip, text, seed) for seed in seeds])
        metric.update(benchmark.embedder.motions([motion.features() for motion in made])[None])
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
    queries = benchmark.queries(0, rng)
    texts, sources = [query.text for query in queries], (real(benchmark.data), still)
    ours, others = (benchmark.seen(texts, source(queries), rng) for source in sources)
    gaps = np.linalg.norm(ours.texts_NE[:, None] - ours.made_NE, axis=-1)
    still_gaps = np.linalg.norm(ours.texts_NE[:, None] - others.made_NE, axis=-1)
    protocol = benchmark.protocol
    found = {"fid": Separation(None, _fid_separation(ours, others, protocol, rng))}
    for name, benefit in text_benefits(protocol.pool).items():
        orders = [rng.permutation(len(gaps)) for _ in range(PERMUTATIONS)]
        true = benefit(gaps).mean()
        shuffled = _share(true, [benefit(gaps[order]).mean() for order in orders])
        lead = benefit(gaps) - benefit(still_gaps)
        signs = rng.choice([-1, 1], size=(PERMUTATIONS, len(lead)))
        found[name] = Separation(shuffled, _share(lead.mean(), (signs * lead).mean(1)))
    return found


def _share(true: float, permuted: Sequence[float] | np.ndarray) -> float:
    return float((1 + (np.asarray(permuted) >= true - 1e-12).sum()) / (1 + len(permuted)))


def text_benefits(pool: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """How well each text finds its motion, from the distances (texts, motions) of all clips."""
    hits = {f"r{k}": partial(_hits, k=k, pool=pool) for k in (1, 2, 3)}
    return {**hits, "mm_dist": lambda gaps_NN: -np.diagonal(gaps_NN)}


def _hits(gaps_NN: np.ndarray, *, k: int, pool: int) -> np.ndarray:
    """For each text, the chance that its motion is among the k nearest of a random pool."""
    own = np.diagonal(gaps_NN)
    closer = (gaps_NN < own[:, None]).sum(1) + ((gaps_NN == own[:, None]).sum(1) - 1) / 2
    return hypergeom.cdf(k - 1, len(gaps_NN) - 1, np.round(closer).astype(int), pool - 1)


def _fid_separation(
    ours: Embeddings, others: Embeddings, protocol: Protocol, rng: np.random.Generator
) -> float:
    clips = [x.reshape(-1, WINDOWS, x.shape[-1]) for x in (ours.made_windows, others.made_windows)]

    def lead(one: np.ndarray, other: np.ndarray) -> float:
        distances = []
        for windows_of_clips in (one, other):
            fid = FrechetDistance(protocol)
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
        layers: by model with several layers of tokens, the error in mm around the root of a
            reconstruction from the first of them, from the first two, and so on.
        facts: evaluator, data, repeats, versions, hardware.
    """

    rows: tuple[Row, ...]
    separations: dict[str, Separation]
    seconds: dict[str, float]
    layers: dict[str, list[float]]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        return {
            "rows": {row.name: row.as_dict() for row in self.rows},
            "separation": {name: asdict(each) for name, each in self.separations.items()},
            "seconds": self.seconds,
            "layers": self.layers,
            "facts": self.facts,
        }


def run(
    models: Sequence[MotionModel],
    root: str | Path,
    embedder: Embedder,
    *,
    folder: Path,
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes | None = None,
) -> OpenReport:
    """Score models by the open benchmark.

    Args:
        models: of two people, or of one.
        root: the prepared open pairs, or the open solo clips.
        embedder: the evaluator of this data set.
        folder: where generated clips are kept, in a folder a model.
        repeats: see `Benchmark`.
        sampling: of the models.

    Raises:
        ValueError: the data set is not there or too small, the evaluator is another one, or some
            models make two people and others one.
    """
    data = OPEN_SETS[open_set_of(models)]
    if not isinstance(embedder, OpenEmbedder) or OPEN_SETS[embedder.data] is not data:
        raise ValueError(
            f"{embedder.name} is not an evaluator of the open benchmark for {data.title}; the "
            f"recipe {data.recipe} trains one"
        )
    processes = processes or Processes(torch.device("cpu"))
    train, test = (data.read(root, split) for split in ("train", "test"))
    benchmark = Benchmark(embedder, test, train, repeats=repeats)
    still = mean_pose(data, train)
    rows = [
        benchmark.row("real motion", real(data)),
        benchmark.row("real motion, other captions", real(data), shuffled=True),
        benchmark.row("mean pose", still),
        benchmark.row("training clip of the nearest caption", retrieval(data, train, embedder)),
    ]
    seconds, layers = {}, {}
    for model in models:
        rows.append(benchmark.row(f"{model.name}, reconstruction only", reconstructed(data, model)))
        source = Generated(data, model, folder, processes, sampling=sampling)
        row = benchmark.row(model.name, source)
        spread = multimodality(benchmark, source)
        rows.append(replace(row, scores={**row.scores, "multimodality": Estimate(spread, nan)}))
        if source.seconds:
            seconds[model.name] = median(source.seconds)
        if errors := errors_by_layers(model, map(data.whole, test), data.layout):
            layers[model.name] = errors
    facts = {
        "protocol": asdict(data.protocol),
        "evaluator": embedder.name,
        "data": str(root),
        "clips": len(test),
        "repeats": benchmark.repeats,
        **computation({model.name: model for model in models}, sampling),
        **environment(processes.device),
    }
    return OpenReport(tuple(rows), separation(benchmark, still), seconds, layers, facts)
