"""BG/NBD and Gamma-Gamma against numeric integration, simulated customers and the values of the papers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import dblquad, quad

from training.bg_nbd import BgNbd, GammaGamma, Purchases, fit_bg_nbd, fit_gamma_gamma, log_likelihood

Floats = NDArray[np.float64]

#: Fitted to the CDNOW customers in the paper, in weeks.
CDNOW = BgNbd(0.243, 4.414, 0.793, 2.426)


def one(repeats: float, last: float, age: float, mean: float = np.nan) -> Purchases:
    return Purchases(*(np.array([float(number)]) for number in (repeats, last, age, mean)))


def test_the_papers_example() -> None:
    # Fader, Hardie & Lee, "Implementing the BG/NBD model in Microsoft Excel" (2005): x = 2, t_x = 30.43, T = 38.86,
    # expected orders in the next 39 weeks: 1.226.
    assert CDNOW.orders(one(2, 30.43, 38.86), 39)[0] == pytest.approx(1.226, abs=5e-3)


def test_somebody_without_repeats_is_not_lost() -> None:
    assert CDNOW.alive(one(0, 0, 500))[0] == 1


def test_the_likelihood_is_that_of_the_story() -> None:
    """The likelihood given λ and p, integrated over both."""
    x, last, age = 2, 10.0, 25.0

    def given_both(p: float, rate: float) -> float:
        stays = (1 - p) ** x * rate**x * np.exp(-rate * age)
        leaves = p * (1 - p) ** (x - 1) * rate**x * np.exp(-rate * last)
        prior = stats.gamma.pdf(rate, CDNOW.r, scale=1 / CDNOW.alpha) * stats.beta.pdf(p, CDNOW.a, CDNOW.b)
        return float((stays + leaves) * prior)

    expected, _ = dblquad(given_both, 0, 5, 0, 1)
    assert np.exp(log_likelihood(CDNOW, one(x, last, age))[0]) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=40)
@given(
    st.floats(0.2, 5),
    st.floats(0.5, 60),
    st.floats(0.3, 3),
    st.floats(0.5, 8),
    st.integers(0, 60),
    st.floats(0.1, 1),
    st.floats(5, 100),
)
def test_expected_orders_are_those_of_the_story(
    r: float, alpha: float, a: float, b: float, x: int, share: float, days: float
) -> None:
    """Of somebody not lost: λ ~ Gamma(r + x, α + T), p ~ Beta(a, b + x), (1 − e^(−λpt)) / p orders to come."""
    model, age = BgNbd(r, alpha, a, b), 50.0
    known = one(x, age * share if x else 0, age)

    def given_p(u: float) -> float:
        p = stats.beta.ppf(u, a, b + x)
        return (
            float(-np.expm1(-(r + x) * np.log1p(p * days / (alpha + age))) / p)
            if p > 0
            else (r + x) * days / (alpha + age)
        )

    expected, _ = quad(given_p, 0, 1, limit=200)
    assert model.orders(known, days)[0] == pytest.approx(expected * model.alive(known)[0], rel=1e-4)


def test_a_of_one_is_no_exception() -> None:
    near = [BgNbd(0.5, 5, a, 2).orders(one(3, 10, 20), 30)[0] for a in (0.999, 1.0, 1.001)]
    assert near[0] > near[1] > near[2]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-4)


def test_many_orders_do_not_overflow() -> None:
    known = one(5_000, 365, 365)
    assert 300 < CDNOW.orders(known, 28)[0] < 400
    assert CDNOW.buys(known, 28)[0] == pytest.approx(CDNOW.alive(known)[0])
    assert CDNOW.alive(one(5_000, 100, 365))[0] == 0


def simulated(model: BgNbd, n: int, age: float, days: float) -> tuple[Purchases, Floats]:
    """Customers of whom the story is true, and how often each orders in the days after."""
    rng = np.random.default_rng(1)
    rates, leaves = rng.gamma(model.r, 1 / model.alpha, n), rng.beta(model.a, model.b, n)
    repeats, last, later = np.zeros(n), np.zeros(n), np.zeros(n)
    for customer in range(n):
        time = 0.0
        while True:
            time += rng.exponential(1 / rates[customer])
            if time > age + days:
                break
            if time <= age:
                repeats[customer], last[customer] = repeats[customer] + 1, time
            else:
                later[customer] += 1
            if rng.random() < leaves[customer]:
                break
    return Purchases(repeats, last, np.full(n, age), np.full(n, np.nan)), later


def test_simulated_customers_are_understood() -> None:
    truth = BgNbd(0.8, 12.0, 0.6, 3.0)
    known, later = simulated(truth, 6_000, 100.0, 50.0)
    found = fit_bg_nbd(known)
    assert found.r / found.alpha == pytest.approx(truth.r / truth.alpha, rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.2)
    assert log_likelihood(found, known).sum() >= log_likelihood(truth, known).sum()
    # four standard errors of a mean of 6,000
    for model in (truth, found):
        assert abs(model.orders(known, 50).mean() - later.mean()) < 4 * later.std() / np.sqrt(6_000)
        assert abs(model.buys(known, 50).mean() - (later > 0).mean()) < 4 * 0.5 / np.sqrt(6_000)


def test_values_of_orders_are_shrunk_to_everybodys() -> None:
    rng = np.random.default_rng(2)
    truth = GammaGamma(6.0, 4.0, 15.0)  # mean 30
    n = rng.integers(1, 9, 5_000)
    rates = rng.gamma(truth.q, 1 / truth.gamma, 5_000)
    mean = rng.gamma(truth.p * n, 1 / (rates * n))
    known = Purchases((n - 1).astype(np.float64), np.zeros(5_000), np.ones(5_000), mean)
    found = fit_gamma_gamma(known)
    assert found.mean(one(0, 0, 1))[0] == pytest.approx(30, rel=0.05)
    expected = truth.p * (truth.gamma + n * mean) / (truth.p * n + truth.q - 1)
    assert np.abs(found.mean(known) / expected - 1).mean() < 0.02
    ends = [found.mean(one(repeats, 0, 1, 90.0))[0] for repeats in (0, 3, 300)]
    assert 30 < ends[0] < ends[1] < ends[2] < 90


def test_worthless_orders_have_everybodys_value() -> None:
    model = GammaGamma(6.0, 4.0, 15.0)
    assert model.mean(Purchases(np.ones(2), np.ones(2), np.ones(2), np.array([0.0, np.nan]))).tolist() == [30, 30]


def test_nobody_to_fit_on() -> None:
    nobody = Purchases(*(np.zeros(0) for _ in range(4)))
    with pytest.raises(ValueError, match="customers who bought"):
        fit_bg_nbd(nobody)
    with pytest.raises(ValueError, match="worth something"):
        fit_gamma_gamma(nobody)
