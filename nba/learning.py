"""From a log of decisions to a model of what each arm is worth to each customer.

The order: encode the customers; learn who attends on which channel (`nba.attendance`) and at which hours
(`nba.timing`); learn the outcome without regard to treatments, cross-fitted (`nba.trees`); learn what an attended
contact adds to that (`nba.gains`); take what contacts cost, and what they cost in attention (`nba.costs`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from features.config import Config
from nba.arms import Arms
from nba.attendance import Attendance, fit_attendance, levelled, unlogged, untold
from nba.costs import contact_costs
from nba.crowd import Floats, rows_of
from nba.encoding import Encoder
from nba.gains import Gains, fit_gains, own_numbers
from nba.logged import Logged, RewardName
from nba.timing import HourModel, indifferent
from nba.timing_fit import attended, contacts_of, fit_hours
from nba.trees import Trees, cross_fitted, fit_trees

#: A chance of an hour below this counts as this: single rows must not decide.
LEAST_PROPENSITY = 0.01


class LearningConfig(Config):
    """How the model of decisions is learned."""

    cut: float = Field(0.999, gt=0.5, le=1)
    """Outcomes above this quantile count as it, when gains are learned: one huge order is no effect."""
    folds: int = Field(3, ge=2, le=20)
    """Of customers, for the outcome model under the gains."""


@dataclass(frozen=True)
class Learned:
    """What was learned of one reward, over K actions, C channels and A arms of ``arms``.

    Attributes:
        encoder: customers as a matrix.
        outcome: m(x), reward whatever is done.
        gains, attendance, hours: see their modules.
        cost: float64[A], of the contact.
        prior: float64[K], gains that were thought of before there were data; what was learned is added to them.
    """

    arms: Arms
    reward: RewardName
    encoder: Encoder
    outcome: Trees
    gains: Gains
    attendance: Attendance
    hours: HourModel
    cost: Floats
    prior: Floats


def learn(
    log: Logged,
    reward: RewardName,
    config: LearningConfig,
    *,
    seed: int,
    prior: Floats | None = None,
) -> Learned:
    """Learn from a log.

    Args:
        log: n decisions.
        reward: what decisions are judged by.
        config: how.
        seed: of everything random.
        prior: float64[K], gains thought of before; None: nothing is thought.
    """
    arms = log.arms
    k = len(arms.actions)
    prior = np.zeros(k) if prior is None else prior
    encoder = Encoder.fit(log.crowd)
    matrix = encoder.matrix(log.crowd)
    action, channel = arms.action[log.arm], arms.channel[log.arm]
    attendance, hours = _attending(log, matrix, config, seed)

    cost = contact_costs(log) if reward == "value" else np.zeros(len(arms))
    target = log.reward(reward) + cost[log.arm]
    if len(target):
        target = np.minimum(target, np.quantile(target, config.cut))
    dose = attendance.chance(matrix, log.crowd)[np.arange(len(log)), channel]
    dose = dose * hours.lift(log.crowd)[np.arange(len(log)), channel, np.maximum(log.cell, 0)]
    dose = np.where(action < 0, 0.0, np.minimum(dose, 1.0))

    outcome = fit_trees(matrix, target, seed=seed)
    seen = cross_fitted(matrix, target, log.customer, folds=config.folds, seed=seed)
    thought = dose * np.append(prior, 0.0)[action]
    gains = fit_gains(
        matrix,
        own_numbers(log.crowd, arms.actions),
        action,
        dose,
        target - seen - thought,
        log.customer,
        np.random.default_rng(seed),
    )
    return Learned(arms, reward, encoder, outcome, gains, attendance, hours, cost, prior)


def _attending(log: Logged, matrix: Floats, config: LearningConfig, seed: int) -> tuple[Attendance, HourModel]:
    """Who attends on which channel, and at which hours.

    A log that knows one channel and one hour cannot tell these apart from the action.
    """
    channels = log.arms.channels
    channel = log.arms.channel[log.arm]
    sent = np.flatnonzero((log.arm > 0) & (channel >= 0))
    if not len(sent):
        return unlogged(channels), indifferent(channels)
    answered = attended(log)
    if (len(np.unique(channel[sent])) == 1 and len(np.unique(log.cell[sent])) == 1) or not answered[sent].any():
        return untold(channels), indifferent(channels)
    attendance = fit_attendance(
        matrix[sent], rows_of(log.crowd, sent), channels, channel[sent], answered[sent], seed=seed
    )
    expected = attendance.chance(matrix, log.crowd)[np.arange(len(log)), channel]
    hours = fit_hours(contacts_of(log, answered, np.where(channel < 0, 1.0, expected)), channels)
    lift = hours.lift(log.crowd)[np.arange(len(log)), channel, np.maximum(log.cell, 0)]
    return levelled(attendance, channel[sent], answered[sent], (expected * lift)[sent]), hours
