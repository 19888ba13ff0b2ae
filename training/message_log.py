"""Decisions on the next action, and what came of them, as the table of messages of the dataset contract.

One row a decision, sent or not. An outcome belongs to a decision if it comes within the window after it: opens and
clicks if they name it, visits, orders and complaints of the person whatever they name, so that the rule is the same for
hold. ``observed_until`` is the moment of the export.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from features.contract import EVENT_NAMES, MESSAGES
from features.events import DAY, NEVER, Kind
from features.slots import ACTIVITY, COMPLAINT
from features.store.base import Choice, Contact, Decision, DecisionStore, Event, EventStore, Json
from features.store.tails import Line, take_back
from nba.arms import HOLD, split_label
from training.arrow_types import ARROW_TYPES
from training.evaluate import Report

#: How long an outcome belongs to a decision.
WINDOW = 7 * DAY

#: Rows written at a time.
CHUNK = 10_000

#: Names of what people do of their own accord: with one of these a visit begins.
VISITS = frozenset(name for name, kind in EVENT_NAMES.items() if kind in ACTIVITY and kind != Kind.CLICK)


def write_messages(store: EventStore, decisions: DecisionStore, file: Path, *, now: int, report: Report) -> int:
    """Write the table; returns how many rows it has.

    Left out are decisions for visitors who are nobody's, and contacts that are still to be sent.

    Args:
        store: the shop.
        decisions: its log of decisions.
        file: Parquet.
        now: microseconds UTC.
        report: told of the progress.
    """
    schema = pa.schema([(column.name, ARROW_TYPES[column.form]) for column in MESSAGES.columns])
    rows = _rows(store, decisions, now, report)
    written = 0
    with pq.ParquetWriter(file, schema) as writer:
        while chunk := list(islice(rows, CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema))
            written += len(chunk)
    return written


def _rows(store: EventStore, decisions: DecisionStore, now: int, report: Report) -> Iterator[Json]:
    by_customer = _by_customer(store, decisions)
    margins: dict[str, float | None] = {}
    for number, (customer_id, ids) in enumerate(by_customer.items(), start=1):
        person = store.person(customer_id=customer_id)
        happened = Happened.of([event for _, event in store.events_of(person)], store, margins)
        for decision_id in ids:
            decision, choice = decisions.read(decision_id), decisions.choice(decision_id)
            if isinstance(decision, Decision) and choice is not None:
                row = _row(decision, choice, customer_id, happened, now)
                if row is not None:
                    yield row
        if number % 1000 == 0 or number == len(by_customer):
            report("messages", number, len(by_customer))


def _by_customer(store: EventStore, decisions: DecisionStore) -> dict[str, list[str]]:
    """Decisions of each customer, so that each history is read once."""
    found: dict[str, list[str]] = {}
    visitors: dict[str, str | None] = {}
    after = 0
    while page := decisions.ids(after=after, actions=True):
        for _, decision_id in page:
            decision = decisions.read(decision_id)
            if not isinstance(decision, Decision):
                continue
            customer_id, visitor = decision.customer_id, decision.anonymous_id
            if customer_id is None and visitor is not None:
                if visitor not in visitors:
                    visitors[visitor] = store.person(anonymous_id=visitor).customer_id
                customer_id = visitors[visitor]
            if customer_id is not None:
                found.setdefault(customer_id, []).append(decision_id)
        after = page[-1][0]
    return found


class Earned(NamedTuple):
    """What a purchase earned.

    ``value``: the product's margin times the pieces, and where nobody said a margin, the price as paid. ``paid``: what
    was paid where the value does not follow from it, so that a discount is not in it yet; else 0.
    """

    time: int
    value: float
    paid: float


@dataclass(frozen=True)
class Happened:
    """What one person did, ascending by time.

    Attributes:
        times, events: everything.
        answers: of each decision, the events that name it.
        earned: of purchases that were not taken back.
    """

    times: Sequence[int]
    events: Sequence[Event]
    answers: dict[str, list[Event]]
    earned: Sequence[Earned]

    @staticmethod
    def of(events: Sequence[Event], store: EventStore, margins: dict[str, float | None]) -> Happened:
        """From a person's events; ``margins`` remembers those of products."""
        events = sorted(events, key=lambda event: event.time)
        answers: dict[str, list[Event]] = {}
        for event in events:
            if event.decision_id is not None:
                answers.setdefault(event.decision_id, []).append(event)
        return Happened([event.time for event in events], events, answers, _earned(events, store, margins))

    def first(self, names: frozenset[str], begin: int, end: int) -> int | None:
        """When the first event of some names came, from ``begin`` to before ``end``."""
        place = bisect_left(self.times, begin)
        while place < len(self.times) and self.times[place] < end:
            if self.events[place].event in names:
                return self.times[place]
            place += 1
        return None

    def answered(self, decision_id: str, name: str, end: int = NEVER) -> int | None:
        """When the first event of a name came that names a decision."""
        named = self.answers.get(decision_id, ())
        return next((one.time for one in named if one.event == name and one.time < end), None)

    def value(self, begin: int, end: int) -> float:
        """What was earned from ``begin`` to before ``end``."""
        return sum(one.value for one in self.earned if begin <= one.time < end)

    def given(self, share: float, begin: int, end: int) -> float:
        """The discount of so large a share that the first order from ``begin`` to before ``end`` was given."""
        paid = [one for one in self.earned if begin <= one.time < end]
        return share / (1 - share) * sum(one.paid for one in paid if one.time == paid[0].time)


def _earned(events: Sequence[Event], store: EventStore, margins: dict[str, float | None]) -> Sequence[Earned]:
    products: dict[str | None, int] = {None: -1}
    lines = [
        Line(
            place,
            event.time,
            event.known,
            EVENT_NAMES[event.event],
            products.setdefault(event.product_id, len(products)),
            event.order_id,
            event.quantity,
            event.price,
            within=True,
        )
        for place, event in enumerate(events)
        if event.event in ("purchase", "refund")
    ]
    taken: set[int] = take_back(lines)[0] if any(line.kind == Kind.REFUND for line in lines) else set()
    bought = [events[line.seq] for line in lines if line.kind == Kind.PURCHASE and line.seq not in taken]
    return [_worth(event, store, margins) for event in bought]


def _worth(event: Event, store: EventStore, margins: dict[str, float | None]) -> Earned:
    product = event.product_id
    if product is not None and product not in margins:
        found = store.product(product)
        said = (found.attributes or {}).get("margin") if found is not None else None
        margins[product] = float(said) if isinstance(said, int | float) else None
    margin = None if product is None else margins[product]
    pieces = 1.0 if event.quantity is None else event.quantity
    paid = (event.price or 0.0) * pieces
    return Earned(event.time, paid, 0.0) if margin is None else Earned(event.time, margin * pieces, paid)


def _row(decision: Decision, choice: Choice, customer_id: str, happened: Happened, now: int) -> Json | None:
    contact, at = choice.contact, int(decision.request["at"])
    reported = happened.answered(decision.id, "send")
    sent_at = at if contact is None else contact.send_at if reported is None else reported
    if sent_at > now:
        return None
    answer = decision.answer
    end = sent_at + WINDOW
    channel = None if contact is None else contact.channel
    cancelled_at = None if contact is None or reported is not None else _cancelled_at(choice, contact, now)
    row: dict[str, Any] = {
        "message_id": decision.id,
        "decision_id": decision.id,
        "customer_id": customer_id,
        **_chosen(contact),
        "sent_at": sent_at,
        "decided_at": at,
        "known_at": max(sent_at, decision.at),
        "cancelled_at": cancelled_at,
        "eligible": answer["eligible"],
        "policy": f"{answer['policy']['name']}/{answer['policy']['version']}",
        "propensity": answer["propensity"],
        "send_at_propensity": answer["send_at_propensity"],
        "cost": 0.0 if cancelled_at is not None else answer["cost"] + happened.given(answer["discount"], sent_at, end),
        "delivered_at": happened.answered(decision.id, f"{channel}_delivered", end),
        "bounced_at": happened.answered(decision.id, f"{channel}_bounced", end),
        "opened_at": happened.answered(decision.id, "open", end),
        "clicked_at": happened.answered(decision.id, "click", end),
        "visited_at": happened.first(VISITS, sent_at, end),
        "converted_at": happened.first(frozenset({"purchase"}), sent_at, end),
        "unsubscribed_at": happened.first(frozenset({"unsubscribe"}), sent_at, end),
        "complained_at": happened.first(frozenset({COMPLAINT}), sent_at, end),
        "value": happened.value(sent_at, end),
        "observed_until": now,
    }
    if row["opened_at"] is None:
        row["opened_at"] = happened.answered(decision.id, "machine_open", end)
        row["machine_opened"] = True if row["opened_at"] is not None else None
    return row


def _cancelled_at(choice: Choice, contact: Contact, now: int) -> int | None:
    """When a contact that nobody reported was given up, or lapsed: the live shop did not count it any more either."""
    if choice.state == "released":
        return choice.changed
    return contact.until if contact.until <= now else None


def _chosen(contact: Contact | None) -> Json:
    if contact is None:
        return {"action": HOLD}
    action, offer = split_label(contact.action)
    return {"action": action, "offer": offer, "channel": contact.channel}
