"""Several models asked in one call say what each of them says."""

from __future__ import annotations

import numpy as np
import pytest

from nba.boosted import Boosted, Kind, fit
from nba.together import Together, joined


def models(kinds: list[tuple[Kind, int]]) -> tuple[list[Boosted], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Models of some kinds and numbers of trees, and features of which a fifth are null."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 4))
    features[rng.random(features.shape) < 0.2] = np.nan
    level = np.nan_to_num(features[:, 0])
    labels = {
        "chance": (rng.random(800) < 1 / (1 + np.exp(-level))).astype(np.float64),
        "count": rng.poisson(np.exp(level)).astype(np.float64),
        "amount": 10 * rng.poisson(np.exp(level)).astype(np.float64),
        "median": level + rng.normal(size=800),
    }
    late = np.arange(800) >= 500
    found = []
    for kind, trees in kinds:
        model = fit(kind, features, np.zeros(800), labels[kind], early=~late, late=late, trees=trees)
        assert model is not None
        found.append(model)
    return found, features


@pytest.mark.parametrize(
    "kinds",
    [
        [("chance", 20)],
        [("chance", 20), ("count", 20), ("amount", 20), ("median", 20)],
        [("median", 3), ("chance", 17), ("count", 9)],
        [("count", 5), ("count", 30)],
    ],
)
def test_together_as_alone(kinds: list[tuple[Kind, int]]) -> None:
    found, features = models(kinds)
    offset = np.random.default_rng(1).normal(size=(800, len(found)))
    together = Together(found).predict(features, offset)
    for place, model in enumerate(found):
        np.testing.assert_allclose(together[:, place], model.predict(features, offset[:, place]), rtol=1e-12)


def test_every_model_has_a_column_of_its_own() -> None:
    found, features = models([("chance", 4), ("count", 6)])
    told = np.asarray(joined([model.booster for model in found]).predict(features, raw_score=True))
    assert told.shape == (800, 2)
    assert np.abs(told[:, 0] - told[:, 1]).max() > 0.1


def test_what_is_told_of_nobody() -> None:
    found, _ = models([("chance", 4), ("count", 6)])
    assert Together(found).predict(np.zeros((0, 4)), np.zeros((0, 2))).shape == (0, 2)


def test_calibration_is_found() -> None:
    """Late rows happen half as often as early ones; the chance told of all is theirs."""
    rng = np.random.default_rng(2)
    features, late = rng.normal(size=(4_000, 2)), np.arange(4_000) >= 2_000
    label = (rng.random(4_000) < np.where(late, 0.2, 0.4)).astype(np.float64)
    model = fit("chance", features, np.zeros(4_000), label, early=~late, late=late, trees=5)
    assert model is not None
    assert model.calibrated
    assert model.intercept < -0.5


def test_too_little_is_not_fitted() -> None:
    features, late = np.zeros((300, 2)), np.arange(300) >= 200
    untold: list[tuple[Kind, float]] = [("chance", 1.0), ("chance", 0.0), ("amount", 0.0)]
    for kind, value in untold:
        label = np.full(300, value)
        assert fit(kind, features, np.zeros(300), label, early=~late, late=late) is None
    assert fit("median", features[:100], np.zeros(100), np.ones(100), early=~late[:100], late=late[:100]) is None
