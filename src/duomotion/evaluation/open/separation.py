"""Whether a score says anything on so few clips: permutation tests of each candidate for one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import hypergeom

from duomotion.evaluation.metrics.distributions import FrechetDistance
from duomotion.evaluation.metrics.protocols import Protocol
from duomotion.evaluation.open.benchmark import WINDOWS, Benchmark, Embeddings
from duomotion.evaluation.open.sources import Source, real

PERMUTATIONS = 999
SIGNIFICANT = 0.01


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
    ours, others = (benchmark.embeddings(texts, source(queries), rng) for source in sources)
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
