"""From a log of decisions to a model of what each arm is worth to each customer.

The order: encode the customers; learn who attends on which channel (`nba.attendance`) and at which hours
(`nba.timing`); learn the outcome without regard to treatments, cross-fitted (`nba.trees`); learn what an attended
contact adds to that (`nba.gains`); take what contacts cost (`nba.costs`).

What was sent was drawn, so what it added is known without bias, but hardly: most contacts are not attended, and their
outcomes are noise. What was followed by an order once it was attended is known far better, but who attends may be on
the way to an order anyway. So the gains of attended contacts are learned from those, and then multiplied by how much of
them the assignment confirms (`nba.gains.confirmed`). Gains from the assignment alone stay as a competitor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from features.config import Config
from nba.arms import Arms
from nba.attendance import (
    Attendance,
    chance_on,
    fit_attendance,
    level_of,
    levelled,
    unlogged,
    unseen_chances,
    untold,
)
from nba.costs import contact_costs
from nba.crowd import Floats, rows_of
from nba.encoding import Encoder
from nba.gains import Gains, confirmed, fit_gains, own_numbers, scaled
from nba.logged import Logged, RewardName
from nba.timing import HourModel, indifferent
from nba.timing_fit import attended, contacts_of, fit_hours
from nba.trees import Trees, cross_fitted, fit_trees

#: How far from 1 the factor may lie that the assignment of contacts confirms: a standard deviation.
DOUBT = 0.35


class LearningConfig(Config):
    """How the model of decisions is learned."""

    cut: float = Field(0.99, gt=0.5, le=1)
    """Outcomes above this quantile count as it, when gains are learned: one huge order is no effect."""
    folds: int = Field(3, ge=2, le=20)
    """Of customers, for the outcome model under the gains, and for choosing what decides."""
    attention: bool = True
    """Contacts cost what they are expected to take from later ones, by unsubscribing and fatigue (`nba.costs`)."""


@dataclass(frozen=True)
class Before:
    """What a shop thinks before it has a log: ``gain``, float64[K], of attended contacts; ``cost``, float64[A]."""

    gain: Floats
    cost: Floats


@dataclass(frozen=True)
class Learned:
    """What was learned of one reward, over K actions, C channels and A arms of ``arms``.

    Attributes:
        encoder: customers as a matrix.
        outcome: m(x), reward whatever is done.
        level: mean and standard deviation of m(x), which gains know too, as one more column.
        gains: what an attended contact adds.
        assigned: the same learned from what was sent alone, without a look at what was attended.
        trust: the factor in ``gains`` that the assignment confirmed; NaN where gains are ``assigned``.
        confirmed: by how many standard errors what it confirmed is above 0; NaN likewise.
        attendance, hours: see their modules.
        cost: float64[A], of the contact.
        prior: float64[K], gains that were thought of before there were data; what was learned is added to them.
    """

    arms: Arms
    reward: RewardName
    encoder: Encoder
    outcome: Trees
    level: tuple[float, float]
    gains: Gains
    assigned: Gains
    trust: float
    confirmed: float
    attendance: Attendance
    hours: HourModel
    cost: Floats
    prior: Floats

    def levelled(self, matrix: Floats, outcome: Floats) -> Floats:
        """The matrix that gains are predicted from: m(x) before the customers' columns."""
        mean, spread = self.level
        return np.column_stack([(outcome - mean) / spread, matrix])


def learn(
    log: Logged,
    reward: RewardName,
    config: LearningConfig,
    *,
    seed: int,
    before: Before | None = None,
) -> Learned:
    """Learn from a log.

    Args:
        log: n decisions.
        reward: what decisions are judged by.
        config: how.
        seed: of everything random.
        before: what was thought before there was a log; None: nothing.
    """
    arms, rows = log.arms, np.arange(len(log))
    prior = np.zeros(len(arms.actions)) if before is None else before.gain
    encoder = Encoder.fit(log.crowd)
    matrix = encoder.matrix(log.crowd)
    action = arms.action[log.arm]
    attendance, hours, chances, answered = _attending(log, matrix, config, seed)

    cost = contact_costs(log) if reward == "value" else np.zeros(len(arms))
    if reward == "value" and before is not None:
        cost = np.where(np.bincount(log.arm, minlength=len(arms)) > 0, cost, before.cost)
    target = _cut(log.reward(reward) + cost[log.arm], config.cut)
    outcome = fit_trees(matrix, target, seed=seed)
    seen = cross_fitted(matrix, target, log.customer, folds=config.folds, seed=seed)
    level = (float(seen.mean()), max(float(seen.std()), 1e-9)) if len(seen) else (0.0, 1.0)

    dose = np.where(action < 0, 0.0, np.minimum(chances, 1.0))
    own = own_numbers(log.crowd, arms.actions)
    thought = np.append(prior, 0.0)[action]
    columns = np.column_stack([(seen - level[0]) / level[1], matrix])
    residual = target - seen
    assigned = fit_gains(columns, own, action, dose, residual - dose * thought, log.customer, seed=seed).gains
    gains, trust, sure = assigned, float("nan"), float("nan")
    if answered is not None:
        took = np.where(action < 0, 0.0, answered)
        attended_gains = fit_gains(columns, own, action, took, residual - took * thought, log.customer, seed=seed)
        said = np.column_stack([attended_gains.unseen + prior, np.zeros(len(log))])[rows, action]
        factor, error = confirmed(columns, dose, said, residual)
        trust, sure = _trusted(factor, error), factor / error if error > 0 else 0.0
        gains = replace(scaled(attended_gains.gains, trust), base=assigned.base)
        prior = prior * trust
    return Learned(arms, reward, encoder, outcome, level, gains, assigned, trust, sure, attendance, hours, cost, prior)


def _cut(target: Floats, at: float) -> Floats:
    """Without what lies above a quantile; where that is 0, what is above it is rare, but all there is to learn from."""
    highest = float(np.quantile(target, at)) if len(target) else 0.0
    return np.minimum(target, highest) if highest > 0 else target


def _trusted(factor: float, error: float) -> float:
    """The factor as drawn to 1, what it is if whether a contact was attended is chance: a normal prior of `DOUBT`."""
    known = 1 / error**2 if error > 0 else 0.0
    return float(np.clip((factor * known + 1 / DOUBT**2) / (known + 1 / DOUBT**2), 0.0, 2.0))


def _attending(
    log: Logged, matrix: Floats, config: LearningConfig, seed: int
) -> tuple[Attendance, HourModel, Floats, NDArray[np.bool_] | None]:
    """Who attends on which channel, and at which hours.

    Also the chance of each contact to be attended, float64[n], of models that have not seen its customer; and which
    were, bool[n]. A log that knows one channel and one hour cannot tell these apart from the action: None.
    """
    channels = log.arms.channels
    channel = log.arms.channel[log.arm]
    sent = np.flatnonzero((log.arm > 0) & (channel >= 0))
    answered = attended(log)
    if not len(sent):
        model = unlogged(channels)
        return model, indifferent(channels), chance_on(model, matrix, log.crowd, channel), None
    if (len(np.unique(channel[sent])) == 1 and len(np.unique(log.cell[sent])) == 1) or not answered[sent].any():
        return untold(channels), indifferent(channels), np.ones(len(log)), None
    rows = matrix[sent], rows_of(log.crowd, sent), channels, channel[sent], answered[sent]
    attendance = fit_attendance(*rows, seed=seed)
    expected = np.ones(len(log))
    expected[sent] = unseen_chances(*rows, log.customer[sent], folds=config.folds, seed=seed)
    hours = fit_hours(contacts_of(log, answered, expected), channels)
    expected *= hours.lift(log.crowd)[np.arange(len(log)), channel, np.maximum(log.cell, 0)]
    level = level_of(len(channels), channel[sent], answered[sent], expected[sent])
    return levelled(attendance, level), hours, expected * np.append(level, 1.0)[channel], answered
