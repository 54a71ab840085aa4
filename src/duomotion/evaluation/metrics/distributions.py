"""Metrics of generated motion in the space of a learned evaluator.

A metric collects embeddings with `update`, batch by batch, and takes over those of another process
with `merge`; `value` computes in float64, with the constants of a `Protocol`. Pools are made of
clips in the order in which they came, so clips come in random order.

Axes: N clips, G pools, K texts, S motions of each text, D numbers of an embedding.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.spatial.distance import cdist

from duomotion.evaluation.metrics.protocols import Protocol

TOP = 3  # R-precision is given for the 1, 2 and 3 nearest


class Metric:
    """Embeddings collected for one metric.

    `update` raises ValueError where embeddings have other axes than they should, another size than
    the others or numbers that are not finite; `value` where there are too few of them.
    """

    num_axes: ClassVar[int] = 2

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._batches: list[dict[str, np.ndarray]] = []

    def merge(self, other: Self) -> None:
        """Go on as if the updates of `other` came after one's own.

        Raises:
            ValueError: it is another metric, or of another protocol, or its embeddings are of
                another size.
        """
        if (type(other), other.protocol) != (type(self), self.protocol):
            raise ValueError(f"{type(self).__name__}: only another of the same protocol is merged")
        for batch in other._batches:
            self._collect(**batch)

    def _collect(self, **embeddings: np.ndarray) -> None:
        """Keep what an update brings, by its role."""
        batch = {role: np.array(given, np.float64) for role, given in embeddings.items()}
        for role, given in batch.items():
            if given.ndim != self.num_axes:
                raise ValueError(
                    f"the {role} embeddings have {given.ndim} axes instead of {self.num_axes}"
                )
            if len(wrong := np.argwhere(~np.isfinite(given))):
                raise ValueError(f"the {role} embedding {wrong[0, 0]} holds NaN or infinity")
        sizes = {x.shape[-1] for each in (*self._batches[:1], batch) for x in each.values()}
        if len(sizes) > 1:
            raise ValueError(f"embeddings of {sorted(sizes)} numbers can't be compared")
        self._batches.append(batch)

    def _collected(self, role: str, *, least: int) -> np.ndarray:
        """All embeddings of a role, in the order of the updates."""
        count = sum(len(batch[role]) for batch in self._batches)
        if count < least:
            name = type(self).__name__
            raise ValueError(f"{name} needs {least} {role} embeddings or more; there are {count}")
        return np.concatenate([batch[role] for batch in self._batches])


class FrechetDistance(Metric):
    """FID: how far apart the normal distributions around real and generated motion are."""

    def update(self, real_ND: np.ndarray, generated_ND: np.ndarray) -> None:
        """The two need not be equally many."""
        self._collect(real=real_ND, generated=generated_ND)

    def value(self) -> float:
        """Needs 2 clips of both: fewer have no covariance."""
        real, generated = (
            Gaussian.around(self._collected(role, least=2)) for role in ("real", "generated")
        )
        return self.protocol.fid_scale**2 * frechet_distance(real, generated)


class Matching(Metric):
    """Distances between texts and motions in pools; clips that don't fill one are left out."""

    def update(self, text_ND: np.ndarray, motion_ND: np.ndarray) -> None:
        """Text n belongs to motion n; raises ValueError where there are not equally many."""
        if len(text_ND) != len(motion_ND):
            raise ValueError(f"{len(text_ND)} texts can't belong to {len(motion_ND)} motions")
        self._collect(text=text_ND, motion=motion_ND)

    def distances(self) -> np.ndarray:
        """(G, N, N) from each text to each motion of its pool; raises ValueError as `value`."""
        pool = self.protocol.pool
        text, motion = (self._collected(role, least=pool) for role in ("text", "motion"))
        starts = range(0, len(text) - pool + 1, pool)
        return np.stack([cdist(text[i : i + pool], motion[i : i + pool]) for i in starts])


class RPrecision(Matching):
    """How often a text's own motion is among the nearest of its pool."""

    def value(self) -> np.ndarray:
        """(TOP,) shares, each at least as large as the one before.

        Motions at the same distance share their places: where all are alike, chance decides.
        """
        distances = self.distances()
        own = np.diagonal(distances, axis1=1, axis2=2)[..., None]
        closer, tied = (distances < own).sum(-1), (distances == own).sum(-1)
        return np.array([((k - closer) / tied).clip(0, 1).mean() for k in range(1, TOP + 1)])


class MatchingDistance(Matching):
    """MM-Dist: how far a motion is from its text, on average."""

    def value(self) -> float:
        return float(np.diagonal(self.distances(), axis1=1, axis2=2).mean())


class Diversity(Metric):
    """How far the motions of different texts are apart."""

    def update(self, motion_ND: np.ndarray) -> None:
        self._collect(motion=motion_ND)

    def value(self, rng: np.random.Generator) -> float:
        """Needs as many motions as there are pairs to be drawn."""
        pairs = self.protocol.diversity_pairs
        motion_ND = self._collected("motion", least=pairs)
        return self.protocol.diversity_scale * _pair_distance(motion_ND[None], pairs, rng)


class Multimodality(Metric):
    """How far the motions of the same text are apart."""

    num_axes = 3

    def update(self, motion_KSD: np.ndarray) -> None:
        """Raises ValueError where S is not the protocol's."""
        samples, shape = self.protocol.multimodality_samples, motion_KSD.shape
        if shape[1:2] != (samples,):
            raise ValueError(f"{samples} motions of each text are needed; the shape is {shape}")
        self._collect(motion=motion_KSD)

    def value(self, rng: np.random.Generator) -> float:
        pairs = self.protocol.multimodality_pairs
        motion_KSD = self._collected("motion", least=1)
        return self.protocol.multimodality_scale * _pair_distance(motion_KSD, pairs, rng)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution, of any rank.

    Attributes:
        mean: (D,).
        root: (R, D) with root.T @ root the covariance.
    """

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def around(cls, x_ND: np.ndarray) -> Self:
        """Mean and unbiased covariance of 2 samples or more.

        Eigenvalues of the covariance that are rounding count as 0.
        """
        mean = x_ND.mean(0)
        root = (x_ND - mean) / np.sqrt(len(x_ND) - 1)
        if len(root) > root.shape[1]:
            values_D, vectors_DD = np.linalg.eigh(root.T @ root)
            rounding = values_D[-1] * len(values_D) * np.finfo(values_D.dtype).eps
            values_D[values_D < rounding] = 0
            root = np.sqrt(values_D)[:, None] * vectors_DD.T
        return cls(mean, root)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m - n|^2 + tr(C + D - 2 (C D)^(1/2)), exact for singular covariances C and D too.

    For C = A'A and D = B'B the eigenvalues of C D are the squared singular values of A B', so no
    root of a matrix is taken, and rounding is not made larger by a root of numbers near 0.
    """
    shared = np.linalg.svd(one.root @ other.root.T, compute_uv=False).sum()
    variance = np.square(one.root).sum() + np.square(other.root).sum()
    return max(0.0, float(np.square(one.mean - other.mean).sum() + variance - 2 * shared))


def _pair_distance(x_KSD: np.ndarray, pairs: int, rng: np.random.Generator) -> float:
    """Mean distance of random pairs of S, the same ones for all K; both sides are drawn without
    replacement, so one of them may meet itself (as published).
    """
    first, second = (rng.choice(x_KSD.shape[1], pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(x_KSD[:, first] - x_KSD[:, second], axis=-1).mean())


def embedding_scores(
    protocol: Protocol,
    *,
    reference_ND: np.ndarray,
    compared_ND: np.ndarray,
    texts_NE: np.ndarray,
    made_NE: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, float]:
    """R-precision, FID, MM-Dist and diversity of one repeat.

    Args:
        reference_ND, compared_ND: what FID is the distance of.
        texts_NE, made_NE: text n belongs to motion n.
    """
    fid, precision = FrechetDistance(protocol), RPrecision(protocol)
    matching, diversity = MatchingDistance(protocol), Diversity(protocol)
    fid.update(reference_ND, compared_ND)
    precision.update(texts_NE, made_NE)
    matching.update(texts_NE, made_NE)
    diversity.update(made_NE)
    r1, r2, r3 = precision.value().tolist()
    return {
        "r1": r1,
        "r2": r2,
        "r3": r3,
        "fid": fid.value(),
        "mm_dist": matching.value(),
        "diversity": diversity.value(rng),
    }
