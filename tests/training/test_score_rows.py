"""Rows that scores are fitted on: what came before a moment, what came after it, and nothing that nobody knew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.events import DAY, EventLog
from features.people import digest
from nba.scores import ScoresConfig
from tests.diaries import diary
from tests.logs import day
from training.crowds import people_of
from training.loading import Shop, load
from training.score_rows import bought_at, customers_at, days_to_order, future, purchases_at, score_rows, tastes_of

NOW = datetime(2027, 6, 1, tzinfo=UTC)
START = pd.Timestamp("2026-01-01", tz="UTC")


def minutes(days: float) -> int:
    return round(days * 24 * 60)


def log(*lines: str) -> EventLog:
    """Lines ``customer day event product …`` as a log; the calendar begins on 2026-01-01."""
    split = [line.split() for line in lines]
    for words in split:
        words[1] = str(minutes(float(words[1])))
        words[:] = [f"known={minutes(float(word[6:]))}" if word.startswith("known=") else word for word in words]
    return diary("\n".join(" ".join(words) for words in split))


#: ann: an order of two lines on day 1, one on day 10, one on day 12, whose line is refunded on day 30.
PAST = (
    "ann 1 purchase p price=10 quantity=2",
    "ann 1 purchase q price=5",
    "bob 2 purchase p price=10",
    "ann 10 purchase p price=8",
    "ann 12 purchase q price=4 order_id=o",
    "ann 30 refund q order_id=o",
)


def test_the_future_begins_at_the_moment() -> None:
    past = log(*PAST)
    ann, bob = past.people.code("ann"), past.people.code("bob")
    person, at = np.array([ann, ann, ann, bob, bob]), np.array([day(1), day(1) + 1, day(10), day(1), day(3)])
    found = future(past, person, at, 9, until=day(20))
    assert found.orders.tolist() == [1, 1, 2, 1, 0]  # from day 1: not the one of day 10; a moment later: only that
    assert found.value.tolist() == [25, 8, 12, 10, 0]


def test_what_was_refunded_by_then_does_not_count() -> None:
    past = log(*PAST)
    ann = np.array([past.people.code("ann")])
    before, after = (future(past, ann, np.array([day(11)]), 5, until=day(moment)) for moment in (29, 31))
    assert (before.orders[0], before.value[0]) == (1, 4)
    assert (after.orders[0], after.value[0]) == (0, 0)


def test_what_was_not_known_by_then_does_not_count() -> None:
    past = log("ann 1 purchase p price=10", "ann 5 purchase p price=10 known=40")
    ann = np.array([past.people.code("ann")])
    found = [future(past, ann, np.array([day(2)]), 10, until=day(moment)).orders[0] for moment in (40, 41)]
    assert found == [0, 1]


def test_a_time_that_is_not_over_says_nothing() -> None:
    past = log(*PAST)
    ann = np.array([past.people.code("ann")] * 2)
    found = future(past, ann, np.array([day(10), day(10) + 1]), 10, until=day(20))
    assert np.isnan(found.orders).tolist() == [False, True]
    assert np.isnan(found.value).tolist() == [False, True]


def test_without_prices_there_is_no_value() -> None:
    past = log("ann 1 purchase p", "ann 5 purchase p")
    found = future(past, np.array([past.people.code("ann")]), np.array([day(2)]), 5, until=day(9))
    assert found.orders[0] == 1
    assert np.isnan(found.value[0])


def test_days_to_the_next_order() -> None:
    past = log(*PAST)
    ann, bob = past.people.code("ann"), past.people.code("bob")
    person = np.array([ann, ann, ann, ann, bob])
    at = np.array([day(0), day(1) + 1, day(10), day(13), day(3)])
    found = days_to_order(past, person, at, until=day(20))
    assert found.tolist() == pytest.approx([1, 9, 0, np.inf, np.inf], abs=1e-6)


def test_how_often_and_how_lately_people_bought() -> None:
    past = log(*PAST, "eve 3 view p")
    person = past.people.codes(["ann", "bob", "eve"]).astype(np.int64)
    known, bought = purchases_at(past, person, day(20))
    assert bought.tolist() == [True, True, False]
    assert known.repeats.tolist() == [2, 0]
    assert known.last.tolist() == pytest.approx([11, 0])
    assert known.age.tolist() == pytest.approx([19, 18])
    assert known.mean.tolist() == pytest.approx([(25 + 8 + 4) / 3, 10])
    later, _ = purchases_at(past, person, day(31))  # the third order was refunded
    assert (later.repeats[0], later.last[0]) == (1, pytest.approx(9))


def test_what_people_had_bought() -> None:
    past = log(*PAST, "eve 3 view p")
    person = past.people.codes(["eve", "bob", "ann"]).astype(np.int64)
    found = bought_at(past, person, day(12))
    assert found.start.tolist() == [0, 0, 1, 4]
    assert found.price.tolist() == [10, 10, 5, 8]
    assert found.key.tolist() == [digest(product) for product in "ppqp"]
    assert bought_at(past, person, day(31)).start.tolist() == [0, 0, 1, 4]  # refunded


def shop(folder: Path, *, days: int = 200, customers: int = 40, products: bool = True) -> Shop:
    """People who come every so many days, one more each; half of them buy."""
    rows = []
    for customer in range(customers):
        for visit in range(customer % 7, days, 5 + customer % 11):
            bought = "purchase" if customer % 2 else "view"
            rows.append((f"c{customer:02}", START + pd.Timedelta(days=visit, hours=9), bought, f"p{visit % 3}", 10.0))
    events = pd.DataFrame(rows, columns=["customer_id", "timestamp", "event", "product_id", "price"])
    folder.mkdir(exist_ok=True)
    events.to_parquet(folder / "events.parquet")
    if products:
        table = pd.DataFrame({"product_id": ["p0", "p1", "p2"], "brand": ["a", "a", "b"]})
        table.to_parquet(folder / "products.parquet")
    return load(folder, now=NOW, rejected=folder.with_name(f"{folder.name}-rejected"))


CONFIG = ScoresConfig(window_days=14, churn_days=60)


def test_rows_know_nothing_of_what_came_later(tmp_path: Path) -> None:
    """The rows until a moment are the same whether or not the log goes on."""
    whole = shop(tmp_path / "whole", days=200)
    short = shop(tmp_path / "short", days=100)
    one, other = (score_rows(people_of(part.dataset), part.log, day(100), CONFIG) for part in (whole, short))
    assert one is not None
    assert other is not None
    assert one.crowd.ids == other.crowd.ids
    np.testing.assert_array_equal(one.crowd.state, other.crowd.state)
    for name in ("orders", "value", "orders_churn", "value_year", "next_order"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.crowd.at.max() == day(86)


def test_labels_are_those_of_the_days_after(tmp_path: Path) -> None:
    part = shop(tmp_path)
    rows = score_rows(people_of(part.dataset), part.log, day(190), CONFIG)
    assert rows is not None
    cuts = rows.crowd.at
    buys = np.array([int(name[1:]) % 2 == 1 for name in rows.crowd.ids])
    assert (rows.orders[~buys] == 0).all()
    assert rows.orders[buys].sum() > 0
    for row in np.flatnonzero(buys)[::50]:
        customer, cut = int(rows.crowd.ids[row][1:]), (cuts[row] - day(0)) / DAY
        visits = [visit + 9 / 24 for visit in range(customer % 7, 200, 5 + customer % 11)]
        assert rows.orders[row] == sum(cut <= visit < cut + 14 for visit in visits)
        assert rows.value[row] == 10 * rows.orders[row]
        known_for = rows.crowd.state[row, rows.crowd.names.index("known_for")]
        assert known_for == pytest.approx(cut - visits[0])


def test_only_those_who_had_done_something(tmp_path: Path) -> None:
    part = shop(tmp_path)
    crowd = customers_at(people_of(part.dataset), part.log, np.array([day(0), day(2), day(90)]))
    at = crowd.at
    count = [int((at == day(moment)).sum()) for moment in (0, 2, 90)]
    assert count == [0, sum(customer % 7 < 2 for customer in range(40)), 40]


def test_rows_are_drawn_where_there_are_many(tmp_path: Path) -> None:
    part = shop(tmp_path)
    people = people_of(part.dataset)
    one, again, other = (score_rows(people, part.log, day(190), CONFIG, most=60, seed=seed) for seed in (1, 1, 2))
    assert one is not None
    assert again is not None
    assert other is not None
    assert len(one.crowd) == 60
    assert one.crowd.ids == again.crowd.ids
    assert one.crowd.ids != other.crowd.ids


def test_a_log_that_is_too_short_has_no_rows(tmp_path: Path) -> None:
    part = shop(tmp_path, days=20)
    people = people_of(part.dataset)
    assert score_rows(people, part.log, day(20), CONFIG) is None
    assert score_rows(people, part.log, day(0), CONFIG) is None


def test_tastes_of_a_shop(tmp_path: Path) -> None:
    part = shop(tmp_path)
    told = tastes_of(part.log, part.catalogue, day(190))
    assert told.brand.tolist() == [{"p0": 0, "p1": 0, "p2": 1}[name] for name in sorted(["p0", "p1", "p2"], key=digest)]
    assert told.usual.tolist() == [10, 10, 10]
    bare = shop(tmp_path / "bare", products=False)
    assert tastes_of(bare.log, bare.catalogue, day(190)).familiar is None
