"""Discount affinity and brand loyalty from a handful of purchases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nba.tastes import Bought, Share, Tastes, fit_tastes, share_of, usual_prices


def bought(*people: list[tuple[int, int, float]]) -> Bought:
    """Lines (time, product key, price) of some people."""
    return Bought.of(people)


#: Products 1 and 2 are of brand 0, product 3 of brand 1, product 4 of none; product 4 has no usual price.
TOLD = Tastes(
    key=np.array([1, 2, 3, 4]),
    usual=np.array([10.0, 20.0, 30.0, np.nan]),
    brand=np.array([0, 0, 1, -1], dtype=np.int32),
    bargains=Share(0.25, 4.0),
    familiar=Share(0.5, 2.0),
)


def test_shares_are_shrunk() -> None:
    found = TOLD.score(bought([(0, 1, 8.0), (0, 2, 20.0), (1, 3, 26.9), (2, 4, 1.0)], [(0, 1, 10.0)]))
    assert found["discount_affinity"].tolist() == pytest.approx([(2 + 1) / (3 + 4), (0 + 1) / (1 + 4)])


def test_a_little_below_the_usual_price_is_no_bargain() -> None:
    hits, lines = TOLD.bargain_lines(bought([(0, 1, 9.0), (1, 1, 8.99), (2, 1, 12.0), (3, 1, np.nan), (4, 99, 1.0)]))
    assert (hits.tolist(), lines.tolist()) == ([1], [3])


def test_a_brand_is_familiar_from_an_earlier_order() -> None:
    # first order: brand 0 twice; then brand 0, brand 1 (new) in one order; then brand 1 (known), no brand. The newer
    # half of the lines with a brand begins with the new one.
    one = [(0, 1, 1.0), (0, 2, 1.0), (1, 1, 1.0), (1, 3, 1.0), (2, 3, 1.0), (2, 4, 1.0)]
    hits, lines, _ = TOLD.familiar_lines(bought(one))
    assert (hits.tolist(), lines.tolist()) == ([1], [2])
    assert TOLD.score(bought(one))["brand_loyalty"].tolist() == [(1 + 1) / (2 + 2)]


def test_the_history_of_one_person_says_nothing_of_another() -> None:
    hits, lines, _ = TOLD.familiar_lines(bought([(0, 1, 1.0)], [], [(5, 1, 1.0), (6, 3, 1.0)]))
    assert (hits.tolist(), lines.tolist()) == ([0, 0, 0], [0, 0, 1])


def test_who_bought_nothing_has_no_tastes() -> None:
    found = TOLD.score(bought([], [(0, 4, 1.0)]))
    assert np.isnan(found["discount_affinity"]).all()
    assert np.isnan(found["brand_loyalty"]).all()
    assert TOLD.score(bought()) == {} or all(len(values) == 0 for values in TOLD.score(bought()).values())


def test_usual_prices_lie_near_the_upper_end() -> None:
    key = np.array([7] * 8 + [5] * 4 + [6] * 5)
    price = np.array([8.0, 10, 10, 10, 10, 10, 8, 8] + [3.0] * 4 + [np.nan] * 5)
    products, usual = usual_prices(key, price)
    assert products.tolist() == [5, 6, 7]
    assert np.isnan(usual[:2]).all()  # sold too seldom; no price known
    assert usual[2] == 10


def test_priors_are_recovered() -> None:
    rng = np.random.default_rng(0)
    lines = rng.integers(1, 30, 20_000).astype(float)
    hits = rng.binomial(lines.astype(int), rng.beta(2.0, 6.0, 20_000)).astype(float)
    found = share_of(hits, lines)
    assert found is not None
    assert found.mean == pytest.approx(0.25, abs=0.01)
    assert found.weight == pytest.approx(8.0, rel=0.1)


def test_people_who_are_all_alike_are_told_as_everybody() -> None:
    found = share_of(np.array([1.0, 2.0, 3.0] * 50), np.array([2.0, 4.0, 6.0] * 50))
    assert found is not None
    assert found.weight > 100
    assert found.of(np.array([1.0]), np.array([1.0]))[0] == pytest.approx(0.5, abs=0.01)


def test_too_little_to_fit_on() -> None:
    assert share_of(np.array([1.0]), np.array([2.0])) is None
    assert share_of(np.array([1.0, 0.0]), np.array([1.0, 1.0])) is None
    nothing = fit_tastes(bought([]), {})
    assert nothing.score(bought([(0, 1, 1.0)])) == {}


def test_fitted_on_purchases_and_written_down(tmp_path: Path) -> None:
    people = [[(time, 1 + (time + person) % 2, 10.0 if time % 4 else 5.0) for time in range(12)] for person in range(9)]
    fitted = fit_tastes(bought(*people), {1: 0, 2: 1})
    assert fitted.bargains is not None
    assert fitted.bargains.mean == pytest.approx(0.25)
    assert fitted.familiar is not None
    assert fitted.familiar.mean == 1
    fitted.write(tmp_path)
    for name, values in Tastes.read(tmp_path).score(bought(*people)).items():
        assert values.tolist() == fitted.score(bought(*people))[name].tolist()
    unfitted = Tastes(fitted.key, fitted.usual, fitted.brand, None, None)
    unfitted.write(tmp_path)
    assert Tastes.read(tmp_path).score(bought(*people)) == {}
