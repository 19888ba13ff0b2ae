"""How the simulated shop decides: rules as marketing tools have them, mixed with uniform exploration.

With probability 1 − ε the rules choose arm and hour; with probability ε the arm is drawn uniformly from all eligible
ones, hold included, and its hour uniformly from the allowed slots. The propensities told are those of the mixture:

    P(arm) = (1 − ε) · [arm is the rules'] + ε / eligible
    P(slot | arm) = ((1 − ε) · [arm and slot are the rules'] + ε / (eligible · allowed slots)) / P(arm)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import HOUR
from nba.arms import label
from nba.simulation.clock import Clock
from nba.simulation.equations import Equations, Floats, Ints
from nba.simulation.parameters import ShopParameters
from nba.values import DAY_HOURS

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Slots:
    """The full hours of the 24 hours after a decision.

    Attributes:
        time: int64[n, 24], µs.
        cell: int64[n, 24], hour cells by the customer's clock.
        allowed: bool[n, 24], outside the quiet hours.
    """

    time: Ints
    cell: Ints
    allowed: Mask

    @staticmethod
    def after(decided: Ints, zone: Ints, clock: Clock, parameters: ShopParameters) -> Slots:
        """Those of n decisions, int64[n] µs, of people in ``zone``."""
        time = (decided // HOUR * HOUR)[:, None] + HOUR * np.arange(1, DAY_HOURS + 1)
        cell = clock.cells(np.repeat(zone, DAY_HOURS), time.ravel()).reshape(time.shape)
        hour = cell % DAY_HOURS
        return Slots(time, cell, (hour >= parameters.quiet_until) & (hour < parameters.quiet_from))


@dataclass(frozen=True)
class Answers:
    """What N people's contacts have come to so far.

    Attributes:
        sent, clicked: int64[N, C].
        hours: int64[N, 24], clicks by hour of the person's day.
    """

    sent: Ints
    clicked: Ints
    hours: Ints

    @staticmethod
    def none(people: int, channels: int) -> Answers:
        """Nobody has been contacted."""
        return Answers(
            np.zeros((people, channels), dtype=np.int64),
            np.zeros((people, channels), dtype=np.int64),
            np.zeros((people, DAY_HOURS), dtype=np.int64),
        )

    def take(self, rows: Ints) -> Answers:
        """Some of the people."""
        return Answers(self.sent[rows], self.clicked[rows], self.hours[rows])


@dataclass(frozen=True)
class Chosen:
    """Decisions of the shop.

    Attributes:
        arm: int64[n].
        slot: int64[n], place in the slots, -1 for hold.
        propensity: float64[n], of the arm.
        slot_propensity: float64[n], of the slot given the arm; 1 for hold.
    """

    arm: Ints
    slot: Ints
    propensity: Floats
    slot_propensity: Floats


def choose(
    equations: Equations,
    eligible: Mask,
    slots: Slots,
    answers: Answers,
    exploration: float,
    generator: np.random.Generator,
) -> Chosen:
    """Decide on n people.

    Args:
        equations: for the names of arms, and the rules.
        eligible: bool[n, A], hold always.
        slots: when a contact may be sent.
        answers: to contacts before.
        exploration: ε, between 0 and 1.
        generator: draws.
    """
    n, rows = len(eligible), np.arange(len(eligible))
    rule_arm = ruled_arms(equations, eligible, answers)
    rule_slot = np.where(rule_arm > 0, ruled_slots(equations.parameters, slots, answers), -1)
    explores = generator.random(n) < exploration
    arm = np.where(explores, uniform(eligible, generator), rule_arm)
    slot = np.where(explores, uniform(slots.allowed, generator), rule_slot)
    slot = np.where(arm > 0, slot, -1)
    drawn = exploration / eligible.sum(axis=1)
    propensity = (1 - exploration) * (arm == rule_arm) + drawn
    both = (1 - exploration) * ((arm == rule_arm) & (slot == rule_slot)) + drawn / slots.allowed[rows].sum(axis=1)
    return Chosen(arm, slot, propensity, np.where(arm > 0, both / propensity, 1.0))


def ruled_arms(equations: Equations, eligible: Mask, answers: Answers) -> Ints:
    """int64[n], the first action of the rules that somebody is eligible for, on their channel; else hold."""
    rules, arms = equations.parameters.rules, equations.arms
    rate = answers.clicked / np.maximum(answers.sent, 1)
    known = answers.sent >= rules.least_messages
    preference = np.where(known, rate, -1.0)
    for place, name in enumerate(rules.channels):  # ties, and those nobody knows, by the order of the rules
        preference[:, arms.channels.index(name)] -= 1e-6 * place
    fixed = np.array([-rules.channels.index(name) for name in arms.channels], dtype=np.float64)
    preference = np.where((known.sum(axis=1) >= 2)[:, None], preference, fixed)
    chosen = np.zeros(len(eligible), dtype=np.int64)
    for action in rules.order:
        offers = equations.parameters.actions[action].offers
        wanted = label(action, rules.offer if offers else None)
        places = np.array([arm for arm in range(1, len(arms)) if arms.pair(arm)[0] == wanted])
        liking = np.where(eligible[:, places], preference[:, arms.channel[places]], -np.inf)
        best = places[liking.argmax(axis=1)]
        chosen = np.where((chosen == 0) & eligible[:, places].any(axis=1), best, chosen)
    return chosen


def ruled_slots(parameters: ShopParameters, slots: Slots, answers: Answers) -> Ints:
    """int64[n], the allowed slot nearest to the hour of most clicks, or to the fixed hour while there are too few."""
    rules = parameters.rules
    enough = answers.hours.sum(axis=1) >= rules.least_clicks
    wanted = np.where(enough, answers.hours.argmax(axis=1), rules.hour)
    away = np.abs(slots.cell % DAY_HOURS - wanted[:, None])
    nearest: Ints = np.where(slots.allowed, away, DAY_HOURS).argmin(axis=1)
    return nearest


def uniform(allowed: Mask, generator: np.random.Generator) -> Ints:
    """int64[n], for each row of bool[n, k] one of its true columns, all with the same chance."""
    number = allowed.sum(axis=1)
    drawn = np.minimum((generator.random(len(allowed)) * number).astype(np.int64), number - 1)
    column: Ints = (allowed.cumsum(axis=1) > drawn[:, None]).argmax(axis=1)
    return column
