"""A small world of decisions whose policies have known values: what off-policy estimates are held against.

People are of four kinds, moments of three contexts; a person has one to six moments and a spending level of their own
(log-normal, mean 1). Hold and four arms sell with a probability that depends on kind and context; the margin of a sale
is log-normal with mean 1. Some arms do harm. The policy that logs prefers hold and some arms by kind; no arm has less
than ``floor``. The outcome model is wrong on purpose: flattened, and blind to contexts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.offpolicy import Log, Policy

Floats = NDArray[np.float64]

ARMS = 5
_BASE = np.array([0.05, 0.1, 0.2, 0.3])
_GAIN = np.array(
    [
        [0, 0.02, 0.05, -0.02, 0.1],
        [0, 0.1, -0.03, 0.05, 0],
        [0, -0.05, 0.1, 0.02, 0.05],
        [0, 0, 0.03, 0.1, -0.1],
    ]
)
_CONTEXT = np.array([1, 1.5, 0.5])
_LIKING = np.array([2.0, 0, -0.5, -1.5, -2.5]) + np.array(
    [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 0]]
)

#: Chance of a sale, float64[kind, context, arm].
SALE: Floats = np.clip(_BASE[:, None, None] + _GAIN[:, None, :] * _CONTEXT[None, :, None], 0.01, 0.95)


@dataclass(frozen=True)
class World:
    """One log. kind, context: int64[n], of its rows."""

    log: Log
    kind: NDArray[np.int64]
    context: NDArray[np.int64]
    arm: NDArray[np.int64]

    def policy(self, choice: Floats) -> Policy:
        """A policy given by its probabilities, float64[kind, context, arm]."""
        mine, rows = choice[self.kind, self.context], np.arange(len(self.arm))
        return Policy(mine[rows, self.arm], (mine * _model()[self.kind]).sum(axis=1), np.zeros(len(rows)))


def draw(rng: np.random.Generator, people: int, *, floor: float = 0.05, spread: float = 0.5) -> World:
    """A log of so many people. ``spread``: standard deviation of the log of spending levels and margins."""
    who = np.repeat(np.arange(people), rng.integers(1, 7, people))
    n = len(who)
    kind, context = rng.integers(4, size=people)[who], rng.integers(3, size=n)
    chance = behaviour(floor)[kind]
    arm = (rng.random(n)[:, None] > np.cumsum(chance, axis=1)[:, :-1]).sum(axis=1)
    level = np.exp(rng.normal(-(spread**2) / 2, spread, people))[who]
    margin = np.exp(rng.normal(-(spread**2) / 2, spread, n))
    reward = (rng.random(n) < SALE[kind, context, arm]) * level * margin
    rows = np.arange(n)
    return World(Log(who, reward, chance[rows, arm], _model()[kind, arm]), kind, context, arm)


def behaviour(floor: float) -> Floats:
    """float64[kind, arm], how the log chooses."""
    liking = np.exp(_LIKING)
    chance: Floats = floor + (1 - ARMS * floor) * liking / liking.sum(axis=1, keepdims=True)
    return chance


def value(choice: Floats) -> float:
    """True value a row of a policy, float64[kind, context, arm]."""
    return float((choice * SALE).sum(axis=2).mean())


def greedy(explored: float = 0.1) -> Floats:
    """The best arm of each kind and context, mixed with all."""
    best = SALE.argmax(axis=2)[..., None] == np.arange(ARMS)
    choice: Floats = (1 - explored) * best + explored / ARMS
    return choice


def logging(floor: float) -> Floats:
    """The policy that logs, as float64[kind, context, arm]."""
    return np.repeat(behaviour(floor)[:, None, :], 3, axis=1)


def mixed(first: Floats, second: Floats, gain: float) -> Floats:
    """A mixture of two policies whose value is that of the first times 1 + ``gain``."""
    share = gain * value(first) / (value(second) - value(first))
    return (1 - share) * first + share * second


def _model() -> Floats:
    """float64[kind, arm], what the outcome model says."""
    expected: Floats = 0.7 * SALE.mean(axis=1) + 0.03
    return expected
