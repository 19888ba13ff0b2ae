"""What would happen if customers went on at their own pace: simple arithmetic on the state that models start from.

Trees cannot reach beyond what they have seen, so somebody who orders twice as often as anybody before would be told as
everybody's heaviest. They start from these numbers and learn where people go another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nba.crowd import Crowd

Floats = NDArray[np.float64]

#: Half an order in this many days is what nobody's history says.
PRIOR_ORDERS, PRIOR_DAYS = 0.5, 14.0

#: No expectation below this many orders: chances and logarithms stay finite.
LEAST_ORDERS = 1e-3

#: Half-life in days of the sum of revenue that the pace of spending is read from.
REVENUE, HALF_LIFE = "revenue_90d", 90.0


@dataclass(frozen=True)
class Pace:
    """The pace of n customers. All float64[n].

    Attributes:
        orders: a day, shrunk.
        revenue: a day, in the shop's currency.
        overdue: time since the last order over the mean time between orders; NaN below two orders.
        quickened: last time between orders over the mean one; NaN below two.
        wait: days until the next order if it comes after the mean time, at least one; NaN below two.
    """

    orders: Floats
    revenue: Floats
    overdue: Floats
    quickened: Floats
    wait: Floats


def pace(crowd: Crowd) -> Pace:
    """The pace of a crowd; of somebody of whom nothing is known, that of nobody's history."""
    state = crowd.state.T
    nothing = np.full(len(crowd), np.nan)
    count, gap, last_gap, since, known, revenue = (
        state[place] if place >= 0 else nothing for place in _places(crowd.names)
    )
    number, known = _or_zero(count), _or_zero(known)
    with np.errstate(divide="ignore", invalid="ignore"):
        # NaN below two orders, 0 where the state is not one that a fold reads
        gap = np.where(gap > 0, gap, np.nan)
        overdue, quickened = since / gap, last_gap / gap
    bought = _or_zero(gap) * np.maximum(number - 1, 0) + _or_zero(since)
    rate = (number + PRIOR_ORDERS) / (np.where(number > 0, bought, known) + PRIOR_DAYS)
    # A sum that fades reaches rate · half-life / ln 2 in the long run, and less of it in the time somebody is known.
    reached = 1 - np.exp2((known + PRIOR_DAYS) / -HALF_LIFE)
    spending = np.maximum(_or_zero(revenue), 0) * (np.log(2) / HALF_LIFE) / reached
    return Pace(rate, spending, overdue, quickened, np.maximum(gap - since, 1.0))


def chance_of(orders: Floats) -> Floats:
    """Log-odds of at least one order where so many are expected and they come at random (Poisson), float64[n].

    ln(e^μ − 1), since P = 1 − e^(−μ).
    """
    expected = np.clip(orders, LEAST_ORDERS, 30)
    return np.log(np.expm1(expected))


def _or_zero(values: Floats) -> Floats:
    """0 for NaN; a tenth of the time of `numpy.nan_to_num` for one customer."""
    return np.where(values == values, values, 0.0)


@lru_cache(maxsize=16)
def _places(names: tuple[str, ...]) -> tuple[int, ...]:
    wanted = ("orders", "orders_mean_gap", "orders_last_gap", "since_purchase", "known_for", REVENUE)
    return tuple(names.index(name) if name in names else -1 for name in wanted)
