"""The best ladder of rules that a log alone can tell: lists, orders and tables fitted, then the combination chosen.

What an action adds is its inverse-propensity mean reward over the rows in which it was possible less that of hold over
the same rows. Such numbers are noisy, so they are shrunk to their mean as far as the log cannot tell them apart (random
effects: DerSimonian & Laird, Controlled Clinical Trials 7, 1986). Lists hold what adds something, the most first.

The ladder that does what the log does most often, label by label, is where the choice starts from: a shop's rules are
not made by chance. The others, every constant among them, are compared with it on the rows in which they differ, both
self-normalised (`nba.offpolicy`), on customers whom their lists have not seen; the differences are shrunk likewise, and
the best wins, if it is better by two standard errors. Channels and hours are chosen by the rate of answers, which
marketing tools go by too: rewards are too rare to tell them apart. Then all is fitted anew on the whole log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.arms import HOLD
from nba.ladders import ChannelRule, HourRule, Ladder
from nba.logged import Logged
from nba.offpolicy import effective_sample_size
from nba.values import DAY_HOURS, HOUR_CELLS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: What has less behind it is not considered.
LEAST_EFFECTIVE_ROWS = 30

#: A rate in an hour cell is drawn to the channel's as by so many contacts.
_PRIOR = 50.0

#: What wins is better by more than so many standard errors: those of all differences go together, for the ladder they
#: are differences to is the same.
_SURE = 2.0

_FOLDS = 2


@dataclass(frozen=True)
class Tried:
    """A ladder beside the one that does what the log does most often.

    Attributes:
        ladder: fitted on the whole log.
        difference, error: reward a row more than that one's, and the standard error clustered by customer, on customers
            whom its lists have not seen.
        shrunk: the difference that is left when all are shrunk to their mean.
    """

    ladder: Ladder
    difference: float
    error: float
    shrunk: float


@dataclass(frozen=True)
class FittedLadder:
    """The best, and all that were tried, best first; the one they are compared with has the difference 0."""

    ladder: Ladder
    tried: tuple[Tried, ...]


def fit_ladder(log: Logged, reward: Floats, allowed: Mask | None = None) -> FittedLadder:
    """Fit lists, orders and tables, and choose the rules.

    Args:
        log: what may be learned from.
        reward: float64[n].
        allowed: bool[n, HOUR_CELLS], hours at which a contact could be made; None: all that occur in the log.
    """
    whole = list(_ladders(log, reward))
    chosen = np.zeros((len(whole), len(log)), dtype=np.int32)
    fold = log.customer % _FOLDS
    for one in range(_FOLDS):
        there, elsewhere = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        if len(there) and len(elsewhere):
            part = log.take(there)
            for place, ladder in enumerate(_ladders(log.take(elsewhere), reward[elsewhere])):
                chosen[place, there] = ladder.choose_arms(log.arms, part.crowd, part.eligible)
    compared = np.array([_difference(log, reward, arm, chosen[0]) for arm in chosen[1:]]).reshape(-1, 2)
    compared = np.concatenate([np.zeros((1, 2)), compared])
    shrunk = np.concatenate([[0.0], _shrunk(*compared[1:].T)])
    sure = compared[:, 0] > _SURE * compared[:, 1]
    order = np.argsort(-np.where(sure, shrunk, np.minimum(shrunk, 0)), kind="stable")
    channel = best_channel_rule(log, whole[order[0]])
    ruled = [ladder.model_copy(update={"channel": channel}) for ladder in whole]
    hour = best_hour_rule(log, ruled[order[0]], allowed)
    tried = tuple(
        Tried(
            ladder=ruled[place].model_copy(update={"hour": hour}),
            difference=float(compared[place, 0]),
            error=float(compared[place, 1]),
            shrunk=float(shrunk[place]),
        )
        for place in order
    )
    return FittedLadder(tried[0].ladder, tried)


def best_channel_rule(log: Logged, ladder: Ladder) -> ChannelRule:
    """The channel rule whose contacts are answered most, less one standard error; only they are counted."""
    answered = answers(log)
    best: tuple[float, ChannelRule] = (-np.inf, "in_order")
    rules: tuple[ChannelRule, ...] = ("in_order", "most_responsive")
    for rule in rules if len(log.arms.channels) > 1 else rules[:1]:
        arm = ladder.model_copy(update={"channel": rule}).choose_arms(log.arms, log.crowd, log.eligible)
        weight = ((arm == log.arm) & (arm > 0)) / log.propensity
        if effective_sample_size(weight) >= LEAST_EFFECTIVE_ROWS:
            value, error = _rate(weight, answered, log.customer)
            best = max(best, (value - error, rule), key=lambda one: one[0])
    return best[1]


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


def _ladders(log: Logged, reward: Floats) -> Iterator[Ladder]:
    """Ladders with lists fitted on a log. The first does what the log does.

    How many there are, and of what kind, depends on the arms alone, so that those of two logs of the same arms match.
    """
    arms = log.arms
    pairs = [arms.pair(arm) for arm in range(1, len(arms))]
    labels = np.array([arms.action == action for action in range(len(arms.actions))]).reshape(-1, len(arms))
    each = np.eye(len(arms), dtype=np.bool_)[1:]
    hours, table = _times(log)
    start = Ladder(action="listed_actions", channels=_channel_order(log), hours=hours, table=table)
    usual, added = _usual(log, labels), _added(log, reward, labels)
    lists = [
        [arms.actions[place] for place in places]
        for places in (usual, [place for place in usual if added[place] > 0], _first_to_last(added))
    ]
    for actions in (*lists, (), *((one,) for one in arms.actions)):
        yield start.model_copy(update={"actions": tuple(actions)})
    for listed in (
        _usual(log, each),
        _first_to_last(_added(log, reward, each)),
        *([place] for place in range(len(each))),
    ):
        yield start.model_copy(update={"action": "listed_arms", "arms": tuple(pairs[place] for place in listed)})
    if any(start.follows(arms, arm) for arm in range(len(arms))):
        for actions in lists:
            yield start.model_copy(update={"action": "follow_up", "actions": tuple(actions)})


def _first_to_last(added: Floats) -> list[int]:
    """Places of what adds something, the most first."""
    return [place for place in np.argsort(-added, kind="stable").tolist() if added[place] > 0]


def _usual(log: Logged, groups: Mask) -> list[int]:
    """Places of groups of arms, bool[g, A], in the order in which the log prefers them.

    Again and again the one that is chosen most where it is possible and no earlier one is, as long as that is more
    often than hold there: the list by which rules chose, if rules chose by a list.
    """
    possible = np.stack([log.eligible[:, group].any(axis=1) for group in groups]) if len(groups) else groups
    chosen = np.stack([group[log.arm] for group in groups]) if len(groups) else groups
    left, order = np.ones(len(log), dtype=np.bool_), list[int]()
    while True:
        there = possible & left
        rows = np.maximum(there.sum(axis=1), 1)
        excess = ((there & chosen).sum(axis=1) - (there & (log.arm == 0)).sum(axis=1)) / rows
        excess[order] = -1
        if not len(groups) or excess.max() <= 0:
            return order
        order.append(int(excess.argmax()))
        left &= ~possible[order[-1]]


def _channel_order(log: Logged) -> tuple[str, ...]:
    """Channels by the rate of answers to their contacts, the highest first."""
    answered, weight, channel = answers(log), 1 / log.propensity, log.arms.channel[log.arm]
    rates = [_rate(weight * (channel == place), answered, log.customer)[0] for place in range(len(log.arms.channels))]
    return tuple(log.arms.channels[place] for place in np.argsort(-np.array(rates), kind="stable"))


def _added(log: Logged, reward: Floats, groups: Mask) -> Floats:
    """What each group of arms, bool[g, A], adds over hold where it is possible, float64[g], shrunk."""
    weight = 1 / log.propensity
    found = np.full((len(groups), 2), (-np.inf, 0.0))
    for place, group in enumerate(groups):
        possible = log.eligible[:, group].any(axis=1)
        with_it, without = weight * (possible & group[log.arm]), weight * (possible & (log.arm == 0))
        found[place] = _less(with_it, without, reward, log.customer)
    return _shrunk(*found.T)


def _difference(log: Logged, reward: Floats, ours: NDArray[np.int32], theirs: NDArray[np.int32]) -> tuple[float, float]:
    """Value of choices less that of others, and its standard error: only rows in which they differ tell of it."""
    differ = ours != theirs
    if not differ.any():
        return 0.0, 0.0
    weight = differ / log.propensity
    value, error = _less(weight * (ours == log.arm), weight * (theirs == log.arm), reward, log.customer)
    share = float(differ.mean())
    return share * value, share * error


def _less(first: Floats, second: Floats, reward: Floats, customer: NDArray[np.int32]) -> tuple[float, float]:
    """Difference of two weighted means, and its error; (-inf, 0) where one of them has too little behind it."""
    if min(effective_sample_size(first), effective_sample_size(second)) < LEAST_EFFECTIVE_ROWS:
        return -np.inf, 0.0
    (one, doubt), (other, more) = (_rate(weight, reward, customer) for weight in (first, second))
    return one - other, float(np.hypot(doubt, more))


def _shrunk(effect: Floats, error: Floats) -> Floats:
    """Effects drawn to their mean, the less the more they vary beyond their errors; what is unknown stays so."""
    found = effect.copy()
    known = np.isfinite(effect) & (error > 0)
    if not known.any():
        return found
    precision = 1 / np.square(error[known])
    centre = np.average(effect[known], weights=precision)
    excess = (precision * np.square(effect[known] - centre)).sum() - (known.sum() - 1)
    scale = precision.sum() - np.square(precision).sum() / precision.sum()
    spread = max(0.0, excess / scale) if scale > 0 else 0.0
    centre = np.average(effect[known], weights=1 / (spread + np.square(error[known])))
    found[known] = centre + spread / (spread + np.square(error[known])) * (effect[known] - centre)
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
