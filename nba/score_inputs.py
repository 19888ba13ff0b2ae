"""What models of scores see of a customer, and what they start from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nba.crowd import Crowd
from nba.own_pace import chance_of, pace

Floats = NDArray[np.float64]

#: Orders a day below which no pace is told apart.
LEAST_PACE = 1e-4


@dataclass(frozen=True)
class Inputs:
    """What is known of n customers.

    Attributes:
        features: float64[n, F].
        active: bool[n], they did something.
        buyer: bool[n], they bought.
        pace_orders, pace_revenue, wait: float64[n], as in `nba.own_pace.Pace`.
    """

    features: Floats
    active: NDArray[np.bool_]
    buyer: NDArray[np.bool_]
    pace_orders: Floats
    pace_revenue: Floats
    wait: Floats


def inputs_of(crowd: Crowd, names: tuple[str, ...], *, own: bool) -> Inputs:
    """What models see of a crowd.

    Args:
        crowd: n customers.
        names: of state features; null where the crowd does not have one.
        own: add what is read from each customer's own pace; otherwise models start from the same for everybody.
    """
    places, absent, known, orders = _places(crowd.names, names)
    n = len(crowd)
    features = np.empty((n, len(names) + 3 * own))
    features[:, : len(names)] = crowd.state[:, places]
    if len(absent):
        features[:, absent] = np.nan
    nothing = np.zeros(n)
    active = np.zeros(n, dtype=np.bool_) if known < 0 else ~np.isnan(crowd.state[:, known])
    buyer = np.zeros(n, dtype=np.bool_) if orders < 0 else crowd.state[:, orders] > 0
    if not own:
        return Inputs(features, active, buyer, nothing, nothing, nothing)
    found = pace(crowd)
    features[:, -3], features[:, -2], features[:, -1] = found.orders, found.overdue, found.quickened
    return Inputs(features, active, buyer, found.orders, found.revenue, found.wait)


def offset_of(score: str, inputs: Inputs, days: float, floor: float) -> Floats:
    """What the model of a score starts from, on the scale of its trees (`nba.boosted.Kind`), float64[n].

    Args:
        score: its name.
        inputs: of n customers.
        days: that the score looks ahead.
        floor: money a day below which no spending is told apart, above 0.
    """
    match score:
        case "likelihood_to_purchase" | "churn_risk":
            return chance_of(inputs.pace_orders * days)
        case "expected_orders":
            return np.log(np.maximum(inputs.pace_orders, LEAST_PACE) * days)
        case "expected_next_order_days":
            rarely = 1 / np.maximum(inputs.pace_orders, LEAST_PACE)
            return np.log1p(np.where(np.isnan(inputs.wait), rarely, inputs.wait))
        case _:
            return np.log((inputs.pace_revenue + floor) * days)


def telling(crowd: Crowd) -> tuple[str, ...]:
    """State features that differ between customers, but for single hours of the day."""
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(crowd.state, initial=np.inf), np.fmax.reduce(crowd.state, initial=-np.inf)
    return tuple(
        name
        for name, differs in zip(crowd.names, low < high, strict=True)
        if differs and not name.endswith("_this_hour") and "_hours_" not in name
    )


@lru_cache(maxsize=16)
def _places(there: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Places of features, which of them are not there, and places of ``known_for`` and ``orders``, -1 if not there."""
    at = {name: place for place, name in enumerate(there)}
    places = np.array([at.get(name, 0) for name in wanted], dtype=np.int64)
    absent = np.array([number for number, name in enumerate(wanted) if name not in at], dtype=np.int64)
    return places, absent, at.get("known_for", -1), at.get("orders", -1)
