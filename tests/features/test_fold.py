from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events import DAY, HOUR, Kind
from features.fold import Fold, State, offset_hours
from features.people import digest
from features.slots import (
    CUSTOMER,
    PRODUCT,
    Count,
    Decayed,
    Declaration,
    First,
    HourOfWeek,
    HoursOfDay,
    LastPrice,
    Newest,
    Occasions,
    Ratio,
    Since,
    Slot,
    days,
)
from features.store.base import Event

ZERO = 1_767_571_200_000_000  # Monday 2026-01-05, 0:00 UTC
DECLARATIONS = [CUSTOMER, PRODUCT]
NEVER_FADES = days(100_000_000)


def event(name: str, day: float, **more: Any) -> Event:
    time = round(ZERO + day * DAY)
    return Event(name, time, more.pop("known", time), customer_id="anna", **more)


def folded(fold: Fold, events: list[Event]) -> State:
    state = fold.empty()
    for one in events:
        fold.update(state, one)
    return state


def read_one(slot: Slot, events: list[Event], day: float, *more: Slot | Ratio) -> dict[str, float]:
    fold = Fold(Declaration((slot, *more)))
    return fold.read(folded(fold, events), round(ZERO + day * DAY))


BOUGHT = [
    event("purchase", 0, quantity=2.0, price=10.0),
    event("purchase", 10, quantity=1.0, price=4.0),
    event("view", 10),
    event("refund", 20, quantity=1.0, price=10.0),
]


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        (Decayed("x", Kind.PURCHASE, half_life=days(10)), 1 / 4 + 1 / 2),
        (Decayed("x", Kind.PURCHASE, half_life=days(10), value="quantity"), 2 / 4 + 1 / 2),
        (Decayed("x", Kind.PURCHASE, half_life=days(10), value="amount"), 20 / 4 + 4 / 2),
        (Decayed("x", Kind.PURCHASE, half_life=days(10), value="amount", less=Kind.REFUND), 20 / 4 + 4 / 2 - 10),
        (Decayed("x", (Kind.PURCHASE, Kind.VIEW), half_life=days(10)), 1 / 4 + 1 / 2 + 1 / 2),
        (Count("x", Kind.PURCHASE), 2.0),
        (Count("x", Kind.PURCHASE, value="amount", less=Kind.REFUND), 14.0),
        (Since("x", Kind.PURCHASE), 10.0),
        (First("x", Kind.PURCHASE), 20.0),
        (Since("x", Kind.CART), math.nan),
        (First("x", Kind.CART), math.nan),
        (LastPrice("x", Kind.PURCHASE), 4.0),
        (LastPrice("x", Kind.CART), math.nan),
        (Count("x", Kind.CART), 0.0),
    ],
)
def test_values_worked_out_by_hand(slot: Slot, value: float) -> None:
    assert read_one(slot, BOUGHT, 20)["x"] == pytest.approx(value, nan_ok=True, abs=1e-12)


def test_a_refund_that_says_little_counts_as_one_piece_of_no_amount() -> None:
    events = [*BOUGHT[:1], event("refund", 1, quantity=None)]
    assert read_one(Count("x", Kind.PURCHASE, value="quantity", less=Kind.REFUND), events, 2)["x"] == 1.0
    assert read_one(Count("x", Kind.PURCHASE, value="amount", less=Kind.REFUND), events, 2)["x"] == 20.0


def test_channels_and_custom_events_are_told_apart() -> None:
    events = [event("open", 0, channel="email"), event("open", 0, channel="fax"), event("open", 0)]
    events += [event("machine_open", 0, channel="email"), event("something", 0)]
    for slot, value in (
        (Count("x", Kind.OPEN, "email"), 1.0),
        (Count("x", Kind.OPEN), 3.0),
        (Count("x", "machine_open"), 1.0),
        (Count("x", ("machine_open", Kind.OPEN), "email"), 2.0),
        (Count("x", Kind.CUSTOM), 2.0),  # names that no slot asks for
    ):
        assert read_one(slot, events, 1)["x"] == value
    both = (Count("named", "machine_open"), Count("others", Kind.CUSTOM))
    assert read_one(both[0], events, 1, both[1]) == {"named": 1.0, "others": 1.0}


def test_the_last_price_of_a_moment_is_the_highest_and_one_unknown_is_none() -> None:
    events = [event("purchase", 1, price=price) for price in (3.0, 5.0, None, 4.0)] + [event("purchase", 0, price=9.0)]
    for order in (events, events[::-1]):
        assert read_one(LastPrice("x", Kind.PURCHASE), order, 2)["x"] == 5.0


def test_the_lines_of_an_order_are_one_occasion() -> None:
    events = [event("purchase", day, product_id=product) for day in (0, 4, 20) for product in "abc"]
    slot = Occasions("x", Kind.PURCHASE)
    for order in (events, events[::-1], events[::2] + events[1::2]):
        assert read_one(slot, order, 30) == {"x": 3.0, "x_mean_gap": 10.0, "x_last_gap": 16.0}
    newest = read_one(Occasions("x", Kind.PURCHASE, newest=2), events, 30)
    assert newest == {"x": 2.0, "x_mean_gap": 16.0, "x_last_gap": 16.0}
    assert math.isnan(read_one(slot, events[:3], 30)["x_mean_gap"])


def test_a_ratio_is_of_what_is_left() -> None:
    slots = Count("bought", Kind.PURCHASE, less=Kind.REFUND), Decayed("seen", Kind.VIEW, half_life=days(1))
    ratio = Ratio("x", "bought", "seen")
    assert read_one(slots[0], BOUGHT, 10.0 + 1e-9, slots[1], ratio)["x"] == pytest.approx(1.0)
    assert read_one(slots[0], BOUGHT, 11, slots[1], ratio)["x"] == pytest.approx(2.0)
    assert math.isnan(read_one(slots[0], BOUGHT, 20, slots[1], ratio)["x"]), "a thousandth of a view is nothing"


def test_the_newest_products_come_with_time_and_kind() -> None:
    fold = Fold(Declaration((Newest("x", (Kind.VIEW, Kind.CART), newest=3),)))
    events = [event("view", 0, product_id="a"), event("view", 1, product_id="b"), event("cart", 1, product_id="b")]
    events += [event("view", 2), event("view", 3, product_id="c"), event("purchase", 4, product_id="d")]
    for order in (events, events[::-1]):
        found = [(seen.event, seen.key, (seen.time - ZERO) // DAY) for seen in fold.newest(folded(fold, order), "x")]
        assert found == [("view", digest("c"), 3), ("cart", digest("b"), 1), ("view", digest("b"), 1)]


def test_two_states_are_added() -> None:
    slots = (
        Count("bought", Kind.PURCHASE),
        Since("last", Kind.PURCHASE),
        First("first", Kind.PURCHASE),
        LastPrice("price", Kind.PURCHASE),
        Occasions("orders", Kind.PURCHASE),
    )
    fold = Fold(Declaration(slots))
    early, late = folded(fold, [event("purchase", 1, price=3.0)]), folded(fold, [event("purchase", 5, price=7.0)])
    for merged in (fold.merge(early, late), fold.merge(late, early)):
        read = fold.read(merged, ZERO + 10 * DAY)
        assert (read["bought"], read["last"], read["first"], read["price"]) == (2, 5, 9, 7)
        assert (read["orders"], read["orders_last_gap"]) == (2, 4)
    assert fold.read(fold.merge(fold.empty(), early), ZERO + 10 * DAY) == pytest.approx(
        fold.read(early, ZERO + 10 * DAY), nan_ok=True
    )


# Hours


def hours(zone: str | None, at: datetime, *times: datetime) -> list[float]:
    """Shares of the 168 hours of the week."""
    fold = Fold(Declaration((HourOfWeek("x", Kind.OPEN, half_life=NEVER_FADES),)))
    state = folded(fold, [Event("open", micros(time), micros(time), customer_id="anna") for time in times])
    found = fold.hours(state, "x", micros(at), zone)
    return [part / sum(found) for part in found]


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def filled(shares: list[float]) -> dict[tuple[int, int], float]:
    """(day of the week, hour) -> share."""
    return {divmod(hour, 24): round(share, 6) for hour, share in enumerate(shares) if share > 1e-9}


MONDAY_NOON = utc(2026, 1, 5, 12, 20)


@pytest.mark.parametrize(
    ("zone", "cells"),
    [
        (None, {(0, 12): 1.0}),
        ("Europe/Berlin", {(0, 13): 1.0}),
        ("America/New_York", {(0, 7): 1.0}),
        ("Asia/Kolkata", {(0, 17): 0.5, (0, 18): 0.5}),
        ("Asia/Kathmandu", {(0, 17): 0.25, (0, 18): 0.75}),
        ("America/St_Johns", {(0, 8): 0.5, (0, 9): 0.5}),
        ("Pacific/Kiritimati", {(1, 2): 1.0}),
        ("Mars/Olympus", {(0, 12): 1.0}),
    ],
)
def test_hours_are_those_of_the_persons_clock(zone: str | None, cells: dict[tuple[int, int], float]) -> None:
    assert filled(hours(zone, utc(2026, 1, 10), MONDAY_NOON)) == cells


def test_a_week_wraps_around() -> None:
    sunday_night = utc(2026, 1, 11, 23, 30)
    assert filled(hours("Europe/Berlin", utc(2026, 1, 15), sunday_night)) == {(0, 0): 1.0}
    monday_morning = utc(2026, 1, 5, 0, 30)
    assert filled(hours("America/New_York", utc(2026, 1, 15), monday_morning)) == {(6, 19): 1.0}


def test_the_days_of_23_and_25_hours() -> None:
    # Europe/Berlin: 29 March 2026 has no 2 o'clock, 25 October has two. The offset is that of the moment of reading.
    before, after = utc(2026, 3, 29, 0, 59, 59), utc(2026, 3, 29, 1, 0)
    assert filled(hours("Europe/Berlin", before, MONDAY_NOON)) == {(0, 13): 1.0}
    assert filled(hours("Europe/Berlin", after, MONDAY_NOON)) == {(0, 14): 1.0}
    before, after = utc(2026, 10, 25, 0, 59, 59), utc(2026, 10, 25, 1, 0)
    assert filled(hours("Europe/Berlin", before, MONDAY_NOON)) == {(0, 14): 1.0}
    assert filled(hours("Europe/Berlin", after, MONDAY_NOON)) == {(0, 13): 1.0}
    # The hour that comes twice is two hours of UTC, read at any one moment as two.
    twice = hours("Europe/Berlin", utc(2026, 10, 26), utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30))
    assert filled(twice) == {(6, 1): 0.5, (6, 2): 0.5}


def test_parts_of_the_day_and_this_hour() -> None:
    fold = Fold(Declaration((HourOfWeek("x", Kind.OPEN, half_life=NEVER_FADES),)))
    opened = [utc(2026, 1, 5, 12, 20), utc(2026, 1, 6, 12, 40), utc(2026, 1, 10, 20, 0), utc(2026, 1, 11, 1, 0)]
    state = folded(fold, [Event("open", micros(time), micros(time), customer_id="anna") for time in opened])
    for zone, at, expected in (
        (None, utc(2026, 1, 12, 12, 5), (0.25, 0, 0.5, 0.25, 0.5, 0.5)),
        ("Europe/Berlin", utc(2026, 1, 12, 12, 5), (0.25, 0, 0.5, 0.25, 0.5, 0.5)),
        ("Asia/Kolkata", utc(2026, 1, 12, 12, 5), (0.25, 0.25, 0.25, 0.25, 0.5, 0.25)),  # 17:35 there
        ("Asia/Kolkata", utc(2026, 1, 12, 12, 35), (0.25, 0.25, 0.25, 0.25, 0.5, 0.25)),  # 18:05
        ("America/Los_Angeles", utc(2026, 1, 12, 12, 5), (0.5, 0, 0.5, 0, 0.5, 0.5)),  # 4:05
    ):
        read = fold.read(state, micros(at), zone)
        assert tuple(read.values()) == pytest.approx(expected), zone
    nobody = fold.read(fold.empty(), micros(opened[0]))
    assert all(math.isnan(share) for share in nobody.values())


def test_offsets() -> None:
    assert offset_hours("Asia/Kolkata", ZERO) == 5.5
    assert offset_hours("America/St_Johns", ZERO) == -3.5
    assert offset_hours("no/where", ZERO) == offset_hours("../../etc/passwd", ZERO) == offset_hours("", ZERO) == 0.0


def day_hours(state: State, fold: Fold, at: datetime, zone: str | None) -> dict[int, float]:
    """Hour of the day -> count, of the one slot of a fold."""
    found = fold.read(state, micros(at), zone)
    assert list(found) == [f"x_{hour:02}" for hour in range(24)]
    return {hour: round(count, 4) for hour, count in enumerate(found.values()) if count}


@pytest.mark.parametrize(
    ("zone", "counts"),
    [
        (None, {12: 2.0, 20: 1.0, 23: 1.0}),
        ("Europe/Berlin", {0: 1.0, 13: 2.0, 21: 1.0}),
        ("America/Los_Angeles", {4: 2.0, 12: 1.0, 15: 1.0}),
        ("Asia/Kolkata", {1: 0.5, 2: 0.5, 4: 0.5, 5: 0.5, 17: 1.0, 18: 1.0}),
        ("Asia/Kathmandu", {1: 0.25, 2: 0.75, 4: 0.25, 5: 0.75, 17: 0.5, 18: 1.5}),
        ("Pacific/Kiritimati", {2: 2.0, 10: 1.0, 13: 1.0}),
    ],
)
def test_hours_of_the_day_are_counts_by_the_persons_clock(zone: str | None, counts: dict[int, float]) -> None:
    fold = Fold(Declaration((HoursOfDay("x", Kind.OPEN, half_life=NEVER_FADES),)))
    opened = [utc(2026, 1, 5, 12, 20), utc(2026, 1, 6, 12, 40), utc(2026, 1, 10, 20, 0), utc(2026, 1, 11, 23, 0)]
    state = folded(fold, [Event("open", micros(time), micros(time), customer_id="anna") for time in opened])
    fold.update(state, Event("click", micros(opened[0]), micros(opened[0]), customer_id="anna"))
    assert day_hours(state, fold, utc(2026, 1, 12), zone) == counts
    assert day_hours(fold.empty(), fold, utc(2026, 1, 12), zone) == {}


def test_hours_of_the_day_fade_to_the_moment_of_reading() -> None:
    slot = HoursOfDay("x", (Kind.OPEN, Kind.CLICK), half_life=days(10), channel="email")
    events = [event("open", 0.5, channel="email"), event("click", 10.5, channel="email"), event("open", 10.5)]
    read = read_one(slot, events, 20.5)
    assert read["x_12"] == pytest.approx(0.25 + 0.5, rel=1e-12)
    assert sum(read.values()) == read["x_12"]


def test_hours_of_the_day_on_the_days_of_23_and_25_hours() -> None:
    fold = Fold(Declaration((HoursOfDay("x", Kind.OPEN, half_life=NEVER_FADES),)))
    state = folded(fold, [event("open", 0.5)])
    for at, hour in (
        (utc(2026, 3, 29, 0, 59, 59), 13),
        (utc(2026, 3, 29, 1, 0), 14),
        (utc(2026, 10, 25, 0, 59, 59), 14),
        (utc(2026, 10, 25, 1, 0), 13),
    ):
        assert day_hours(state, fold, at, "Europe/Berlin") == {hour: 1.0}


# Any order, any split


names = st.sampled_from([kind.name.lower() for kind in Kind if kind] + ["machine_open"])
happenings = st.lists(
    st.builds(
        lambda **fields: Event(**fields),  # of a named tuple itself, builds would make up what is not told
        event=names,
        time=st.integers(ZERO - 3_000 * DAY, ZERO) | st.integers(ZERO - 3 * HOUR, ZERO),
        known=st.just(0),
        customer_id=st.just("anna"),
        product_id=st.none() | st.sampled_from("abc"),
        quantity=st.none() | st.sampled_from([0.0, 1.0, 3.5]),
        price=st.none() | st.floats(0, 1000, width=32),
        channel=st.none() | st.sampled_from(["email", "ads", "fax"]),
    ),
    max_size=60,
)


def same(one: dict[str, float], other: dict[str, float]) -> None:
    assert list(one) == list(other)
    np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("declaration", DECLARATIONS)
@settings(max_examples=40, deadline=None)
@given(happenings, st.randoms(use_true_random=False), st.integers(1, 1_000 * DAY))
def test_order_does_not_matter(declaration: Declaration, events: list[Event], random: Any, later: int) -> None:
    fold, at = Fold(declaration), ZERO + later
    shuffled = events.copy()
    random.shuffle(shuffled)
    one, other = folded(fold, events), folded(fold, shuffled)
    same(fold.read(one, at, "Asia/Kathmandu"), fold.read(other, at, "Asia/Kathmandu"))
    for slot in declaration.slots:
        if isinstance(slot, Newest):
            assert fold.newest(one, slot.name) == fold.newest(other, slot.name)


@pytest.mark.parametrize("declaration", DECLARATIONS)
@settings(max_examples=40, deadline=None)
@given(happenings, st.integers(0, 60), st.integers(1, 1_000 * DAY))
def test_parts_add_up_to_the_whole(declaration: Declaration, events: list[Event], cut: int, later: int) -> None:
    fold, at = Fold(declaration), ZERO + later
    parts, whole = (folded(fold, events[:cut]), folded(fold, events[cut:])), folded(fold, events)
    before = [fold.dump(part) for part in parts]
    for merged in (
        fold.merge(*parts),
        fold.merge(*parts[::-1]),
        fold.merge(fold.merge(fold.empty(), parts[0]), parts[1]),
    ):
        same(fold.read(merged, at), fold.read(whole, at))
        assert merged.newest == whole.newest
        for slot in declaration.slots:
            if isinstance(slot, Newest):
                assert fold.newest(merged, slot.name) == fold.newest(whole, slot.name)
    assert [fold.dump(part) for part in parts] == before, "merging leaves the parts as they are"


@pytest.mark.parametrize("declaration", DECLARATIONS)
@settings(max_examples=40, deadline=None)
@given(happenings, st.integers(0, 60))
def test_a_state_comes_back_bit_for_bit(declaration: Declaration, events: list[Event], cut: int) -> None:
    fold = Fold(declaration)
    state = folded(fold, events[:cut])
    loaded = fold.load(fold.dump(state))
    assert loaded == state
    for one in events[cut:]:
        fold.update(state, one)
        fold.update(loaded, one)
    assert loaded == state


def test_decades_do_not_overflow() -> None:
    fold = Fold(
        Declaration((Decayed("day", Kind.VIEW, half_life=days(1)), Decayed("year", Kind.VIEW, half_life=days(365))))
    )
    events = [event("view", day) for day in range(0, 15_000, 50)]
    for order in (events, events[::-1]):
        read = fold.read(folded(fold, order), round(ZERO + 15_000 * DAY))
        assert read["day"] == pytest.approx(sum(0.5**age for age in range(50, 15_001, 50)), rel=1e-9)
        assert read["year"] == pytest.approx(sum(0.5 ** (age / 365) for age in range(50, 15_001, 50)), rel=1e-9)
    assert fold.read(folded(fold, events), ZERO + 10**17)["year"] == 0.0
