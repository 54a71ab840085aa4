"""The metrics of learned evaluators: recorded values, properties and bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from parity import fixtures, load, prefixed
from properties import examples
from scipy.linalg import sqrtm

from duomotion.evaluation.metrics.distributions import (
    Diversity,
    FrechetDistance,
    Gaussian,
    MatchingDistance,
    Metric,
    Multimodality,
    RPrecision,
    frechet_distance,
)
from duomotion.evaluation.metrics.estimates import over_repeats
from duomotion.evaluation.metrics.protocols import INTERGEN, INTERMASK, INTERX, T2M

PROTOCOLS = {"intergen": INTERGEN, "intermask": INTERMASK, "t2m": T2M, "interx": INTERX}
RECORDED = [(name, protocol) for name in fixtures("metrics*") for protocol in PROTOCOLS]
SMALL = replace(
    T2M, pool=4, diversity_pairs=3, multimodality_samples=3, multimodality_pairs=2, fid_scale=2
)


class Recorded:
    """Stands for a random generator whose draws are known."""

    def __init__(self, *draws: np.ndarray) -> None:
        self.draws = iter(draws)

    def choice(self, population: int, size: int, *, replace: bool) -> np.ndarray:
        drawn = next(self.draws)
        assert drawn.shape == (size,) and drawn.max() < population and not replace
        return drawn


def embeddings(least: int = 2, most: int = 12, size: int = 3):
    """(N, D) of few different numbers, so that there are equal rows and singular covariances."""
    numbers = st.integers(-6, 6).map(lambda n: n / 2)
    return st.integers(least, most).flatmap(
        lambda count: arrays(np.float64, (count, size), elements=numbers)
    )


def fid(real: np.ndarray, generated: np.ndarray) -> float:
    metric = FrechetDistance(SMALL)
    metric.update(real, generated)
    return metric.value()


def published_fid(x_ND: np.ndarray, y_ND: np.ndarray) -> float:
    """As the released code of all protocols computes it."""
    c_DD, d_DD = np.cov(x_ND, rowvar=False), np.cov(y_ND, rowvar=False)
    root = sqrtm(c_DD @ d_DD)
    if not np.isfinite(root).all():
        offset = 1e-6 * np.eye(len(c_DD))
        root = sqrtm((c_DD + offset) @ (d_DD + offset))
    shift = x_ND.mean(0) - y_ND.mean(0)
    return float(shift @ shift + np.trace(c_DD) + np.trace(d_DD) - 2 * np.trace(root).real)


@pytest.mark.parametrize(("name", "protocol"), RECORDED)
def test_parity(name: str, protocol: str):
    description, tensors = load(name)
    key = "t2m" if protocol == "interx" else protocol  # the same, but for the number of texts
    recorded, given = (prefixed(tensors, f"{side}/{key}") for side in ("out", "in"))
    draws = {
        what: Recorded(given[f"{what}_first"].numpy(), given[f"{what}_second"].numpy())
        for what in ("diversity", "mm")
    }
    text, motion, real, several = (
        tensors[f"in/{which}"].numpy()
        for which in ("text_emb", "motion_emb", "gt_motion_emb", "mm_emb")
    )
    sizes = description["config"]
    constants = replace(
        PROTOCOLS[protocol],
        pool=sizes["batch_t2m" if key == "t2m" else "batch_interhuman"],
        diversity_pairs=sizes["diversity_times"],
        multimodality_texts=sizes["mm_texts"],
        multimodality_samples=sizes["mm_repeats"],
        multimodality_pairs=sizes["mm_times"],
    )

    # The loader leaves out what fills no pool; whether the recording did is seen in its mean.
    counts = (len(motion), int(recorded["samples_used"]))
    mean = recorded["mu"].numpy() / constants.fid_scale
    rows = slice(min(counts, key=lambda count: np.abs(motion[:count].mean(0) - mean).max()))
    fid, precision, matching = (
        metric(constants) for metric in (FrechetDistance, RPrecision, MatchingDistance)
    )
    diversity, multimodality = Diversity(constants), Multimodality(constants)
    fid.update(real[rows], motion[rows])
    precision.update(text, motion)
    matching.update(text, motion)
    diversity.update(motion[rows])
    multimodality.update(several)
    distances = precision.distances()
    ours = {
        "distance_matrix_first_batch": distances[0],
        "samples_used": distances.shape[0] * distances.shape[1],
        "r_precision": precision.value(),
        "mm_distance": matching.value(),
        "fid": fid.value(),
        "diversity": diversity.value(draws["diversity"]),
        "multimodality": multimodality.value(draws["mm"]),
    }
    gaussian = Gaussian.around(constants.fid_scale * motion[rows].astype(np.float64))
    ours |= {"mu": gaussian.mean, "cov": gaussian.root.T @ gaussian.root}
    assert ours.keys() == recorded.keys()
    for what, value in recorded.items():
        np.testing.assert_allclose(ours[what], value, atol=1e-4, rtol=1e-4, err_msg=what)


@pytest.mark.parametrize("name", fixtures("metrics*"))
def test_confidence_of_recorded_repeats(name: str):
    description, tensors = load(name)
    values = description["config"]["replicate_values"]
    mean, margin = over_repeats(values)
    assert mean == pytest.approx(np.mean(values))
    assert margin == pytest.approx(tensors["out/confidence_interval"].item())
    of_arrays = over_repeats([np.array([value, 2 * value]) for value in values])
    np.testing.assert_allclose(of_arrays, [[mean, 2 * mean], [margin, 2 * margin]])


def test_protocols_differ_as_their_code_does():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(5, 30, 4))
    values = {}
    for name, protocol in PROTOCOLS.items():
        metric = Multimodality(protocol)
        metric.update(samples)
        values[name] = metric.value(np.random.default_rng(1))
    assert values["intermask"] == pytest.approx(3 * values["intergen"])
    assert values["intergen"] == values["t2m"] == values["interx"]
    assert (INTERGEN.pool, INTERMASK.pool, T2M.pool, INTERX.pool) == (96, 96, 32, 32)
    for protocol in PROTOCOLS.values():
        assert (protocol.repeats, protocol.diversity_pairs) == (20, 300)
        assert (protocol.multimodality_samples, protocol.multimodality_pairs) == (30, 10)


@pytest.mark.filterwarnings("ignore:Matrix is singular")
@pytest.mark.parametrize(
    ("real", "generated", "size"),
    [(50, 60, 8), (200, 90, 64), (10, 12, 32), (20, 100, 64), (2, 3, 16)],
)
def test_fid_is_that_of_the_published_code(real: int, generated: int, size: int):
    rng = np.random.default_rng(real)
    x_ND = rng.normal(size=(real, size))
    y_ND = 0.3 + rng.normal(size=(generated, size)) @ rng.normal(size=(size, size))
    ours = frechet_distance(Gaussian.around(x_ND), Gaussian.around(y_ND))
    assert ours == pytest.approx(published_fid(x_ND, y_ND), rel=1e-6)


@given(embeddings(), embeddings(), st.floats(0.1, 10), st.randoms(use_true_random=False))
@examples(40)
def test_fid(x_ND, y_ND, scale, random):
    value = fid(x_ND, y_ND)
    limit = 1e-9 * (1 + value)
    assert fid(x_ND, x_ND) == pytest.approx(0, abs=1e-9)
    assert fid(y_ND, x_ND) == pytest.approx(value, abs=limit)
    assert fid(scale * x_ND, scale * y_ND) == pytest.approx(scale**2 * value, abs=100 * limit)
    assert fid(x_ND + 3, y_ND + 3) == pytest.approx(value, abs=100 * limit)
    shuffled = x_ND[random.sample(range(len(x_ND)), len(x_ND))]
    assert fid(shuffled, y_ND) == pytest.approx(value, abs=limit)


def test_fid_of_shifted_clips_is_the_squared_shift():
    x_ND = np.random.default_rng(0).normal(size=(5, 16))
    expected = SMALL.fid_scale**2 * 16 * 0.25
    assert fid(x_ND, x_ND + 0.5) == pytest.approx(expected)


@given(embeddings(least=4), st.randoms(use_true_random=False))
@examples(40)
def test_matching(x_ND, random):
    precision, matching = RPrecision(SMALL), MatchingDistance(SMALL)
    unlike = np.arange(len(x_ND))[:, None] + x_ND / 100
    for metric in (precision, matching):
        metric.update(unlike, unlike)
    assert precision.value().tolist() == [1, 1, 1]
    assert matching.value() == 0

    pool = slice(SMALL.pool)
    order = random.sample(range(SMALL.pool), SMALL.pool)
    text, motion = x_ND[pool], x_ND[pool][::-1]
    values = []
    for rows in (slice(None), order):
        precision, matching = RPrecision(SMALL), MatchingDistance(SMALL)
        for metric in (precision, matching):
            metric.update(text[rows], motion[rows])
        values.append([*precision.value(), matching.value()])
        assert (np.diff(precision.value()) >= 0).all()
    np.testing.assert_allclose(*values)


def test_motions_that_are_all_alike_match_by_chance():
    metric = RPrecision(T2M)
    metric.update(np.random.default_rng(0).normal(size=(64, 8)), np.ones((64, 8)))
    np.testing.assert_allclose(metric.value(), [1 / 32, 2 / 32, 3 / 32])


def values_of(metrics: list[Metric]) -> list[float]:
    return [
        *np.ravel(metrics[0].value()),
        *(metric.value() for metric in metrics[1:3]),
        *(metric.value(np.random.default_rng(0)) for metric in metrics[3:]),
    ]


def collected(text_ND: np.ndarray, parts: list[slice]) -> list[Metric]:
    metrics = [
        kind(SMALL)
        for kind in (RPrecision, MatchingDistance, FrechetDistance, Diversity, Multimodality)
    ]
    motion_ND = np.flip(text_ND, 1)
    several = np.stack([text_ND, motion_ND, 2 * text_ND], 1)
    given = [(text_ND, motion_ND)] * 3 + [(motion_ND,), (several,)]
    for part in parts:
        for metric, arrays_ in zip(metrics, given, strict=True):
            metric.update(*(array[part] for array in arrays_))
    return metrics


@given(embeddings(least=4), st.integers(0, 12), st.integers(0, 12))
@examples(40)
def test_merged_and_batched_metrics_are_those_of_all_at_once(x_ND, first, second):
    first, second = sorted((first, second))
    parts = [slice(0, first), slice(first, second), slice(second, None)]
    expected = values_of(collected(x_ND, [slice(None)]))
    assert values_of(collected(x_ND, parts)) == expected
    merged = collected(x_ND, parts[:1])
    for metric, other in zip(merged, collected(x_ND, parts[1:]), strict=True):
        metric.merge(other)
    assert values_of(merged) == expected


@given(embeddings(least=3), st.integers(0, 9), st.floats(0.1, 10))
@examples(40)
def test_spread(x_ND, seed, scale):
    def values(motion_ND: np.ndarray) -> list[float]:
        diversity, multimodality = Diversity(SMALL), Multimodality(SMALL)
        diversity.update(motion_ND)
        multimodality.update(motion_ND[None, :3])
        return [metric.value(np.random.default_rng(seed)) for metric in (diversity, multimodality)]

    value = values(x_ND)
    np.testing.assert_allclose(values(scale * x_ND), scale * np.array(value))
    assert value == values(x_ND)
    assert values(0 * x_ND + x_ND[:1]) == [0, 0]


@pytest.mark.parametrize(
    ("metric", "given", "message"),
    [
        (
            RPrecision,
            [(np.ones((3, 2)),) * 2],
            "RPrecision needs 4 text embeddings or more; there are 3",
        ),
        (MatchingDistance, [], "needs 4 text embeddings or more; there are 0"),
        (FrechetDistance, [(np.ones((1, 2)), np.ones((5, 2)))], "needs 2 real embeddings"),
        (FrechetDistance, [(np.ones((5, 2)), np.ones((0, 2)))], "needs 2 generated embeddings"),
        (Diversity, [(np.ones((2, 2)),)], "needs 3 motion embeddings or more; there are 2"),
        (Multimodality, [], "needs 1 motion embeddings"),
        (Multimodality, [(np.ones((5, 2, 4)),)], "3 motions of each text are needed"),
        (RPrecision, [(np.ones((4, 2)), np.ones((5, 2)))], "4 texts can't belong to 5 motions"),
        (RPrecision, [(np.ones((4, 2)), np.ones((4, 3)))], r"of \[2, 3\] numbers"),
        (Diversity, [(np.ones((4, 2)),), (np.ones((4, 3)),)], r"of \[2, 3\] numbers"),
        (Diversity, [(np.ones(4),)], "1 axes instead of 2"),
        (Diversity, [(np.full((4, 2), np.nan),)], "the motion embedding 0 holds NaN"),
        (
            FrechetDistance,
            [(np.ones((4, 2)), np.full((4, 2), np.inf))],
            "the generated embedding 0",
        ),
    ],
)
def test_bad_input(metric: type[Metric], given: list, message: str):
    collecting = metric(SMALL)
    with pytest.raises(ValueError, match=message):
        for embeddings_ in given:
            collecting.update(*embeddings_)
        spread = isinstance(collecting, Diversity | Multimodality)
        collecting.value(*([np.random.default_rng(0)] if spread else []))


def test_what_does_not_belong_together_is_not_merged():
    one = Diversity(SMALL)
    one.update(np.ones((3, 2)))
    other = Diversity(SMALL)
    other.update(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"of \[2, 4\] numbers"):
        one.merge(other)
    for stranger in (Diversity(T2M), RPrecision(SMALL)):
        with pytest.raises(ValueError, match="only another of the same protocol"):
            one.merge(stranger)


def test_one_repeat_says_nothing_about_confidence():
    with pytest.raises(ValueError, match="at least 2 repeats, not 1"):
        over_repeats([5.1])
