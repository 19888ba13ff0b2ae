"""Whether scores are calibrated: what was told at the newest moment that is over, beside what happened.

The models that tell are fitted on moments whose labels were over before it. Those in the bundle are fitted on
everything.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from features.catalogue import Number
from features.events import DAY
from nba.crowd import Floats, Ints, rows_of
from nba.scores import ScoreModels, ScoreRows, ScoresConfig, fit_scores
from training.score_metrics import reliability

#: Rows needed on either side.
LEAST_ROWS = 200

Curve = dict[str, list[float]]


def score_curves(rows: ScoreRows, config: ScoresConfig, *, seed: int) -> dict[str, Curve]:
    """Curves of `training.score_metrics.reliability` by score; absent where there is too little to tell.

    Args:
        rows: all there are to fit on.
        config: what is scored.
        seed: of the fits.
    """
    found: dict[str, Curve] = {}
    for days, labels in (
        (config.window_days, {"likelihood_to_purchase": rows.orders > 0, "expected_orders": rows.orders}),
        (config.churn_days, {"churn_risk": rows.orders_churn == 0}),
    ):
        over = rows.orders if days == config.window_days else rows.orders_churn
        split = _split(rows, over, days)
        if split is None:
            continue
        models = fit_scores(some(rows, split[0]), config, seed=seed)
        for name, happened in labels.items():
            curve = _curve(models, rows, split[1], name, np.asarray(happened, dtype=np.float64))
            if curve is not None:
                found[name] = curve
    return found


def some(rows: ScoreRows, taken: Ints) -> ScoreRows:
    """Some of the rows, by number."""
    labels: dict[str, Any] = {
        field.name: getattr(rows, field.name)[taken]
        for field in fields(rows)
        if field.name not in ("crowd", "year_days")
    }
    return replace(rows, crowd=rows_of(rows.crowd, taken), **labels)


def _split(rows: ScoreRows, label: Floats, days: float) -> tuple[Ints, Ints] | None:
    """Rows whose labels were over before the newest moment with one, and those of it."""
    known = np.isfinite(label)
    if not known.any():
        return None
    at = rows.crowd.at
    newest = at[known].max()
    before, test = np.flatnonzero(at + days * DAY <= newest), np.flatnonzero(known & (at == newest))
    return (before, test) if min(len(before), len(test)) >= LEAST_ROWS else None


def _curve(models: ScoreModels, rows: ScoreRows, test: Ints, name: str, happened: Floats) -> Curve | None:
    told = models.score(rows_of(rows.crowd, test), only={name}).get(name)
    if not isinstance(told, Number):
        return None
    known = np.isfinite(told.values)
    return reliability(happened[test][known], told.values[known]) if known.sum() >= LEAST_ROWS else None
