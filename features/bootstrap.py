"""Intervals by resampling whole clusters: what one person did is one draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK = 2_000_000  # entries of the counts matrix held at once (16 MB)
_SMALL = 10_000_000  # multiplications: some 10 ms
_ROUNDING = 1e-6  # a standard error below this share of the whole sample's is 0


@dataclass(frozen=True)
class Means:
    """Means of m columns. value: float64[m]; interval: float64[m, 2], lower and upper bound."""

    value: Floats
    interval: Floats


def means(
    values: Floats,
    cluster: NDArray[np.int32] | NDArray[np.int64],
    rng: np.random.Generator,
    *,
    weight: Floats | None = None,
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> Means:
    """Weighted means of columns with percentile intervals of a cluster bootstrap.

    Clusters are drawn with replacement, as many as there are, and bring all their rows: mean* is Σ_c n_c S_c over
    Σ_c n_c W_c, where S_c and W_c are a cluster's sums of weight · value and of weight. All columns share the draws, so
    a column of paired differences gets the interval of the difference. Sources: Efron & Tibshirani, An Introduction to
    the Bootstrap (1993), section 13.3 (percentiles); Field & Welsh, JRSS-B 69 (2007) (clusters).

    Args:
        values: float64[n, m], n > 0.
        cluster: int[n], whose row it is.
        rng: draws the resamples.
        weight: float64[n], positive; equal by default.
        resamples: how many times all clusters are drawn.
        confidence: share of the resampled means inside the interval.

    With a single cluster the interval is the mean itself: there is nothing to resample.

    >>> found = means(np.array([[1.0], [0.0], [1.0], [0.0]]), np.array([0, 1, 2, 3]), np.random.default_rng(0))
    >>> float(found.value[0]), found.interval[0].tolist()
    (0.5, [0.0, 1.0])
    """
    weight = np.ones(len(values)) if weight is None else weight
    names, place = np.unique(cluster, return_inverse=True)
    n = len(names)
    sums = np.zeros((n, values.shape[1] + 1))
    np.add.at(sums, place, np.column_stack([values * weight[:, None], weight]))
    total = sums.sum(axis=0)
    drawn = np.empty((resamples, values.shape[1]))
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        resampled = _draws(n, size, rng) @ sums
        drawn[start : start + size] = resampled[:, :-1] / resampled[:, -1:]
    tail = 100 * (1 - confidence) / 2
    interval = np.percentile(drawn, [tail, 100 - tail], axis=0).T
    return Means(total[:-1] / total[-1], interval)


@dataclass(frozen=True)
class Ratios:
    """One number to estimate: the sum over m of Σ numerator / Σ denominator, both float64[n, m]."""

    numerator: Floats
    denominator: Floats


@dataclass(frozen=True)
class Estimates:
    """q estimates. value, error (standard): float64[q]; interval: float64[q, 2]. NaN where a denominator sums to 0."""

    value: Floats
    error: Floats
    interval: Floats


def studentised(
    numbers: Sequence[Ratios],
    cluster: NDArray[np.int32] | NDArray[np.int64],
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> Estimates:
    """Sums of ratios with studentised intervals of a cluster bootstrap: for sums that few heavy rows decide.

    Each resample gives t* = (θ* − θ) / s*, s* the cluster-robust standard error by linearisation, s*² = Σ_c ψ_c² with
    ψ_c = Σ_j (N_cj − θ_j D_cj) / Σ_c D_cj, computed anew in the resample; the interval is θ − t*_upper s to
    θ − t*_lower s, with s² = Σ_c (θ − θ without c)² of the jackknife, which is s* but for clusters that weigh much.
    Where heavy rows are rare, samples without them give both a low estimate and a short interval; percentiles and the
    normal approximation then cover too little, and t* knows how the two go together. Numerators and denominators, and
    all ``numbers``, are resampled together. Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993),
    chapter 11 and section 12.5; Hall, Annals of Statistics 16 (1988); Field & Welsh, JRSS-B 69 (2007) (clusters).

    Resamples in which s* is 0 say nothing of t* and are left out; with no other the interval is the estimate itself, as
    it is with a single cluster.

    Args:
        numbers: q of them, over the same n rows.
        cluster: int[n], whose row it is.
        rng: draws the resamples.
        resamples: how many times all clusters are drawn.
        confidence: of the interval.

    >>> one = Ratios(np.array([[1.0], [0.0], [4.0], [1.0]]), np.ones((4, 1)))
    >>> found = studentised([one], np.arange(4), np.random.default_rng(0))
    >>> float(found.value[0]), round(float(found.error[0]), 3)
    (1.5, 1.0)
    """
    names, place = np.unique(cluster, return_inverse=True)
    n = len(names)
    tables = [_Table.of(number, place, n) for number in numbers]
    drawn = np.empty((len(numbers), 2, resamples))
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        counts = _draws(n, size, rng)
        for row, table in enumerate(tables):
            drawn[row, :, start : start + size] = table.estimate(counts)
    value = np.array([table.estimate(np.ones((1, n)))[0, 0] for table in tables])
    error = np.array([table.jackknife() for table in tables])
    interval = np.empty((len(numbers), 2))
    tail = 100 * (1 - confidence) / 2
    for row, (estimates, errors) in enumerate(drawn):
        useful = errors > _ROUNDING * error[row]
        t = (estimates[useful] - value[row]) / errors[useful] if useful.any() else np.zeros(1)
        interval[row] = value[row] - error[row] * np.percentile(t, [100 - tail, tail], method="weibull")
    return Estimates(value, error, interval)


@dataclass(frozen=True)
class _Table:
    """Sums of a cluster, and products of these: what estimate and error of a resample are linear in.

    sums: float64[n, 2m]; products: float64[n, 2m (2m + 1) / 2], of the columns ``left`` and ``right``.
    """

    sums: Floats
    products: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    @staticmethod
    def of(number: Ratios, place: NDArray[np.int64], n: int) -> _Table:
        columns = [*number.numerator.T, *number.denominator.T]
        sums = np.zeros((n, len(columns)))
        for row, column in enumerate(columns):
            sums[:, row] = np.bincount(place, column, minlength=n)
        left, right = np.triu_indices(sums.shape[1])
        return _Table(sums, sums[:, left] * sums[:, right], left, right)

    def estimate(self, counts: Floats) -> Floats:
        """float64[2, r], estimate and standard error where clusters count so often, float64[r, n]."""
        above, below = np.split(_product(counts, self.sums), 2, axis=1)
        below = np.where(below == 0, np.nan, below)
        ratio = above / below
        slope = np.concatenate([1 / below, -ratio / below], axis=1)
        twice = np.where(self.left == self.right, 1.0, 2.0)
        square = (_product(counts, self.products) * slope[:, self.left] * slope[:, self.right] * twice).sum(axis=1)
        # Where every cluster has the same ratio the square is 0 up to rounding, of either sign.
        return np.stack([ratio.sum(axis=1), np.sqrt(np.maximum(square, 0))])

    def jackknife(self) -> float:
        """Standard error from the estimates without one cluster each; one that is all of a ratio is left out of it."""
        above, below = np.split(self.sums, 2, axis=1)
        total = below.sum(axis=0)
        rest = total - below
        away = above - above.sum(axis=0) / np.where(total == 0, np.nan, total) * below
        return float(np.sqrt(np.square((away / np.where(np.abs(rest) > 0, rest, np.inf)).sum(axis=1)).sum()))


def resampled(
    cluster: NDArray[np.int32] | NDArray[np.int64], rng: np.random.Generator, resamples: int
) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Resamples for statistics of other kinds, block by block: what is drawn, and how to give it to rows.

    Yields (counts, place): float64[b, clusters], how often a cluster is drawn, and int64[n], the cluster of a row;
    ``counts[:, place]`` is float64[b, n], small enough to be held.
    """
    names, place = np.unique(cluster, return_inverse=True)
    step = max(1, _BLOCK // len(cluster))
    for start in range(0, resamples, step):
        yield _draws(len(names), min(step, resamples - start), rng), place


def _product(counts: Floats, columns: Floats) -> Floats:
    """Matrix product. Small ones without BLAS, whose threads wait 50 ms for each other where cores are busy."""
    if counts.size * columns.shape[1] > _SMALL:
        return counts @ columns
    found: Floats = np.einsum("rn,cn->rc", counts, np.ascontiguousarray(columns.T))
    return found


def _draws(n: int, size: int, rng: np.random.Generator) -> Floats:
    """float64[size, n]: how often each of n clusters is in a resample of n."""
    picks = rng.integers(n, size=(size, n))
    picks += np.arange(size)[:, None] * n
    return np.bincount(picks.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
