"""Scores of crowds whose future is drawn from a known law."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features.events import DAY
from features.slots import CUSTOMER
from nba import boosted
from nba.crowd import Crowd, rows_of
from nba.known import SCORES
from nba.own_pace import chance_of, pace
from nba.scores import ScoreModels, ScoreRows, ScoresConfig, fit_scores
from nba.tastes import TASTES, Bought, Share, Tastes
from tests.nba.people import NOW, crowd

Floats = NDArray[np.float64]


def shop(n: int = 6_000, *, moments: int = 8, seed: int = 0) -> tuple[ScoreRows, Floats]:
    """Rows of people who order at random at a rate of their own, which their state tells, and these rates (a day).

    One in five has never bought and does so rarely. Orders are worth 20 on average.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(2.0, 0.02, n)
    buyer = rng.random(n) < 0.8
    rate = np.where(buyer, rate, 0.005)
    known = rng.uniform(30, 400, n)
    orders = np.where(buyer, np.minimum(rng.poisson(rate * known) + 1, 32), 0).astype(np.float64)
    at = NOW + rng.integers(moments, size=n) * 28 * DAY
    left = at.max() + 28 * DAY - at  # what is known ends a window after the newest moment
    people = crowd(
        {
            "known_for": known,
            "orders": orders,
            "orders_mean_gap": np.where(orders > 1, 1 / rate, np.nan),
            "since_purchase": np.where(buyer, rng.exponential(1 / rate), np.nan),
            "revenue_90d": np.where(buyer, 20 * rate * 90 / np.log(2), 0.0),
            "views_7d": rng.exponential(2.0, n),
        },
        at,
    )
    soon, later, long = rng.poisson(rate * 28), rng.poisson(rate * 62), rng.poisson(rate * 110)

    def over(label: Floats, days: float) -> Floats:
        return np.where(left >= days * DAY, label, np.nan)

    rows = ScoreRows(
        crowd=people,
        orders=soon.astype(np.float64),
        value=20 * soon.astype(np.float64),
        orders_churn=over((soon + later).astype(np.float64), 90),
        value_year=over(20 * (soon + later + long).astype(np.float64), 200),
        next_order=over(rng.exponential(1 / rate), 90),
        year_days=200.0,
    )
    return rows, rate


@pytest.fixture(scope="module")
def fitted() -> ScoreModels:
    rows, _ = shop()
    tastes = Tastes(np.array([1]), np.array([10.0]), np.zeros(1, dtype=np.int32), Share(0.2, 3.0), Share(0.6, 3.0))
    return fit_scores(rows, tastes=tastes)


def values_of(models: ScoreModels, people: Crowd) -> dict[str, Floats]:
    return {name: column.values for name, column in models.score(people).items()}


def test_every_score_has_its_name(fitted: ScoreModels) -> None:
    assert {*fitted.models, *TASTES} == set(SCORES)


def test_what_is_told_comes_true(fitted: ScoreModels) -> None:
    """Customers that were not fitted on, in groups by what is told: 1,200 a group, four standard errors."""
    rows, rate = shop(seed=1)
    told = values_of(fitted, rows.crowd)
    bought = rows.orders > 0
    for group in np.array_split(np.argsort(told["likelihood_to_purchase"]), 5):
        assert told["likelihood_to_purchase"][group].mean() == pytest.approx(bought[group].mean(), abs=0.06)
    for group in np.array_split(np.argsort(told["expected_orders"]), 5):
        mean = rows.orders[group].mean()
        assert told["expected_orders"][group].mean() == pytest.approx(mean, abs=0.05 + 0.1 * mean)
        assert told["predicted_value"][group].mean() == pytest.approx(20 * mean, abs=1.5 + 2 * mean)
    buyer = rows.crowd.state[:, CUSTOMER.features.index("orders")] > 0
    churned = told["churn_risk"]
    assert churned[buyer].mean() == pytest.approx(np.exp(-90 * rate[buyer]).mean(), abs=0.04)
    assert np.isnan(churned[~buyer]).all()
    assert told["lifetime_value"].mean() == pytest.approx((365 * 20 * rate).mean(), rel=0.1)


def test_half_order_before_the_time_told(fitted: ScoreModels) -> None:
    rows, rate = shop(seed=2)
    told = values_of(fitted, rows.crowd)["expected_next_order_days"]
    there = ~np.isnan(told)
    came = np.random.default_rng(3).exponential(1 / rate)
    assert (came[there] < told[there]).mean() == pytest.approx(0.5, abs=0.06)
    quick, slow = rate > np.quantile(rate[there], 0.9), (rate < np.quantile(rate[there], 0.1)) & there
    assert told[quick & there].mean() < told[slow].mean() / 3


def test_the_state_tells_more_than_one_feature_of_it() -> None:
    rows, _ = shop()
    test, _ = shop(seed=4)
    bought = (test.orders > 0).astype(np.float64)

    def loss(models: ScoreModels) -> float:
        chance = values_of(models, test.crowd)["likelihood_to_purchase"]
        return float(-(bought * np.log(chance) + (1 - bought) * np.log1p(-chance)).mean())

    assert loss(fit_scores(rows)) < loss(fit_scores(rows, features=("since_purchase",), own=False)) - 0.01


def test_nobody_can_be_told_of_who_did_nothing(fitted: ScoreModels) -> None:
    told = values_of(fitted, crowd({"known_for": np.array([np.nan, 10.0])}))
    assert len(told) == 6
    for name, values in told.items():
        assert np.isnan(values[0]), name
        assert np.isnan(values[1]) == (name in ("churn_risk", "expected_next_order_days")), name


def test_features_that_are_not_there_are_null(fitted: ScoreModels) -> None:
    rows, _ = shop(50)
    place = CUSTOMER.features.index("known_for")
    small = replace(rows.crowd, names=("known_for",), state=rows.crowd.state[:, [place]])
    rest = replace(rows.crowd, state=np.where(np.arange(len(CUSTOMER.features)) == place, rows.crowd.state, np.nan))
    for name, values in values_of(fitted, small).items():
        np.testing.assert_array_equal(values, values_of(fitted, rest)[name])


def test_one_is_told_as_among_many(fitted: ScoreModels) -> None:
    rows, _ = shop(40)
    together = values_of(fitted, rows.crowd)
    for row in range(40):
        alone = values_of(fitted, rows_of(rows.crowd, np.array([row])))
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][row], rtol=1e-12)


def test_only_what_is_asked_for(fitted: ScoreModels) -> None:
    rows, _ = shop(5)
    bought = Bought(np.arange(6), np.zeros(5, dtype=np.int64), np.ones(5, dtype=np.int64), np.full(5, 10.0))
    assert set(fitted.score(rows.crowd, bought)) == set(SCORES)
    assert set(fitted.score(rows.crowd, bought, only=("churn_risk", "brand_loyalty"))) == {
        "churn_risk",
        "brand_loyalty",
    }
    assert fitted.score(rows.crowd, only=TASTES) == {}


def test_nobody_at_all(fitted: ScoreModels) -> None:
    for values in values_of(fitted, crowd({"known_for": np.zeros(0)})).values():
        assert len(values) == 0


def test_written_down(fitted: ScoreModels, tmp_path: Path) -> None:
    fitted.write(tmp_path / "scores")
    again = ScoreModels.read(tmp_path / "scores")
    rows, _ = shop(200, seed=5)
    for name, values in values_of(fitted, rows.crowd).items():
        np.testing.assert_array_equal(values_of(again, rows.crowd)[name], values)
    assert (again.config, again.names, again.tastes is not None) == (fitted.config, fitted.names, True)


def test_a_shop_without_purchases_has_no_scores() -> None:
    rows, _ = shop(500)
    nothing, never = np.zeros(500), np.full(500, np.inf)
    state = {"known_for": np.full(500, 9.0), "views_7d": np.linspace(0, 5, 500)}
    quiet = replace(
        rows,
        crowd=crowd(state, rows.crowd.at),
        orders=nothing,
        value=np.full(500, np.nan),
        orders_churn=nothing,
        value_year=np.full(500, np.nan),
        next_order=never,
    )
    models = fit_scores(quiet)
    assert models.models == {}
    assert models.score(quiet.crowd) == {}


def test_the_same_rows_give_the_same_models() -> None:
    rows, _ = shop(1_500)
    one, other = fit_scores(rows, seed=3), fit_scores(rows, seed=3)
    for name, values in values_of(one, rows.crowd).items():
        np.testing.assert_array_equal(values_of(other, rows.crowd)[name], values)


def test_what_changed_of_late_is_calibrated() -> None:
    """Everybody orders half as often in the newest window."""
    rows, rate = shop()
    newest = rows.crowd.at == rows.crowd.at.max()
    halved = np.where(newest, np.random.default_rng(6).poisson(rate * 14), rows.orders)
    told = values_of(fit_scores(replace(rows, orders=halved)), rows.crowd)
    assert told["expected_orders"].mean() == pytest.approx((rate * 14).mean(), rel=0.15)
    assert told["likelihood_to_purchase"].mean() == pytest.approx((1 - np.exp(-rate * 14)).mean(), abs=0.05)


def test_a_pace_by_hand() -> None:
    found = pace(
        crowd(
            {
                "orders": np.array([3.0, 1.0, 0.0]),
                "orders_mean_gap": np.array([10.0, np.nan, np.nan]),
                "orders_last_gap": np.array([5.0, np.nan, np.nan]),
                "since_purchase": np.array([6.0, 6.0, np.nan]),
                "known_for": np.array([50.0, 50.0, 20.0]),
            }
        )
    )
    assert found.orders.tolist() == pytest.approx([3.5 / (26 + 14), 1.5 / (6 + 14), 0.5 / (20 + 14)])
    assert found.overdue[0] == pytest.approx(0.6)
    assert found.quickened[0] == pytest.approx(0.5)
    assert found.wait[0] == pytest.approx(4.0)
    assert np.isnan(found.wait[1:]).all()
    assert found.revenue.tolist() == [0, 0, 0]


def test_spending_that_goes_on_is_read_from_a_sum_that_fades() -> None:
    # 2 a day for years: the sum with a half-life of 90 days has reached 2 · 90 / ln 2
    steady = crowd({"known_for": np.array([4_000.0]), "revenue_90d": np.array([2 * 90 / np.log(2)])})
    assert pace(steady).revenue[0] == pytest.approx(2)


def test_a_chance_of_orders_at_random() -> None:
    assert boosted.level("chance", chance_of(np.array([0.5, 3.0]))).tolist() == pytest.approx(
        [1 - np.exp(-0.5), 1 - np.exp(-3.0)]
    )
    assert np.isfinite(chance_of(np.array([0.0, 1e9]))).all()


def test_a_window_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="window_days"):
        ScoresConfig(window_days=0)
