"""Scores of customers: what they are likely to do, by models fitted on what others like them did after such a moment.

Every model is fitted on rows (`ScoreRows`): a customer as known at a moment, and what they did in a time after it. The
moment of a row lies before all that its label says.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from features.catalogue import Number
from features.config import Config
from features.events import DAY
from nba import boosted
from nba.boosted import Boosted, Kind
from nba.crowd import Crowd
from nba.score_inputs import Inputs, inputs_of, offset_of, telling
from nba.tastes import TASTES, Bought, Tastes
from nba.together import Together

Floats = NDArray[np.float64]

#: Horizon of `lifetime_value`, days.
YEAR = 365.0

#: An order that is not expected within so many days is not expected.
FARTHEST = 365.0

#: Money a day that is always told apart from none.
LEAST_MONEY = 1e-9

FILE = "scores.json"


class ScoresConfig(Config):
    """What is scored."""

    window_days: float = Field(28, gt=0)
    """The window of likelihood_to_purchase, expected_orders and predicted_value."""
    churn_days: float = Field(90, gt=0)
    """Who bought before and does not in so many days has churned."""
    trees: int = Field(100, ge=1)
    """Of each model."""


@dataclass(frozen=True)
class ScoreRows:
    """m rows to fit on. Labels are float64[m], NaN where the time that they speak of was not over.

    Attributes:
        crowd: customers as known at moments.
        orders: in the window.
        value: in the window, money.
        orders_churn: in the days of churn.
        value_year: in ``year_days``, money.
        next_order: days to the next order, infinite if there was none yet; NaN where little time has passed.
        year_days: a year, or what there is of one.
    """

    crowd: Crowd
    orders: Floats
    value: Floats
    orders_churn: Floats
    value_year: Floats
    next_order: Floats
    year_days: float


@dataclass(frozen=True)
class ScoreModels:
    """Fitted scores. One that there was too little to fit on is absent.

    Attributes:
        config: what is scored.
        names: state features that the models see, before those of `nba.own_pace`.
        models: by score.
        own: start from each customer's own pace.
        floor: money a day, under which no spending is told apart.
        year_days: what ``lifetime_value`` was learned over; it is scaled to a year.
        tastes: discount affinity and brand loyalty, or None.
    """

    config: ScoresConfig
    names: tuple[str, ...]
    models: Mapping[str, Boosted]
    own: bool
    floor: float
    year_days: float
    tastes: Tastes | None = None
    _joined: dict[tuple[str, ...], Together] = field(init=False, repr=False, compare=False, default_factory=dict)

    def score(
        self, crowd: Crowd, bought: Bought | None = None, *, only: Container[str] | None = None
    ) -> dict[str, Number]:
        """The scores of n customers, by name (`nba.known.SCORES`); a score without a model is absent.

        NaN for somebody who has done nothing yet; churn_risk and expected_next_order_days also for those who never
        bought.

        Args:
            crowd: the customers.
            bought: what they bought, without which there are no tastes.
            only: names of the scores that are wanted, the fewer the quicker; None: all.
        """
        found: dict[str, Floats] = {}
        wanted = tuple(name for name in self.models if only is None or name in only)
        if wanted:
            inputs = inputs_of(crowd, self.names, own=self.own)
            offset = np.empty((len(crowd), len(wanted)))
            for place, name in enumerate(wanted):
                days = _days(name, self.config, self.year_days)
                offset[:, place] = offset_of(name, inputs, days, self.floor)
            told = self._of(wanted).predict(inputs.features, offset)
            told[~inputs.active] = np.nan
            found = {name: self._score(name, told[:, place], inputs) for place, name in enumerate(wanted)}
        if self.tastes is not None and bought is not None and (only is None or any(name in only for name in TASTES)):
            found |= self.tastes.score(bought)
            found = {name: values for name, values in found.items() if only is None or name in only}
        return {name: Number(values) for name, values in found.items()}

    def _score(self, name: str, told: Floats, inputs: Inputs) -> Floats:
        """A score from what its model says, float64[n]."""
        match name:
            case "churn_risk":  # the model tells of coming back
                return np.where(inputs.buyer, 1 - told, np.nan)
            case "expected_next_order_days":
                days = np.expm1(np.maximum(told, 0))
                return np.where(inputs.buyer & (days < FARTHEST * 0.98), days, np.nan)
            case "lifetime_value":
                return told * (YEAR / self.year_days)
            case _:
                return told

    def _of(self, names: tuple[str, ...]) -> Together:
        """The models of some scores, joined at the first call: a shop asks for the same ones again and again."""
        known = self._joined.get(names)
        if known is None:
            known = self._joined[names] = Together([self.models[name] for name in names])
        return known

    def write(self, folder: Path) -> None:
        """Into a folder, which is made: ``scores.json`` and a LightGBM text a model."""
        folder.mkdir(parents=True, exist_ok=True)
        models = {}
        for name, model in self.models.items():
            (folder / f"{name}.txt").write_text(model.booster.model_to_string(), encoding="utf-8")
            models[name] = {key: getattr(model, key) for key in ("kind", "shift", "intercept", "slope", "calibrated")}
        if self.tastes is not None:
            self.tastes.write(folder)
        told: dict[str, Any] = {
            "config": self.config.model_dump(mode="json"),
            "names": self.names,
            "models": models,
            "own": self.own,
            "floor": self.floor,
            "year_days": self.year_days,
            "tastes": self.tastes is not None,
        }
        (folder / FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> ScoreModels:
        """What `write` wrote."""
        from lightgbm import Booster

        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        models = {
            name: Boosted(**model, booster=Booster(model_str=(folder / f"{name}.txt").read_text(encoding="utf-8")))
            for name, model in told["models"].items()
        }
        return ScoreModels(
            ScoresConfig.model_validate(told["config"]),
            tuple(told["names"]),
            models,
            told["own"],
            told["floor"],
            told["year_days"],
            Tastes.read(folder) if told["tastes"] else None,
        )


def fit_scores(
    rows: ScoreRows,
    config: ScoresConfig | None = None,
    *,
    features: tuple[str, ...] | None = None,
    own: bool = True,
    tastes: Tastes | None = None,
    seed: int = 0,
) -> ScoreModels:
    """Fit all scores that there is enough to fit on.

    The newest moments of each label calibrate, the moments whose labels were over before them fit; then all rows fit.

    Args:
        rows: to fit on.
        config: what is scored.
        features: state features to look at; None: all that differ between rows, but for single hours.
        own: start from each customer's own pace.
        tastes: to be kept with the models.
        seed: for the features each tree sees.
    """
    config = config or ScoresConfig()
    names = features if features is not None else telling(rows.crowd)
    worth = rows.value[~np.isnan(rows.value)]
    floor = max(0.01 * float(worth.mean()) / config.window_days, LEAST_MONEY) if len(worth) else LEAST_MONEY
    inputs = inputs_of(rows.crowd, names, own=own)
    buyer = inputs.buyer
    wait = np.log1p(np.minimum(rows.next_order, FARTHEST))
    labels: dict[str, tuple[Kind, Floats]] = {
        "likelihood_to_purchase": ("chance", _some(rows.orders)),
        "churn_risk": ("chance", np.where(buyer, _some(rows.orders_churn), np.nan)),
        "expected_orders": ("count", rows.orders),
        "expected_next_order_days": ("median", np.where(buyer, wait, np.nan)),
        "predicted_value": ("amount", rows.value),
        "lifetime_value": ("amount", rows.value_year),
    }
    models = {}
    for name, (kind, label) in labels.items():
        days = _days(name, config, rows.year_days)
        there = np.flatnonzero(~np.isnan(label) & inputs.active)
        at = rows.crowd.at[there]
        newest = at.max(initial=0)
        early, late = at + days * DAY <= newest, at == newest
        offset = offset_of(name, inputs, days, floor)
        model = boosted.fit(
            kind,
            inputs.features[there],
            offset[there],
            label[there],
            early=early,
            late=late,
            trees=config.trees,
            seed=seed,
        )
        if model is not None:
            models[name] = model
    return ScoreModels(config, names, models, own, floor, rows.year_days, tastes)


def _some(orders: Floats) -> Floats:
    """1 where there were orders, 0 where there were none, NaN where it is not known."""
    return np.where(np.isnan(orders), np.nan, orders > 0)


def _days(score: str, config: ScoresConfig, year_days: float) -> float:
    """How far a score looks ahead."""
    match score:
        case "churn_risk" | "expected_next_order_days":
            return config.churn_days
        case "lifetime_value":
            return year_days
        case _:
            return config.window_days
