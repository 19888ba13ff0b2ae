"""Messages into the store of the live shop, and decisions out of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.dataset import Dataset, read_dataset
from features.events import DAY, HOUR
from features.people import identity_digest
from features.store.base import Contact, Decision, DecisionStore, Event, EventStore, Reservation, Watermark
from features.store.memory import MemoryDecisions, MemoryEvents
from training.exporting import export_dataset
from training.importing import import_dataset
from training.message_log import WINDOW

NOW = datetime(2026, 6, 1, tzinfo=UTC)
END = round(NOW.timestamp()) * 1_000_000


def silent(step: str, done: int, total: int) -> None: ...


def read(folder: Path) -> Dataset:
    found = read_dataset(folder, now=NOW)
    assert all(report.rejected.empty for report in found.report.values()), found.report
    return found


def day(number: float) -> pd.Timestamp:
    return pd.Timestamp("2026-05-01", tz="UTC") + pd.Timedelta(days=number)


def micros(number: float) -> int:
    return day(number).value // 1000


# In


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Mail m1 was opened by a machine and clicked, m2 brought a visit, m3 was held, m4 cancelled; and two opens."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    nothing = {"customer_id": "c1", "action": "survey", "channel": "email", "sent_at": day(1)}
    rows: list[dict[str, Any]] = [
        {**nothing, "message_id": "m1", "decision_id": "d1", "known_at": day(2), "opened_at": day(2),
         "machine_opened": True, "clicked_at": day(3), "offer": "free"},
        {**nothing, "message_id": "m2", "channel": "sms", "opened_at": day(4), "visited_at": day(4),
         "unsubscribed_at": day(5), "complained_at": day(6)},
        {**nothing, "message_id": "m3", "action": "hold", "channel": None, "visited_at": day(2)},
        {**nothing, "message_id": "m4", "cancelled_at": day(1), "clicked_at": day(2)},
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "messages.parquet")
    opened = pd.DataFrame({"customer_id": ["c2", "c2"], "opened_at": [day(1), day(1)], "channel": ["email", None]})
    opened.to_parquet(folder / "opens.parquet")
    return folder


def test_messages_become_events(campaign: Path) -> None:
    store = MemoryEvents()
    done = import_dataset(read(campaign), store, at=NOW, report=silent)
    assert (done.events, done.told, done.duplicates) == (10, 10, 0)
    events = [event for _, event in store.rows()]
    assert {(one.event, one.channel, one.decision_id, one.time) for one in events if one.customer_id == "c1"} == {
        ("send", "email", "d1", micros(1)),
        ("machine_open", "email", "d1", micros(2)),
        ("click", "email", "d1", micros(3)),
        ("send", "sms", "m2", micros(1)),
        ("open", "sms", "m2", micros(4)),
        ("visit", "sms", "m2", micros(4)),
        ("unsubscribe", "sms", "m2", micros(5)),
        ("complained", "sms", "m2", micros(6)),
    }
    assert [(one.event, one.channel, one.time) for one in events if one.customer_id == "c2"] == [
        ("open", channel, micros(1)) for channel in ("email", None)
    ]
    first = next(one for one in events if one.event == "send" and one.decision_id == "d1")
    assert (first.known, first.more, first.event_id) == (micros(2), {"action": "survey:free"}, "import:message:m1:send")


def test_importing_messages_twice_changes_nothing(campaign: Path, tmp_path: Path) -> None:
    store = MemoryEvents()
    import_dataset(read(campaign), store, at=NOW, report=silent)
    again = import_dataset(read(campaign), store, at=NOW, report=silent)
    assert (again.events, again.duplicates) == (0, 10)
    export_dataset(store, MemoryDecisions(), tmp_path / "out", silent, now=NOW)
    exported = import_dataset(read(tmp_path / "out"), store, at=NOW, report=silent)
    assert exported.events == 0, "what was exported is there"


def test_an_event_that_says_the_same_counts(campaign: Path) -> None:
    events = pd.DataFrame(
        {"event": ["send"], "timestamp": [day(1.5)], "customer_id": ["c1"], "channel": ["email"], "decision_id": ["d1"]}
    )
    events.to_parquet(campaign / "events.parquet")
    store = MemoryEvents()
    assert import_dataset(read(campaign), store, at=NOW, report=silent).told == 9
    sent = [one.time for _, one in store.rows() if one.event == "send" and one.decision_id == "d1"]
    assert sent == [micros(1.5)]


# Out


class Shop:
    """Decisions, events, and the messages that come of them."""

    def __init__(self, folder: Path) -> None:
        self.events: EventStore = MemoryEvents()
        self.decisions: DecisionStore = MemoryDecisions()
        self._folder = folder

    def decided(self, name: str, at: float, contact: Contact | None, who: str = "c1", **parts: Any) -> None:
        person = identity_digest("customer", who)
        answer = {
            "eligible": ["survey@email"],
            "policy": {"name": "nba", "version": "3"},
            "propensity": 0.5,
            "send_at_propensity": 0.25,
            "cost": 0.1 if contact else 0.0,
            "discount": parts.pop("discount", 0.0),
        }
        made = Decision(
            name, micros(at), "action", who, None, {"bundle": "b"}, None, Watermark(0, 0, 0), {"at": micros(at)}, answer
        )
        if who.startswith("visitor"):
            made = replace(made, customer_id=None, anonymous_id=who)
        version = self.decisions.standing([person], since=0).version
        assert self.decisions.reserve([Reservation(made, (person,), version, 1, contact, at=micros(at), **parts)]) == [
            True
        ]

    def happened(self, name: str, at: float, **columns: Any) -> None:
        columns.setdefault("customer_id", "c1")
        self.events.append([Event(name, micros(at), micros(at), **columns)])

    def messages(self) -> pd.DataFrame:
        out = self._folder / "out"
        done = export_dataset(self.events, self.decisions, out, silent, now=NOW)
        found = read(out).messages
        assert found is not None
        assert done.messages == len(found)
        return found.set_index("message_id")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def mail(at: float, action: str = "survey") -> Contact:
    return Contact(action, "email", micros(at), micros(at) + HOUR)


def test_a_decision_becomes_a_message_with_what_came_of_it(shop: Shop) -> None:
    shop.decided("d1", 1, mail(1.5, "survey:free"))
    shop.happened("send", 1.6, decision_id="d1", channel="email")
    shop.happened("email_delivered", 1.7, decision_id="d1")
    shop.happened("open", 2, decision_id="d1")
    shop.happened("open", 2, decision_id="another")
    shop.happened("click", 3, decision_id="d1")
    shop.happened("page", 3)
    shop.happened("purchase", 4, product_id="p", price=5.0, quantity=2.0)
    shop.happened("unsubscribe", 5, channel="email")
    [row] = shop.messages().reset_index().to_dict("records")
    assert (row["customer_id"], row["decision_id"], row["action"], row["offer"]) == ("c1", "d1", "survey", "free")
    assert (row["channel"], row["policy"], row["eligible"]) == ("email", "nba/3", ["survey@email"])
    assert (row["propensity"], row["send_at_propensity"], row["cost"], row["value"]) == (0.5, 0.25, 0.1, 10.0)
    assert (row["decided_at"], row["sent_at"], row["opened_at"], row["clicked_at"]) == (
        day(1),
        day(1.6),
        day(2),
        day(3),
    )
    assert (row["visited_at"], row["converted_at"], row["unsubscribed_at"]) == (day(3), day(4), day(5))
    assert row["observed_until"] == pd.Timestamp(NOW)
    assert row["delivered_at"] == day(1.7)
    assert pd.isna(row["bounced_at"])
    assert pd.isna(row["cancelled_at"])


def test_a_hold_is_judged_by_the_same_rule(shop: Shop) -> None:
    shop.decided("d1", 1, None)
    shop.happened("view", 1 + WINDOW / DAY - 0.1)
    shop.happened("purchase", 1 + WINDOW / DAY, product_id="p", price=5.0)
    [row] = shop.messages().to_dict("records")
    assert (row["action"], row["sent_at"], row["cost"]) == ("hold", day(1), 0)
    assert pd.isna(row["channel"])
    assert row["visited_at"] == day(7.9)
    assert pd.isna(row["converted_at"])
    assert row["value"] == 0


def test_a_contact_that_was_given_up_stays_in_the_log(shop: Shop) -> None:
    shop.decided("d1", 1, mail(2))
    shop.decided("d2", 1.25, mail(3), replaces="d1")
    shop.happened("send", 3, decision_id="d2")
    found = shop.messages()
    assert found.loc["d1", "cancelled_at"] == day(1.25)
    assert found.loc["d1", "cost"] == 0
    assert found["cancelled_at"].isna().tolist() == [False, True]


def test_a_contact_that_nobody_reported_was_not_sent(shop: Shop) -> None:
    shop.decided("d1", 1, mail(2))
    [row] = shop.messages().to_dict("records")
    assert (row["cancelled_at"], row["cost"]) == (day(2) + pd.Timedelta(hours=1), 0)


def test_what_is_still_to_be_sent_is_left_out(shop: Shop) -> None:
    shop.decided("d1", 1, None)
    shop.decided("d2", 1, mail((END - micros(0)) / DAY + 1))
    assert list(shop.messages().index) == ["d1"]


def test_value_is_margin_less_refunds_and_the_discount_is_a_cost(shop: Shop) -> None:
    shop.events.put_products([("p", {"margin": 3.0}), ("q", {"price": 1.0})], at=0)
    shop.decided("d1", 1, mail(1), discount=0.2)
    shop.happened("send", 1, decision_id="d1")
    shop.happened("purchase", 2, product_id="p", price=8.0, quantity=2.0, order_id="o1")
    shop.happened("purchase", 2, product_id="q", price=7.0, order_id="o1")
    shop.happened("purchase", 3, product_id="p", price=8.0, order_id="o2")
    shop.happened("purchase", 4, product_id="p", price=8.0, order_id="o3")
    shop.happened("refund", 5, order_id="o3", quantity=None)
    [row] = shop.messages().to_dict("records")
    assert row["value"] == 2 * 3 + 7 + 3
    # A fifth off what cost 20 before. What q was paid is its value: the discount is in that already.
    assert row["cost"] == pytest.approx(0.1 + 4.0)


def test_decisions_for_visitors_count_once_it_is_known_who_they_are(shop: Shop) -> None:
    shop.decided("d1", 1, None, who="visitor/1")
    shop.decided("d2", 1, None, who="visitor/2")
    shop.happened("identify", 2, customer_id="c9", anonymous_id="visitor/1")
    found = shop.messages()
    assert found["customer_id"].to_dict() == {"d1": "c9"}


def test_an_open_by_a_machine_is_told_as_one(shop: Shop) -> None:
    shop.decided("d1", 1, mail(1))
    shop.happened("machine_open", 2, decision_id="d1")
    [row] = shop.messages().to_dict("records")
    assert (row["opened_at"], row["machine_opened"]) == (day(2), True)


def test_without_decisions_there_is_no_table(tmp_path: Path) -> None:
    store = MemoryEvents()
    store.append([Event("view", 1, 1, customer_id="c")])
    export_dataset(store, MemoryDecisions(), tmp_path / "out", silent, now=NOW)
    assert not (tmp_path / "out" / "messages.parquet").exists()
