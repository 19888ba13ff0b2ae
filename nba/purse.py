"""What is left of the budgets when decisions are made one by one as they are asked for.

The open part of each budget is for the best arms, the rest for exploration alone, as in `nba.reserves`. An arm that
does not fit into the open part any more cannot be the best one; one that does not fit into the reserve is not drawn.
That what is left does not change before the decision is written is for the store to see to
(`features.store.base.DecisionStore.reserve`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.store.base import DecisionStore, Json, Use
from nba.arms import Arms
from nba.budgets import ROUNDING
from nba.config import NbaConfig
from nba.spending import period, taken

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: The period of what exploration takes is that of the budget, and this.
EXPLORING = " exploring"


@dataclass(frozen=True)
class Purse:
    """B budgets at one moment.

    Attributes:
        names, periods: of the budgets.
        limit: float64[B, 2], of the open part and of the reserve.
        left: float64[B, 2], of both.
        weight: float64[B, A], what a contact takes.
    """

    names: tuple[str, ...]
    periods: tuple[str, ...]
    limit: Floats
    left: Floats
    weight: Floats

    @property
    def prices(self) -> Floats:
        """float64[A], of an arm's place in the budgets: nothing where there is one, infinite where there is none."""
        full = (self.weight > self.left[:, :1] + ROUNDING * np.maximum(1.0, self.limit[:, :1])) & (self.weight > 0)
        return np.where(full.any(axis=0), np.inf, 0.0)

    def has_place(self, arm: int) -> bool:
        """Whether the open parts have a place for an arm."""
        return bool(np.isfinite(self.prices[arm]))

    @property
    def explorable(self) -> Mask:
        """bool[A], what the reserves have a place for."""
        full = (self.weight > self.left[:, 1:] + ROUNDING * np.maximum(1.0, self.limit[:, 1:])) & (self.weight > 0)
        return np.asarray(~full.any(axis=0))

    def uses(self, arm: int, *, explored: bool) -> tuple[Use, ...]:
        """What a contact takes."""
        part, suffix = (1, EXPLORING) if explored else (0, "")
        return tuple(
            Use(name, period + suffix, float(self.weight[row, arm]), float(self.limit[row, part]))
            for row, (name, period) in enumerate(zip(self.names, self.periods, strict=True))
            if self.weight[row, arm] > 0
        )

    def to_json(self) -> Json:
        """What a replay needs."""
        return {
            "names": self.names,
            "periods": self.periods,
            "limit": self.limit.tolist(),
            "left": self.left.tolist(),
        }

    @staticmethod
    def of_json(said: Json, config: NbaConfig, arms: Arms) -> Purse:
        """The inverse of `to_json`, with the arms of a model."""
        names = tuple(said["names"])
        shape = (len(names), 2)
        return Purse(
            names,
            tuple(said["periods"]),
            np.array(said["limit"], dtype=np.float64).reshape(shape),
            np.array(said["left"], dtype=np.float64).reshape(shape),
            _weight(config, arms, names),
        )


def purse_at(
    config: NbaConfig,
    arms: Arms,
    store: DecisionStore,
    at: int,
    *,
    run: str | None = None,
) -> Purse:
    """What is left of the budgets of a configuration.

    Args:
        config: the budgets.
        arms: A arms.
        store: what was taken.
        at: the moment, microseconds UTC.
        run: a name for a batch, which budgets ``per = "run"`` are for; None: they do not apply.
    """
    if not config.budgets:
        return Purse((), (), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, len(arms))))
    listed = [(name, budget) for name, budget in config.budgets.items() if budget.per != "run" or run is not None]
    names = tuple(name for name, _ in listed)
    periods = tuple(str(run) if budget.per == "run" else period(budget, at) for _, budget in listed)
    limit = np.array(
        [
            [budget.amount * (1 - budget.exploration_share), budget.amount * budget.exploration_share]
            for _, budget in listed
        ]
    ).reshape(len(listed), 2)
    used = np.array(
        [
            [store.used(name, when), store.used(name, when + EXPLORING)]
            for name, when in zip(names, periods, strict=True)
        ]
    ).reshape(len(listed), 2)
    return Purse(names, periods, limit, limit - used, _weight(config, arms, names))


def _weight(config: NbaConfig, arms: Arms, names: Sequence[str]) -> Floats:
    if not names:
        return np.zeros((0, len(arms)))
    rows = [place for place, name in enumerate(config.budgets) if name in names]
    return taken(config, arms, config.contact_costs(arms))[rows]
