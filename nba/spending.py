"""From budgets as a shop writes them to budgets over arms: what counts, for how long, and what is left."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from features.events import DAY
from nba.arms import Arms, split_label
from nba.budgets import Budgets
from nba.config import BudgetConfig, NbaConfig
from nba.crowd import Contacts

Floats = NDArray[np.float64]

#: 1970 began on a Thursday: its first Monday was day number 4.
FIRST_MONDAY = 4


def budgets_of(
    config: NbaConfig, arms: Arms, cost: Floats, *, spent: Floats | None = None, exploring: bool = True
) -> Budgets:
    """The budgets of a configuration over the arms of a model, with what is left of them.

    Args:
        config: with B budgets.
        arms: A arms.
        cost: float64[A], what a contact costs (`nba.values.Values.cost`).
        spent: float64[B], what was taken of each in its period before now.
        exploring: False: nothing is kept for exploration.
    """
    listed = config.budgets.values()
    amount = np.array([budget.amount for budget in listed])
    before = np.zeros(len(config.budgets)) if spent is None else spent
    share = np.array([budget.exploration_share for budget in listed])
    return Budgets(
        tuple(config.budgets),
        np.maximum(amount - before, 0.0),
        taken(config, arms, cost),
        share if exploring else np.zeros_like(share),
    )


def taken(config: NbaConfig, arms: Arms, cost: Floats) -> Floats:
    """What one contact takes of each budget, float64[B, A]; 0 for hold.

    Args:
        config: with B budgets.
        arms: A arms.
        cost: float64[A], what a contact costs.
    """
    pairs = [arms.pair(arm) for arm in range(len(arms))]
    weight = np.zeros((len(config.budgets), len(arms)))
    for row, budget in zip(weight, config.budgets.values(), strict=True):
        covered = np.array([arm > 0 and covers(budget, *pair) for arm, pair in enumerate(pairs)])
        row[covered] = cost[covered] if budget.over == "cost" else 1.0
    return weight


def covers(budget: BudgetConfig, label: str, channel: str | None) -> bool:
    """Whether contacts of a label on a channel count. A budget of some channels counts none without a channel."""
    of_channel = not budget.channels or channel in budget.channels
    return of_channel and (not budget.actions or split_label(label)[0] in budget.actions)


def spent(config: NbaConfig, arms: Arms, cost: Floats, contacts: Contacts, at: int) -> Floats:
    """What the contacts of some customers took of each budget in its period, float64[B].

    Contacts that are reserved for later count where they were decided on, so that a day's budget is not spent ahead.
    What nobody can say the action or the channel of, such as another tool's sends, is not the shop's budget to count.

    Args:
        config: with B budgets.
        arms: A arms.
        cost: float64[A], what a contact costs.
        contacts: past ones, and reserved ones.
        at: the moment, microseconds since 1970 UTC.
    """
    labels, channels = [*contacts.actions, None], [*contacts.channels, None]
    total = np.zeros(len(config.budgets))
    for place, budget in enumerate(config.budgets.values()):
        if budget.per == "run":
            continue
        one = np.array(
            [[_took(config, arms, cost, budget, label, channel) for channel in channels] for label in labels]
        )
        recent = contacts.time >= period_start(budget, at)
        total[place] = one[contacts.action[recent], contacts.channel[recent]].sum()
    return total


def _took(
    config: NbaConfig, arms: Arms, cost: Floats, budget: BudgetConfig, label: str | None, channel: str | None
) -> float:
    """What a past contact took of a budget. One that is no arm today cost what channel and action cost."""
    if label is None or not covers(budget, label, channel):
        return 0.0
    if budget.over == "contacts":
        return 1.0
    arm = arms.find(label, channel)
    if arm >= 0:
        return float(cost[arm])
    action, way = config.actions.get(split_label(label)[0]), config.channels.get(channel or "")
    return (0.0 if action is None else action.cost) + (0.0 if way is None else way.cost)


def period_start(budget: BudgetConfig, at: int) -> int:
    """When the day (UTC) or the week (from Monday) of a moment began, both in microseconds since 1970 UTC.

    >>> week = BudgetConfig(amount=1, per="week")
    >>> period(week, period_start(week, 1_798_761_600_000_000))
    '2026-12-28'
    """
    day = at // DAY
    if budget.per == "week":
        day = (day - FIRST_MONDAY) // 7 * 7 + FIRST_MONDAY
    return day * DAY


def period(budget: BudgetConfig, at: int) -> str:
    """A name for the day or week of a moment: the date it begins on.

    >>> period(BudgetConfig(amount=1), 1_798_761_600_000_000)
    '2027-01-01'
    """
    return datetime.fromtimestamp(period_start(budget, at) // 1_000_000, UTC).date().isoformat()
