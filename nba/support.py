"""Whether a log can tell what a policy is worth: overlap, mean of the weights, calibration of the outcome model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bootstrap import Ratios, studentised
from nba.offpolicy import Log, Policy, effective_sample_size, weights

Floats = NDArray[np.float64]

#: Shares at which the weights are told.
SHARES = (0.5, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Overlap:
    """How far a policy goes where the log went.

    Attributes:
        quantiles: float64, of the weights, at `SHARES`.
        edges: float64[b + 1], of the histogram: 0, then powers of 2; the last is infinite.
        counts: int64[b], rows whose weight is in [edge, next edge); the first bin holds weights of 0 and below the
            first power.
        zero: share of rows with a weight of 0: the policy would not have done what was done.
        heaviest: share of the sum of weights that the heaviest 1% of the rows hold.
        effective_sample_size: see `nba.offpolicy.Estimate`.
        mean: of the weights: 1 less what is unsupported, unless declared propensities are not those that chose.
        mean_ci: its interval, clustered by customer.
        plausible: 1 less the unsupported share is in that interval.
    """

    quantiles: Floats
    edges: Floats
    counts: NDArray[np.int64]
    zero: float
    heaviest: float
    effective_sample_size: float
    mean: float
    mean_ci: tuple[float, float]
    plausible: bool


def overlap(log: Log, policy: Policy, rng: np.random.Generator, *, confidence: float = 0.99) -> Overlap:
    """Look at the weights, unclipped.

    The check of the mean has power only against declared propensities that are wrong in a way that this policy's
    choices see. ``confidence`` is that of `Overlap.mean_ci`: at 0.99 one sound log in a hundred is called implausible.
    """
    weight = weights(log, policy)
    edges = np.array([0.0, *np.exp2(np.arange(-3, 11)), np.inf])
    counts = np.histogram(weight, edges)[0].astype(np.int64)
    ordered = np.sort(weight)[::-1]
    total = float(weight.sum())
    top = float(ordered[: max(1, len(ordered) // 100)].sum())
    mean = Ratios(weight[:, None], np.ones((len(log), 1)))
    found = studentised([mean], log.customer, rng, confidence=confidence)
    low, high = found.interval[0].tolist()
    right = 1 - float(policy.unsupported.mean())
    return Overlap(
        quantiles=np.quantile(weight, SHARES),
        edges=edges,
        counts=counts,
        zero=float((weight == 0).mean()),
        heaviest=top / total if total > 0 else 0.0,
        effective_sample_size=effective_sample_size(weight),
        mean=float(found.value[0]),
        mean_ci=(low, high),
        plausible=bool(low - 1e-9 <= right <= high + 1e-9),
    )


@dataclass(frozen=True)
class Calibration:
    """Predicted and observed means of b groups of rows of like prediction, from low to high.

    Attributes:
        predicted, observed: float64[b].
        rows: int64[b].
        error: mean over rows of |observed − predicted| of their group.
        slope: of the weighted least squares line of observed on predicted; 1 is right, below 1: predictions spread too
            far. NaN where all predictions are the same.
    """

    predicted: Floats
    observed: Floats
    rows: NDArray[np.int64]
    error: float
    slope: float


def calibration(predicted: Floats, observed: Floats, groups: int = 10) -> Calibration:
    """Calibration in groups of about equal size; equal predictions are never parted.

    >>> found = calibration(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]), groups=2)
    >>> found.observed.tolist(), found.error
    ([0.5, 1.0], 0.25)
    """
    cuts = np.unique(np.quantile(predicted, np.linspace(0, 1, groups + 1)[1:-1], method="lower"))
    place = np.searchsorted(cuts, predicted, side="left")
    rows = np.bincount(place, minlength=len(cuts) + 1)
    held = rows > 0
    rows = rows[held]
    mean = np.bincount(place, predicted, len(cuts) + 1)[held] / rows
    seen = np.bincount(place, observed, len(cuts) + 1)[held] / rows
    away = mean - np.average(mean, weights=rows)
    spread = float((rows * away**2).sum())
    slope = float((rows * away * seen).sum() / spread) if spread > 0 else np.nan
    return Calibration(mean, seen, rows.astype(np.int64), float(np.average(np.abs(seen - mean), weights=rows)), slope)
