"""The equations of the simulated shop, over arrays of classes.

A person is of one class of each hidden trait. The traits fall into three blocks that are independent of each other,
given attributes and everything that can be observed:

- reach: habit × rhythm × patience. Chance to attend a contact with action a on channel c in hour cell h,
  after F contacts of late: q = notice_a · attend_{c,habit} · lift_{c,rhythm,h} · exp(−tires_patience · F);
- buying: response × price × activity. Chance of an order in the seven days after the decision: b = s · buy, where s is
  what everybody can see of the moment; an attended contact adds r = b · (appeal_a · potency_a + extra_a), one that is
  not attended u · r;
- taste: categories. Expected margin M and revenue R of an order.

So the expectation of value − cost, of which an offer gives away share · R + fixed if it is attended, is

    M · (b + (u + (1 − u) · q) · r) − q · (b + r) · (share · R + fixed) − cost

It is linear in each block's weights: the same formula holds for a known class (weight 1) and for beliefs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.config import ConfigError
from nba.arms import Arms, label, split_label
from nba.simulation.parameters import Bump, ShopParameters
from nba.values import DAY_HOURS, HOUR_CELLS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Workdays and weekend days of a week.
DAY_KINDS = (5, 2)


@dataclass(frozen=True)
class Weights:
    """What is known of n people's classes: 1 for a class that is known, else chances that add up to 1 in a block.

    Attributes:
        reach: float64[n, H, R, P] over habit, rhythm, patience.
        buying: float64[n, B] over response × price × activity, the last one fastest.
        taste: float64[n, T].
    """

    reach: Floats
    buying: Floats
    taste: Floats

    def __len__(self) -> int:
        return len(self.taste)


@dataclass(frozen=True)
class Situation:
    """What everybody can see of n decisions.

    Attributes:
        scale: float64[n], factor s of the chance of an order.
        fatigue: float64[n], contacts of late, F.
        appeal: float64[n, K], factor of the potency of each label.
    """

    scale: Floats
    fatigue: Floats
    appeal: Floats

    def take(self, rows: Ints) -> Situation:
        """Some of the rows."""
        return Situation(self.scale[rows], self.fatigue[rows], self.appeal[rows])


@dataclass(frozen=True)
class Terms:
    """Parts of the expectation for n decisions and K labels; money.

    Attributes:
        margin, revenue: float64[n], of an order.
        base: float64[n], chance of an order on hold, b.
        raised: float64[n, K], what an attended contact adds to it, r.
    """

    margin: Floats
    revenue: Floats
    base: Floats
    raised: Floats


@dataclass(frozen=True)
class Equations:
    """The numbers of the equations. Places of classes and channels are those of the parameters.

    Attributes:
        parameters: what they are made from.
        arms: every label on every channel.
        margin, revenue: float64[T], expected, of an order of people with this taste.
    """

    parameters: ShopParameters
    arms: Arms
    margin: Floats
    revenue: Floats

    @staticmethod
    def of(parameters: ShopParameters, margin: Floats, revenue: Floats) -> Equations:
        """Checked: no chance can leave [0, 1].

        Raises:
            ConfigError: one could.
        """
        pairs = [
            (label(name, offer), channel)
            for name, action in parameters.actions.items()
            for offer in action.offers or (None,)
            for channel in action.channels
        ]
        equations = Equations(parameters, Arms.of(pairs), margin, revenue)
        equations._check()
        return equations

    @property
    def channels(self) -> tuple[str, ...]:
        """C names, in the order of ``arms``."""
        return self.arms.channels

    @cached_property
    def notice(self) -> Floats:
        """float64[K]."""
        return np.array([self.parameters.actions[split_label(text)[0]].notice for text in self.arms.actions])

    @cached_property
    def attend(self) -> Floats:
        """float64[C, H]."""
        return np.array([[habit[channel] for habit in self.parameters.habit.values()] for channel in self.channels])

    @cached_property
    def activity(self) -> Floats:
        """float64[R, HOUR_CELLS], share of each hour of a workday, and of a day of the weekend; each adds up to 1."""
        classes = self.parameters.rhythm.values()
        curves = [[curve(one.bumps, one.floor, later) for later in (0.0, 1.0)] for one in classes]
        return np.array(curves).reshape(len(curves), HOUR_CELLS)

    @cached_property
    def lift(self) -> Floats:
        """float64[C, R, HOUR_CELLS], 1 on average over the waking hours of a week."""
        made = np.empty((len(self.channels), len(self.parameters.rhythm), HOUR_CELLS))
        for row, name in enumerate(self.channels):
            channel = self.parameters.channels[name]
            for column, rhythm in enumerate(self.parameters.rhythm.values()):
                looks = [curve(channel.hours, channel.floor, rhythm.later + later) for later in (0.0, 1.0)]
                made[row, column] = np.concatenate(looks) * self.activity[column] ** channel.own
        lift: Floats = made / (made * self._waking).sum(axis=2, keepdims=True)
        return lift

    @cached_property
    def _waking(self) -> Floats:
        hours = np.arange(DAY_HOURS)
        awake = ((hours >= self.parameters.quiet_until) & (hours < self.parameters.quiet_from)).astype(np.float64)
        cells = np.concatenate([awake * days for days in DAY_KINDS])
        share: Floats = cells / cells.sum()
        return share

    @cached_property
    def tires(self) -> Floats:
        """float64[P]."""
        return np.array([one.tires for one in self.parameters.patience.values()])

    @cached_property
    def buy(self) -> Floats:
        """float64[B], chance of an order on hold at an average moment."""
        kinds = np.array([one.buy for one in self.parameters.response.values()])
        return self._block(kinds, np.ones(len(self.parameters.price)), self._active("buying"))

    @cached_property
    def potency(self) -> Floats:
        """float64[K, B], share by which an attended contact raises the chance of an order, before appeal."""
        persuaded = np.array([one.persuaded for one in self.parameters.response.values()])
        actions = [self.parameters.actions[split_label(text)[0]] for text in self.arms.actions]
        return np.array([self._block(persuaded * action.potency) for action in actions])

    @cached_property
    def extra(self) -> Floats:
        """float64[K, B], likewise by the offer, less what annoys; appeal does not touch it."""
        lured = np.array([one.lured for one in self.parameters.response.values()])
        annoyed = np.array([one.annoyed for one in self.parameters.response.values()])
        sensitive = np.array([one.lured for one in self.parameters.price.values()])
        rows = []
        for text in self.arms.actions:
            action, offer = split_label(text)
            lure = self.parameters.offers[offer].lure if offer else 0.0
            annoys = self.parameters.actions[action].annoys
            rows.append(self._block(lured * lure, sensitive) - self._block(annoyed * annoys))
        return np.array(rows)

    @cached_property
    def annoyed(self) -> Floats:
        """float64[B], share of annoyance that works."""
        return self._block(np.array([one.annoyed for one in self.parameters.response.values()]))

    @cached_property
    def given(self) -> tuple[Floats, Floats]:
        """Share of the revenue and fixed money that each label gives away; float64[K] each."""
        offers = [split_label(text)[1] for text in self.arms.actions]
        found = [self.parameters.offers[offer] if offer else None for offer in offers]
        share = np.array([one.share if one else 0.0 for one in found])
        return share, np.array([one.fixed if one else 0.0 for one in found])

    @cached_property
    def cost(self) -> Floats:
        """float64[A], of the contact."""
        costs = [self.parameters.channels[channel].cost for channel in self.channels]
        found: Floats = np.array([*costs, 0.0])[self.arms.channel]
        return found

    def trait(self, name: str) -> tuple[str, ...]:
        """The classes of a hidden trait, in order."""
        return tuple(self.parameters.traits[name].share)

    def activities(self, name: str) -> Floats:
        """float64[B], a field of `nba.simulation.parameters.ActivityClass`."""
        return self._block(
            np.ones(len(self.parameters.response)), np.ones(len(self.parameters.price)), self._active(name)
        )

    def attended(self, weights: Weights, fatigue: Floats, cells: Ints) -> Floats:
        """float64[n, C, S], chance to attend, before the action's notice, in S hour cells each (int64[n, S])."""
        left = np.exp(-fatigue[:, None] * self.tires)
        reach = np.einsum("nhrp,np->nhr", weights.reach, left)
        chances = np.empty((len(weights), len(self.channels), cells.shape[1]))
        for channel, by_habit in enumerate(self.attend):
            by_cell = np.einsum("nhr,h->nr", reach, by_habit) @ self.lift[channel]
            chances[:, channel] = np.take_along_axis(by_cell, cells, axis=1)
        return chances

    def attends(self, hidden: Mapping[str, Ints], fatigue: Floats, arm: Ints, cell: Ints) -> Floats:
        """float64[n], chance of people of known classes to attend an arm in an hour cell, notice included; hold: 0."""
        action, channel = self.arms.action[arm], self.arms.channel[arm]
        lifted = (
            self.notice[action] * self.attend[channel, hidden["habit"]] * self.lift[channel, hidden["rhythm"], cell]
        )
        return np.where(arm > 0, lifted * np.exp(-self.tires[hidden["patience"]] * fatigue), 0.0)

    def terms(self, weights: Weights, situation: Situation) -> Terms:
        """What does not depend on channel and hour."""
        scale = situation.scale
        persuaded = weights.buying @ (self.buy * self.potency).T
        lured = weights.buying @ (self.buy * self.extra).T
        return Terms(
            weights.taste @ self.margin,
            weights.taste @ self.revenue,
            scale * (weights.buying @ self.buy),
            scale[:, None] * (situation.appeal * persuaded + lured),
        )

    def order_chances(self, situation: Situation, action: Ints, attended: NDArray[np.bool_]) -> Floats:
        """float64[n, B], chance of an order by class, given whether the contact was attended; action -1: hold."""
        raised = situation.appeal[np.arange(len(action)), action][:, None] * self.potency[action] + self.extra[action]
        works = np.where(action < 0, 0.0, np.where(attended, 1.0, self.parameters.unattended_share))
        chances: Floats = situation.scale[:, None] * self.buy * (1 + works[:, None] * raised)
        return chances

    def farewell_chances(self, at_first: Floats, fatigue: Floats) -> Floats:
        """float64[n, B], chance by class to unsubscribe or complain, ``at_first`` being that of a first contact."""
        says = self.parameters.consents
        tired = at_first * (1 + says.unsubscribe_per_contact * fatigue)
        chances: Floats = tired[:, None] * (1 + (says.annoyed_unsubscribe - 1) * self.annoyed)
        return np.minimum(chances, 0.5)

    def expected(self, terms: Terms, arm: Ints, attended: Floats) -> Floats:
        """float64[n], expectation of value − cost.

        Args:
            terms: of the n decisions.
            arm: int64[n], place in ``arms``.
            attended: float64[n], chance to attend with that arm, notice included; anything for hold.
        """
        action = self.arms.action[arm]
        contact = action >= 0
        share, fixed = self.given
        raised = np.where(contact, terms.raised[np.arange(len(arm)), action], 0.0)
        given = np.where(contact, share[action] * terms.revenue + fixed[action], 0.0)
        attended = np.where(contact, attended, 0.0)
        unseen = self.parameters.unattended_share
        ordered = terms.base + (unseen + (1 - unseen) * attended) * raised
        return terms.margin * ordered - attended * (terms.base + raised) * given - self.cost[arm]

    def best(
        self,
        weights: Weights,
        situation: Situation,
        eligible: NDArray[np.bool_],
        cells: Ints,
        allowed: NDArray[np.bool_],
    ) -> tuple[Ints, Ints, Floats]:
        """The best of all eligible arms in all allowed slots.

        Args:
            weights: what is known of the n people.
            situation: what everybody sees.
            eligible: bool[n, A].
            cells: int64[n, S], hour cells of the slots.
            allowed: bool[n, S], at least one each.

        Returns:
            arm (int64[n]), place of the slot (int64[n], -1 for hold), expectation of value − cost.
        """
        rows = np.arange(len(weights))
        terms = self.terms(weights, situation)
        attended = self.attended(weights, situation.fatigue, cells)
        high = np.where(allowed[:, None, :], attended, -np.inf).argmax(axis=2)
        low = np.where(allowed[:, None, :], attended, np.inf).argmin(axis=2)
        arm, slot = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1, dtype=np.int64)
        best = terms.margin * terms.base
        for one in range(1, len(self.arms)):
            channel, notice = self.arms.channel[one], self.notice[self.arms.action[one]]
            for slots in (high[:, channel], low[:, channel]):  # linear in the chance: the best lies at an end
                chance = notice * attended[rows, channel, slots]
                value = self.expected(terms, np.full(len(rows), one), chance)
                better = eligible[:, one] & (value > best)
                arm[better], slot[better], best[better] = one, slots[better], value[better]
        return arm, slot, best

    def _active(self, name: str) -> Floats:
        return np.array([getattr(one, name) for one in self.parameters.activity.values()], dtype=np.float64)

    def _block(self, response: Floats, price: Floats | None = None, activity: Floats | None = None) -> Floats:
        """float64[B], the product of a number for each class of the three traits."""
        price = np.ones(len(self.parameters.price)) if price is None else price
        activity = np.ones(len(self.parameters.activity)) if activity is None else activity
        product: Floats = (response[:, None, None] * price[:, None] * activity).ravel()
        return product

    def _check(self) -> None:
        if (self.attend.max(axis=1) * self.lift.max(axis=(1, 2))).max() * self.notice.max() > 1:
            raise ConfigError("habit: with notice and the best hour, a chance to attend is above 1; lower it")
        moment = self.parameters.moment
        scale = max(moment.nothing, moment.browse, moment.cart, moment.signup)
        scale *= max(1.0, moment.never_bought, moment.due, moment.lapsed)
        appeal = [
            np.prod([max(1.0, *factors.values()) for factors in self.parameters.appeal.get(name, {}).values()])
            for name in (split_label(text)[0] for text in self.arms.actions)
        ]
        raised = np.array(appeal)[:, None] * self.potency + self.extra
        if (scale * self.buy * (1 + np.maximum(raised, 0.0))).max() > 1:
            raise ConfigError("response: a chance of an order is above 1; lower buy")
        if raised.min() < -1:
            raise ConfigError("actions: annoys is above 1; lower it")


def curve(bumps: Sequence[Bump], floor: float, later: float) -> Floats:
    """float64[24], share of each hour of a day; adds up to 1.

    Each bump is a normal curve around its hour, laid around the clock; ``later`` moves them all.
    """
    middle = np.arange(DAY_HOURS) + 0.5
    made = np.full(DAY_HOURS, floor / DAY_HOURS)
    for hour, width, weight in bumps:
        away = np.abs(middle - hour - later) % DAY_HOURS
        away = np.minimum(away, DAY_HOURS - away)
        bump = np.exp(-0.5 * (away / width) ** 2)
        made += weight * bump / bump.sum()
    total: Floats = made / made.sum()
    return total
