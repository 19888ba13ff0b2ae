"""What a model says of customers, and what decisions ask of one.

The value of contacting a customer with action a on channel c at hour h, over holding, is

    gain(a) · attend(c) · lift(c, h) − cost(a, c) − attention(c)

the expected margin that an attended contact adds, times the chance that it is attended there and then, less what the
contact costs and less the margin that is lost because each contact tires people and makes some unsubscribe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms
from nba.crowd import Crowd

Floats = NDArray[np.float64]

#: Hours of a day on workdays, then on weekends: the cells of ``lift``, weekend · 24 + hour of the customer's own day.
DAY_HOURS = 24
HOUR_CELLS = 2 * DAY_HOURS


@dataclass(frozen=True)
class Values:
    """What a model says of n customers, over K actions, C channels and A arms. Money in the shop's currency.

    Attributes:
        base: float64[n], expected value if nothing is sent.
        gain: float64[n, K], what an attended contact adds in expectation.
        gain_error: tells the standard error of ``gain``, float64[r], of r customers (rows, int64[r]) and one action
            each (int[r]): it takes more than the gains themselves, and only that of the chosen action is asked for.
        attend: float64[n, C + 1], chance that a contact is attended, at an average hour; the last column is for arms
            without a channel.
        lift: float32[n, C + 1, HOUR_CELLS], by how much an hour raises that chance; 1 on average over the hours.
        cost: float64[A], of the contact itself; 0 for hold.
        attention: float64[n, C + 1], margin expected to be lost to a contact by fatigue and unsubscribing.
        preference: float64[n, A], or None. Where a rule did better on the log than these values, such as one action
            for everybody, it is what the rule prefers: the eligible arm with the highest is best if it is above 0.
    """

    base: Floats
    gain: Floats
    gain_error: Callable[[NDArray[np.int64], NDArray[np.integer]], Floats]
    attend: Floats
    lift: NDArray[np.float32]
    cost: Floats
    attention: Floats
    preference: Floats | None = None


class ValueModel(Protocol):
    """A fitted model of decisions. `nba.model.DecisionModel` is one; tests have simpler ones."""

    @property
    def arms(self) -> Arms:
        """What it can choose from."""
        ...

    def values(self, crowd: Crowd) -> Values:
        """What each arm would be worth. The channels of ``crowd`` may be any; they are found by name."""
        ...
