from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import DAY, Kind
from features.people import digest
from features.slots import Count, Declaration, Newest, Since
from features.states import LONG_TAIL, States
from features.store.base import Event, Person
from features.store.memory import MemoryEvents

ZERO = 1_767_571_200_000_000
SLOTS = Declaration((Count("views", Kind.VIEW), Since("seen", Kind.VIEW), Newest("viewed", Kind.VIEW, newest=3)))
OTHER = Declaration((Count("views", Kind.VIEW), Count("carts", Kind.CART)))


class Counting(MemoryEvents):
    """Counts the events that were read from it."""

    read = 0

    def events_of(self, person: Person, **where: Any) -> Iterator[tuple[int, Event]]:
        return self._counted(super().events_of(person, **where))

    def events_about(self, product: int, **where: Any) -> Iterator[tuple[int, Event]]:
        return self._counted(super().events_about(product, **where))

    def _counted(self, events: Iterator[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
        for one in events:
            self.read += 1
            yield one


@pytest.fixture
def store() -> Counting:
    return Counting()


def views(days: Sequence[float], *, known: float | None = None, **who: Any) -> list[Event]:
    moments = [round(ZERO + day * DAY) for day in days]
    return [
        Event("view", time, time if known is None else round(ZERO + known * DAY), product_id="a", **who)
        for time in moments
    ]


def day(number: float) -> int:
    return round(ZERO + number * DAY)


def test_a_person_nobody_has_seen(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    assert states.person(store.person(customer_id="anna"), day(1))["views"] == 0
    assert states.product(7, day(1))["views"] == 0


def test_what_happens_next_is_in_the_next_read(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    for number in range(3):
        store.append(views([number], customer_id="anna"))
        anna = store.person(customer_id="anna")
        assert states.person(anna, day(number + 1))["views"] == number + 1
        assert states.product(0, day(number + 1))["views"] == number + 1
    assert [seen.key for seen in states.customers.newest(states.person_state(anna), "viewed")] == [digest("a")] * 3


def test_a_long_tail_leaves_a_checkpoint_and_the_next_read_starts_there(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(LONG_TAIL + 1)], customer_id="anna"))
    anna = store.person(customer_id="anna")
    first = states.person(anna, day(5)), states.product(0, day(5))
    store.read = 0
    assert (states.person(anna, day(5)), states.product(0, day(5))) == first
    assert store.read == 0
    store.append(views([2], customer_id="anna"))
    assert states.person(store.person(customer_id="anna"), day(5))["views"] == LONG_TAIL + 2
    assert store.read == 1


def test_a_short_history_is_folded_each_time(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(LONG_TAIL)], customer_id="anna"))
    for _ in range(2):
        states.person(store.person(customer_id="anna"), day(5))
    assert store.read == 2 * LONG_TAIL


def test_a_moment_before_the_newest_event_is_folded_from_the_log(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(100)], customer_id="anna"))
    store.append(views([0.001], known=3, customer_id="anna"))
    anna = store.person(customer_id="anna")
    assert states.person(anna, day(4))["views"] == 101
    assert states.person(anna, day(3))["views"] == 100, "what came late was not known then"
    assert states.person(anna, day(0.5))["views"] == 50, "an event at the moment itself does not count"
    assert states.product(0, day(4))["views"] == 101
    assert states.product(0, day(0.5))["views"] == 50
    assert states.person(anna, day(4))["views"] == 101, "the checkpoint is as it was"


def test_as_of_a_sequence_number(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(100)], customer_id="anna"))
    for upto in (100, 30, 99):
        assert states.person(store.person(customer_id="anna", upto=upto), day(5), upto=upto)["views"] == upto
        assert states.product(0, day(5), upto=upto)["views"] == upto


def link(customer: str, visitor: str, number: float) -> Event:
    return Event("identify", day(number), day(number), customer_id=customer, anonymous_id=visitor)


def test_a_linked_visitor_counts_from_then_on_once(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(70)], anonymous_id="v"))
    store.append(views([1], customer_id="anna"))
    assert states.person(store.person(anonymous_id="v"), day(2))["views"] == 70
    assert states.person(store.person(customer_id="anna"), day(2))["views"] == 1
    store.append([link("anna", "v", 2), *views([3], anonymous_id="v")])
    for anna in (store.person(anonymous_id="v"), store.person(customer_id="anna")):
        assert states.person(anna, day(4))["views"] == 72
    store.append([link("bert", "v", 5), *views([6], anonymous_id="v")])
    assert states.person(store.person(customer_id="anna"), day(9))["views"] == 72
    assert states.person(store.person(anonymous_id="v"), day(9))["views"] == 1
    assert states.person(store.person(customer_id="bert", upto=72), day(9), upto=72)["views"] == 0


def test_a_changed_declaration_has_states_of_its_own(store: Counting) -> None:
    old, new = States(store, SLOTS, SLOTS), States(store, OTHER, SLOTS)
    store.append(views([number / 100 for number in range(100)], customer_id="anna"))
    store.append([Event("cart", day(1), day(1), customer_id="anna", product_id="a")])
    anna = store.person(customer_id="anna")
    assert old.person(anna, day(5))["views"] == 100
    assert new.person(anna, day(5)) == {"views": 100.0, "carts": 1.0}


def test_rebuilding_writes_every_checkpoint_and_drops_the_others(store: Counting) -> None:
    old, new = States(store, SLOTS, SLOTS), States(store, OTHER, SLOTS)
    store.append(views([number / 100 for number in range(100)], customer_id="anna"))
    anna = store.person(customer_id="anna")
    before = old.person(anna, day(5))
    told: list[tuple[str, int, int]] = []
    assert new.rebuild(lambda *step: told.append(step)) == (1, 1)
    assert told == [("customers", 1, 1), ("products", 1, 1)]
    store.read = 0
    assert new.person(anna, day(5))["views"] == 100
    assert new.product(0, day(5))["views"] == 100
    assert store.read == 0
    assert old.person(anna, day(5)) == before
    assert store.read == 100, "its checkpoint is gone, its answer is not"


class ErasedMeanwhile(MemoryEvents):
    """Somebody is erased while their log is read."""

    def events_of(self, person: Person, **where: Any) -> Iterator[tuple[int, Event]]:
        read = list(super().events_of(person, **where))
        self.erase(customer_id="anna", at=day(9))
        return iter(read)


def test_what_was_folded_before_an_erasing_is_not_kept() -> None:
    store = ErasedMeanwhile()
    states = States(store, SLOTS, SLOTS)
    store.append(views([number / 100 for number in range(LONG_TAIL + 1)], anonymous_id="shared"))
    store.append([link("anna", "shared", 2), link("bert", "shared", 3)])
    anna = store.person(customer_id="anna")
    assert states.person(anna, day(5))["views"] == LONG_TAIL + 1
    assert store.erasures() > 0
    assert store.checkpoints("person", [number for number, _, _ in anna.spans], states.fingerprint) == {}


def test_only_what_came_since_is_folded_where_states_are_remembered(store: Counting) -> None:
    states = States(store, SLOTS, SLOTS, remembered=2)
    store.append(views([number / 100 for number in range(10)], customer_id="anna"))
    assert states.person(store.person(customer_id="anna"), day(5))["views"] == 10
    store.append(views([1], customer_id="anna"))
    store.read = 0
    for _ in range(2):
        assert states.person(store.person(customer_id="anna"), day(5))["views"] == 11
    assert store.read == 1
    for name in ("bert", "carl"):  # two more than fit
        store.append(views([1], customer_id=name))
        states.person(store.person(customer_id=name), day(5))
    store.read = 0
    states.person(store.person(customer_id="anna"), day(5))
    assert store.read == 11, "she was forgotten"


ASKED = st.lists(
    st.tuples(
        st.sampled_from(["view", "view", "link", "erase", "ask", "ask", "ask"]),
        st.sampled_from(["anna", "bert"]),
        st.sampled_from(["v", "w"]),
        st.floats(0, 9),
        st.integers(0, 12),
    ),
    max_size=30,
)


@given(steps=ASKED)
def test_what_is_remembered_is_what_the_log_says(steps: list[tuple[str, str, str, float, int]]) -> None:
    store = MemoryEvents()
    plain, remembering = States(store, SLOTS, SLOTS), States(store, SLOTS, SLOTS, remembered=3)
    for what, customer, visitor, at, back in steps:
        match what:
            case "view":
                who = {"customer_id": customer} if back % 2 else {"anonymous_id": visitor}
                store.append(views([at], known=max(at, back), **who))
            case "link":
                store.append([link(customer, visitor, at)])
            case "erase":
                store.erase(customer_id=customer, at=day(9))
            case _:
                upto = max(0, store.watermark().seq - back // 3)
                for name in (customer, None):
                    person = store.person(customer_id=name, anonymous_id=visitor, upto=upto)
                    moment = day(at) if back % 3 == 0 else day(20)
                    found, expected = (one.person(person, moment, upto=upto) for one in (remembering, plain))
                    assert found == pytest.approx(expected, nan_ok=True, rel=1e-12)
