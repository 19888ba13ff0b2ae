"""Choosing one arm and one slot for each customer: the best, or now and then another one, with exact chances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import HOUR
from nba.asked import Asked
from nba.config import PolicyConfig
from nba.draws import Draws, nth, windows
from nba.weighing import Weighed, at_slots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A contact that has no time of sending: hold.
NEVER = int(np.iinfo(np.int64).min)
#: … and one that happens now, on the page that asks.
ON_PAGE = NEVER + 1

#: Of the standard normal distribution: 95% lie within so many standard deviations.
WIDTH_95 = 1.959964


@dataclass(frozen=True)
class Chosen:
    """What n customers get.

    Attributes:
        arm: int32[n]; 0 is hold.
        slot: int16[n], place in the grid; -1 for hold.
        send_at: int64[n], microseconds since 1970 UTC; `NEVER` for hold, `ON_PAGE` for now, on this page.
        propensity: float64[n], chance of the arm, over holdout and exploration.
        send_at_propensity: float64[n], chance of the slot given the arm; 1 for hold and on the page.
        expected_value: float64[n], of the arm at the slot.
        incremental_value: float64[n], the same less what holding brings.
        low, high: float64[n], of a 95% interval of ``incremental_value``.
        greedy: int32[n], the arm that is best.
        ask_again_at: int64[n], when another draw may turn out differently; meant for those who hold.
        in_holdout: bool[n], never contacted.
        explored: bool[n], the arm was drawn.
    """

    arm: NDArray[np.int32]
    slot: NDArray[np.int16]
    send_at: Ints
    propensity: Floats
    send_at_propensity: Floats
    expected_value: Floats
    incremental_value: Floats
    low: Floats
    high: Floats
    greedy: NDArray[np.int32]
    ask_again_at: Ints
    in_holdout: Mask
    explored: Mask


def worth(weighed: Weighed) -> Floats:
    """What arms are chosen by, float64[n, A]; 0 for hold, and −infinity for what is not open.

    Their incremental value; or, where a rule goes before the values (`nba.values.Values.preference`), what it prefers.
    """
    told = weighed.value if weighed.values.preference is None else weighed.values.preference
    found: Floats = np.where(weighed.open & ~np.isnan(told), told, -np.inf)
    found[:, 0] = 0.0
    return found


def best_arms(weighed: Weighed, *, prices: Floats | None = None) -> NDArray[np.int32]:
    """The arm that is worth most less its price, int32[n]; hold where none is above 0. Of equal ones the first.

    Args:
        weighed: what arms are worth.
        prices: float64[A], what an arm's place in the budgets costs; 0 for hold.
    """
    net = worth(weighed) if prices is None else worth(weighed) - prices
    best: NDArray[np.int32] = np.where(np.isnan(net), -np.inf, net).argmax(axis=1).astype(np.int32)
    return best


def choose(
    asked: Asked,
    weighed: Weighed,
    policy: PolicyConfig,
    draws: Draws,
    *,
    prices: Floats | None = None,
    greedy: NDArray[np.int32] | None = None,
    explorable: Mask | None = None,
    holding: bool = False,
) -> Chosen:
    """Choose for n customers.

    With h the share of the holdout, ε that of exploration, g the best arm and E the arms that may be drawn:

        P(a) = (1 − h) · ((1 − ε) · [a = g] + ε · [a ∈ E] / |E|) + h · [a = hold]

    and, whichever way the arm came about, with b its best slot and S its open slots:

        P(s | a) = (1 − ε) · [s = b] + ε / |S|

    If the question says not to explore, ε and h are 0.

    Args:
        asked: whether to explore.
        weighed: n customers, A arms.
        policy: h, ε.
        draws: of the customers.
        prices: float64[A], what an arm's place in the budgets costs; 0 for hold.
        greedy: int32[n], best arms that were settled elsewhere, such as under budgets; instead of `best_arms`.
        explorable: bool[A] or bool[n, A], what exploration may draw of the open arms; hold always. None: all.
        holding: everybody gets hold, for certain.
    """
    n = len(weighed.crowd)
    best = best_arms(weighed, prices=prices) if greedy is None else greedy
    epsilon, holdout = (policy.exploration, policy.holdout) if asked.explore and not holding else (0.0, 0.0)
    if holding:
        best = np.zeros(n, dtype=np.int32)
    drawable = weighed.open if explorable is None else weighed.open & explorable
    drawable[:, 0] = True
    in_holdout = draws.holdout < holdout
    explored = (draws.explore < epsilon) & ~in_holdout
    arm = best.astype(np.int64)
    if explored.any():
        arm[explored] = nth(drawable[explored], draws.pick[explored])
    arm[in_holdout] = 0
    rows = np.arange(n)
    share = drawable[rows, arm] / drawable.sum(axis=1)
    propensity = (1 - holdout) * ((1 - epsilon) * (arm == best) + epsilon * share) + holdout * (arm == 0)

    slot, chance = _slots(weighed, arm, epsilon, draws)
    value, error = at_slots(weighed, arm, slot)
    send_at = np.where(weighed.menu.on_page[arm], ON_PAGE, weighed.openings.grid.time[rows, slot])
    return Chosen(
        arm=arm.astype(np.int32),
        slot=slot,
        send_at=np.where(arm == 0, NEVER, send_at),
        propensity=propensity,
        send_at_propensity=chance,
        expected_value=weighed.values.base + value,
        incremental_value=value,
        low=value - WIDTH_95 * error,
        high=value + WIDTH_95 * error,
        greedy=best,
        ask_again_at=(windows(policy, weighed.crowd.at) + 1) * (policy.window_hours * HOUR),
        in_holdout=in_holdout,
        explored=explored,
    )


def _slots(weighed: Weighed, arm: Ints, epsilon: float, draws: Draws) -> tuple[NDArray[np.int16], Floats]:
    """The slot of each customer's arm, int16[n] (-1 for hold), and its chance, float64[n]."""
    n = len(arm)
    slot = weighed.slot[np.arange(n), arm].copy()
    chance = np.ones(n)
    if epsilon == 0:
        return slot, chance
    menu = weighed.menu
    action = menu.action[arm]  # -1 for hold
    for place in set(action.tolist()) - {-1}:
        rows = np.flatnonzero(action == place)
        open_ = weighed.openings.of(rows, place, menu.channel[arm[rows]])
        best = slot[rows]
        drawn = best.copy()
        explored = draws.explore_slot[rows] < epsilon
        if explored.any():
            drawn[explored] = nth(open_[explored], draws.pick_slot[rows[explored]])
        chance[rows] = (1 - epsilon) * (drawn == best) + epsilon / open_.sum(axis=1)
        slot[rows] = drawn
    return slot, chance
