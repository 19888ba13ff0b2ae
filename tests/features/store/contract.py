"""What every store does. A new store inherits these classes and gives the fixture ``store``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from features.events import Kind
from features.people import identity_digest
from features.store.base import (
    ERASED,
    LATEST,
    Decision,
    DecisionStore,
    Erased,
    Event,
    EventStore,
    Identity,
    Person,
    ProductChange,
    Purchase,
    StoreError,
    Tail,
    Watermark,
)


def event(name: str, time: int, **columns: Any) -> Event:
    """An event known when it happened, unless said otherwise."""
    return Event(name, time, columns.pop("known", time), **columns)


def seqs(store: EventStore, person: Person, **limits: int) -> list[int]:
    return [seq for seq, _ in store.events_of(person, **limits)]


def rows(tail: Tail) -> list[tuple[int, Kind, int]]:
    """(product, kind, time) of the rows of a tail."""
    return [
        (product, Kind(kind), time)
        for product, kind, time in zip(tail.product.tolist(), tail.kind.tolist(), tail.time.tolist(), strict=True)
    ]


class EventStoreContract:
    """A store of events; the fixture is an empty one."""

    # Appending

    def test_an_empty_store(self, store: EventStore) -> None:
        assert store.watermark() == Watermark(0, 0, 0)
        assert store.rows() == []
        assert store.product_ids() == []
        assert list(store.everyone()) == []
        assert len(store.traffic().seq) == 0
        assert store.first_known_from(0) == 1
        assert store.append([]).accepted == []

    def test_events_come_back_as_they_were_sent(self, store: EventStore) -> None:
        sent = [
            Event(
                "purchase", 10, 20, customer_id="c/ü'\"", anonymous_id="v", session_id="s", product_id="p 😀",
                order_id="o", quantity=2.5, price=9.99, currency="EUR", channel="email", event_id="e",
                placement="trending", decision_id="d", more={"coupon": "X", "n": [1, 2.5, None, True]},
            ),
            Event("back in stock asked", 11, 11, anonymous_id="v", more={}),
            Event("refund", 12, 12, order_id="o", quantity=None),
            Event("page", 13, 13, session_id="s"),
        ]  # fmt: skip
        assert store.append(sent).accepted == [True] * 4
        assert store.rows() == list(enumerate(sent, start=1))
        assert store.watermark() == Watermark(4, 0, 1)

    def test_sequence_numbers_count_accepted_events_only(self, store: EventStore) -> None:
        first = store.append([event("view", 1, anonymous_id="v", event_id="a")])
        second = store.append(
            [
                event("view", 2, anonymous_id="v", event_id="a"),
                event("view", 3, anonymous_id="v", event_id="b"),
                event("view", 4, anonymous_id="w", event_id="b"),
                event("view", 5, anonymous_id="v"),
                event("view", 5, anonymous_id="v"),
            ]
        )
        assert first.seq == 1
        assert second.accepted == [False, True, False, True, True]
        assert second.seq == 4
        assert [seq for seq, _ in store.rows()] == [1, 2, 3, 4]

    def test_a_duplicate_leaves_no_trace(self, store: EventStore) -> None:
        store.append([event("view", 1, anonymous_id="v", event_id="a")])
        store.append([event("purchase", 2, customer_id="c", product_id="p", event_id="a")])
        assert store.product_ids() == []
        assert list(store.everyone()) == []

    def test_an_event_that_names_nobody_is_refused_with_its_batch(self, store: EventStore) -> None:
        with pytest.raises(StoreError, match="names nobody"):
            store.append([event("view", 1, anonymous_id="v"), event("view", 1, product_id="p")])
        assert store.watermark() == Watermark(0, 0, 0)

    def test_an_order_of_ten_thousand_lines(self, store: EventStore) -> None:
        lines = [
            event("purchase", 1, customer_id="c", product_id=str(n), order_id="o", event_id=f"m/{n}")
            for n in range(10_000)
        ]
        assert all(store.append(lines).accepted)
        assert not any(store.append(lines).accepted)
        store.append([event("refund", 2, order_id="o", quantity=None)])
        assert rows(store.tail(store.person(customer_id="c"))) == []

    def test_rows_are_paged(self, store: EventStore) -> None:
        store.append([event("view", n, anonymous_id="v") for n in range(5)])
        assert [seq for seq, _ in store.rows(after=1, limit=2)] == [2, 3]

    def test_where_events_known_from_a_moment_begin(self, store: EventStore) -> None:
        store.append([event("view", 1, known=known, anonymous_id="v") for known in (10, 30, 20, 40)])
        assert [store.first_known_from(known) for known in (5, 10, 11, 30, 31, 41)] == [1, 1, 2, 2, 4, 5]

    # People

    def test_somebody_nobody_has_seen(self, store: EventStore) -> None:
        assert store.person(customer_id="c") == Person("c", (), None, ())
        assert store.person(anonymous_id="v") == Person(None, ("v",), None, ())
        assert store.person(session_id="s") == Person(None, (), "s", ())
        assert store.person() == Person(None, (), None, ())
        assert rows(store.tail(store.person(customer_id="c"))) == []

    def test_the_best_name_counts(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, customer_id="x", anonymous_id="x", session_id="x", order_id="x"),
                event("view", 2, anonymous_id="x", session_id="x"),
                event("view", 3, session_id="x"),
            ]
        )
        assert seqs(store, store.person(customer_id="x", anonymous_id="x", session_id="x")) == [1]
        assert seqs(store, store.person(anonymous_id="x", session_id="x")) == [2]
        assert seqs(store, store.person(session_id="x")) == [3]

    def test_a_visitor_becomes_a_customer(self, store: EventStore) -> None:
        store.append(
            [event("view", 1, anonymous_id="v", product_id="p"), event("view", 2, customer_id="c", product_id="q")]
        )
        before = store.person(anonymous_id="v")
        store.append([event("identify", 3, customer_id="c", anonymous_id="v")])
        store.append([event("view", 4, anonymous_id="v", product_id="r")])
        person = store.person(customer_id="c")
        assert seqs(store, before) == [1, 4]  # the visitor alone
        assert (person.customer_id, person.anonymous_ids) == ("c", ("v",))
        assert seqs(store, person) == [1, 2, 3, 4]
        assert store.person(anonymous_id="v") == person
        assert store.person(anonymous_id="v", session_id="s") == person

    def test_another_customer_takes_the_visitor_from_then_on(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, anonymous_id="v"),
                event("identify", 2, customer_id="c", anonymous_id="v"),
                event("view", 3, anonymous_id="v"),
                event("identify", 4, customer_id="d", anonymous_id="v"),
                event("view", 5, anonymous_id="v"),
                event("identify", 6, customer_id="c", anonymous_id="v"),
                event("view", 7, anonymous_id="v"),
            ]
        )
        assert seqs(store, store.person(customer_id="c")) == [1, 2, 3, 6, 7]
        assert seqs(store, store.person(customer_id="d")) == [4, 5]
        assert store.person(customer_id="d").anonymous_ids == ("v",)
        assert store.person(anonymous_id="v").customer_id == "c"

    def test_a_person_as_of_a_sequence_number(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, anonymous_id="v"),
                event("identify", 2, customer_id="c", anonymous_id="v"),
                event("view", 3, anonymous_id="v"),
                event("identify", 4, customer_id="d", anonymous_id="v"),
                event("view", 5, anonymous_id="v"),
            ]
        )
        assert store.person(anonymous_id="v", upto=1) == Person(
            None, ("v",), None, store.person(anonymous_id="v", upto=1).spans
        )
        assert seqs(store, store.person(anonymous_id="v", upto=1)) == [1]
        assert seqs(store, store.person(anonymous_id="v", upto=3)) == [1, 2, 3]
        assert store.person(anonymous_id="v", upto=4).customer_id == "d"
        assert store.person(customer_id="d", upto=3).spans == ()
        assert store.person(anonymous_id="v", upto=0).spans == ()

    def test_only_identify_links(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, anonymous_id="v"),
                event("purchase", 2, customer_id="c", anonymous_id="v", product_id="p"),
            ]
        )
        assert seqs(store, store.person(customer_id="c")) == [2]
        assert seqs(store, store.person(anonymous_id="v")) == [1]

    @pytest.mark.parametrize("refund_first", [False, True])
    @pytest.mark.parametrize("buyer", [{"customer_id": "c"}, {"anonymous_id": "v"}, {"session_id": "s"}])
    def test_what_names_only_an_order_is_its_buyers(
        self, store: EventStore, refund_first: bool, buyer: dict[str, Any]
    ) -> None:
        bought = event("purchase", 1, product_id="p", order_id="o", **buyer)
        others = [event("refund", 2, order_id="o", quantity=None), event("deliver", 3, order_id="o")]
        sent = [*others, bought] if refund_first else [bought, *others]
        for one in sent:
            store.append([one])
        assert [one for _, one in store.events_of(store.person(**buyer))] == sent

    def test_an_order_follows_the_visitor_who_bought_it(self, store: EventStore) -> None:
        store.append(
            [
                event("purchase", 1, anonymous_id="v", product_id="p", order_id="o"),
                event("deliver", 2, order_id="o"),
                event("identify", 3, customer_id="c", anonymous_id="v"),
                event("purchase", 4, order_id="o", product_id="q"),
            ]
        )
        assert seqs(store, store.person(customer_id="c")) == [1, 2, 3, 4]
        assert seqs(store, store.person(customer_id="c"), first=2, upto=3) == [2, 3]

    def test_the_newest_time_of_an_event(self, store: EventStore) -> None:
        store.append(
            [
                event("open", 9, known=20, anonymous_id="v", channel="email"),
                event("open", 7, anonymous_id="v", channel="push"),
                event("asked a question", 8, anonymous_id="v"),
                event("identify", 5, customer_id="c", anonymous_id="v"),
                event("open", 6, customer_id="c", channel="email"),
                event("open", 30, customer_id="d", channel="email"),
            ]
        )
        person = store.person(customer_id="c")
        assert store.newest_time(person, "open") == 9
        assert store.newest_time(person, "open", channel="push") == 7
        assert store.newest_time(person, "open", channel="sms") is None
        assert store.newest_time(person, "open", first=2) == 7
        assert store.newest_time(person, "open", channel="email", first=2) == 6
        assert store.newest_time(person, "open", first=6) is None
        assert store.newest_time(person, "asked a question") == 8
        assert store.newest_time(person, "asked a question", channel="email") is None
        assert store.newest_time(person, "click") is None
        assert store.newest_time(store.person(customer_id="nobody"), "open") is None

    # Tails

    def test_a_tail_is_in_order_of_time(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 30, anonymous_id="v", product_id="a"),
                event("cart", 10, known=35, anonymous_id="v", product_id="b"),
                event("page", 11, anonymous_id="v"),
                event("view", 12, anonymous_id="v"),
                event("send", 12, anonymous_id="v", product_id="b"),
                event("looked around", 12, anonymous_id="v", product_id="b"),
                event("impression", 12, anonymous_id="v", product_id="b"),
                event("remove_from_cart", 30, anonymous_id="v", product_id="b"),
            ]
        )
        person = store.person(anonymous_id="v")
        whole = [
            (1, Kind.CART, 10),
            (1, Kind.IMPRESSION, 12),
            (0, Kind.VIEW, 30),
            (1, Kind.REMOVE_FROM_CART, 30),
        ]
        assert rows(store.tail(person)) == whole
        assert rows(store.tail(person, newest=2)) == whole[2:]
        assert rows(store.tail(person, newest=0)) == []
        assert rows(store.tail(person, first=2, upto=7)) == whole[:2]
        assert rows(store.tail(person, known_from=31)) == whole[:1]
        tail = store.tail(person)
        assert [str(column.dtype) for column in (tail.product, tail.kind, tail.time)] == ["int64", "int8", "int64"]

    @pytest.mark.parametrize(
        ("refund", "left"),
        [
            ({"order_id": "o"}, [2]),
            ({"order_id": "o", "product_id": "a"}, [1, 2]),
            ({"product_id": "a"}, [1, 2]),
            ({"product_id": "a", "quantity": 1.0}, [0, 1, 2]),
            ({"order_id": "x"}, [0, 1, 2]),
            ({"order_id": "x", "product_id": "a"}, [0, 1, 2]),
        ],
    )
    def test_what_a_refund_takes_back_is_left_out(
        self, store: EventStore, refund: dict[str, Any], left: list[int]
    ) -> None:
        bought = [("a", "o"), ("b", "o"), ("c", "o2")]
        store.append([event("purchase", 1, customer_id="c", product_id=p, order_id=o, quantity=2.0) for p, o in bought])
        store.append([event("refund", 2, customer_id="c", **{"quantity": None, **refund})])
        tail = store.tail(store.person(customer_id="c"))
        assert tail.product.tolist() == left
        # A refund of what the store never saw is told, as far as it names a product.
        assert tail.returned == (((0, 2),) if refund.get("order_id") == "x" and "product_id" in refund else ())

    def test_refunds_of_older_purchases_are_told(self, store: EventStore) -> None:
        store.append(
            [
                event("purchase", 1, customer_id="c", product_id="a", order_id="o"),
                event("purchase", 1, customer_id="c", product_id="b", order_id="o"),
                event("view", 5, customer_id="c", product_id="a"),
                event("refund", 6, order_id="o", quantity=None),
                event("refund", 7, customer_id="c", product_id="z", quantity=None),
            ]
        )
        person = store.person(customer_id="c")
        for limits in ({"first": 3}, {"known_from": 2}):
            tail = store.tail(person, **limits)
            assert rows(tail) == [(0, Kind.VIEW, 5)]
            assert tail.returned == ((0, 6), (1, 6), (2, 7))
        assert store.tail(person).returned == ((2, 7),)
        assert store.tail(person, first=3, upto=4).returned == ((0, 6), (1, 6))
        assert rows(store.tail(person, upto=3)) == [(0, Kind.PURCHASE, 1), (1, Kind.PURCHASE, 1), (0, Kind.VIEW, 5)]

    def test_what_became_known_later_is_as_if_it_had_not_happened(self, store: EventStore) -> None:
        store.append(
            [
                event("purchase", 1, known=10, customer_id="c", product_id="a", order_id="o"),
                event("purchase", 2, known=30, customer_id="c", product_id="b", order_id="o"),
                event("refund", 3, known=20, order_id="o", quantity=None),
                event("view", 4, known=11, customer_id="c", product_id="a"),
            ]
        )
        person = store.person(customer_id="c")
        bought, seen = (0, Kind.PURCHASE, 1), (0, Kind.VIEW, 4)
        assert rows(store.tail(person, known_before=11)) == [bought]
        assert rows(store.tail(person, known_before=20)) == [bought, seen]
        assert rows(store.tail(person, known_before=21)) == [seen]
        assert store.tail(person, first=2, known_before=20).returned == ()
        assert store.tail(person, first=2, known_before=21).returned == ((0, 3),)
        assert rows(store.tail(person, known_from=11, known_before=11)) == []

    def test_a_cancelled_order_without_products_takes_no_product_back(self, store: EventStore) -> None:
        store.append(
            [
                event("purchase", 1, customer_id="c", order_id="o"),
                event("view", 2, customer_id="c", product_id="a"),
                event("refund", 3, customer_id="c", order_id="o", quantity=None),
            ]
        )
        person = store.person(customer_id="c")
        for first in (0, 2):
            tail = store.tail(person, first=first)
            assert rows(tail) == [(0, Kind.VIEW, 2)]
            assert tail.returned == ()

    def test_a_refund_that_came_before_its_late_purchase(self, store: EventStore) -> None:
        store.append([event("refund", 6, customer_id="c", order_id="o", quantity=None)])
        store.append([event("purchase", 1, known=8, customer_id="c", product_id="a", order_id="o")])
        assert rows(store.tail(store.person(customer_id="c"), first=2)) == []

    # Traits

    def test_what_was_said_last_counts(self, store: EventStore) -> None:
        def said(time: int, event_id: str, **traits: Any) -> Event:
            return event("identify", time, customer_id="c", event_id=event_id, more={"traits": traits})

        store.append(
            [said(5, "b", city="Ulm", plan="gold"), said(3, "z", city="Bonn", age=40), said(5, "a", plan="tin")]
        )
        store.append([event("identify", 6, customer_id="c", anonymous_id="v")])
        store.append([event("identify", 9, anonymous_id="v", more={"traits": {"age": 41}})])
        assert store.traits(store.person(anonymous_id="v")) == {"city": "Ulm", "plan": "gold", "age": 41}
        assert store.traits(store.person(customer_id="nobody")) == {}

    def test_subscribing_changes_consents(self, store: EventStore) -> None:
        store.append(
            [
                event("subscribe", 1, customer_id="c", channel="push"),
                event("identify", 2, customer_id="c", more={"traits": {"consents": ["email", "sms"]}}),
                event("unsubscribe", 4, customer_id="c", channel="email"),
                event("subscribe", 3, customer_id="c", channel="ads"),
                event("unsubscribe", 5, customer_id="c"),
                event("subscribe", 1, customer_id="d", channel="email"),
                event("unsubscribe", 1, customer_id="e", channel="email"),
            ]
        )
        assert {person.customer_id: traits for person, traits in store.everyone()} == {
            "c": {"consents": ["sms", "ads"]},
            "d": {"consents": ["email"]},
            "e": {"consents": []},
        }

    # Products

    def test_products_are_numbered_as_they_are_mentioned(self, store: EventStore) -> None:
        store.append([event("view", 1, anonymous_id="v", product_id=name) for name in ("b", "a", "b")])
        assert store.put_products([("c", {"title": "C"}), ("a", {"price": 1.5})], at=2) == 2
        store.append([event("view", 3, anonymous_id="v", product_id="d")])
        assert store.product_ids() == ["b", "a", "c", "d"]
        assert store.product_ids(1, 3) == ["a", "c"]
        assert store.watermark() == Watermark(4, 2, 4)

    def test_product_changes(self, store: EventStore) -> None:
        assert store.put_products([("a", {"price": 1, "tags": ["x"]}), ("b", None), ("a", {"price": 2})], at=1) == 3
        assert store.put_products([("a", {"price": 2})], at=2) == 3  # nothing new
        assert store.put_products([("a", None), ("a", None)], at=3) == 4
        assert store.put_products([], at=4) == 4
        found = [(one.change, one.product_id, one.attributes) for one in store.product_changes()]
        assert found == [
            (1, "a", {"price": 1, "tags": ["x"]}),
            (2, "b", None),
            (3, "a", {"price": 2}),
            (4, "a", None),
        ]
        assert [one.at for one in store.product_changes()] == [1, 1, 1, 3]
        assert [one.change for one in store.product_changes(1, 3)] == [2, 3]

    def test_the_newest_change_of_a_product(self, store: EventStore) -> None:
        store.put_products([("a", {"price": 1}), ("b", None), ("a", {"price": 2})], at=1)
        store.append([event("view", 2, anonymous_id="v", product_id="c")])
        assert store.product("a") == ProductChange(3, "a", {"price": 2}, at=1)
        assert store.product("b") == ProductChange(2, "b", None, at=1)
        assert store.product("c") is None
        assert store.product("nobody spoke of it") is None

    def test_traffic(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 10, known=11, anonymous_id="v", product_id="a"),
                event("page", 12, anonymous_id="v"),
                event("asked", 13, customer_id="c", product_id="b"),
                event("purchase", 5, known=14, customer_id="c", product_id="a"),
            ]
        )
        whole = store.traffic()
        assert whole.seq.tolist() == [1, 3, 4]
        assert whole.product.tolist() == [0, 1, 0]
        assert whole.kind.tolist() == [Kind.VIEW, Kind.CUSTOM, Kind.PURCHASE]
        assert whole.time.tolist() == [10, 13, 5]
        assert whole.known.tolist() == [11, 13, 14]
        assert store.traffic(after=1, limit=1).seq.tolist() == [3]
        assert store.traffic(upto=3).seq.tolist() == [1, 3]
        assert [seq for seq, _ in store.events_about(0)] == [1, 4]
        assert [seq for seq, _ in store.events_about(0, first=2, upto=3)] == []

    # States

    def test_checkpoints(self, store: EventStore) -> None:
        store.append([event("view", 1, anonymous_id="v", product_id="a"), event("view", 1, anonymous_id="w")])
        store.save_checkpoints(
            "person", "f1", [(1, 5, b"old"), (1, 7, b"new"), (1, 6, b"late"), (2, 1, b"\0")], erasures=0
        )
        store.save_checkpoints("person", "f2", [(1, 3, b"other")], erasures=0)
        store.save_checkpoints("product", "f1", [(0, 3, b"product"), (99, 3, b"nothing of that number")], erasures=0)
        assert store.checkpoints("person", [1, 2, 3], "f1") == {1: (7, b"new"), 2: (1, b"\0")}
        assert store.checkpoints("product", [0, 99], "f1") == {0: (3, b"product")}
        store.drop_checkpoints(but="f1")
        assert store.checkpoints("person", [1], "f2") == {}
        assert store.checkpoints("person", [1], "f1") == {1: (7, b"new")}

    def test_a_state_of_before_an_erasing_is_not_kept_after_it(self, store: EventStore) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v"),
                event("view", 2, anonymous_id="v", product_id="a"),
                event("identify", 3, customer_id="d", anonymous_id="v"),
            ]
        )
        before = store.erasures()
        shared = next(number for number, first, _ in store.person(customer_id="d").spans if first > 0)
        store.erase(customer_id="c", at=9)
        assert store.erasures() == before + 1
        store.save_checkpoints("person", "f", [(shared, 2, b"what c did")], erasures=before)
        store.save_checkpoints("product", "f", [(0, 2, b"what c bought")], erasures=before)
        assert store.checkpoints("person", [shared], "f") == store.checkpoints("product", [0], "f") == {}
        store.save_checkpoints("person", "f", [(shared, 2, b"nothing")], erasures=before + 1)
        assert store.checkpoints("person", [shared], "f") == {shared: (2, b"nothing")}

    # Erasing

    def test_an_erased_person_is_gone(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, anonymous_id="v", product_id="a", session_id="s"),
                event("purchase", 2, anonymous_id="v", product_id="a", order_id="o", event_id="e", price=3.0),
                event("page", 2, session_id="s"),
                event("view", 3, customer_id="d", product_id="b"),
                event("identify", 4, customer_id="c", anonymous_id="v", more={"traits": {"city": "Ulm"}}),
                event("refund", 5, order_id="o", product_id="a"),
                event("page", 6, customer_id="c"),
            ]
        )
        before, whole = store.person(customer_id="c"), store.traffic()
        states = [(number, 7, b"state") for number, _, _ in before.spans]
        store.save_checkpoints("person", "f", states, erasures=store.erasures())
        assert store.checkpoints("person", [number for number, _, _ in before.spans], "f") != {}
        assert store.sessions_of(before) == ("s",)
        assert store.erase(customer_id="c", at=100) == Erased("c", ("v",), ("s",))
        assert store.sessions_of(before) == ()
        assert [seq for seq, _ in store.rows()] == [4]
        assert store.person(customer_id="c").spans == store.person(anonymous_id="v").spans == ()
        assert store.person(session_id="s").spans == ()
        assert seqs(store, before) == []
        assert store.traits(before) == {}
        assert [person.customer_id for person, _ in store.everyone()] == ["d"]
        assert store.checkpoints("person", [number for number, _, _ in before.spans], "f") == {}
        gone: list[tuple[Identity, str]] = [("customer", "c"), ("visitor", "v"), ("session", "s"), ("order", "o")]
        assert store.erased() == {identity_digest(*named): 100 for named in gone}
        assert store.watermark() == Watermark(7, 0, 2)
        after = store.traffic()
        for column in ("seq", "product", "kind", "time", "known"):
            assert getattr(after, column).tolist() == getattr(whole, column).tolist()
        about = [one for _, one in store.events_about(0)]
        assert about == [
            Event("view", 1, 1, product_id="a"),
            Event("purchase", 2, 2, product_id="a", price=3.0),
            Event("refund", 5, 5, product_id="a"),
        ]

    def test_who_comes_back_is_new(self, store: EventStore) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v", event_id="e"),
                event("purchase", 1, customer_id="c", product_id="a", order_id="o"),
            ]
        )
        old = store.person(customer_id="c")
        store.erase(customer_id="c", at=2)
        assert store.append([event("identify", 1, customer_id="c", event_id="e")]).accepted == [True]
        store.append([event("view", 3, anonymous_id="v"), event("refund", 4, order_id="o")])
        new = store.person(customer_id="c")
        assert seqs(store, new) == [3]
        assert {number for number, _, _ in new.spans}.isdisjoint(number for number, _, _ in old.spans)
        assert store.person(anonymous_id="v").customer_id is None
        states = [(number, 9, b"too late") for number, _, _ in old.spans]
        store.save_checkpoints("person", "f", states, erasures=store.erasures())
        assert store.checkpoints("person", [number for number, _, _ in old.spans], "f") == {}
        store.erase(customer_id="c", at=9)
        assert store.erased_at("customer", "c") == 9

    def test_the_sessions_of_a_person(self, store: EventStore) -> None:
        store.append(
            [
                event("view", 1, anonymous_id="v", session_id="t"),
                event("view", 1, customer_id="c", session_id="s"),
                event("view", 1, customer_id="c", session_id="t"),
                event("view", 1, customer_id="c"),
                event("view", 1, session_id="alone"),
                event("identify", 2, customer_id="c", anonymous_id="v", session_id="u"),
            ]
        )
        assert store.sessions_of(store.person(customer_id="c")) == ("s", "t", "u")
        assert store.sessions_of(store.person(anonymous_id="v", upto=1)) == ("t",)
        assert store.sessions_of(store.person(session_id="alone")) == ("alone",)
        assert store.sessions_of(store.person(session_id="unseen")) == ("unseen",)
        assert store.sessions_of(store.person(customer_id="nobody")) == ()

    def test_when_somebody_was_erased(self, store: EventStore) -> None:
        store.append([event("view", 1, anonymous_id="v", session_id="s"), event("view", 1, session_id="s")])
        store.erase(anonymous_id="v", at=5)
        store.erase(customer_id="c", at=7)
        asked: list[tuple[Identity, str]] = [("visitor", "v"), ("session", "s"), ("customer", "c"), ("order", "o")]
        assert [store.erased_at(*named) for named in asked] == [5, 5, 7, 0]
        store.erase(customer_id="c", at=6)  # a clock that was put back
        assert store.erased_at("customer", "c") == 7

    def test_erasing_somebody_nobody_knows_is_noted(self, store: EventStore) -> None:
        assert store.erase(customer_id="c", at=1) is None
        assert store.erase(anonymous_id="session:v", at=2) is None
        assert store.erased() == {identity_digest("customer", "c"): 1, identity_digest("visitor", "session:v"): 2}
        with pytest.raises(ValueError, match="name whom"):
            store.erase(at=1)

    def test_a_visitor_named_as_a_customer_is(self, store: EventStore) -> None:
        store.append([event("view", 1, customer_id="x"), event("view", 2, anonymous_id="x")])
        store.erase(anonymous_id="x", at=3)
        assert (store.erased_at("visitor", "x"), store.erased_at("customer", "x")) == (3, 0)
        assert [seq for seq, _ in store.rows()] == [1]

    @pytest.mark.parametrize("customer_id", ["c024", "visitor:c024", "session:c024", "customer:c024"])
    def test_erasing_a_visitor_never_means_a_customer(self, store: EventStore, customer_id: str) -> None:
        for visitor in ("c024", "session:c024", "visitor:c024"):
            store.erase(anonymous_id=visitor, at=3)  # before a customer of that id, or a session of it, was seen
        store.append([event("view", 4, customer_id=customer_id, session_id="c024")])
        assert store.erased_at("customer", customer_id) == store.erased_at("session", "c024") == 0
        assert store.erased_at("visitor", "c024") == 3

    def test_a_shared_device_stays_the_others(self, store: EventStore) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v"),
                event("view", 2, anonymous_id="v"),
                event("identify", 3, customer_id="d", anonymous_id="v"),
                event("view", 4, anonymous_id="v"),
            ]
        )
        store.erase(customer_id="c", at=9)
        assert seqs(store, store.person(customer_id="d")) == [3, 4]
        store.append([event("view", 5, anonymous_id="v")])
        assert seqs(store, store.person(customer_id="d")) == [3, 4, 5]
        assert store.erased_at("visitor", "v") == 9  # what files hold of the visitor is partly the erased person's

    def test_a_device_whose_last_user_was_erased_is_nobodys(self, store: EventStore) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v"),
                event("identify", 2, customer_id="d", anonymous_id="v"),
            ]
        )
        store.erase(customer_id="d", at=9)
        store.append([event("view", 5, anonymous_id="v")])
        assert seqs(store, store.person(customer_id="c")) == [1]
        assert seqs(store, store.person(anonymous_id="v")) == [3]
        store.erase(anonymous_id="v", at=10)
        assert seqs(store, store.person(customer_id="c")) == [1]
        assert [seq for seq, _ in store.rows()] == [1]

    @pytest.mark.parametrize("customers", ["cd", "dc"])
    def test_a_device_whose_every_user_was_erased_is_gone(self, store: EventStore, customers: str) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v"),
                event("identify", 2, customer_id="d", anonymous_id="v"),
                event("purchase", 3, customer_id="e", anonymous_id="v", product_id="p"),
            ]
        )
        for customer_id in customers:
            assert store.person(anonymous_id="v").spans != ()
            store.erase(customer_id=customer_id, at=9)
        assert store.person(anonymous_id="v").spans == ()
        assert [one.anonymous_id for _, one in store.rows()] == [None]
        store.append([event("view", 10, anonymous_id="v")])
        assert seqs(store, store.person(anonymous_id="v")) == [4]

    def test_a_device_with_events_of_its_own_outlives_its_users(self, store: EventStore) -> None:
        store.append(
            [
                event("identify", 1, customer_id="c", anonymous_id="v"),
                event("identify", 2, customer_id="d", anonymous_id="v"),
            ]
        )
        store.erase(customer_id="d", at=9)
        store.append([event("view", 10, anonymous_id="v")])
        store.erase(customer_id="c", at=11)
        assert seqs(store, store.person(anonymous_id="v")) == [3]

    def test_an_order_whose_every_buyer_was_erased_is_gone(self, store: EventStore) -> None:
        store.append(
            [
                event("deliver", 1, order_id="o"),
                event("purchase", 2, customer_id="c", order_id="o"),
                event("purchase", 3, customer_id="d", order_id="o"),
            ]
        )
        store.erase(customer_id="c", at=9)
        store.erase(customer_id="d", at=9)
        assert store.rows() == []
        assert store.erased_at("order", "o") == 9
        store.append([event("deliver", 10, order_id="o"), event("purchase", 11, customer_id="e", order_id="o")])
        assert seqs(store, store.person(customer_id="e")) == [4, 5]

    # Messages

    def test_messages_and_what_came_of_them(self, store: EventStore) -> None:
        store.append(
            [
                event("send", 1, customer_id="c", channel="email", decision_id="d1"),
                event("send", 5, known=7, customer_id="c", channel="sms"),
                event("view", 6, customer_id="c"),
                event("open", 6, customer_id="c", decision_id="d1"),
                event("impression", 6, customer_id="c", decision_id="l1"),
                event("click", 6, customer_id="c", decision_id="d1"),
                event("page", 8, anonymous_id="v", decision_id="d1"),
                event("send", 9, customer_id="other", decision_id="d1"),
                event("identify", 9, customer_id="c", anonymous_id="v"),
            ]
        )
        person = store.person(customer_id="c")

        def told(**limits: int) -> list[int]:
            return [seq for seq, _ in store.messages_of(person, **limits)]

        assert told() == [1, 2, 6, 7]
        assert told(since=5) == [2, 6, 7]
        assert told(upto=2) == [1, 2]
        assert told(known_before=7) == [1, 6]
        assert store.messages_of(person)[0] == (
            1,
            event("send", 1, customer_id="c", channel="email", decision_id="d1"),
        )
        assert store.messages_of(store.person(customer_id="nobody")) == []

    def test_what_was_bought_and_kept(self, store: EventStore) -> None:
        store.append(
            [
                event("purchase", 2, customer_id="c", product_id="p", order_id="o1", price=3.0),
                event("purchase", 1, known=9, customer_id="c", product_id="q"),
                event("purchase", 3, customer_id="c", product_id="r", order_id="o2", price=5.0),
                event("view", 4, customer_id="c", product_id="p"),
                event("refund", 5, known=8, customer_id="c", order_id="o2", quantity=None),
            ]
        )
        person = store.person(customer_id="c")
        assert store.bought(person) == [Purchase(1, "q", None), Purchase(2, "p", 3.0)]
        assert store.bought(person, newest=1) == [Purchase(2, "p", 3.0)]
        assert store.bought(person, known_before=8) == [Purchase(2, "p", 3.0), Purchase(3, "r", 5.0)]
        assert store.bought(person, upto=1) == [Purchase(2, "p", 3.0)]
        assert store.bought(store.person(customer_id="nobody")) == []

    # Settings

    def test_the_first_value_of_a_setting_stays(self, store: EventStore) -> None:
        assert store.setting("salt", "a") == "a"
        assert store.setting("salt", "b") == "a"
        assert store.setting("other", "c") == "c"

    def test_closing_twice(self, store: EventStore) -> None:
        store.close()
        store.close()


def decision(identifier: str, *, at: int = 1, bundle: str = "b1", **who: str) -> Decision:
    return Decision(
        id=identifier,
        at=at,
        kind="recommendations",
        customer_id=who.get("customer_id"),
        anonymous_id=who.get("anonymous_id"),
        model={"name": "recommender", "version": "1", "bundle": bundle},
        rules="r",
        watermark=Watermark(3, 2, 1),
        request={"blocks": [{"placement": "trending", "count": 2}], "at": "2026-01-01T00:00:00Z", "ü": "😀"},
        answer={"blocks": [{"items": [{"id": "p", "score": 0.1 + 0.2}]}]},
        digest="0" * 64,
        session_id=who.get("session_id"),
    )


def _ids(store: DecisionStore, *, after: int = 0, limit: int = 10_000) -> Sequence[str]:
    return [identifier for _, identifier in store.ids(after=after, limit=limit)]


class DecisionStoreContract:
    """A store of decisions; the fixture is an empty one."""

    def test_decisions_come_back_as_they_were(self, store: DecisionStore) -> None:
        written = [decision("d1", customer_id="c"), decision("d/2", anonymous_id="v", session_id="s"), decision("d3")]
        for one in written:
            store.write(one)
        assert [store.read(one.id) for one in written] == written
        assert store.read("d4") is None

    def test_one_id_is_one_decision(self, store: DecisionStore) -> None:
        store.write(decision("d", at=1))
        with pytest.raises(StoreError, match="already"):
            store.write(decision("d", at=2))
        assert store.read("d") == decision("d", at=1)

    def test_decisions_written_together_are_all_kept_or_none(self, store: DecisionStore) -> None:
        store.write(decision("b"), decision("a"), decision("c"))
        assert _ids(store) == ["b", "a", "c"]
        for again in ([decision("d"), decision("a")], [decision("d"), decision("d")]):
            with pytest.raises(StoreError, match="already"):
                store.write(*again)
        assert _ids(store) == ["b", "a", "c"]
        assert store.read("c") == decision("c")
        assert store.read("d") is None

    def test_ids_are_paged_in_order(self, store: DecisionStore) -> None:
        for name in "cab":
            store.write(decision(name))
        assert _ids(store) == ["c", "a", "b"]
        number = store.ids()[0][0]
        assert _ids(store, after=number, limit=1) == ["a"]

    def test_texts(self, store: DecisionStore) -> None:
        key = store.keep_text("rules")
        assert store.keep_text("rules") == key
        assert len(key) == 64
        assert store.text(key) == "rules"
        assert store.text("0" * 64) is None

    def test_bundles_of_what_is_kept(self, store: DecisionStore) -> None:
        assert store.bundles() == set()
        for number, bundle in enumerate(["x", "y", "x", "z"]):
            store.write(decision(str(number), at=number, bundle=bundle, customer_id=bundle))
        assert store.bundles() == {"x", "y", "z"}
        store.prune(2)
        assert store.bundles() == {"x", "z"}
        store.erase(customer_ids=["z"], anonymous_ids=[])
        assert store.bundles() == {"x"}

    def test_erasing(self, store: DecisionStore) -> None:
        store.write(decision("1", customer_id="c"))
        store.write(decision("2", anonymous_id="v"))
        store.write(decision("3", anonymous_id="c"))
        store.write(decision("4", customer_id="d", anonymous_id="v"))
        store.write(decision("5", customer_id="v"))
        store.write(decision("6", customer_id="c", anonymous_id="w"))
        assert store.erase(customer_ids=["c", "nobody"], anonymous_ids=["v"]) == 3
        assert [store.read(name) for name in "126"] == [ERASED] * 3
        assert _ids(store) == ["3", "4", "5"]  # 4 is somebody else's, on a device that both use
        assert store.erase(customer_ids=["c"], anonymous_ids=["v"]) == 0

    def test_erasing_sessions(self, store: DecisionStore) -> None:
        store.write(decision("1", session_id="s"))
        store.write(decision("2", session_id="t"))
        store.write(decision("3", session_id="s", anonymous_id="w"))  # a visitor's, who is erased as one
        store.write(decision("4", anonymous_id="s"))
        store.write(decision("5", session_id="u", customer_id="c"))
        assert store.erase(customer_ids=["c"], anonymous_ids=[], session_ids=["s"]) == 2
        assert [store.read(name) for name in "15"] == [ERASED] * 2
        assert _ids(store) == ["2", "3", "4"]

    def test_pruning(self, store: DecisionStore) -> None:
        for number in range(1500):
            store.write(decision(str(number), at=number, customer_id=str(number % 7)))
        store.erase(customer_ids=["0"], anonymous_ids=[])
        assert store.prune(1300) == len([number for number in range(1300) if number % 7])
        assert store.read("8") is None
        assert store.read("7") is None  # that it was erased is forgotten with its time
        assert store.read("1302") is None or store.read("1302") == ERASED or 1302 % 7
        assert _ids(store) == [str(number) for number in range(1300, 1500) if number % 7]
        assert store.prune(1300) == 0
        store.write(decision("later", at=2000))
        assert store.prune(LATEST) == len([number for number in range(1300, 1500) if number % 7]) + 1
        assert _ids(store) == []
        last = store.ids(after=-1)
        assert last == []
        store.write(decision("after all", at=3000))
        assert store.ids()[0][0] > 1500  # numbers go on

    def test_flushing(self, store: DecisionStore) -> None:
        store.flush()
        store.write(decision("d"))
        store.flush()
        store.flush()
        assert store.read("d") == decision("d")
        store.close()
        store.close()
