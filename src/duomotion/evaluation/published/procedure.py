"""The procedure that the published protocols share: draws, rows, confidence, report.

In every repeat the test clips are drawn twice, each time in random order, with one of their
captions and the view of them that the released loader shows. What is scored belongs to one of the
draws and FID compares it with the other, so that the recorded motion has an FID too; or, for models
and where the protocol says so, with the recorded motion of the same draw. A model is asked for
motions as long as the clips of its draw; features are read as its network makes them.
`testsets` says what differs from data set to data set, `protocols` holds the constants.

Source: released code of InterGen (tools/eval.py), Javed et al. 2025 (eval.py) and text-to-motion
(final_evaluations.py).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from duomotion.checkpoint import environment
from duomotion.data.testsets import TEST_SETS, Query, TestSet, test_sets_of
from duomotion.distributed import Processes
from duomotion.evaluation.metrics.distributions import Multimodality, embedding_scores
from duomotion.evaluation.metrics.embedder import Embedder
from duomotion.evaluation.metrics.estimates import Row
from duomotion.evaluation.metrics.protocols import PUBLISHED, Protocol
from duomotion.evaluation.published.report import PublishedReport
from duomotion.evaluation.sources import (
    GENERATION,
    REACTION,
    RECONSTRUCTION,
    SUFFIX,
    ClipSource,
    computation,
)
from duomotion.models.base import MotionModel
from duomotion.models.batches import BATCH_SIZE
from duomotion.models.reconstructor import Reconstructor
from duomotion.motion.errors import scores_of
from duomotion.progress import one_bar
from duomotion.sampling.request import AS_TUNED, Request, Sampling

GROUND_TRUTH = "ground truth"

Source = Callable[[Sequence[Query]], list[np.ndarray]]
"""Features (P, T, F) in metres for each query."""


def as_published(model: MotionModel, sampling: Sampling) -> Sampling:
    """The settings with which a model is scored: bodies are led apart only where that is asked for.

    Released codes never do it, and the papers' scores are of models that don't.
    """
    if sampling.collision_steps is None and model.tuned.collision_steps:
        return replace(sampling, collision_steps=0)
    return sampling


class Features(NamedTuple):
    """(P, T, F) in metres."""

    features: np.ndarray


class Generated(ClipSource[Features]):
    """What a model's network makes, cached on disk."""

    kind = Features
    batch = BATCH_SIZE
    suffix = SUFFIX[GENERATION]

    def __init__(
        self,
        model: MotionModel,
        folder: Path,
        processes: Processes,
        test_set: TestSet,
        *,
        protocol: str,
        sampling: Sampling = AS_TUNED,
    ) -> None:
        purpose, sampling = f"{protocol}{self.suffix}", as_published(model, sampling)
        super().__init__(model, folder, processes, sampling=sampling, purpose=purpose)
        self.test_set, self.frame_unit = test_set, PUBLISHED[protocol].frame_unit

    def make(self, queries: Sequence[Query], /) -> list[Features]:
        return [self._checked(each) for each in self.made(queries, self.requests(queries))]

    def made(self, queries: Sequence[Query], requests: Sequence[Request]) -> Sequence[np.ndarray]:
        """Features (P, T, F) of each."""
        return self.model.features(requests)

    def requests(self, queries: Sequence[Query]) -> list[Request]:
        return [
            Request(
                text=query.text,
                frames=self.frames(query),
                seed=query.seed,
                sampling=self.sampling,
            )
            for query in queries
        ]

    def frames(self, query: Query) -> int:
        """As many as the view's features, rounded down to whole units."""
        return self.test_set.num_frames(query.clip) // self.frame_unit * self.frame_unit

    def source(self, queries: Sequence[Query]) -> list[np.ndarray]:
        """Raises ValueError where the model's features are not those of the data set."""
        return [made.features for made in self(queries)]

    def _checked(self, made: np.ndarray) -> Features:
        if (width := made.shape[-1]) != self.test_set.num_features:
            raise ValueError(
                f"{self.model.name} makes {width} features a frame; {self.test_set.evaluator} "
                f"reads the {self.test_set.num_features} of {self.test_set.title}"
            )
        return Features(made)


class Reactions(Generated):
    """The recorded motion of the person who acts, and what the model makes of the other."""

    suffix = SUFFIX[REACTION]

    def key(self, query: Query, /) -> str:
        return super().key(query) + ("-second-acts" if self.test_set.actor(query.clip) else "")

    def made(self, queries: Sequence[Query], requests: Sequence[Request]) -> list[np.ndarray]:
        pairs = [
            self.test_set.recorded(query.clip, query.seed)[:, : request.frames].copy()
            for query, request in zip(queries, requests, strict=True)
        ]
        people = [self.test_set.actor(query.clip) or 0 for query in queries]
        actors = [pair[person] for pair, person in zip(pairs, people, strict=True)]
        partners = self.model.reactions(requests, actors, people)
        for pair, person, partner in zip(pairs, people, partners, strict=True):
            pair[1 - person] = partner
        return pairs


def reconstructed(model: Reconstructor, recorded: Source) -> Source:
    """The recorded motion through a tokenizer or autoencoder and back."""
    return lambda queries: [model.reconstruct(given) for given in recorded(queries)]


@dataclass(frozen=True)
class Entry:
    """What a row is about.

    Attributes:
        is_recorded: it is the recorded motion itself.
        is_varied: another seed makes another motion of a text.
        is_rebuilt: it is recorded motion after a way through a model.
    """

    name: str
    source: Source
    is_recorded: bool = False
    is_varied: bool = False
    is_rebuilt: bool = False


class Evaluation:
    """Test clips, evaluator and protocol.

    Args:
        clips: the test split; those that don't fill a pool are left out, others in each repeat.

    Raises:
        ValueError: there are fewer clips or repeats than the protocol needs.
    """

    def __init__(
        self, embedder: Embedder, clips: Sequence[Any], protocol: Protocol, test_set: TestSet
    ) -> None:
        self.embedder, self.clips = embedder, list(clips)
        self.protocol, self.test_set = protocol, test_set
        if protocol.repeats < 2:
            raise ValueError(
                f"a confidence interval needs 2 repeats or more, not {protocol.repeats}"
            )
        pools = -(-protocol.diversity_pairs // protocol.pool)
        needed = max(pools * protocol.pool, protocol.multimodality_texts)
        if len(clips) < needed:
            raise ValueError(
                f"the published protocol needs at least {needed} test clips, not {len(clips)}"
            )

    def recorded(self, queries: Sequence[Query]) -> list[np.ndarray]:
        """The clips as the released loader gives them."""
        return [self.test_set.recorded(query.clip, query.seed) for query in queries]

    def num_asked(self, entries: Sequence[Entry]) -> int:
        """Clips that models are asked to generate in all, some of them perhaps twice."""
        protocol = self.protocol
        draws = len(self.clips) // protocol.pool * protocol.pool * protocol.repeats
        varied = min(protocol.repeats, protocol.multimodality_repeats) * (
            min(len(self.clips), protocol.multimodality_texts) * protocol.multimodality_samples
        )
        made = [entry for entry in entries if not (entry.is_recorded or entry.is_rebuilt)]
        return sum(draws + varied * entry.is_varied for entry in made)

    def rows(self, entries: Sequence[Entry]) -> list[Row]:
        """Score all on the same draws."""
        scores: dict[str, list[dict[str, float]]] = {entry.name: [] for entry in entries}
        for repeat in range(self.protocol.repeats):
            rng = np.random.default_rng(repeat)
            others, queries, repeated = self.draw(rng), self.draw(rng), self.draw_repeated(rng)
            recorded, is_paired = self.recorded(queries), self.protocol.is_paired
            another_NE = self.embedder.motions(self.recorded(others))
            same_NE = self.embedder.motions(recorded) if is_paired else another_NE
            texts_NE = self.embedder.texts([self.test_set.text(query) for query in queries])
            for entry in entries:
                made = entry.source(queries)
                made_NE = self.embedder.motions(made)
                found = embedding_scores(
                    self.protocol,
                    reference_ND=another_NE if entry.is_recorded else same_NE,
                    compared_ND=made_NE,
                    texts_NE=texts_NE,
                    made_NE=made_NE,
                    rng=np.random.default_rng(repeat),
                )
                if entry.is_varied and repeat < self.protocol.multimodality_repeats:
                    found["multimodality"] = self._multimodality(entry.source, repeated, repeat)
                if entry.is_rebuilt:
                    found |= self._errors(made, recorded)
                scores[entry.name].append(found)
        return [Row.over(name, found) for name, found in scores.items()]

    def draw(self, rng: np.random.Generator) -> list[Query]:
        """One view of each clip, in random order, as many as fill pools."""
        count = len(self.clips) // self.protocol.pool * self.protocol.pool
        chosen = rng.permutation(len(self.clips))[:count]
        return [self.test_set.query(self.clips[index], rng) for index in chosen]

    def draw_repeated(self, rng: np.random.Generator) -> list[Query]:
        """For some clips, one view with several seeds, one after the other."""
        texts, samples = self.protocol.multimodality_texts, self.protocol.multimodality_samples
        chosen = rng.permutation(len(self.clips))[:texts]
        views = [self.test_set.query(self.clips[index], rng) for index in chosen]
        return [
            query._replace(seed=seed)
            for query in views
            for seed in rng.integers(2**31, size=samples).tolist()
        ]

    def _multimodality(self, source: Source, queries: Sequence[Query], repeat: int) -> float:
        metric, made_NE = Multimodality(self.protocol), self.embedder.motions(source(queries))
        metric.update(made_NE.reshape(-1, self.protocol.multimodality_samples, made_NE.shape[-1]))
        return metric.value(np.random.default_rng(repeat))

    def _errors(
        self, made: Sequence[np.ndarray], recorded: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Distances of joints from the recorded ones; poses weigh the same (Guo et al. 2024)."""
        pairs = zip(made, recorded, strict=True)
        found = [scores_of(*pair, self.test_set.positions) for pair in pairs]
        weights = [features.shape[1] for features in made]
        errors = {
            name: float(np.average([each[name] for each in found], weights=weights))
            for name in found[0]
        }
        if self.test_set.unit_mm is not None:
            errors["root_aligned_mpjpe_kit"] = (
                errors["root_aligned_mpjpe_mm"] / self.test_set.unit_mm
            )
        return errors


def run(
    models: Mapping[str, Reconstructor],
    data: str | Path,
    embedder: Embedder,
    protocol: str,
    *,
    folder: Path,
    tasks: Collection[str] = (GENERATION,),
    repeats: int | None = None,
    sampling: Sampling = AS_TUNED,
    processes: Processes | None = None,
) -> PublishedReport:
    """Score models by name with a published protocol on its data set.

    Args:
        models: those that are no `MotionModel` are asked for reconstructions alone.
        protocol: one of `protocols.PUBLISHED`.
        folder: where generated motions are cached.
        tasks: of GENERATION, RECONSTRUCTION and REACTION; each makes one row per model.
        repeats: the protocol's if left out; fewer are quicker and less certain.
        sampling: of the models.

    Raises:
        ValueError: the data set is not there or too small, the evaluator is another one, or a model
            makes other features than those of the data set.
    """
    processes = processes or Processes(torch.device("cpu"))
    test_set = _test_set(embedder, protocol)
    constants = PUBLISHED[protocol]
    if repeats is not None:
        constants = replace(constants, repeats=repeats)
    clips, problems = test_set.read(Path(data), "test")
    evaluation = Evaluation(embedder, clips, constants, test_set)
    entries, generated = [Entry(GROUND_TRUTH, evaluation.recorded, is_recorded=True)], {}
    for name, model in models.items():
        if RECONSTRUCTION in tasks:
            source = reconstructed(model, evaluation.recorded)
            entries.append(Entry(name + SUFFIX[RECONSTRUCTION], source, is_rebuilt=True))
        if not isinstance(model, MotionModel):
            continue
        kinds = {
            GENERATION: (Generated, replace(sampling, reaction_steps=None)),
            REACTION: (
                Reactions,
                replace(sampling, steps=sampling.reaction_steps, reaction_steps=None),
            ),
        }
        for task, (kind, own) in kinds.items():
            if task in tasks:
                row = name + SUFFIX[task]
                generated[row] = kind(
                    model, folder, processes, test_set, protocol=protocol, sampling=own
                )
                varied = task == GENERATION
                entries.append(Entry(row, generated[row].source, is_varied=varied))
    total = -(-evaluation.num_asked(entries) // processes.size)
    with one_bar("evaluation", unit="clip", total=total, is_shown=processes.is_first and total > 0):
        rows = evaluation.rows(entries)
    facts = {
        "protocol": {"name": protocol, **asdict(constants)},
        "data_set": test_set.title,
        "evaluator": embedder.name,
        "data": str(data),
        "clips": len(clips),
        "unusable": [problem.name for problem in problems],
        "untagged": test_set.num_untagged(clips),
        "repeats": constants.repeats,
        "without_actor": sum(test_set.actor(clip) is None for clip in clips if REACTION in tasks),
        **computation(models, sampling),
        **environment(processes.device),
    }
    seconds = {name: median(source.seconds) for name, source in generated.items() if source.seconds}
    return PublishedReport(tuple(rows), embedder.data, facts, seconds)


def _test_set(embedder: Embedder, protocol: str) -> TestSet:
    """What the evaluator reads, if the protocol is for it."""
    possible = test_sets_of(protocol)
    if embedder.data not in possible:
        needed = next(iter(possible.values()))
        raise ValueError(
            f"{embedder.name} is not {needed.evaluator}, which the protocol {protocol} needs; "
            f"`duomotion import-official {needed.importer}` makes its folder"
        )
    return TEST_SETS[embedder.data]
