"""What a shopper did: the bundle and the live log as one history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import Kind
from features.histories import Histories
from recommender.answering import Answerer
from recommender.answers import Block, BlockRequest, Shopper
from recommender.config import RecommenderConfig
from recommender.engine import Recommender, fit
from recommender.rules import Rules
from recommender.shopper_history import LiveRows, shopper_history
from tests import logs

Row = tuple[str, float, str]

#: (event, day, customer or visitor, product); the bundle is of day 50.
TRAINED: list[tuple[str, float, str, str]] = [
    ("view", 1, "a", "x"),
    ("cart", 2, "a", "y"),
    ("view", 3, "v", "z"),
    ("purchase", 4, "a", "x"),
    ("cart", 5, "a", "z"),
    ("remove_from_cart", 6, "a", "z"),
    ("purchase", 7, "a", "x"),
    ("view", 9, "b", "w"),
]


@pytest.fixture(scope="module")
def model() -> Recommender:
    events = pd.DataFrame(TRAINED, columns=["event", "day", "customer_id", "product_id"])
    events["timestamp"] = logs.START + pd.to_timedelta(events.pop("day").astype(float), unit="D")
    events["anonymous_id"] = ["v" if name == "v" else None for name in events["customer_id"]]
    events["customer_id"] = events["customer_id"].where(events["customer_id"] != "v")
    log, catalogue = logs.encoded(events)
    return fit(log, catalogue, RecommenderConfig.default(), at=logs.day(50))


def since(model: Recommender, *rows: Row, customer: str | None = "a", visitors: tuple[str, ...] = ()) -> LiveRows:
    return LiveRows(
        customer,
        visitors,
        None,
        model.catalogue.ids.codes(product for _, _, product in rows),
        np.array([Kind[event.upper()] for event, _, _ in rows], dtype=np.int8),
        np.array([logs.day(day) for _, day, _ in rows], dtype=np.int64),
    )


def told(model: Recommender, history: Histories) -> list[str]:
    return [
        f"{Kind(kind).name.lower()} {(time - logs.day(0)) / 86_400e6:g} {model.catalogue.ids[code]}"
        for kind, time, code in zip(history.kind.tolist(), history.time.tolist(), history.product.tolist(), strict=True)
    ]


def known(model: Recommender, live: LiveRows, day: float = 100) -> list[str]:
    return told(model, shopper_history(model, live, logs.day(day))[0])


TRAINED_OF_A = ["view 1 x", "cart 2 y", "purchase 4 x", "view 5 z", "purchase 7 x"]


def test_live_rows_follow_what_was_trained(model: Recommender) -> None:
    assert known(model, since(model)) == TRAINED_OF_A
    assert known(model, since(model, ("view", 60, "w"), ("cart", 61, "w"))) == [*TRAINED_OF_A, "view 60 w", "cart 61 w"]


def test_only_what_lies_before_the_moment_counts(model: Recommender) -> None:
    live = since(model, ("view", 60, "w"), ("cart", 61, "w"))
    assert known(model, live, 61) == [*TRAINED_OF_A, "view 60 w"]
    assert known(model, live, 4) == TRAINED_OF_A[:2]


def test_visitors_are_joined_by_time(model: Recommender) -> None:
    joined = known(model, since(model, visitors=("v", "never seen")))
    assert joined == ["view 1 x", "cart 2 y", "view 3 z", *TRAINED_OF_A[2:]]
    assert known(model, since(model, ("view", 60, "y"), customer=None, visitors=("v",))) == ["view 3 z", "view 60 y"]
    assert known(model, since(model, ("view", 60, "y"), customer="new")) == ["view 60 y"]


def test_what_the_bundle_has_counts_once(model: Recommender) -> None:
    live = since(model, ("view", 1, "x"), ("cart", 5, "z"), ("view", 5, "w"), ("purchase", 7, "x"), ("view", 60, "w"))
    assert known(model, live) == [*TRAINED_OF_A[:4], "view 5 w", TRAINED_OF_A[4], "view 60 w"]


def test_a_late_row_lands_where_it_belongs(model: Recommender) -> None:
    live = since(model, ("view", 3, "w"), ("view", 60, "w"))
    assert known(model, live) == ["view 1 x", "cart 2 y", "view 3 w", *TRAINED_OF_A[2:], "view 60 w"]


def test_a_removal_takes_back_a_cart_of_the_bundle(model: Recommender) -> None:
    live = since(model, ("remove_from_cart", 60, "y"), ("cart", 61, "w"), ("remove_from_cart", 62, "w"))
    assert known(model, live) == ["view 1 x", "view 2 y", *TRAINED_OF_A[2:], "view 61 w"]
    assert known(model, live, 62) == ["view 1 x", "view 2 y", *TRAINED_OF_A[2:], "cart 61 w"]


def test_refunds_take_back_the_newest_purchase_before_them(model: Recommender) -> None:
    x = model.catalogue.ids.code("x")
    live = since(model)
    assert known(model, replace(live, returned=((x, logs.day(60)),))) == TRAINED_OF_A[:-1]
    assert known(model, replace(live, returned=((x, logs.day(5)),))) == [*TRAINED_OF_A[:2], *TRAINED_OF_A[3:]]
    both = replace(live, returned=((x, logs.day(60)), (x, logs.day(61)), (x, logs.day(62))))
    assert known(model, both) == ["view 1 x", "cart 2 y", "view 5 z"]
    assert known(model, both, 60) == TRAINED_OF_A


def test_of_whom_is_not_named_only_what_is_new_counts(model: Recommender) -> None:
    assert known(model, since(model, ("view", 60, "w"), customer=None)) == ["view 60 w"]


class TestImpressions:
    def seen(self, model: Recommender, *rows: Row, day: float = 100) -> dict[str, int]:
        found = shopper_history(model, since(model, *rows), logs.day(day))[1]
        every = np.arange(len(model.catalogue), dtype=np.int32)
        return {model.catalogue.ids[code]: times for code, times in enumerate(found.of(every).tolist()) if times}

    def test_they_are_counted_and_no_part_of_the_history(self, model: Recommender) -> None:
        rows = [("impression", 60, "w"), ("impression", 61, "z"), ("impression", 62, "w"), ("view", 63, "y")]
        assert self.seen(model, *rows) == {"w": 2, "z": 1}
        assert self.seen(model, *rows, day=61) == {"w": 1}
        assert known(model, since(model, *rows)) == [*TRAINED_OF_A, "view 63 y"]

    def test_interest_begins_the_count_anew(self, model: Recommender) -> None:
        rows = [("impression", 60, "w"), ("click", 61, "w"), ("impression", 62, "w")]
        assert self.seen(model, *rows[:2]) == {}
        assert self.seen(model, *rows) == {"w": 1}
        assert self.seen(model, ("impression", 6, "x"), ("impression", 7, "x"), ("impression", 8, "x")) == {"x": 1}

    def test_without_any_nothing_is_discounted(self, model: Recommender) -> None:
        assert self.seen(model, ("view", 60, "w")) == {}
        discount = shopper_history(model, since(model), logs.day(100))[1].discount(np.arange(3, dtype=np.int32), 0.5)
        assert discount.tolist() == [1, 1, 1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["view", "cart", "purchase", "click", "wishlist", "remove_from_cart"]),
            st.integers(51, 90),
            st.sampled_from("wxyz"),
        ),
        max_size=25,
        unique_by=lambda row: row[1],
    ),
    st.integers(0, 25),
)
@settings(max_examples=150, deadline=None)
def test_live_is_what_training_would_have_seen(model: Recommender, rows: list[Row], cut: int) -> None:
    rows = sorted(rows, key=lambda row: row[1])
    everything = [row for row in TRAINED if row[2] == "a"] + [(event, day, "a", name) for event, day, name in rows]
    log, _ = logs.log_of([*everything, *(("view", 0.5, "nobody", name) for name in "wxyz")])
    trained = Histories.of(log).take(np.array([log.people.code("a")]))
    assert known(model, since(model, *rows)) == told(model, trained)
    early = since(model, *rows[:cut])
    assert known(model, early, rows[cut][1] if cut < len(rows) else 100) == known(
        model, since(model, *rows), rows[cut][1] if cut < len(rows) else 100
    )


# In answers


def listed(model: Recommender, placement: str, live: LiveRows, *, count: int = 4, explain: bool = False) -> Block:
    answerer = Answerer(model, Rules((), model.catalogue))
    request = [BlockRequest(placement, count)]
    return answerer.answer(Shopper("a"), request, logs.day(100), since=live, explain=explain)[0]


def test_what_was_done_since_turns_the_list(model: Recommender) -> None:
    assert listed(model, "recently_viewed", since(model, ("view", 60, "w"))).items[0].id == "w"
    without = [item.id for item in listed(model, "best_sellers", since(model)).items]
    assert without == [
        item.id for item in model.answer(Shopper("a"), [BlockRequest("best_sellers", 4)], model.at)[0].items
    ]
    cart = listed(model, "complete_the_cart", since(model, ("cart", 60, "w")))
    assert "w" not in [item.id for item in cart.items]


def test_products_seen_in_vain_sink(model: Recommender) -> None:
    plain = listed(model, "recommended_for_you", since(model, ("view", 60, "w")), explain=True)
    first, second = plain.items[0], plain.items[1]
    shown = [("impression", 61 + number, first.id) for number in range(30)]
    tired = listed(model, "recommended_for_you", since(model, ("view", 60, "w"), *shown), explain=True)
    assert [item.id for item in tired.items].index(first.id) > 0
    [sunk] = [item for item in tired.items if item.id == first.id]
    assert sunk.score == pytest.approx(first.score * 0.9**30, rel=1e-5)
    assert sunk.extra["seen"] == 30
    assert next(item for item in tired.items if item.id == second.id).score == second.score
    assert tired.funnel == plain.funnel
    assert "seen" not in first.extra
    # A placement without a discount stays as it is.
    assert [item.id for item in listed(model, "best_sellers", since(model, *shown)).items] == [
        item.id for item in listed(model, "best_sellers", since(model)).items
    ]
