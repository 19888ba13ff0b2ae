"""Intervals by resampling whole clusters: what one person did is one draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK = 2_000_000  # entries of the counts matrix held at once (16 MB)


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
        picks = rng.integers(n, size=(size, n))
        picks += np.arange(size)[:, None] * n
        counts = np.bincount(picks.ravel(), minlength=size * n).reshape(size, n)
        resampled = counts.astype(np.float64) @ sums
        drawn[start : start + size] = resampled[:, :-1] / resampled[:, -1:]
    tail = 100 * (1 - confidence) / 2
    interval = np.percentile(drawn, [tail, 100 - tail], axis=0).T
    return Means(total[:-1] / total[-1], interval)
