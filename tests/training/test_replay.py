"""What replay reads at t is what the live store returned at t."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.contract import EVENTS, Form
from features.events import DAY, HOUR, Kind
from features.fold import Fold
from features.slots import CUSTOMER, PRODUCT, Count, Declaration, First, Since
from features.states import States
from features.store.base import Event, EventStore
from features.store.memory import MemoryEvents
from features.store.sqlite import SqliteEvents
from training.ledger import Ledger, ledger_of
from training.replay import Moments, moments_of, person_shards, product_shards, run

ZERO = 1_767_571_200_000_000
FOLDS = {"person": Fold(CUSTOMER), "product": Fold(PRODUCT)}
ZONES = {"anna": "Asia/Kathmandu", "bert": "Europe/Berlin"}
WHO = ("customer_id", "anonymous_id", "session_id")


def frame_of(events: list[Event]) -> pd.DataFrame:
    """The events as `features.dataset.read_dataset` gives them."""
    dtypes = {Form.ID: "str", Form.TEXT: "str", Form.NUMBER: "float64", Form.TIME: "datetime64[us, UTC]"}
    frame = pd.DataFrame(
        {
            column.name: pd.Series(
                [
                    getattr(event, {"timestamp": "time", "known_at": "known"}.get(column.name, column.name))
                    for event in events
                ],
                dtype="int64" if column.form is Form.TIME else dtypes[column.form],
            )
            for column in EVENTS.columns
        }
    )
    for name in ("timestamp", "known_at"):
        frame[name] = pd.to_datetime(frame[name], unit="us", utc=True).astype("datetime64[us, UTC]")
    return frame


def values(
    ledger: Ledger, moments: Moments, entity: str, *, fold: Fold | None = None, rows: int = 3
) -> np.ndarray[Any, Any]:
    """Features of all moments, folded in small shards."""
    fold = fold or FOLDS[entity]
    out = np.full((len(moments), len(fold.names)), -1.0)
    shards = person_shards if entity == "person" else product_shards
    for shard in shards(ledger, moments, fold, rows=rows):
        run(shard, fold, out, by_row=True)
    return out


def replayed(events: list[Event], asked: list[dict[str, Any]], entity: str, **more: Any) -> list[dict[str, float]]:
    ledger = ledger_of(frame_of(events))
    frame = pd.DataFrame(asked, columns=["at", *WHO, "product_id"]).astype(dict.fromkeys((*WHO, "product_id"), "str"))
    found = values(ledger, moments_of(ledger, frame, ZONES), entity, **more)
    return [dict(zip((more.get("fold") or FOLDS[entity]).names, row.tolist(), strict=True)) for row in found]


# Tables worked out by hand

SMALL = Fold(Declaration((Count("views", Kind.VIEW), First("first", Kind.VIEW), Since("last", Kind.VIEW))))


def day(number: float) -> int:
    return round(ZERO + number * DAY)


def event(name: str, happened: float, known: float | None = None, **more: Any) -> Event:
    return Event(name, day(happened), day(happened if known is None else known), **more)


def counts(events: list[Event], *asked: tuple[float, str, str]) -> list[float]:
    """Views known at (day, column, id)."""
    rows = [{"at": day(at), column: name} for at, column, name in asked]
    return [row["views"] for row in replayed(events, rows, "person", fold=SMALL)]


def test_only_what_was_known_before_counts() -> None:
    events = [event("view", number, customer_id="anna") for number in (1, 2)]
    events += [event("view", 1.5, known=4, customer_id="anna"), event("view", 0, customer_id="bert")]
    asked = [(at, "customer_id", "anna") for at in (0.5, 1, 1.01, 3, 4, 5)]
    assert counts(events, *asked, (9, "customer_id", "nobody")) == [0, 0, 1, 2, 2, 3, 0]


def test_a_linked_visitor_counts_from_the_link_on() -> None:
    events = [
        event("view", 1, anonymous_id="v"),
        event("identify", 3, customer_id="anna", anonymous_id="v"),
        event("view", 5, anonymous_id="v"),
        event("identify", 7, customer_id="bert", anonymous_id="v"),
        event("view", 9, anonymous_id="v"),
    ]
    assert counts(events, *[(at, "customer_id", "anna") for at in (2, 4, 6, 10)]) == [0, 1, 2, 2]
    assert counts(events, *[(at, "customer_id", "bert") for at in (2, 4, 6, 8, 10)]) == [0, 0, 0, 0, 1]
    assert counts(events, *[(at, "anonymous_id", "v") for at in (2, 4, 6, 8, 10)]) == [1, 1, 2, 0, 1]


def test_a_link_that_became_known_late_holds_from_then_on() -> None:
    events = [
        event("view", 1, anonymous_id="v"),
        event("identify", 2, known=6, customer_id="anna", anonymous_id="v"),
        event("view", 5, anonymous_id="v"),
    ]
    assert counts(events, (5.5, "customer_id", "anna"), (5.5, "anonymous_id", "v"), (7, "customer_id", "anna")) == [
        0,
        2,
        2,
    ]


def test_an_order_alone_is_of_whoever_bought_it() -> None:
    events = [
        event("deliver", 1, order_id="o"),
        event("purchase", 2, order_id="o", anonymous_id="v", product_id="a"),
        event("identify", 3, customer_id="anna", anonymous_id="v"),
        event("refund", 4, order_id="o", quantity=None),
        event("refund", 4, order_id="unknown", quantity=None),
    ]
    fold = Fold(Declaration((Count("delivered", Kind.DELIVER), Count("left", Kind.PURCHASE, less=Kind.REFUND))))
    rows = [{"at": day(at), "customer_id": "anna"} for at in (2.5, 3.5, 4.5)]
    rows += [{"at": day(at), "anonymous_id": "v"} for at in (1.5, 2.5)]
    found = [tuple(row.values()) for row in replayed(events, rows, "person", fold=fold)]
    assert found == [(0, 0), (1, 1), (1, 0), (0, 0), (1, 1)]


def test_copies_of_an_event_count_once() -> None:
    events = [event("view", 1, customer_id="anna", event_id="e") for _ in range(3)]
    events += [event("view", 1, customer_id="anna"), event("view", 1, customer_id="anna")]
    assert counts(events, (2, "customer_id", "anna")) == [3]


def test_a_moment_without_a_person_or_product_reads_nobody() -> None:
    events = [event("view", 1, customer_id="anna", product_id="a")]
    rows: list[dict[str, Any]] = [{"at": day(2), "product_id": "a"}, {"at": day(2), "customer_id": "anna"}]
    assert [row["views"] for row in replayed(events, rows, "person", fold=SMALL)] == [0, 1]
    assert [row["views"] for row in replayed(events, rows, "product", fold=SMALL)] == [1, 0]
    assert math.isnan(replayed(events, rows, "person", fold=SMALL)[0]["last"])


def test_no_events_and_no_moments() -> None:
    [row] = replayed([], [{"at": day(1), "customer_id": "anna"}], "person")
    assert row["views_1d"] == 0.0
    assert math.isnan(row["since_view"])
    assert replayed([event("view", 1, customer_id="anna")], [], "person") == []


# Replay, Python and the live store


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Events in the order they arrive: late ones, copies, visitors and orders linked in between."""
    known, events = ZERO, list[Event]()
    for number in range(draw(st.integers(1, 40))):
        known += draw(st.sampled_from([0, 1, HOUR, DAY, 300 * DAY]))
        who = draw(st.sampled_from(["customer", "customer", "visitor", "visitor", "both", "session", "order"]))
        orders = st.sampled_from(["o1", "o2"])
        names = ["purchase", "refund", "deliver"]
        if who == "both":
            names = ["identify", "identify", "view"]
        elif who != "order":
            names += ["view", "view", "cart", "remove_from_cart", "search", "send", "open", "machine_open", "wink"]
        events.append(
            Event(
                draw(st.sampled_from(names)),
                time=known - draw(st.sampled_from([0, 1, HOUR, 3 * DAY, 700 * DAY])),
                known=known,
                customer_id=draw(st.sampled_from(["anna", "bert"])) if who in ("customer", "both") else None,
                anonymous_id=draw(st.sampled_from(["v", "w"])) if who in ("visitor", "both") else None,
                session_id="s" if who == "session" else None,
                order_id=draw(orders if who == "order" else st.none() | orders),
                product_id=draw(st.none() | st.sampled_from("ab")),
                quantity=draw(st.sampled_from([1.0, 2.5, None])),
                price=draw(st.sampled_from([None, 9.5, 20.0])),
                channel=draw(st.sampled_from([None, "email", "fax"])),
                event_id=draw(st.none() | st.just(f"e{number}") | st.just(f"e{number // 3}")),
            )
        )
    return events


PEOPLE = [
    {"customer_id": "anna"},
    {"customer_id": "bert"},
    {"anonymous_id": "v"},
    {"anonymous_id": "w"},
    {"session_id": "s"},
    {"customer_id": "nobody"},
]


def live(store: EventStore, states: States, at: int, upto: int) -> list[dict[str, float]]:
    people = [store.person(**who, upto=upto) for who in PEOPLE]
    return [states.person(person, at, upto=upto, zone=ZONES.get(person.customer_id or "")) for person in people]


def same(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert list(one) == list(other)
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-9, atol=1e-9)


def bits(rows: list[dict[str, float]]) -> list[list[str]]:
    return [[value.hex() for value in row.values()] for row in rows]


@pytest.mark.parametrize("embedded", [False, True])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs(), st.data())
def test_what_replay_reads_is_what_was_served(
    embedded: bool, tmp_path_factory: pytest.TempPathFactory, events: list[Event], data: st.DataObject
) -> None:
    store: EventStore = SqliteEvents(tmp_path_factory.mktemp("store") / "events.db") if embedded else MemoryEvents()
    states = States(store)
    times = sorted({event.known + data.draw(st.sampled_from([0, 1, HOUR])) for event in events})
    times = data.draw(st.lists(st.sampled_from(times), min_size=1, max_size=3, unique=True).map(sorted))
    served, fed, marks = [], 0, []
    for at in times:
        while fed < len(events) and events[fed].known < at:
            store.append([events[fed]])
            fed += 1
        marks.append(store.watermark().seq)
        served += live(store, states, at, marks[-1])
    asked = [{"at": at, **who} for at in times for who in PEOPLE]
    same(replayed(events, asked, "person"), served)

    store.append(events[fed:])
    again = [row for at, upto in zip(times, marks, strict=True) for row in live(store, states, at, upto)]
    assert bits(again) == bits(served), "asked again later, as of then"

    numbers = {product: number for number, product in enumerate(store.product_ids())}
    asked = [{"at": at, "product_id": product} for at in times for product in numbers]
    of_products = [
        states.product(number, at, upto=upto)
        for at, upto in zip(times, marks, strict=True)
        for number in numbers.values()
    ]
    same(replayed(events, asked, "product"), of_products)
    store.close()


@settings(max_examples=30, deadline=None)
@given(logs())
def test_compiled_code_is_the_python_code_to_the_last_bit(events: list[Event]) -> None:
    first = {event.event_id: place for place, event in reversed(list(enumerate(events)))}
    alone = [
        event
        for place, event in enumerate(events)
        if event.customer_id == "anna" and (event.event_id is None or first[event.event_id] == place)
    ]
    fold, at = FOLDS["person"], events[-1].known + DAY
    state = fold.empty()
    for event in alone:
        fold.update(state, event)
    [found] = replayed(alone, [{"at": at, "customer_id": "anna"}], "person")
    assert bits([found]) == bits([fold.read(state, at, ZONES["anna"])])
