"""Rules by which today's marketing tools decide: what a model has to beat, and a competitor that ships with it.

A ladder is one rule for the action, one for the channel and one for the hour, applied in that order, each as the public
documentation of marketing tools describes them: the action is the first of a list whose conditions hold, or one thing
followed up over channels; the channel is the one with the best open-or-click ratio in six months where there were at
least three messages on at least two channels, else the first of a fixed order; the hour is the person's best two hours
of the day, the best hour of a table of when people respond, a fixed hour, or at once. What the lists, orders and tables
hold is fitted on a log (`nba.ladder_fitting`). Nothing is drawn: equal customers get equal answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.config import Config
from features.events import DAY
from nba.arms import HOLD, Arms
from nba.crowd import Crowd, rows_of
from nba.slots import hour_cells
from nba.values import DAY_HOURS, HOUR_CELLS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

ActionRule = Literal["listed_actions", "listed_arms", "follow_up"]
ChannelRule = Literal["in_order", "most_responsive"]
HourRule = Literal["at_once", "fixed", "own_two_hours", "likelihood_table"]

#: Messages of so many days tell how responsive a channel is.
SIX_MONTHS = 183

#: So many messages on a channel, and so many such channels, are needed for that.
ENOUGH_MESSAGES = 3
ENOUGH_CHANNELS = 2

#: Below this decayed number of own opens and clicks a person's hours are those of everybody.
ENOUGH_ANSWERS = 3.0

#: How many answers of their own weigh as much as everybody's table.
TABLE_WEIGHT = 5.0

_CHUNK = 20_000
_NEVER = np.int64(2**40)


class Ladder(Config):
    """Three rules and what they need. Names are those of arms: labels of actions, with their offers, and channels."""

    action: ActionRule
    """``listed_actions``: the first of ``actions`` that is possible, its channel by the channel rule.
    ``listed_arms``: the first of ``arms`` that is possible. ``follow_up``: ``followed`` over ``steps``, for those for
    whom it is possible; the others by ``actions``. What is in no list is never chosen: then hold."""
    channel: ChannelRule = "in_order"
    """``most_responsive``: falls back on ``channels`` where messages are too few."""
    hour: HourRule = "at_once"
    """When. ``own_two_hours`` falls back on ``hours`` where answers are too few."""
    actions: tuple[str, ...] = ()
    """Labels, the first first."""
    arms: tuple[tuple[str, str | None], ...] = ()
    """Labels and channels, the first first."""
    channels: tuple[str, ...] = ()
    """Channels, the first first; those not named come after them."""
    followed: str = "cart_reminder"
    """The action of ``follow_up``, whatever its offers."""
    since: str = "since_cart"
    """Days since what is followed up: contacts from then on count as steps."""
    steps: tuple[str, ...] = ("web_push", "email", "ads")
    """Channels of ``follow_up``: the next after each contact that was ignored, none after one that was answered."""
    hours: tuple[tuple[str | None, int], ...] = ()
    """Channels, None for none, and their best hour, 0 to 23. Not named: the most frequent of these, else 10."""
    table: tuple[tuple[str | None, tuple[float, ...]], ...] = ()
    """Channels and the chance of an answer in each hour cell (`nba.values.HOUR_CELLS`)."""

    def choose(
        self, arms: Arms, crowd: Crowd, eligible: Mask, allowed: Mask | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
        """What the ladder does with n customers.

        Args:
            arms: what there is. Names it lacks are skipped.
            crowd: n customers. State features it lacks count as 0.
            eligible: bool[n, A], what is possible; hold always is.
            allowed: bool[n, HOUR_CELLS], hours at which a contact may be made; None: all.

        Returns:
            int32[n] arms, and int16[n] hour cells: -1 for hold and where no hour is allowed.
        """
        arm, cell = np.zeros(len(crowd), dtype=np.int32), np.full(len(crowd), -1, dtype=np.int16)
        for start in range(0, len(crowd), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(crowd)))
            some = crowd if len(rows) == len(crowd) else rows_of(crowd, rows)
            arm[rows] = self.choose_arms(arms, some, eligible[rows])
            cell[rows] = self.choose_hours(arms, some, arm[rows], None if allowed is None else allowed[rows])
        return arm, cell

    def choose_arms(self, arms: Arms, crowd: Crowd, eligible: Mask) -> NDArray[np.int32]:
        """int32[n], by the action and the channel rule. Arguments as in `choose`."""
        rank = np.where(eligible, self._ranks(arms, crowd, eligible), _NEVER)
        best = rank.argmin(axis=1)
        there = rank[np.arange(len(best)), best] < _NEVER
        return np.where(there, best, 0).astype(np.int32)

    def preference(self, arms: Arms, crowd: Crowd) -> Floats:
        """float64[n, A], higher for what comes first; 0 for hold, below that for what the ladder never chooses.

        Whom it is possible for is asked later, but for ``follow_up``: there everybody is followed whom it concerns.
        """
        rank = self._ranks(arms, crowd, np.ones((len(crowd), len(arms)), dtype=np.bool_))
        prefers = np.where(rank < _NEVER, 1.0 / (1.0 + rank), -1.0)
        prefers[:, 0] = 0.0
        return prefers

    def _ranks(self, arms: Arms, crowd: Crowd, eligible: Mask) -> NDArray[np.int64]:
        """int64[n, A], the first first; `_NEVER` for hold and for what is in no list."""
        ranks = np.full((len(crowd), len(arms)), _NEVER, dtype=np.int64)
        if self.action == "listed_arms":
            for place, pair in enumerate(self.arms):
                arm = arms.find(*pair)
                if arm > 0:
                    ranks[:, arm] = np.minimum(ranks[:, arm], place)
            return ranks
        pairs = [arms.pair(arm) for arm in range(len(arms))]
        listed = _places(self.actions, [text for text, _ in pairs])
        follows = np.array([self.follows(arms, arm) for arm in range(len(arms))]) & (self.action == "follow_up")
        columns = np.flatnonzero((listed < _NEVER) | follows)
        if not len(columns):
            return ranks
        rank = listed[columns] * (len(arms.channels) + 1) + self._channel_places(arms, crowd)[:, arms.channel[columns]]
        if follows.any():
            steps, following = self._steps(arms, crowd, eligible, columns)
            rank = np.where(following[:, None], steps, rank)
        ranks[:, columns] = np.minimum(rank, _NEVER)
        return ranks

    def choose_hours(
        self, arms: Arms, crowd: Crowd, arm: NDArray[np.int32], allowed: Mask | None = None
    ) -> NDArray[np.int16]:
        """int16[n], by the hour rule, for arms that were chosen. Arguments as in `choose`."""
        now = hour_cells(crowd.at[:, None], crowd.zones)[:, 0]
        cells = np.arange(HOUR_CELLS)
        ahead = (cells - now[:, None]) % DAY_HOURS
        other_day = (cells // DAY_HOURS) != (now // DAY_HOURS)[:, None]
        soon = -(ahead + 0.5 * other_day)
        channel = arms.channel[arm]
        score = soon
        match self.hour:
            case "at_once":
                pass
            case "fixed":
                score = -_apart(self._hours(arms)[channel][:, None], cells) + soon / 1e3
            case "own_two_hours":
                own = _features(crowd, [f"attended_hours_{hour:02}" for hour in range(DAY_HOURS)])
                pairs = own.reshape(len(own), DAY_HOURS // 2, 2).sum(axis=2)
                best = np.where(own.sum(axis=1) >= ENOUGH_ANSWERS, 2 * pairs.argmax(axis=1), self._hours(arms)[channel])
                score = -np.minimum(_apart(best[:, None], cells), _apart(best[:, None] + 1, cells)) + soon / 1e3
            case "likelihood_table":
                own = _features(crowd, [f"attended_hours_{hour:02}" for hour in range(DAY_HOURS)])
                table = self._table(arms)[channel]
                score = np.tile(own, 2) + TABLE_WEIGHT / DAY_HOURS * table + soon / 1e9
        open_cells = np.ones(score.shape, dtype=np.bool_) if allowed is None else allowed
        best = np.where(open_cells, score, -np.inf).argmax(axis=1)
        return np.where((arm > 0) & open_cells.any(axis=1), best, -1).astype(np.int16)

    def follows(self, arms: Arms, arm: int) -> bool:
        """Whether an arm is a step of ``follow_up``."""
        text, channel = arms.pair(arm)
        return _is(text, self.followed) and channel in self.steps

    def _channel_places(self, arms: Arms, crowd: Crowd) -> NDArray[np.int64]:
        """int64[n, C + 1], place of each channel in the customer's order; the last column is for no channel."""
        order = _places(self.channels, list(arms.channels))
        order = np.where(order < _NEVER, order, len(self.channels) + np.arange(len(order)))
        score = np.broadcast_to(-order.argsort().argsort().astype(np.float64), (len(crowd), len(order)))
        if self.channel == "most_responsive" and len(order):
            ratio, known = _responsiveness(arms, crowd)
            score = np.where(known[:, None], ratio * 1e3 + score / 1e3, score)
        places = (-score).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        return np.concatenate([places, np.zeros((len(crowd), 1), dtype=np.int64)], axis=1)

    def _steps(
        self, arms: Arms, crowd: Crowd, eligible: Mask, columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Mask]:
        """Ranks of some arms, int64[n, columns], for customers who are followed up, bool[n]."""
        pairs = [arms.pair(arm) for arm in columns.tolist()]
        followed = np.array([_is(text, self.followed) for text, _ in pairs])
        contacts, owner = crowd.contacts, crowd.contacts.owner
        mine = np.array([_is(action, self.followed) for action in contacts.actions] + [False])[contacts.action]
        days = _features(crowd, [self.since])[:, 0]
        counted = mine & (contacts.time >= crowd.at[owner] - days[owner] * DAY) & (contacts.time <= crowd.at[owner])
        sent = np.bincount(owner[counted], minlength=len(crowd))
        answered = np.bincount(owner[counted & contacts.answered], minlength=len(crowd)) > 0
        step = np.where(answered, len(self.steps), sent)
        at_step = _places(self.steps, [channel or "" for _, channel in pairs])
        steps = followed & (at_step < _NEVER)
        due = steps & (at_step >= step[:, None])
        following = np.asarray((eligible[:, columns] & steps).any(axis=1))
        return np.where(due, at_step, _NEVER), following

    def _hours(self, arms: Arms) -> NDArray[np.int64]:
        """int64[C + 1], the fixed hour of each channel."""
        named = dict(self.hours)
        usual = max(named.values(), key=list(named.values()).count) if named else 10
        return np.array([*(named.get(channel, usual) for channel in arms.channels), named.get(None, usual)])

    def _table(self, arms: Arms) -> Floats:
        """float64[C + 1, HOUR_CELLS], mean 1 a row."""
        named = dict(self.table)
        flat = (1.0,) * HOUR_CELLS
        rows = np.array([*(named.get(channel, flat) for channel in arms.channels), named.get(None, flat)])
        mean = rows.mean(axis=1, keepdims=True)
        table: Floats = np.where(mean > 0, rows / np.where(mean > 0, mean, 1), 1)
        return table


def _responsiveness(arms: Arms, crowd: Crowd) -> tuple[Floats, Mask]:
    """Open-or-click ratio of channels, float64[n, C], and whether there were enough messages, bool[n]."""
    contacts, owner = crowd.contacts, crowd.contacts.owner
    number = np.array([arms.channels.index(name) if name in arms.channels else -1 for name in contacts.channels] + [-1])
    channel = number[contacts.channel]
    age = crowd.at[owner] - contacts.time
    recent = (channel >= 0) & (age >= 0) & (age <= SIX_MONTHS * DAY)
    place = (owner * len(arms.channels) + channel)[recent]
    size = len(crowd) * len(arms.channels)
    sent = np.bincount(place, minlength=size).reshape(len(crowd), -1)
    clicked = np.bincount(place, contacts.answered[recent], minlength=size).reshape(sent.shape)
    sends, opens = (_features(crowd, [f"{name}_{kind}_30d" for name in arms.channels]) for kind in ("sends", "opens"))
    enough = sent >= ENOUGH_MESSAGES
    clicks = clicked / np.maximum(sent, 1)
    opened = opens / np.maximum(sends, 1e-9)
    ratio = np.where(enough, np.maximum(clicks, np.where(sends > 1e-6, opened, 0)), -1)
    return ratio, enough.sum(axis=1) >= ENOUGH_CHANNELS


def _features(crowd: Crowd, names: list[str]) -> Floats:
    """float64[n, names], state features; 0 where the crowd has none, or nothing to tell."""
    found = np.zeros((len(crowd), len(names)))
    places = {name: place for place, name in enumerate(crowd.names)}
    for column, name in enumerate(names):
        if name in places:
            found[:, column] = np.nan_to_num(crowd.state[:, places[name]])
    return found


def _places(order: Sequence[object], names: Iterable[object]) -> NDArray[np.int64]:
    """int64[names], the place of each in ``order``, `_NEVER` where it is not there."""
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    return np.array([places.get(name, _NEVER) for name in names], dtype=np.int64)


def _apart(hour: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hours between, the short way round the clock."""
    ahead = (cells - hour) % DAY_HOURS
    nearer: NDArray[np.int64] = np.minimum(ahead, DAY_HOURS - ahead)
    return nearer


def _is(text: str, action: str) -> bool:
    """Whether a label is that of an action, with whatever offer."""
    return text != HOLD and (text == action or text.startswith(f"{action}:"))
