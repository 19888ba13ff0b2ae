from __future__ import annotations

import numpy as np

from nba.scores import ScoresConfig
from tests.nba.test_scores import shop
from training.score_curves import score_curves, some


def test_what_is_told_of_the_newest_moment_happens() -> None:
    rows, _ = shop()
    config = ScoresConfig()
    found = score_curves(rows, config, seed=0)
    curve = found["likelihood_to_purchase"]
    newest = rows.crowd.at[np.isfinite(rows.orders)].max()
    assert sum(curve["n"]) <= (rows.crowd.at == newest).sum()
    told, happened, n = (np.array(curve[name]) for name in ("told", "happened", "n"))
    assert np.ptp(told) > 0.2  # people differ
    # A group's share lies within four standard errors of what was told, and a twentieth beside.
    assert (np.abs(told - happened) < 4 * np.sqrt(0.25 / n) + 0.05).all()


def test_too_little_has_no_curve() -> None:
    rows, _ = shop()
    newest = rows.crowd.at.max()
    assert score_curves(some(rows, np.flatnonzero(rows.crowd.at == newest)), ScoresConfig(), seed=0) == {}
    few = some(rows, np.arange(50))
    assert score_curves(few, ScoresConfig(), seed=0) == {}
    assert len(few.orders) == len(few.crowd) == 50
