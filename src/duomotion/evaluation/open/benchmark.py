"""The open benchmark: how close a model's motion comes to held-out motion of the open data.

The test splits are small, 36 clips of two people and 85 of one, so distances between distributions
are measured on random windows of the clips, texts look for their motion in small pools, and rows
that are no model show what the scale means. Nothing is a quality score unless it tells real motion
with its own captions from the same motion with other captions, and from a mean pose, at p < 0.01
(`separation`).

Axes: N clips, E embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from duomotion.data.testsets import Query
from duomotion.evaluation.metrics import agreement, physics
from duomotion.evaluation.metrics.distributions import Multimodality, embedding_scores
from duomotion.evaluation.metrics.embedder import SentenceEmbedder
from duomotion.evaluation.metrics.estimates import Row
from duomotion.evaluation.open.opensets import OPEN_SETS, Motion
from duomotion.evaluation.open.sources import Source

WINDOW = 1.5  # seconds; about as long as the shortest test clip of two people
WINDOWS = 4  # of each clip, at random places
TRIES = 10_000  # to find captions of other clips


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
        repeats: times that every source is asked for all clips, each time with another caption and
            seed.
    """

    def __init__(
        self,
        embedder: SentenceEmbedder,
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

    @property
    def num_asked(self) -> int:
        """Clips that a model is asked for in all, some of them perhaps twice."""
        texts = min(self.protocol.multimodality_texts, len(self.test))
        return self.repeats * len(self.test) + texts * self.protocol.multimodality_samples

    def row(self, name: str, source: Source, *, shuffled: bool = False) -> Row:
        """Scores of one source; with `shuffled` against the captions of other clips."""
        repeats = [self.scores(source, seed, shuffled=shuffled) for seed in range(self.repeats)]
        return Row.over(name, repeats)

    def row_of_any_length(self, name: str, source: Source) -> Row:
        """The same for motion that need not be as long as the recorded motion, so that nothing is
        compared frame by frame."""
        repeats = []
        for seed in range(self.repeats):
            rng = np.random.default_rng(seed)
            queries = self.queries(seed, rng)
            made = source(queries)
            found = self._embedding_scores([query.text for query in queries], made, rng)
            reports = [physics.report(self.data.bodies(motion)) for motion in made]
            names = [name for name in self.data.physics if name in reports[0]]
            means = {name: float(np.mean([each[name] for each in reports])) for name in names}
            repeats.append({**found, **means})
        return Row.over(name, repeats)

    def scores(self, source: Source, seed: int, *, shuffled: bool = False) -> dict[str, float]:
        """All metrics of one repeat."""
        rng = np.random.default_rng(seed)
        queries = self.queries(seed, rng)
        made = source(queries)
        texts = [query.text for query in queries]
        if shuffled:
            texts = [texts[index] for index in derangement(texts, rng)]
        found = self._embedding_scores(texts, made, rng)
        return found if shuffled else {**found, **self._motion_scores(queries, made)}

    def queries(self, seed: int, rng: np.random.Generator) -> list[Query]:
        """A text for every test clip, in random order."""
        clips = [self.test[index] for index in rng.permutation(len(self.test))]
        captions = [(clip, self.data.captions(clip)) for clip in clips]
        return [Query(clip, found[rng.integers(len(found))], seed) for clip, found in captions]

    def embeddings(
        self, texts: list[str], made: list[Motion], rng: np.random.Generator
    ) -> Embeddings:
        """Of the texts, the motions, and windows of these and of the test clips."""
        truth = [self.data.motion.recorded(clip) for clip in self.test]
        frames = round(WINDOW * self.data.layout.fps)
        return Embeddings(
            self.embedder.texts(texts),
            self.embedder.motions([motion.features() for motion in made]),
            self.embedder.motions(list(windows(truth, frames, rng))),
            self.embedder.motions(list(windows(made, frames, rng))),
        )

    def _embedding_scores(
        self, texts: list[str], made: list[Motion], rng: np.random.Generator
    ) -> dict[str, float]:
        embeddings = self.embeddings(texts, made, rng)
        return embedding_scores(
            self.protocol,
            reference_ND=embeddings.real_windows,
            compared_ND=embeddings.made_windows,
            texts_NE=embeddings.texts_NE,
            made_NE=embeddings.made_NE,
            rng=rng,
        )

    def _motion_scores(self, queries: list[Query], made: list[Motion]) -> dict[str, float]:
        each = [
            self._measured(query.clip, motion) for query, motion in zip(queries, made, strict=True)
        ]
        scores = {name: float(np.mean([x[name] for x in each])) for name in each[0]}
        scores["nearest_mm"] = float(np.median([x["nearest_mm"] for x in each]))
        return {**scores, "spread": agreement.spread([motion.positions for motion in made])}

    def _measured(self, clip: Any, motion: Motion) -> dict[str, float]:
        """What is measured of one motion beside the recorded one, once for the same two."""
        key = sha256(clip.name.encode() + motion.positions.tobytes()).digest()
        if key not in self._known:
            bodies = self.data.bodies(motion)
            report = physics.report(bodies)
            if "collision" in self.data.physics:
                report["collision"] = physics.collision(bodies)
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
