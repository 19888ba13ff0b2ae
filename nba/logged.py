"""A log of decisions as arrays: what was known, what could have been done, what was done, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nba.arms import Arms
from nba.crowd import Crowd, Floats, Ints, rows_of

#: What decisions are judged by: value means value − cost.
RewardName = Literal["value", "converted", "visited", "opened"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Logged:
    """n decisions, sent or not (intent to treat), each watched for a whole outcome window.

    Attributes:
        arms: what the log knows.
        crowd: the customers, as known when it was decided.
        customer: int32[n], whose decision it is.
        arm: int32[n], what was chosen.
        cell: int16[n], hour cell of the sending by the customer's own clock (`nba.values.HOUR_CELLS`), -1 for hold.
        propensity: float64[n], of the arm, among what was eligible.
        hour_propensity: float64[n], of the hour given the arm; 1 where hours were not drawn.
        eligible: bool[n, A], what could have been chosen; hold always.
        value, cost: float64[n], margin earned in the window, and what the contact and its discount cost.
        opened, clicked, visited, converted, unsubscribed, complained: bool[n], in the window.
    """

    arms: Arms
    crowd: Crowd
    customer: NDArray[np.int32]
    arm: NDArray[np.int32]
    cell: NDArray[np.int16]
    propensity: Floats
    hour_propensity: Floats
    eligible: Mask
    value: Floats
    cost: Floats
    opened: Mask
    clicked: Mask
    visited: Mask
    converted: Mask
    unsubscribed: Mask
    complained: Mask

    def __len__(self) -> int:
        return len(self.arm)

    def reward(self, name: RewardName) -> Floats:
        """float64[n]; for ``value`` less the cost, discounts included."""
        if name == "value":
            return self.value - self.cost
        found: Mask = getattr(self, name)
        return found.astype(np.float64)

    def take(self, rows: Ints) -> Logged:
        """Some of the rows, by number."""
        kept = {
            field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name not in ("arms", "crowd")
        }
        return replace(self, crowd=rows_of(self.crowd, rows), **kept)
