"""Closed-form linear models against their formulas, solved densely."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from recommender.config import RecommenderConfig
from recommender.sources import linear, transitions, two_hop
from recommender.sources.linear import LinearConfig
from recommender.sources.two_hop import TwoHopConfig
from tests import logs, shops


def test_same_is_ease() -> None:
    log, _ = logs.encoded(*shops.planted_tastes(customers=30, products=9, orders=2))
    table = linear.fit(log, LinearConfig(regularization=3.0)).table.toarray()
    given = np.zeros((len(log.people), len(log.products)))
    given[log.person, log.product] = 1
    inverse = np.linalg.inv(given.T @ given + 3.0 * np.eye(given.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(table, np.maximum(expected, 0), atol=1e-5)


def test_next_is_a_ridge_regression_from_before_to_after() -> None:
    log, _ = logs.log_of(
        [
            ("purchase", day, who, what)
            for who, bag in (("a", "xyz"), ("b", "xyy"), ("c", "zx"))
            for day, what in enumerate(bag)
        ]
    )
    config = LinearConfig(predicts="next", regularization=0.5, profile_decay=0.5, reach=2)
    table = linear.fit(log, config).table.toarray()
    x, y, z = np.eye(3)
    before, after = [], []
    for steps in ((x, y, z), (x, y), (z, x)):  # y twice in a row is one step
        for at in range(len(steps)):
            weight = 1 / np.sqrt(len(steps))
            before.append(weight * sum(0.5 ** (at - s) * steps[s] for s in range(at + 1)))
            after.append(weight * sum((0.5 ** (s - at - 1) * steps[s] for s in range(at + 1, len(steps))), np.zeros(3)))
    given, target = np.array(before), np.array(after)
    expected = np.linalg.solve(given.T @ given + 0.5 * np.eye(3), given.T @ target)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(table, np.maximum(expected, 0), atol=1e-5)


def test_only_the_products_of_most_people_are_in_it() -> None:
    events, products = shops.planted_tastes(customers=30, products=9)
    log, _ = logs.encoded(events, products)
    table = linear.fit(log, LinearConfig(products=4)).table
    assert table.shape == (9, 9)
    assert len(np.unique(table.indices)) <= 4
    assert linear.fit(logs.encoded(shops.one_product())[0], LinearConfig()).table.nnz == 0


def test_two_hops_reach_what_shares_no_shopper() -> None:
    log, _ = logs.log_of(
        [
            ("view", day, who, what)
            for who, bag in (("a", "xy"), ("b", "yz"), ("c", "xy"))
            for day, what in enumerate(bag)
        ]
    )
    one = transitions.fit(log, logs.end_of(log), transitions.TransitionsConfig(reverse=0.0))
    two = two_hop.fit(one, one, TwoHopConfig())
    x, z = log.products.code("x"), log.products.code("z")
    assert one.table[x, z] == 0
    assert two.table[x, z] > 0
    direct = one.table.toarray()
    scaled = direct / np.sqrt(np.maximum(direct.sum(axis=1), 1e-12))[:, None]
    expected = scaled @ scaled
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(two.table.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": {"two_hop": {"of": "best_sellers"}}}, "no source with a table of neighbours"),
        ({"placements": {"recommended_for_you": {"rankers": ["none"]}}}, "names the ranker 'none'"),
        ({"rankers": {"next_step": {"sources": ["nothing"]}}}, "names the source 'nothing'"),
    ],
)
def test_names_must_be_there(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=message):
        RecommenderConfig.default(changes)
