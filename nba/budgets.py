"""Budgets over many customers at once: whom to contact when there is not enough for everybody.

Of the arms open to each of n customers one is chosen, so that the sum of incremental values is largest and no budget
(money, or a number of contacts, of some channels and actions or of all) is exceeded:

    max Σ_i v[i, a_i]   such that   Σ_i w[b, a_i] ≤ limit[b]   for every budget b

Its Lagrangian dual puts a price on each budget, and given prices every customer decides alone (Everett 1963,
"Generalized Lagrange multiplier method"; Fisher 1981, "The Lagrangian relaxation method", section 3):

    D(λ) = Σ_b λ[b] · limit[b] + Σ_i max_a (v[i, a] − Σ_b λ[b] · w[b, a]),   λ ≥ 0

No choice that keeps to the budgets is worth more than any D(λ); `nba.prices` finds the least of them. Then ties at the
prices, and the last customer that fits only in part, are settled by `kept_to`: who loses least is moved to what fits,
and what is left is given to who regrets least. The gap between the value reached and D says how far from the best this
can be.

Arms that weigh the same in every budget differ only in value, so each customer's best of them stands for all: a million
customers take 4 bytes for each *class* of arms instead of each arm, and values can be gathered in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nba.prices import BLOCK, Dual, cheapest

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Places = NDArray[np.int16]
Mask = NDArray[np.bool_]

#: What is left of the budgets is given away in at most so many rounds; a round takes all that fits.
MOST_ROUNDS = 100
#: A plan that misses more than this share of the bound is tried again with values that tie less …
ALIKE = 2e-3
#: … as each customer's are changed by at most this share.
APART = 1e-3
#: Limits are kept to exactly but for this share: sums of money in binary fractions.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Budgets:
    """B budgets over A arms.

    Attributes:
        names: of the budgets.
        limit: float64[B], at most so much, in the unit of the weights; infinity: no limit.
        weight: float64[B, A], what one contact takes of each budget; hold, arm 0, takes nothing.
        reserved: float64[B], shares from 0 to 1 of the limits that only exploration may use.

    Raises:
        ValueError: shapes that do not fit, or a number out of bounds.
    """

    names: tuple[str, ...]
    limit: Floats
    weight: Floats
    reserved: Floats

    def __post_init__(self) -> None:
        known = len(self.names)
        if self.limit.shape != (known,) or self.reserved.shape != (known,) or len(self.weight) != known:
            raise ValueError(f"{known} budgets need as many limits, reserved shares and rows of weights")
        if not (self.limit >= 0).all() or not ((self.reserved >= 0) & (self.reserved <= 1)).all():
            raise ValueError("limits must be 0 or more, and reserved shares between 0 and 1")
        if not (np.isfinite(self.weight) & (self.weight >= 0)).all() or self.weight[:, :1].any():
            raise ValueError("weights must be 0 or more, and hold weighs nothing")

    @property
    def open(self) -> Floats:
        """float64[B], what is there for those who are not explored with."""
        return self.limit * (1 - self.reserved)

    @property
    def reserve(self) -> Floats:
        """float64[B], what is there for exploration. Infinite limits have infinite reserves."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(self.limit), self.limit, self.limit * self.reserved)

    @cached_property
    def classes(self) -> Codes:
        """int32[A], class of each arm: arms of one class weigh the same in every budget. Class 0 holds hold."""
        if not self.names:
            return np.zeros(self.weight.shape[1], dtype=np.int32)
        _, first, of_arm = np.unique(self.weight.T, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # in order of first mention, so that hold's class is the first
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return place[of_arm.reshape(-1)]

    @cached_property
    def class_weight(self) -> Floats:
        """float64[B, G], weights of the classes; those of class 0 are 0."""
        _, first = np.unique(self.classes, return_index=True)
        return np.ascontiguousarray(self.weight[:, first])


@dataclass(frozen=True)
class Options:
    """Each customer's best arm of each class.

    Attributes:
        arm: int16[n, G], -1 where no arm of the class is open to the customer. Class 0 always has one: hold.
        value: float64[n, G], its incremental value, −infinity where there is none.
    """

    arm: Places
    value: Floats

    def __len__(self) -> int:
        return len(self.arm)

    @staticmethod
    def gathered(value: NDArray[np.floating], budgets: Budgets) -> Options:
        """From incremental values of n customers.

        Args:
            value: floating[n, A]; −infinity or NaN where the arm is not open; hold's is what holding adds, 0.
            budgets: over the same arms.
        """
        n, arms = value.shape
        if arms != len(budgets.classes):
            raise ValueError(f"values of {arms} arms, budgets over {len(budgets.classes)}")
        best = np.empty((n, budgets.class_weight.shape[1]), dtype=np.float64)
        arm = np.empty(best.shape, dtype=np.int16)
        rows = np.arange(n)
        for one in range(best.shape[1]):
            members = np.flatnonzero(budgets.classes == one)
            theirs = np.asarray(value[:, members], dtype=np.float64)
            theirs[np.isnan(theirs)] = -np.inf
            first = theirs.argmax(axis=1)
            best[:, one] = theirs[rows, first]
            arm[:, one] = np.where(np.isfinite(best[:, one]), members[first], -1)
        return Options(arm, best)

    @staticmethod
    def joined(parts: Sequence[Options]) -> Options:
        """Of all customers of some parts, in order."""
        return Options(np.concatenate([part.arm for part in parts]), np.concatenate([part.value for part in parts]))


@dataclass(frozen=True)
class Plan:
    """Who gets what, under prices.

    Attributes:
        arm: int16[n], arm of each customer; 0 is hold.
        price: float64[B], what one unit of each budget costs; 0 where a budget is not used up.
        used: float64[B], what the plan takes of each; never more than `Budgets.open`.
        value: float, sum of the incremental values of the plan.
        bound: float, no plan within the budgets is worth more (`bound` − `value` is the duality gap).
        cuts: int, looks at all customers that it took.
    """

    arm: Places
    price: Floats
    used: Floats
    value: float
    bound: float
    cuts: int

    @property
    def gap(self) -> float:
        """At most this share of the best value is missed."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0


def plan(options: Options, budgets: Budgets) -> Plan:
    """The best arm of each customer within the open part of the budgets.

    Nothing in it is random. Time grows with n · G · (number of looks, tens); memory beside ``options`` is about 30
    bytes a customer, twice that of ``options`` more where many customers are alike.
    """
    value, weight, limit = options.value, budgets.class_weight, budgets.open
    price, bound, cuts = cheapest(Dual(value, weight, limit))
    choice = _planned(value, weight, limit, price)
    rows = np.arange(len(options))
    worth = float(value[rows, choice].sum())
    if bound - worth > ALIKE * bound:
        # Where crowds tie at the prices, which of them gets what is hard to settle afterwards. Values that differ a
        # little from customer to customer have prices at which few tie, and a plan for them is one for all but that.
        apart = _apart(value)
        near, _, more = cheapest(Dual(apart, weight, limit))
        other = _planned(apart, weight, limit, near)
        cuts += more
        if float(value[rows, other].sum()) > worth:
            choice, worth = other, float(value[rows, other].sum())
    used = weight @ np.bincount(choice, minlength=weight.shape[1])
    return Plan(options.arm[rows, choice], price, used, worth, bound, cuts)


def _planned(value: Floats, weight: Floats, limit: Floats, price: Floats) -> Places:
    """The class of each customer, int16[n], at some prices, kept to the limits."""
    choice = Dual(value, weight, limit).choices(price)
    kept_to(value, choice, weight, limit, price)
    return choice


def _apart(value: Floats) -> Floats:
    """Values that differ by up to a share of `APART`, by customer and class, by multiples of irrational numbers."""
    steps = np.sqrt(np.arange(len(value.T)) + 0.5)
    return value * (1 + APART * (np.outer(np.arange(len(value)), steps) % 1))


def kept_to(value: Floats, choice: Places, weight: Floats, limit: Floats, price: Floats) -> None:
    """Change choices, in place, until no budget is exceeded, and then until nothing more fits.

    A move from class g to h costs a customer the regret (v_g − λ·w_g) − (v_h − λ·w_h), which is 0 between what ties at
    the prices. First whoever frees most of an exceeded budget per regret moves to what fits elsewhere, hold at the
    least; then whoever regrets least takes what is left and is worth more than what they have. Ties go to who stands
    first.

    Args:
        value: float64[n, G], −infinity where not open; class 0 is open to everybody.
        choice: int16[n], changed in place.
        weight: float64[B, G].
        limit: float64[B].
        price: float64[B].
    """
    room = limit * (1 + ROUNDING) - weight @ np.bincount(choice, minlength=weight.shape[1])
    for budget in np.flatnonzero(room < 0):
        while room[budget] < 0 and _moved(value, choice, weight, price, room, int(budget)):
            pass
    for _ in range(MOST_ROUNDS):
        if not _moved(value, choice, weight, price, room, None):
            break


def _moved(value: Floats, choice: Places, weight: Floats, price: Floats, room: Floats, over: int | None) -> bool:
    """One round of `kept_to`: as many of the best moves as fit, at most one a customer. Whether there were any.

    Args:
        value, weight, price: as there.
        choice: changed in place.
        room: float64[B], limit less use, changed in place; below 0 where exceeded.
        over: the exceeded budget that moves must relieve; None: moves must gain value.
    """
    mover, target, regret = _moves(value, choice, weight, price, room, over)
    if not len(mover):
        return False
    order = np.lexsort((mover, regret))
    mover, target = mover[order], target[order]
    taken = weight[:, target] - weight[:, choice[mover]]
    total = np.cumsum(taken, axis=1)
    # As many as fit together; the first of them always does.
    misfit = (total > np.maximum(room, 0)[:, None]).any(axis=0)
    last = int(misfit.argmax()) if misfit.any() else len(mover)
    if over is not None:
        last = min(last, int(np.searchsorted(-total[over], -room[over])) + 1)
    choice[mover[:last]] = target[:last]
    room -= taken[:, :last].sum(axis=1)
    return last > 0


def _moves(
    value: Floats, choice: Places, weight: Floats, price: Floats, room: Floats, over: int | None
) -> tuple[NDArray[np.int64], Places, Floats]:
    """Customers who could move, the class each would best move to, and the regret (per unit freed, if ``over``)."""
    classes = weight.shape[1]
    # Change of use from class g to h, [B, g, h], and whether a single such move fits.
    change = weight[:, None, :] - weight[:, :, None]
    fits: Mask = np.all((change <= 0) | (change <= room[:, None, None]), axis=0)
    freed = -change[over] if over is not None else np.ones((classes, classes))
    fits &= freed > 0
    np.fill_diagonal(fits, False)
    movable: Mask = np.any(fits, axis=1)
    toll = price @ weight
    movers, targets, regrets = [], [], []
    for first in range(0, len(value), BLOCK):
        block = slice(first, first + BLOCK)
        now = choice[block]
        able = np.flatnonzero(movable[now])
        if not len(able):
            continue
        held, rows = now[able], np.arange(len(able))
        open_to = value[block][able]
        mine = open_to[rows, held]
        possible = fits[held] & np.isfinite(open_to)
        if over is None:
            possible &= open_to > mine[:, None]
        regret = (mine - toll[held])[:, None] - (open_to - toll)
        regret = np.where(possible, regret / np.where(possible, freed[held], 1), np.inf)
        best = regret.argmin(axis=1)
        least = regret[rows, best]
        found = np.isfinite(least)
        movers.append(able[found] + first)
        targets.append(best[found].astype(np.int16))
        regrets.append(least[found])
    if not movers:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int16), np.zeros(0)
    return np.concatenate(movers), np.concatenate(targets), np.concatenate(regrets)
