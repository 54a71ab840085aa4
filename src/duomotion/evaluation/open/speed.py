"""How long scoring takes: FID next to the usual root of a matrix, and clips with all metrics."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import sqrtm

from duomotion.evaluation.metrics.distributions import FrechetDistance
from duomotion.evaluation.metrics.protocols import T2M
from duomotion.evaluation.open.benchmark import Benchmark
from duomotion.evaluation.open.opensets import OPEN_SETS, evaluator_of
from duomotion.evaluation.open.sources import real
from duomotion.loading import shipped_evaluator
from duomotion.models.children import load_embedder

VECTORS, WIDTH = 10_000, 512


@dataclass(frozen=True, kw_only=True)
class FidSpeed:
    """One distance between two sets of embeddings, taken in both ways.

    Attributes:
        seconds: of `FrechetDistance`, from the embeddings to the value.
        root_seconds: of the same with scipy's `sqrtm`.
        gap: by how much the two values differ, as a share.
    """

    seconds: float
    root_seconds: float
    gap: float


def fid_speed(vectors: int, width: int) -> FidSpeed:
    """Time FID of two random sets (vectors, width) with correlated columns."""
    rng = np.random.default_rng(0)
    one, other = (
        rng.normal(size=(vectors, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)
        for _ in range(2)
    )
    start = time.perf_counter()
    metric = FrechetDistance(T2M)
    metric.update(one, other)
    value = metric.value()
    between = time.perf_counter()
    expected = _with_a_root(one, other)
    return FidSpeed(
        seconds=between - start,
        root_seconds=time.perf_counter() - between,
        gap=abs(value / expected - 1),
    )


def _with_a_root(one_ND: np.ndarray, other_ND: np.ndarray) -> float:
    """FID as it is usually written."""
    c_DD, d_DD = np.cov(one_ND.T), np.cov(other_ND.T)
    apart = np.square(one_ND.mean(0) - other_ND.mean(0)).sum()
    root_DD = np.real(sqrtm(c_DD @ d_DD))
    return float(apart + np.trace(c_DD + d_DD - 2 * root_DD))


def clip_seconds(root: str | Path) -> float:
    """Seconds per clip to score the real test clips of the open pairs with every metric.

    Raises:
        ValueError: the data set is not there.
    """
    data = OPEN_SETS["open-pairs"]
    train, test = (data.read(root, split) for split in ("train", "test"))
    embedder = evaluator_of(data, load_embedder(shipped_evaluator()))
    benchmark = Benchmark(embedder, test, train)
    start = time.perf_counter()
    benchmark.scores(real(data), 0)
    return (time.perf_counter() - start) / len(test)


def report(root: str | Path) -> str:
    """Both as sentences."""
    fid, clip = fid_speed(VECTORS, WIDTH), clip_seconds(root)
    return (
        f"FID of {VECTORS:,} x {WIDTH}: {fid.seconds:.2f} s; with scipy's sqrtm "
        f"{fid.root_seconds:.2f} s, and {fid.gap:.1e} from it\n"
        f"Scoring a clip of the open pairs: {clip:.3f} s, 1,000 clips {1000 * clip:.0f} s"
    )
