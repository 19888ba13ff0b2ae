"""Measures of scores against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.score_metrics import Judged, Truth, compare, reliability

LOSS, AUC, CALIBRATION = (f"likelihood_to_purchase/{name}" for name in ("log_loss", "auc", "calibration_error"))
ORDERS, VALUE = "expected_orders/absolute_error", "value/absolute_error"


def numbers(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def test_by_hand() -> None:
    truth = Truth(numbers(0, 2, 1, 0), numbers(0, 20, 8, 0))
    ours = Judged(numbers(0.2, 0.8, 0.5, 0.5), numbers(0, 1, 2, 0), numbers(0, 10, 10, 4))
    rival = Judged(numbers(0.5, 0.5, 0.5, 0.5), numbers(0, 2, 1, 0), numbers(10, 10, 10, 10))
    found = compare(truth, ours, {"flat": rival, "other": ours}, resamples=50)
    assert list(found["metrics"]) == [LOSS, AUC, CALIBRATION, ORDERS, VALUE]
    assert found["metrics"][LOSS] == pytest.approx(-(2 * np.log(0.8) + 2 * np.log(0.5)) / 4)
    assert found["metrics"][AUC] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found["metrics"][CALIBRATION] == pytest.approx((0.2 + 0.2 + 0.5 + 0.5) / 4)  # each a group of its own
    assert found["metrics"][ORDERS] == pytest.approx(0.5)
    assert found["metrics"][VALUE] == pytest.approx(4.0)
    assert found["baselines"]["flat"]["metrics"][AUC] == 0.5
    assert found["difference"][LOSS] == {"value": 0.0, "ci": [0.0, 0.0], "against": "other"}
    assert found["difference"][AUC]["against"] == "other"
    assert found["difference"][ORDERS]["value"] == 0.5
    assert found["difference"][ORDERS]["against"] == "flat"


def test_intervals_are_those_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    orders = rng.poisson(2.0, 2_000).astype(np.float64)
    said = Judged(np.full(2_000, 0.8), np.zeros(2_000), None)
    found = compare(Truth(orders, orders), said, {"same": said})
    low, high = found["ci"][ORDERS]
    error = orders.std() / np.sqrt(2_000)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert VALUE not in found["metrics"]  # nobody said one


def test_without_both_kinds_there_is_no_auc() -> None:
    said = Judged(np.full(3, 0.5), np.ones(3), np.ones(3))
    assert AUC not in compare(Truth(np.ones(3), np.ones(3)), said, {"same": said}, resamples=5)["metrics"]


def test_without_prices_there_is_no_value() -> None:
    said = Judged(np.full(3, 0.5), np.ones(3), np.ones(3))
    assert VALUE not in compare(Truth(np.ones(3), np.full(3, np.nan)), said, {"same": said}, resamples=5)["metrics"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    bought, chance = np.array([row[0] for row in rows]), np.array([row[1] / 6 for row in rows])
    if bought.all() or not bought.any():
        return
    pairs = chance[bought][:, None] - chance[~bought][None, :]
    said = Judged(chance, np.zeros(len(rows)), None)
    found = compare(Truth(bought.astype(float), np.zeros(len(rows))), said, {"same": said}, resamples=2)
    assert found["metrics"][AUC] == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())


def test_chances_that_are_right_have_a_straight_curve() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(50_000)
    curve = reliability((rng.random(50_000) < chance).astype(np.float64), chance)
    assert sum(curve["n"]) == 50_000
    assert curve["happened"] == pytest.approx(curve["told"], abs=4 * 0.5 / np.sqrt(5_000))
    wrong = reliability((rng.random(50_000) < chance**2).astype(np.float64), chance)
    assert max(told - happened for told, happened in zip(wrong["told"], wrong["happened"], strict=True)) > 0.2
