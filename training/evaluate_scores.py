"""How good scores are: fitted on what was known before a moment, judged by the window after it, beside baselines.

Two windows of equal length meet at the cut. Labels of the rows that are fitted on lie before it, the newest of them in
the window that ends there; every customer who had done anything by then is scored as known at the cut, and judged by
the window that begins there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Number
from features.events import DAY, EventLog
from nba.scores import ScoreRows, ScoresConfig, fit_scores
from training.bg_nbd import fit_bg_nbd, fit_gamma_gamma
from training.crowds import people_of
from training.loading import Shop
from training.score_metrics import Judged, Truth, compare, reliability
from training.score_rows import bought_at, codes_of, customers_at, future, purchases_at, score_rows, tastes_of
from training.split import EvaluationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Told the step, how many of its parts are done, and how many there are.
Report = Callable[[str, int, int], None]

#: What the baseline ``recency`` looks at.
RECENCY = ("since_purchase",)


def evaluate_scores(
    shop: Shop,
    config: ScoresConfig | None = None,
    *,
    at: int | None = None,
    seed: int = 0,
    cache_folder: Path | None = None,
    progress: Report = lambda step, done, total: None,
) -> dict[str, Any]:
    """Fit before the cut, score at it, compare with the baselines: the evaluation's JSON (keys in docs/stages.md).

    Args:
        shop: the data.
        config: what is scored.
        at: the cut, microseconds UTC; None: a window before the end.
        seed: for fitting and for the resamples.
        cache_folder: where compiled code is kept.
        progress: told after each step.

    Raises:
        EvaluationError: the data cannot be evaluated this way.
    """
    config = config or ScoresConfig()
    window = round(config.window_days * DAY)
    cut = shop.end - window if at is None else at
    if cut + window > shop.end:
        raise EvaluationError(
            f"the data ends {(shop.end - cut) / DAY:.1f} days after the cut, and the window is {config.window_days:g} "
            "days long; cut earlier or take a shorter window"
        )
    people, log = people_of(shop.dataset), shop.log
    progress("rows", 0, 1)
    started = time.perf_counter()
    rows = score_rows(people, log, cut, config, seed=seed, cache_folder=cache_folder)
    progress("rows", 1, 1)
    if rows is None:
        raise EvaluationError(f"scores need more than two windows of {config.window_days:g} days before the cut")
    models = fit_scores(rows, config, tastes=tastes_of(log, shop.catalogue, cut), seed=seed)
    fit_seconds = time.perf_counter() - started
    progress("fit", 1, 2)
    if "likelihood_to_purchase" not in models.models or "expected_orders" not in models.models:
        raise EvaluationError(
            "there is too little to fit on: scores need 200 rows of customers, 20 of whom buy in the window after and "
            "20 of whom do not"
        )
    recency = fit_scores(rows, config, features=RECENCY, own=False, seed=seed)
    progress("fit", 2, 2)
    crowd = customers_at(people, log, np.array([cut]), cache_folder=cache_folder)
    person = codes_of(log, crowd)
    after = future(log, person, crowd.at, config.window_days, until=cut + window)
    truth = Truth(after.orders, after.value)
    started = time.perf_counter()
    ours = judged(models.score(crowd, bought_at(log, person, cut)))
    score_seconds = time.perf_counter() - started
    rivals = {"recency": judged(recency.score(crowd)), "bg_nbd": bg_nbd(log, person, rows, cut, config)}
    progress("intervals", 0, 1)
    compared = compare(truth, ours, rivals, seed=seed)
    progress("intervals", 1, 1)
    return {
        "split": "scores",
        "part": "test",
        "at": (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=cut)).isoformat(),
        "window_days": config.window_days,
        "customers": len(crowd),
        "items": len(shop.catalogue),
        "rows": len(rows.orders),
        "skipped": int((~log.anonymous).sum()) - len(crowd),
        **compared,
        "calibration": {
            name: reliability((truth.orders > 0).astype(np.float64), one.chance)
            for name, one in {"segue": ours, **rivals}.items()
        },
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
    }


def judged(scores: dict[str, Number]) -> Judged:
    """Scores as they are compared."""
    value = scores.get("predicted_value")
    return Judged(
        scores["likelihood_to_purchase"].values,
        scores["expected_orders"].values,
        None if value is None else value.values,
    )


def bg_nbd(log: EventLog, person: Ints, rows: ScoreRows, cut: int, config: ScoresConfig) -> Judged:
    """What BG/NBD and Gamma-Gamma say, fitted on everybody's orders before the cut.

    Of those who never bought they say nothing: these get what such customers did in the newest window before the cut.
    """
    known, bought = purchases_at(log, person, cut)
    model, days = fit_bg_nbd(known), config.window_days
    newest = rows.crowd.at == rows.crowd.at.max()
    strangers = newest & ~(rows.crowd.state[:, rows.crowd.names.index("orders")] > 0)

    def filled(of_buyers: Floats, label: Floats) -> Floats:
        told = np.full(len(person), float(label[strangers].mean()) if strangers.any() else 0.0)
        told[bought] = of_buyers
        return told

    orders = model.orders(known, days)
    value = None
    if not np.isnan(rows.value).any() and (known.mean > 0).any():
        value = filled(orders * fit_gamma_gamma(known).mean(known), rows.value)
    return Judged(
        filled(model.buys(known, days), (rows.orders > 0).astype(np.float64)), filled(orders, rows.orders), value
    )
