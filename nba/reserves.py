"""Exploration within budgets: who may be explored with what, so that no budget is exceeded and every chance is exact.

Prices, and with them the plan (`nba.budgets.plan`), are settled before anything is drawn, and use the open part of
each budget only. Exploration pays from the reserved part alone. Customers take turns in an order that has nothing to do
with the draws. When it is a customer's turn, an arm is *admitted* if it is eligible and one contact of it still fits
into what earlier customers' exploration left of every reserve; hold is always admitted. Whoever explores draws
uniformly from what is admitted at their turn, so

    chance of arm a = (1 − ε) · [a is planned] + ε · [a is admitted] / number of admitted arms

holds exactly, given what happened to earlier customers: that depends on their draws, never on this customer's. Such
sequentially chosen propensities are what inverse propensity weighting needs (Murphy 2005, "An experimental design for
the development of adaptive treatment strategies"; Hadad et al. 2021, section 2). Reserves only shrink, so an arm that
is no longer admitted never comes back; when all of them are used up only hold is left. A planned contact that gives way
to exploration goes back to nobody: it is what the exploration costs.

Ask in an order that tells nothing of the customers, such as that of a hash: whoever comes late is explored less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nba.budgets import Budgets
from nba.draws import nth

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Admission:
    """What exploration may choose from, for n customers in the order of their turns.

    Attributes:
        admitted: bool[n, A], what each could have been explored with at their turn, drawn or not.
        arm: int32[n], what those who explore get; -1 for others.
        left: float64[B], what is left of the reserves for whoever comes next.
    """

    admitted: Mask
    arm: NDArray[np.int32]
    left: Floats


def admit(eligible: Mask, explores: Mask, pick: Floats, budgets: Budgets, left: Floats) -> Admission:
    """Let n customers take their turns.

    Args:
        eligible: bool[n, A]; hold, arm 0, always is.
        explores: bool[n], whose draw says to explore.
        pick: float64[n], uniform draws from [0, 1): which of the admitted arms.
        budgets: over the same arms.
        left: float64[B], what is left of the reserves; `Budgets.reserve` before the first customer.
    """
    admitted = eligible.copy()
    arm = np.full(len(eligible), -1, dtype=np.int32)
    turns = np.flatnonzero(explores)
    begin = 0
    while True:
        fits = fitting(budgets, left)
        admitted[begin:, ~fits[budgets.classes]] = False
        turns = turns[turns >= begin]
        drawn = nth(admitted[turns], pick[turns])
        # Subtracted one after the other, so that any division into chunks gives the same to the last bit.
        after = np.cumsum(np.concatenate([left[:, None], -budgets.weight[:, drawn]], axis=1), axis=1)[:, 1:]
        # One class after the other stops fitting; everybody up to the first who makes one stop has had their turn.
        stops = (budgets.class_weight[:, fits, None] > after[:, None, :]).any(axis=(0, 1))
        done = int(stops.argmax()) + 1 if stops.any() else len(turns)
        arm[turns[:done]] = drawn[:done]
        if done:
            left = after[:, done - 1]
        if done == len(turns):
            # Whoever comes after the last turn, but is told of now, sees what it left.
            begin = int(turns[-1]) + 1 if len(turns) else len(eligible)
            admitted[begin:, ~fitting(budgets, left)[budgets.classes]] = False
            return Admission(admitted, arm, left)
        begin = int(turns[done - 1]) + 1


def fitting(budgets: Budgets, left: Floats) -> Mask:
    """bool[G], classes of which one more contact fits into what is left of every budget."""
    fits: Mask = np.all(budgets.class_weight <= left[:, None], axis=0)
    return fits
