"""A customer of a live shop is known as training knew them: the same data give the same crowd."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Flag, Number, Tags, Text
from features.dataset import read_dataset
from features.states import States
from features.store.base import EventStore
from features.store.memory import MemoryEvents
from features.store.sqlite import SqliteEvents
from nba.crowd import Contacts, Crowd
from nba.one_customer import Customers, Who, crowd_of
from training.crowds import crowd_at, people_of
from training.importing import import_dataset

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CUSTOMERS = ["c1", "c2", "c3"]


def day(number: float) -> pd.Timestamp:
    return pd.Timestamp("2026-05-01", tz="UTC") + pd.Timedelta(days=number)


def silent(step: str, done: int, total: int) -> None: ...


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Three customers with everything a crowd is made of, in tables."""
    rng = np.random.default_rng(0)
    n = 300
    names = np.array(["view", "cart", "purchase", "page", "click", "open", "search"])
    events = pd.DataFrame(
        {
            "event": rng.choice(names, n),
            "timestamp": [day(number) for number in rng.uniform(-60, 20, n)],
            "customer_id": rng.choice(CUSTOMERS, n),
            "product_id": rng.choice(["p1", "p2", "p3"], n),
            "price": rng.uniform(1, 20, n).round(2),
            "channel": rng.choice(np.array(["email", "sms", None], dtype=object), n),
            "event_id": [f"e{number}" for number in range(n)],
        }
    )
    messages = pd.DataFrame(
        {
            "message_id": [f"m{number}" for number in range(5)],
            "customer_id": ["c1", "c1", "c2", "c2", "c1"],
            "action": ["survey", "cart_reminder", "offer", "hold", "survey"],
            "offer": [None, None, "ten", None, None],
            "channel": ["email", "sms", "email", None, "email"],
            "sent_at": [day(number) for number in (1, 2, 3, 4, 19)],
            "decision_id": ["d0", "d1", None, "d3", "d4"],
            "opened_at": [day(1.5), pd.NaT, day(3.5), pd.NaT, pd.NaT],
            "clicked_at": [day(1.6), pd.NaT, pd.NaT, pd.NaT, pd.NaT],
            "visited_at": [pd.NaT, pd.NaT, day(3.7), pd.NaT, pd.NaT],
            "unsubscribed_at": [pd.NaT, day(2.5), pd.NaT, pd.NaT, pd.NaT],
        }
    )
    customers = pd.DataFrame(
        {
            "customer_id": CUSTOMERS,
            "timezone": ["Europe/Berlin", "Asia/Kolkata", None],
            "age": [40.0, None, 30.0],
            "vip": [True, False, None],
            "city": ["Rome", None, "Oslo"],
            "concerns": [["dry"], ["dry", "age"], None],
        }
    )
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, table in (("events", events), ("messages", messages), ("customers", customers)):
        table.to_parquet(folder / f"{name}.parquet")
    return folder


def contacts_told(contacts: Contacts) -> list[list[tuple[int, str | None, str | None, bool]]]:
    """Of each customer the contacts, by name."""
    actions, channels = [*contacts.actions, None], [*contacts.channels, None]
    rows = [
        (int(time), actions[action], channels[channel], bool(answered))
        for time, action, channel, answered in zip(
            contacts.time, contacts.action, contacts.channel, contacts.answered, strict=True
        )
    ]
    return [rows[low:high] for low, high in zip(contacts.start[:-1], contacts.start[1:], strict=True)]


def value_of(crowd: Crowd, name: str, row: int) -> object:
    match crowd.attributes[name]:
        case Number(values):
            return None if np.isnan(values[row]) else float(values[row])
        case Flag(values):
            return int(values[row])
        case Text(codes, words):
            return words[int(codes[row])] if codes[row] >= 0 else None
        case Tags(indptr, codes, words):
            return sorted(words[int(code)] for code in codes[indptr[row] : indptr[row + 1]])
    raise AssertionError(name)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_same_data_give_the_same_crowd(shop: Path, tmp_path: Path, kind: str) -> None:
    dataset = read_dataset(shop, now=NOW)
    store: EventStore = MemoryEvents() if kind == "memory" else SqliteEvents(tmp_path / "events.db")
    import_dataset(dataset, store, at=NOW, report=silent)
    customers = Customers(store, States(store))
    upto = store.watermark().seq
    for number in (0.5, 2.2, 3.6, 10, 25):
        at = day(number).value // 1000
        people = people_of(dataset)
        trained = crowd_at(people, pd.Series(CUSTOMERS), np.full(3, at))
        # What the table of customers says it has always said; in a live shop it was said at some moment.
        looked = [customers.look(Who(name), at, past=True, upto=upto) for name in CUSTOMERS]
        traits = [customers.look(Who(name), at, past=False, upto=upto).traits for name in CUSTOMERS]
        zones = [told.get("timezone") for told in traits]
        for one, told in zip(looked, traits, strict=True):
            one.traits.update(told)
        live = crowd_of(looked, [one.sent for one in looked], customers.names, people.channels, {}, None)
        assert list(live.ids) == list(trained.ids)
        assert live.names == trained.names
        by_zone = [
            place
            for place, name in enumerate(live.names)
            if "hours_" in name or name.startswith(("active_", "opening_"))
        ]
        plain = np.setdiff1d(np.arange(len(live.names)), by_zone)
        np.testing.assert_allclose(live.state[:, plain], trained.state[:, plain], rtol=1e-9, atol=1e-9)
        assert list(live.zones) == zones == list(trained.zones)
        assert contacts_told(live.contacts) == contacts_told(trained.contacts)
        for name in ("age", "vip", "city", "concerns"):
            assert [value_of(live, name, row) for row in range(3)] == [
                value_of(trained, name, row) for row in range(3)
            ], name
    store.close()


def test_hours_are_those_of_the_customer(shop: Path) -> None:
    """With the zone told from the start, the whole state is the same, hours included."""
    dataset = read_dataset(shop, now=NOW)
    store = MemoryEvents()
    import_dataset(dataset, store, at=datetime(2026, 1, 1, tzinfo=UTC), report=silent)
    customers = Customers(store, States(store))
    at = day(10).value // 1000
    trained = crowd_at(people_of(dataset), pd.Series(CUSTOMERS), np.full(3, at))
    live = [customers.look(Who(name), at, past=True, upto=store.watermark().seq).state for name in CUSTOMERS]
    np.testing.assert_allclose(np.stack(live), trained.state, rtol=1e-9, atol=1e-9)
