"""What one unit of each budget is worth when there is not enough for everybody: shadow prices.

Of the classes of arms open to each of n customers one is to be chosen, for the largest sum of values v within budgets
(`nba.budgets`). Its Lagrangian dual

    D(λ) = Σ_b λ[b] · limit[b] + Σ_i max_g (v[i, g] − Σ_b λ[b] · w[b, g]),   λ ≥ 0

is convex and piecewise linear, lies above the value of every choice within the budgets, and its least value is that of
the problem in which customers may be divided among arms (Geoffrion 1974, "Lagrangean relaxation for integer
programming"). The prices are where it is least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The search stops when what is left to gain is this share of the value …
TOLERANCE = 1e-6
#: … or after so many looks at all customers.
MOST_CUTS = 300
#: Customers looked at in one go; what is needed besides the values grows with it, not with all customers.
BLOCK = 65_536


@dataclass(frozen=True)
class Dual:
    """D of the module's docstring.

    Attributes:
        value: float64[n, G], −infinity where not open; class 0 is open to everybody.
        weight: float64[B, G]; class 0 weighs nothing.
        limit: float64[B].
    """

    value: Floats
    weight: Floats
    limit: Floats

    def choices(self, price: Floats) -> NDArray[np.int16]:
        """int16[n], what each customer takes at some prices; of equals the first."""
        toll = price @ self.weight
        choice = np.empty(len(self.value), dtype=np.int16)
        for first in range(0, len(self.value), BLOCK):
            choice[first : first + BLOCK] = (self.value[first : first + BLOCK] - toll).argmax(axis=1)
        return choice

    def at(self, price: Floats) -> tuple[float, Floats]:
        """D, and a subgradient of it: limit less use."""
        toll = price @ self.weight
        worth, count = 0.0, np.zeros(len(toll), dtype=np.int64)
        for first in range(0, len(self.value), BLOCK):
            block = self.value[first : first + BLOCK]
            choice = (block - toll).argmax(axis=1)
            worth += float(block[np.arange(len(block)), choice].sum())
            count += np.bincount(choice, minlength=len(toll))
        slack = self.limit - self.weight @ count
        return worth + float(price @ slack), slack


def cheapest(dual: Dual) -> tuple[Floats, float, int]:
    """Prices at which D is least, D there, and how often it was looked at.

    Kelley's cutting planes: D lies above each of its tangents, so the least of their maximum is below D's, and is where
    to look next. No price above max v / w makes sense: nobody would take any of that budget.
    """
    from scipy.optimize import linprog

    budgets = len(dual.limit)
    price = np.zeros(budgets)
    worth = np.where(np.isfinite(dual.value), dual.value, 0).max(axis=0, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        dearest = np.where(dual.weight > 0, worth / dual.weight, 0).max(axis=1, initial=0.0)
    used = np.flatnonzero(np.isfinite(dual.limit) & (dearest > 0))
    limited = Dual(dual.value, dual.weight[used], dual.limit[used])
    best, slack = limited.at(price[used])
    if (slack >= 0).all():
        return price, best, 1
    # Prices in units of the dearest, D in units of its value without budgets: the planes' numbers are then near 1.
    unit, scale = dearest[used], max(best, np.finfo(np.float64).tiny)
    where = np.zeros(len(used))
    lowest, found, planes, heights = where, best, [], []
    cuts = 1
    while cuts < MOST_CUTS:
        tilt = slack * unit / scale
        planes.append([*tilt, -1.0])
        heights.append(tilt @ where - best / scale)
        solved = linprog(
            [*np.zeros(len(used)), 1.0],
            A_ub=np.array(planes),
            b_ub=np.array(heights),
            bounds=[(0.0, 1.0)] * len(used) + [(None, None)],
        )
        if solved.status != 0 or found / scale - solved.x[-1] <= TOLERANCE * found / scale:
            break
        where = solved.x[:-1]
        best, slack = limited.at(where * unit)
        cuts += 1
        if best < found:
            lowest, found = where, best
    price[used] = lowest * unit
    return price, found, cuts
