"""Measures of scores, with intervals: log loss, AUC and calibration error of a chance, errors of expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Groups of equal size that calibration is looked at in.
BINS = 10

#: Chances are held so far from 0 and 1.
LEAST_CHANCE = 1e-9

#: Measures by which more is better; by all others less is.
RISING = ("likelihood_to_purchase/auc",)


@dataclass(frozen=True)
class Truth:
    """What n customers did in the window. float64[n]; value NaN if no price is known."""

    orders: Floats
    value: Floats


@dataclass(frozen=True)
class Judged:
    """What was said of n customers before, float64[n] each."""

    chance: Floats
    orders: Floats
    value: Floats | None


def compare(
    truth: Truth, ours: Judged, rivals: Mapping[str, Judged], *, seed: int = 0, resamples: int = 1_000
) -> dict[str, Any]:
    """Measures of ours and of each rival, 95% intervals, and paired differences to the rival that is best by each.

    Intervals are percentiles of a bootstrap over customers (Efron & Tibshirani, 1993, section 13.3) whose draws all
    share, so differences are paired.

    Args:
        truth: what happened.
        ours, rivals: what was said.
        seed: for the draws.
        resamples: how often customers are drawn.

    Returns:
        ``metrics``, ``ci``, ``baselines`` and ``difference``, as docs/evaluation.md describes. AUC is left out where
        all or none bought, value where no price is known.
    """
    bought = (truth.orders > 0).astype(np.float64)
    names = ["likelihood_to_purchase/log_loss", "likelihood_to_purchase/calibration_error"]
    if 0 < bought.sum() < len(bought):
        names.insert(1, "likelihood_to_purchase/auc")
    names.append("expected_orders/absolute_error")
    valued = not np.isnan(truth.value).any() and all(one.value is not None for one in (ours, *rivals.values()))
    if valued:
        names.append("value/absolute_error")
    measures = [_Measures(truth, bought, one, valued=valued) for one in (ours, *rivals.values())]
    rng, n = np.random.default_rng(seed), len(bought)
    whole = np.array([measure.of(np.ones(n), names) for measure in measures])
    drawn = np.empty((resamples, *whole.shape))
    for place in range(resamples):
        weight = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        drawn[place] = [measure.of(weight, names) for measure in measures]
    sign = np.array([-1.0 if name in RISING else 1.0 for name in names])
    best = (sign * whole[1:]).argmin(axis=0) + 1
    column = np.arange(len(names))
    value, difference = whole[0] - whole[best, column], drawn[:, 0] - drawn[:, best, column]
    labels = list(rivals)

    def told(place: int) -> dict[str, Any]:
        return {
            "metrics": dict(zip(names, whole[place].tolist(), strict=True)),
            "ci": dict(zip(names, _interval(drawn[:, place]), strict=True)),
        }

    return {
        **told(0),
        "baselines": {label: told(place) for place, label in enumerate(labels, start=1)},
        "difference": {
            name: {"value": float(value[at]), "ci": ends, "against": labels[int(best[at]) - 1]}
            for at, (name, ends) in enumerate(zip(names, _interval(difference), strict=True))
        },
    }


def reliability(happened: Floats, chance: Floats, *, bins: int = BINS) -> dict[str, list[float]]:
    """The calibration curve: customers in groups of equal size by chance, ``told`` and ``happened`` of each, and ``n``.

    >>> reliability(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.2, 0.4, 0.8, 1.0]), bins=2)
    {'told': [0.3, 0.9], 'happened': [0.5, 1.0], 'n': [2.0, 2.0]}
    """
    groups = [group for group in np.array_split(np.argsort(chance, kind="stable"), bins) if len(group)]
    return {
        "told": [round(float(chance[group].mean()), 6) for group in groups],
        "happened": [round(float(happened[group].mean()), 6) for group in groups],
        "n": [float(len(group)) for group in groups],
    }


class _Measures:
    """Everything that does not change from draw to draw."""

    def __init__(self, truth: Truth, bought: Floats, said: Judged, *, valued: bool) -> None:
        chance = np.clip(said.chance, LEAST_CHANCE, 1 - LEAST_CHANCE)
        loss = -(bought * np.log(chance) + (1 - bought) * np.log1p(-chance))
        columns = [loss, np.abs(said.orders - truth.orders)]
        if valued and said.value is not None:
            columns.append(np.abs(said.value - truth.value))
        self._columns = np.column_stack(columns)
        self._order = np.argsort(said.chance, kind="stable")
        self._bought, self._chance = bought[self._order], said.chance[self._order]
        self._tie = np.flatnonzero(np.diff(self._chance, prepend=np.nan) != 0)  # where each distinct chance begins
        self._group = np.arange(len(bought)) * BINS // len(bought)  # as `numpy.array_split` within one row

    def of(self, weight: Floats, names: list[str]) -> list[float]:
        """The measures with customers counted ``weight`` times, in the order of ``names``."""
        means = (weight @ self._columns / weight.sum()).tolist()
        found = dict(zip(_MEANS, means, strict=False))
        sorted_weight = weight[self._order]
        found["likelihood_to_purchase/calibration_error"] = self._calibration_error(sorted_weight)
        if "likelihood_to_purchase/auc" in names:
            found["likelihood_to_purchase/auc"] = self._auc(sorted_weight)
        return [found[name] for name in names]

    def _calibration_error(self, weight: Floats) -> float:
        """Σ over groups of |Σ w (bought − chance)| ÷ Σ w: expected calibration error, groups of equal size."""
        gaps = np.bincount(self._group, weight * (self._bought - self._chance), BINS)
        return float(np.abs(gaps).sum() / weight.sum())

    def _auc(self, weight: Floats) -> float:
        """P(a buyer's chance is above a non-buyer's), ties half; 0.5 in a draw without both."""
        positive = np.add.reduceat(weight * self._bought, self._tie)
        negative = np.add.reduceat(weight * (1 - self._bought), self._tie)
        total = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / total) if total > 0 else 0.5


_MEANS = ("likelihood_to_purchase/log_loss", "expected_orders/absolute_error", "value/absolute_error")


def _interval(drawn: Floats) -> list[list[float]]:
    ends: list[list[float]] = np.percentile(drawn, [2.5, 97.5], axis=0).T.tolist()
    return ends
