"""The best ladder of rules that a log alone can tell: lists, orders and tables fitted, then the combination chosen.

What an action adds is its inverse-propensity mean reward over the rows in which it was possible less that of hold over
the same rows, shrunk to the mean of all actions as far as the log cannot tell them apart (empirical Bayes: Efron &
Morris, JASA 70, 1975). Lists hold what adds something, the most first. Combinations of action and channel rule, every
constant among them, are compared by their self-normalised value (`nba.offpolicy`) on customers whom their lists have
not seen, each less one standard error, so that luck on few rows does not win; hour rules by the rate of answers to
contacts sent at their hour, because rewards are too rare to tell hours apart. Then all is fitted anew on the whole log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.arms import HOLD
from nba.ladders import HourRule, Ladder
from nba.logged import Logged
from nba.offpolicy import effective_sample_size
from nba.values import DAY_HOURS, HOUR_CELLS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Combinations with less behind their value are not considered.
LEAST_EFFECTIVE_ROWS = 30

#: A rate in an hour cell is drawn to the channel's as by so many contacts.
_PRIOR = 50.0

_FOLDS = 2


@dataclass(frozen=True)
class Tried:
    """A combination of rules on customers whom its lists have not seen.

    Attributes:
        ladder: fitted on the whole log.
        value, error: reward a row, and its standard error clustered by customer.
        effective_sample_size: (Σ w)² / Σ w².
    """

    ladder: Ladder
    value: float
    error: float
    effective_sample_size: float


@dataclass(frozen=True)
class FittedLadder:
    """The best combination, and all that were tried with the best hour rule, from high to low value less error."""

    ladder: Ladder
    tried: tuple[Tried, ...]


def fit_ladder(log: Logged, reward: Floats, allowed: Mask | None = None) -> FittedLadder:
    """Fit lists, orders and tables, and choose the rules.

    Args:
        log: what may be learned from.
        reward: float64[n].
        allowed: bool[n, HOUR_CELLS], hours at which a contact could be made; None: all that occur in the log.
    """
    whole = list(_combinations(log, reward))
    matched = np.zeros((len(whole), len(log)), dtype=np.bool_)
    fold = log.customer % _FOLDS
    for one in range(_FOLDS):
        there, elsewhere = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        if not len(there) or not len(elsewhere):
            continue
        part, learned = log.take(there), log.take(elsewhere)
        for place, ladder in enumerate(_combinations(learned, reward[elsewhere])):
            chosen = ladder.choose_arms(log.arms, part.crowd, part.eligible)
            matched[place, there] = chosen == part.arm
    tried = []
    for ladder, same in zip(whole, matched, strict=True):
        weight = same / log.propensity
        value, error = _rate(weight, reward, log.customer)
        tried.append(Tried(ladder, value, error, effective_sample_size(weight)))
    tried.sort(key=lambda one: one.value - one.error, reverse=True)
    tried = [one for one in tried if one.effective_sample_size >= LEAST_EFFECTIVE_ROWS] or tried
    hour = best_hour_rule(log, tried[0].ladder, allowed)
    timed = [
        Tried(one.ladder.model_copy(update={"hour": hour}), one.value, one.error, one.effective_sample_size)
        for one in tried
    ]
    return FittedLadder(timed[0].ladder, tuple(timed))


def best_hour_rule(log: Logged, ladder: Ladder, allowed: Mask | None = None) -> HourRule:
    """The hour rule whose contacts are answered most, less one standard error; at once if hours were not drawn."""
    sent = np.flatnonzero((log.arm > 0) & (log.cell >= 0))
    if not len(sent) or (log.hour_propensity[sent] == 1).all():
        return "at_once"
    part = log.take(sent)
    seen = np.bincount(part.cell, minlength=HOUR_CELLS) > 0
    possible = np.broadcast_to(seen, (len(sent), HOUR_CELLS)) if allowed is None else allowed[sent]
    answered = answers(part)
    best: tuple[float, HourRule] = (-np.inf, "at_once")
    rules: tuple[HourRule, ...] = ("at_once", "fixed", "own_two_hours", "likelihood_table")
    for rule in rules:
        timed = ladder.model_copy(update={"hour": rule})
        cell = timed.choose_hours(log.arms, part.crowd, part.arm, possible)
        weight = (cell == part.cell) / part.hour_propensity
        if effective_sample_size(weight) >= LEAST_EFFECTIVE_ROWS:
            value, error = _rate(weight, answered, part.customer)
            best = max(best, (value - error, rule), key=lambda one: one[0])
    return best[1]


def answers(log: Logged) -> Floats:
    """float64[n], whether the contact was answered: opened or clicked; where neither is ever logged, a visit."""
    answered = log.opened | log.clicked
    return (answered if answered.any() else log.visited).astype(np.float64)


def _combinations(log: Logged, reward: Floats) -> Iterator[Ladder]:
    """Ladders with lists fitted on a log; as many, and of the same rules, whatever the log of the same arms."""
    arms = log.arms
    pairs = [arms.pair(arm) for arm in range(1, len(arms))]
    labels = np.array([arms.action == action for action in range(len(arms.actions))]).reshape(-1, len(arms))
    channels = np.array([arms.channel == channel for channel in range(len(arms.channels))]).reshape(-1, len(arms))
    each = np.eye(len(arms), dtype=np.bool_)[1:]
    order = tuple(arms.channels[place] for place in np.argsort(-_added(log, reward, channels), kind="stable"))
    by_label, by_arm = _added(log, reward, labels), _added(log, reward, each)
    fitted = tuple(arms.actions[place] for place in np.argsort(-by_label, kind="stable") if by_label[place] > 0)
    listed = tuple(pairs[place] for place in np.argsort(-by_arm, kind="stable") if by_arm[place] > 0)
    hours, table = _times(log)
    common = {"hours": hours, "table": table}
    yield Ladder(action="listed_actions", **common)
    yield Ladder(action="listed_arms", arms=listed, **common)
    # Which combinations there are depends on the arms alone, so that those of two logs of the same arms correspond.
    several = len(arms.channels) > 1
    for actions in (fitted, arms.actions, *((one,) for one in arms.actions)):
        yield Ladder(action="listed_actions", actions=actions, channels=order, **common)
        if several:
            yield Ladder(action="listed_actions", actions=actions, channels=order, channel="most_responsive", **common)
            yield Ladder(action="listed_actions", actions=actions, channels=arms.channels, **common)
    for pair in pairs:
        yield Ladder(action="listed_arms", arms=(pair,), **common)
    follow = Ladder(action="follow_up", channels=order, channel="most_responsive", **common)
    if any(follow.follows(arms, arm) for arm in range(len(arms))):
        for actions in (fitted, arms.actions):
            yield follow.model_copy(update={"actions": actions})


def _added(log: Logged, reward: Floats, groups: Mask) -> Floats:
    """What each group of arms, bool[g, A], adds over hold, float64[g], shrunk; minus infinity where nobody knows."""
    weight = 1 / log.propensity
    effect, doubt = np.full(len(groups), np.nan), np.full(len(groups), np.nan)
    for place, group in enumerate(groups):
        possible = log.eligible[:, group].any(axis=1)
        with_it, without = possible & group[log.arm], possible & (log.arm == 0)
        if with_it.sum() > 1 and without.sum() > 1:
            (one, first), (other, second) = (
                _rate(weight[rows], reward[rows], log.customer[rows]) for rows in (with_it, without)
            )
            effect[place], doubt[place] = one - other, np.hypot(first, second)
    known = np.isfinite(effect)
    if not known.any():
        return np.full(len(groups), -np.inf)
    precise = 1 / np.maximum(np.square(doubt[known]), 1e-12)
    centre = float(np.average(effect[known], weights=precise))
    spread = max(0.0, float(np.var(effect[known]) - np.mean(np.square(doubt[known]))))
    kept = spread / (spread + np.square(doubt[known])) if spread > 0 else np.zeros(known.sum())
    found = np.full(len(groups), -np.inf)
    found[known] = centre + kept * (effect[known] - centre)
    return found


def _times(log: Logged) -> tuple[tuple[tuple[str | None, int], ...], tuple[tuple[str | None, tuple[float, ...]], ...]]:
    """Best hour and rate by hour cell of each channel that was used, from contacts weighted by 1 / hour propensity."""
    sent = (log.arm > 0) & (log.cell >= 0)
    weight, answered = 1 / log.hour_propensity, answers(log)
    channel = log.arms.channel[log.arm]
    hours, table = [], []
    for place, name in [*enumerate(log.arms.channels), (-1, None)]:
        rows = sent & (channel == place)
        if not rows.any():
            continue
        cut = np.minimum(weight[rows], np.sqrt(rows.sum()))
        rate = float(np.average(answered[rows], weights=cut))
        shown = np.bincount(log.cell[rows], cut, HOUR_CELLS)
        taken = np.bincount(log.cell[rows], cut * answered[rows], HOUR_CELLS)
        cells = (taken + _PRIOR * rate) / (shown + _PRIOR)
        daily_shown, daily_taken = (one.reshape(2, DAY_HOURS).sum(axis=0) for one in (shown, taken))
        daily = (_smooth(daily_taken) + _PRIOR * rate) / (_smooth(daily_shown) + _PRIOR)
        hours.append((name, int(daily.argmax())))
        table.append((name, tuple(cells.tolist())))
    return tuple(hours), tuple(table)


def _smooth(hours: Floats) -> Floats:
    """An hour and half of each of its neighbours, round the clock."""
    smoothed: Floats = hours + (np.roll(hours, 1) + np.roll(hours, -1)) / 2
    return smoothed


def _rate(weight: Floats, reward: Floats, customer: NDArray[np.int32]) -> tuple[float, float]:
    """Weighted mean and its standard error clustered by customer; (-inf, 0) without weights."""
    total = weight.sum()
    if total == 0:
        return -np.inf, 0.0
    mean = float((weight * reward).sum() / total)
    away = np.bincount(customer, weight * (reward - mean))
    return mean, float(np.sqrt(np.square(away).sum()) / total)


def named(ladder: Ladder) -> str:
    """A ladder in a few words, for tables.

    >>> named(Ladder(action="listed_actions"))
    'hold'
    """
    if ladder.action == "listed_arms":
        what = "@".join(filter(None, ladder.arms[0])) if len(ladder.arms) == 1 else f"{len(ladder.arms)} arms in order"
        return f"{what if ladder.arms else HOLD}, {ladder.hour}" if ladder.arms else HOLD
    if not ladder.actions and ladder.action == "listed_actions":
        return HOLD
    what = ladder.actions[0] if len(ladder.actions) == 1 else f"{len(ladder.actions)} actions in order"
    what = f"{ladder.followed} followed up, else {what}" if ladder.action == "follow_up" else what
    return f"{what}, channel {ladder.channel}, {ladder.hour}"
