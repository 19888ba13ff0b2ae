"""From tables to arrays: order of events, people, orders, sessions, refunds, catalogue."""

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import Flag, Number, Tags, Text, Time
from features.encode import encode_catalogue, encode_events
from features.events import MINUTE, NEVER, EventLog, Kind
from features.people import find_person
from features.vocabulary import Vocabulary

START = pd.Timestamp("2026-01-01", tz="UTC")


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Events as reading cleans them; ``minute`` and ``known_minute`` count from START."""
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(["event", "minute", *(key for row in rows for key in row)])))
    frame = frame.assign(timestamp=START + pd.to_timedelta(frame["minute"].astype(float), unit="min").dt.as_unit("us"))
    if "known_minute" in frame:
        late = START + pd.to_timedelta(frame["known_minute"].astype(float), unit="min").dt.as_unit("us")
        frame = frame.assign(known_at=late.fillna(frame["timestamp"]))
    texts = {name: "str" for name in frame if str(name) == "event" or str(name).endswith("_id")}
    return frame.astype(texts).drop(columns="minute")


def event(kind: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"event": kind, "minute": minute, "customer_id": "c"} | more


def buy(minute: int, product: str, **more: Any) -> dict[str, Any]:
    return event("purchase", minute) | {"product_id": product} | more


def refund(minute: int, **more: Any) -> dict[str, Any]:
    return event("refund", minute, **more)


def minutes(log: EventLog) -> list[int | None]:
    """When each purchase line was reversed, in minutes; None if it never was."""
    start = START.value // 1000
    lines = log.reversed_at[log.kind == Kind.PURCHASE]
    return [None if at == NEVER else int(at - start) // MINUTE for at in lines]


def assert_same(one: EventLog, other: EventLog) -> None:
    for field in fields(EventLog):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, Vocabulary):
            assert list(left) == list(right)
        else:
            np.testing.assert_array_equal(left, right, err_msg=field.name)


def test_events_stand_in_canonical_order() -> None:
    log = encode_events(
        table(
            [
                event("purchase", 5, customer_id="b", product_id="x", price=2.0),
                event("purchase", 5, customer_id="a", product_id="y"),
                event("cart", 5, customer_id="b", product_id="y"),
                event("purchase", 5, customer_id="b", product_id="x", price=1.0),
                event("my own event", 1, customer_id="b"),
            ]
        )
    )
    assert log.people[:] == ["a", "b"]
    assert log.products[:] == ["x", "y"]
    assert log.person.tolist() == [1, 0, 1, 1, 1]
    assert log.kind.tolist() == [Kind.CUSTOM, Kind.PURCHASE, Kind.CART, Kind.PURCHASE, Kind.PURCHASE]
    assert log.product.tolist() == [-1, 1, 1, 0, 0]
    np.testing.assert_array_equal(log.price, [np.nan, np.nan, np.nan, 1.0, 2.0])
    assert log.quantity.tolist() == [1.0] * 5
    assert (log.time[1:] - log.time[0] == 4 * MINUTE).all()
    dtypes = {
        field.name: str(getattr(log, field.name).dtype)
        for field in fields(log)
        if field.name not in ("people", "products")
    }
    assert dtypes == {
        "anonymous": "bool",
        "time": "int64",
        "known": "int64",
        "kind": "int8",
        "person": "int32",
        "product": "int32",
        "order": "int32",
        "session": "int32",
        "quantity": "float32",
        "price": "float64",
        "reversed_at": "int64",
    }


def test_an_event_may_be_known_late_but_not_early() -> None:
    log = encode_events(table([event("view", 5, known_minute=3), event("view", 6, known_minute=9), event("view", 7)]))
    assert ((log.known - log.time) // MINUTE).tolist() == [0, 3, 0]


def test_without_tables_there_is_nothing() -> None:
    log = encode_events(None, None, None)
    assert (len(log), len(log.people), len(log.products)) == (0, 0, 0)
    assert len(encode_catalogue(None, log)) == 0


def test_one_customer_and_one_product() -> None:
    log = encode_events(table([buy(0, "p")]))
    assert (log.order.tolist(), log.session.tolist(), minutes(log)) == ([0], [0], [None])


def test_ten_thousand_lines_are_one_order() -> None:
    log = encode_events(table([buy(0, f"p{line}", order_id="o") for line in range(10_000)]))
    assert len(log) == 10_000
    assert set(log.order) == {0}


def test_customers_and_products_of_other_tables_are_there_too() -> None:
    log = encode_events(
        table([event("view", 0, customer_id="b", product_id="q")]),
        pd.DataFrame({"product_id": ["r", "p"]}),
        pd.DataFrame({"customer_id": ["c", "a"]}),
    )
    assert log.people[:] == ["a", "b", "c"]
    assert log.products[:] == ["p", "q", "r"]
    assert (log.person.tolist(), log.product.tolist()) == ([1], [1])
    assert not log.anonymous.any()


def test_a_person_goes_by_the_best_name_and_nobody_is_mistaken_for_another() -> None:
    nobody = {"customer_id": None, "anonymous_id": None, "session_id": None, "order_id": None}
    rows = [
        event("view", 0, **{**nobody, "customer_id": "x", "anonymous_id": "hidden"}),
        event("view", 1, **{**nobody, "anonymous_id": "x", "session_id": "s"}),
        event("view", 2, **{**nobody, "anonymous_id": "y"}),
        event("view", 3, **{**nobody, "session_id": "x"}),
        event("view", 4, **{**nobody, "session_id": "s"}),
        event("view", 5, **{**nobody, "order_id": "x"}),
        event("view", 6, **{**nobody, "customer_id": "session:x"}),
        event("view", 7, **{**nobody, "anonymous_id": "order:x"}),
    ]
    log = encode_events(table(rows))
    names = [log.people[person] for person in log.person]
    assert names == [
        "x",
        "visitor:x",
        "y",
        "session:session:x",
        "session:s",
        "order:x",
        "session:x",
        "visitor:order:x",
    ]
    assert [bool(log.anonymous[person]) for person in log.person] == [False, True, True, True, True, True, False, True]
    found = [
        find_person(log.people, log.anonymous, **asked)
        for asked in (
            {"customer_id": "x", "anonymous_id": "y"},
            {"anonymous_id": "x"},
            {"customer_id": "unheard of", "anonymous_id": "y"},
            {"session_id": "x"},
            {"anonymous_id": "unheard of", "session_id": "s"},
        )
    ]
    assert found == log.person[:5].tolist()
    assert find_person(log.people, log.anonymous, customer_id="y") == -1
    assert find_person(log.people, log.anonymous, anonymous_id="session:x") == -1
    assert find_person(log.people, log.anonymous) == -1


def test_copies_of_an_event_are_left_out() -> None:
    rows = [event("view", 2, event_id="e"), event("view", 1, event_id="e"), event("view", 3), event("view", 3)]
    log = encode_events(table(rows))
    assert ((log.time - log.time[0]) // MINUTE).tolist() == [0, 2, 2]


def test_orders_are_those_of_one_person_and_id_or_moment() -> None:
    rows = [
        buy(0, "p", order_id="1"),
        buy(9, "q", order_id="1"),
        buy(1, "p", order_id="1", customer_id="d"),
        buy(2, "p"),
        buy(2, "q"),
        buy(3, "p"),
        event("view", 4, product_id="p", order_id="1"),
        refund(5, product_id="q", order_id="1"),
        refund(6, product_id="q"),
        refund(7, order_id="unheard of"),
    ]
    log = encode_events(table(rows))
    at = ((log.time - log.time[0]) // MINUTE).tolist()
    assert list(zip(at, log.order.tolist(), strict=True)) == [
        (0, 0),
        (1, 1),
        (2, 2),
        (2, 2),
        (3, 3),
        (4, -1),
        (5, 0),
        (6, -1),
        (7, -1),
        (9, 0),
    ]


def test_sessions_are_those_given_or_cut_at_gaps_of_thirty_minutes() -> None:
    rows = [
        event("view", 0),
        event("view", 30),
        event("view", 61),
        event("view", 31, customer_id="d"),
        event("view", 31, session_id="s"),
        event("view", 999, session_id="s"),
        event("view", 62, session_id="s", customer_id="d"),
    ]
    log = encode_events(table(rows))
    at = ((log.time - log.time[0]) // MINUTE).tolist()
    assert list(zip(at, log.session.tolist(), strict=True)) == [
        (0, 0),
        (30, 0),
        (31, 1),
        (31, 2),
        (61, 3),
        (62, 4),
        (999, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([buy(0, "p"), buy(0, "q"), refund(5, product_id="p")], [5, None]),
        ([buy(0, "p", order_id="1"), buy(0, "q", order_id="1"), refund(5, order_id="1")], [5, 5]),
        ([buy(0, "p", order_id="1"), buy(0, "q", order_id="1"), refund(5, order_id="1", quantity=1)], [5, 5]),
        ([buy(0, "p", order_id="1"), buy(0, "q", order_id="1"), refund(5, order_id="1", product_id="q")], [None, 5]),
        ([buy(0, "p", order_id="1"), refund(5, order_id="2", product_id="p")], [None]),
        ([buy(0, "p", order_id="1"), refund(5, order_id="1", product_id="p", customer_id="d")], [None]),
        ([buy(0, "p", order_id="1"), refund(5, order_id="1", product_id="p", customer_id=None)], [5]),
        ([buy(0, "p"), refund(5)], [None]),
        ([refund(5, product_id="p"), buy(6, "p")], [None]),
        ([buy(0, "p"), buy(1, "p"), refund(5, product_id="p")], [None, 5]),
        ([buy(0, "p"), buy(1, "p"), refund(5, product_id="p"), refund(6, product_id="p")], [6, 5]),
        ([buy(0, "p", quantity=3), refund(5, product_id="p", quantity=2)], [None]),
        ([buy(0, "p", quantity=3), refund(5, product_id="p", quantity=2), refund(6, product_id="p", quantity=1)], [6]),
        ([buy(0, "p", quantity=3), refund(5, product_id="p", quantity=2), refund(6, product_id="p")], [6]),
        ([buy(0, "p", quantity=2), buy(1, "p"), refund(5, product_id="p", quantity=2)], [None, 5]),
        ([buy(0, "p", quantity=2), buy(1, "p"), refund(5, product_id="p", quantity=3)], [5, 5]),
        ([buy(0, "p", order_id="1"), refund(5, order_id="1", quantity=0, product_id="p")], [None]),
        ([buy(0, "p"), refund(5, product_id="p", known_minute=50)], [50]),
        ([buy(0, "p"), buy(1, "p"), refund(5, product_id="p", known_minute=50), refund(6, product_id="p")], [50, 6]),
        ([buy(0, "p", quantity=0), buy(1, "p"), refund(5, product_id="p", quantity=1)], [None, 5]),
        ([buy(0, "p", quantity=0, order_id="1"), refund(5, order_id="1")], [5]),
        (
            [buy(0, "p", event_id="e"), refund(5, product_id="p", quantity=1), refund(5, product_id="p", quantity=1)],
            [5],
        ),
    ],
)
def test_a_refund_reverses_the_lines_it_names(rows: list[dict[str, Any]], expected: list[int | None]) -> None:
    log = encode_events(table(rows))
    assert minutes(log) == expected


def test_a_refund_without_quantity_says_what_it_took_back() -> None:
    rows = [
        buy(0, "p", order_id="1", quantity=2),
        buy(0, "q", order_id="1"),
        refund(5, order_id="1"),
        refund(6, order_id="1"),
    ]
    log = encode_events(table(rows))
    assert log.quantity.tolist() == [2.0, 1.0, 3.0, 0.0]


def test_a_delivery_belongs_to_whoever_bought_the_order_if_that_is_one_person() -> None:
    nobody = {"customer_id": None}
    rows = [
        buy(0, "p", order_id="1"),
        buy(0, "p", order_id="2"),
        buy(0, "p", order_id="2", customer_id="d"),
        event("deliver", 5, order_id="1", **nobody),
        event("deliver", 6, order_id="2", **nobody),
        event("view", 7, order_id="1", **nobody),
    ]
    log = encode_events(table(rows))
    assert [log.people[person] for person in log.person[3:]] == ["c", "order:2", "order:1"]


KINDS = st.sampled_from(["view", "purchase", "purchase", "refund", "something"])
SMALL = st.sampled_from(["a", "b", "visitor:a", None])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "event": KINDS,
            "minute": st.integers(0, 4),
            "customer_id": SMALL,
            "anonymous_id": SMALL,
            "session_id": st.sampled_from(["s", "t", None]),
            "order_id": st.sampled_from(["1", "2", None]),
            "product_id": st.sampled_from(["p", "q", None]),
            "quantity": st.sampled_from([1.0, 2.0, None]),
            "price": st.sampled_from([1.0, None]),
            "event_id": st.sampled_from(["e", "f", None]),
            "known_minute": st.integers(0, 9),
        }
    ).filter(lambda row: any(row[name] for name in ("customer_id", "anonymous_id", "session_id", "order_id"))),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("event", "view", "cart"),
        ("customer_id", "c", "d"),
        ("product_id", "p", "q"),
        ("order_id", "1", "2"),
        ("quantity", 1, 2),
        ("price", 1.0, None),
        ("known_minute", 1, 2),
        ("session_id", "s", "t"),
    ],
)
def test_rows_that_differ_in_one_column_have_one_order(column: str, one: Any, other: Any) -> None:
    first, second = buy(0, "p", **{column: one}), buy(0, "p", **{column: other})
    later = buy(5, "p", **{column: other})  # tells which of two orders or sessions the first rows were
    assert_same(encode_events(table([first, second, later])), encode_events(table([second, first, later])))


@settings(max_examples=50, deadline=None)
@given(rows=EVENTS, data=st.data())
def test_shuffling_the_rows_changes_nothing(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    assert_same(encode_events(table(rows)), encode_events(table(data.draw(st.permutations(rows)))))


@settings(max_examples=50, deadline=None)
@given(rows=EVENTS)
def test_refunds_never_take_back_more_than_was_bought_nor_before_they_are_known(rows: list[dict[str, Any]]) -> None:
    log = encode_events(table(rows))
    purchase, refunds = log.kind == Kind.PURCHASE, log.kind == Kind.REFUND
    assert (log.reversed_at[~purchase] == NEVER).all()
    reversed_lines = np.flatnonzero(log.reversed_at != NEVER)
    for line in reversed_lines:
        named = refunds & (log.known == log.reversed_at[line]) & (log.person == log.person[line])
        named &= (log.product == log.product[line]) | (log.product < 0)
        named &= (log.order == log.order[line]) | (log.order < 0)
        assert named.any()
    if not ((log.product < 0) & refunds).any():
        assert log.quantity[reversed_lines].sum() <= log.quantity[refunds].sum() + 1e-6
    for person in np.unique(log.person):
        if not (refunds & (log.person == person)).any():
            assert (log.reversed_at[log.person == person] == NEVER).all()


@settings(max_examples=50, deadline=None)
@given(rows=EVENTS)
def test_what_was_refunded_is_still_bought_until_that_is_known(rows: list[dict[str, Any]]) -> None:
    log = encode_events(table(rows))
    for at in range(int(log.time.min()), int(log.known.max()) + 2 * MINUTE, MINUTE):
        seen = log.known_before(at)
        assert (seen.known < at).all()
        assert (seen.reversed_at >= at).all()
        gone = (log.known < at) & (log.reversed_at < at)
        assert len(seen) == int((log.known < at).sum()) - int(gone.sum())


def test_a_catalogue_has_a_row_for_every_product() -> None:
    products = pd.DataFrame(
        {
            "product_id": ["c", "a"],
            "title": pd.Series(["Lip 💄", None], dtype="str"),
            "price": [2.5, np.nan],
            "vegan": pd.Series([None, True], dtype="boolean"),
            "available_from": [START, pd.NaT],
            "skin": [["dry", "oily", "dry"], None],
        }
    )
    log = encode_events(table([event("view", 0, product_id="b")]), products)
    catalogue = encode_catalogue(products, log)
    assert catalogue.ids[:] == ["a", "b", "c"]
    assert {name: type(column) for name, column in catalogue.columns.items()} == {
        "title": Text,
        "price": Number,
        "vegan": Flag,
        "available_from": Time,
        "skin": Tags,
    }
    assert catalogue.product(0) == {"product_id": "a", "vegan": True}
    assert catalogue.product(1) == {"product_id": "b"}
    assert catalogue.product(2) == {
        "product_id": "c",
        "title": "Lip 💄",
        "price": 2.5,
        "available_from": "2026-01-01T00:00:00Z",
        "skin": ["dry", "oily", "dry"],
    }


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_product_rows_changes_nothing(order: list[int]) -> None:
    products = pd.DataFrame(
        {"product_id": list("abcdef"), "brand": list("zzyyxx"), "tags": [[tag] for tag in "qwerty"]}
    )
    log = encode_events(None, products)
    catalogue = encode_catalogue(products.iloc[order].reset_index(drop=True), log)
    assert [catalogue.product(row) for row in range(6)] == [
        {"product_id": name, "brand": brand, "tags": [tag]}
        for name, brand, tag in zip("abcdef", "zzyyxx", "qwerty", strict=True)
    ]
