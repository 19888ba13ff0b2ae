"""Rankings follow the shop's traffic as training would have them, and not how it was portioned."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.events import DAY, EventLog, Kind
from features.histories import Histories, Ragged
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.grown import grown
from recommender.queries import Queries
from recommender.sources.ranking import RankingSource
from recommender.trends import Trends
from tests import logs, shops

CONFIG = RecommenderConfig.default({"sources": {"tried_lately": {"half_life_days": 365}}})


@pytest.fixture(scope="module")
def shop() -> tuple[EventLog, Recommender, Recommender, int]:
    """A log, a recommender of its first half, one of all of it, and the moment in between."""
    events, products = shops.planted_tastes(customers=40, products=18)
    products["sale_price"] = np.where(np.arange(18) % 3 == 0, products["price"] - 3, np.nan)
    log, catalogue = logs.encoded(events, products)
    cut, end = int(np.median(log.time)), int(log.time.max())
    early, late = (fit(log.known_before(at), catalogue, CONFIG, at=at) for at in (cut, end + 1))
    return log, early, late, cut


Columns = tuple[NDArray[np.int32], NDArray[np.int8], NDArray[np.int64]]


def since(log: EventLog, cut: int) -> Columns:
    rows = log.time >= cut
    return log.product[rows], log.kind[rows], log.time[rows]


def rankings(model: Recommender) -> dict[str, RankingSource]:
    every = {**model.sources, **{f"{name} of groups": one for name, one in model.group_sources.items()}}
    return {name: source for name, source in every.items() if isinstance(source, RankingSource)}


def test_rankings_are_those_that_training_would_have_made(
    shop: tuple[EventLog, Recommender, Recommender, int],
) -> None:
    log, early, late, cut = shop
    trends = Trends(early)
    trends.add(*since(log, cut))
    now, then = rankings(trends.applied(early)), rankings(late)
    for name in ("best_sellers", "this_week", "trending", "on_sale", "best_sellers of groups"):
        ours, trained = now[name].scores, then[name].scores
        scale = trained.max() / ours.max()  # a ranking has no unit
        np.testing.assert_allclose(ours * scale, trained, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(now[name].measure, then[name].measure, rtol=1e-5, err_msg=name)
        assert now[name].at == int(log.time.max())


def test_what_needs_to_know_who_stays_as_it_was(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    log, early, _, cut = shop
    trends = Trends(early)
    trends.add(*since(log, cut))
    assert trends.applied(early).sources["tried_lately"] is early.sources["tried_lately"]


def test_without_traffic_nothing_changes(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    _, early, _, _ = shop
    trends = Trends(early)
    trends.add(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.int64))
    assert trends.applied(early) is early


def equal(one: Recommender, other: Recommender) -> bool:
    ours, theirs = rankings(one), rankings(other)
    return ours.keys() == theirs.keys() and all(
        left.scores.tobytes() == right.scores.tobytes()
        and left.measure.tobytes() == right.measure.tobytes()
        and left.order.tolist() == right.order.tolist()
        and left.at == right.at
        for left, right in ((ours[name], theirs[name]) for name in ours)
    )


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=60, deadline=None)
def test_portions_do_not_matter_to_the_bit(
    shop: tuple[EventLog, Recommender, Recommender, int], seed: int, cuts: list[int]
) -> None:
    _, early, _, cut = shop
    rng = np.random.default_rng(seed)
    n = 60
    more = grown(early, ["new"], {"newer": {"title": "Taste 1", "price": 5.0, "sale_price": 2.0}})
    events = (
        rng.integers(0, len(more.catalogue), n).astype(np.int32),
        rng.choice([Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.IMPRESSION, Kind.REFUND], n).astype(np.int8),
        cut + rng.integers(-20, 400, n) * DAY + rng.integers(0, DAY, n),  # in any order: late ones too
    )
    whole, portions = Trends(early), Trends(early)
    whole.add(*events)
    for start, stop in pairwise(sorted({0, n, *cuts})):
        portions.add(events[0][start:stop], events[1][start:stop], events[2][start:stop])
        portions.applied(more)  # looking does not matter either
    assert equal(whole.applied(more), portions.applied(more))


def test_what_rises_now_trends(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    _, early, _, cut = shop
    trends = Trends(early)
    trends.add(np.full(50, 7, dtype=np.int32), np.full(50, Kind.PURCHASE, dtype=np.int8), cut + np.arange(50))
    now = rankings(trends.applied(early))
    assert now["trending"].order[0] == now["best_sellers"].order[0] == now["this_week"].order[0] == 7
    sold = rankings(early)["best_sellers"].measure[7]
    nobody = Queries(np.array([cut]), Histories.empty(1), Ragged.empty(1))
    [reason] = now["best_sellers"].reasons(nobody, 0, np.array([7], dtype=np.int32))
    assert reason == {"code": "popular", "purchases": float(sold + 50)}


def test_years_later_rankings_are_of_then(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    _, early, _, cut = shop
    trends = Trends(early)
    later = cut + 40 * 365 * DAY
    product, kind = np.array([3, 4, 3], dtype=np.int32), np.full(3, Kind.PURCHASE, dtype=np.int8)
    trends.add(product, kind, later + np.arange(3))
    now = rankings(trends.applied(early))
    assert now["best_sellers"].order[:2].tolist() == [3, 4]
    for ranking in now.values():
        assert np.isfinite(ranking.scores).all()
    assert now["best_sellers"].at == later + 2


def test_new_products_sell_and_arrive(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    _, early, _, cut = shop
    n = len(early.catalogue)
    more = grown(early, ["first", "second"], {"silent": {"title": "Nobody saw it"}})
    assert rankings(more)["new_arrivals"].order[:3].tolist() == [n, n + 1, n + 2]
    trends = Trends(early)
    trends.add(
        np.array([n, n + 1, n + 1], dtype=np.int32),
        np.array([Kind.VIEW, Kind.VIEW, Kind.PURCHASE], dtype=np.int8),
        cut + np.array([0, 10, 60]) * DAY,
    )
    now = rankings(trends.applied(more))
    assert now["new_arrivals"].order[:3].tolist() == [n + 2, n + 1, n]  # whom nobody saw has only just come
    assert now["new_arrivals"].measure[[n, n + 1, n + 2]].tolist() == [60, 50, 0]
    assert {n, n + 1} <= set(now["best_sellers"].order.tolist())
    grown_later = grown(early, ["first", "second", "third", "fourth"], {"silent": {"title": "Nobody saw it"}})
    assert len(rankings(trends.applied(grown_later))["best_sellers"].scores) == n + 5


def test_a_price_counts_for_what_is_on_sale(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    log, early, _, cut = shop
    trends = Trends(early)
    trends.add(*since(log, cut))
    attributes = early.catalogue.product(4) | {"price": 100.0, "sale_price": 1.0}
    now = trends.applied(grown(early, [], {early.catalogue.ids[4]: attributes}))
    assert rankings(now)["on_sale"].order[0] == 4


def test_what_was_applied_is_not_changed(shop: tuple[EventLog, Recommender, Recommender, int]) -> None:
    log, early, _, cut = shop
    trends = Trends(early)
    product, kind, time = since(log, cut)
    trends.add(product[:9], kind[:9], time[:9])
    first = trends.applied(early)
    before = rankings(first)["best_sellers"].scores.copy()
    trends.add(product[9:], kind[9:], time[9:])
    np.testing.assert_array_equal(rankings(first)["best_sellers"].scores, before)
    assert not equal(first, trends.applied(early))
