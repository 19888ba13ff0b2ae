"""The tables of the event log in SQLite, and an event as a row of them.

What is of one person stands as text only in ``events`` and ``identities``, which only ever grow at the end; their rows
are blanked in place, never deleted. So SQLite has no reason to move a row, and leaves no copy of it in the unused part
of some page. Indexes, whose entries do move, hold numbers and digests.
"""
# ruff: noqa: S608 - what is put into statements are names and numbers of ours

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from features.contract import EVENT_NAMES
from features.events import NO_ANSWER, Kind
from features.store.base import Event
from features.store.tails import TAIL_KINDS
from features.store.traits import TELLING

VERSION = 2

#: The number of the identity that erased events belong to.
NOBODY = 0

IS_REFUND = f"event = {Kind.REFUND:d}"
IS_LINE = f"event IN ({Kind.PURCHASE:d}, {Kind.REFUND:d})"
IS_TELLING = f"event IN ({', '.join(str(EVENT_NAMES[name].value) for name in TELLING)})"
IN_TAIL = f"event IN ({', '.join(str(kind.value) for kind in TAIL_KINDS)}) AND product IS NOT NULL"
#: The two halves of `features.store.base.EventStore.messages_of`.
IS_SEND = f"event = {Kind.SEND:d}"
IS_ANSWER = f"decision_id IS NOT NULL AND event NOT IN ({', '.join(str(kind.value) for kind in NO_ANSWER)})"

_MESSAGE_INDEXES = (
    f"CREATE INDEX events_send ON events(who) WHERE {IS_SEND}",
    f"CREATE INDEX events_answer ON events(who) WHERE {IS_ANSWER}",
)

SCHEMA = (
    # event: the number of a `Kind`, or the name of a custom event. who, visitor: identities. order_key: of purchases
    # that say who bought.
    """CREATE TABLE events(
        seq INTEGER PRIMARY KEY, event NOT NULL, who INTEGER NOT NULL, visitor INTEGER, session TEXT, product INTEGER,
        order_id TEXT, order_key INTEGER, quantity REAL, price REAL, currency TEXT, channel TEXT,
        time INTEGER NOT NULL, known INTEGER NOT NULL, event_id TEXT, event_key INTEGER, placement TEXT,
        decision_id TEXT, more TEXT
    )""",
    "CREATE INDEX events_who ON events(who)",
    "CREATE INDEX events_product ON events(product) WHERE product IS NOT NULL",
    "CREATE INDEX events_id ON events(event_key) WHERE event_key IS NOT NULL",
    "CREATE INDEX events_order ON events(order_key) WHERE order_key IS NOT NULL",
    f"CREATE INDEX events_refund ON events(who) WHERE {IS_REFUND}",
    f"CREATE INDEX events_telling ON events(who) WHERE {IS_TELLING}",
    *_MESSAGE_INDEXES,
    # key: its `identity_digest`, NULL once erased. first: the first sequence number that names it. linked: 1 if there
    # are, or were, links from or to it.
    """CREATE TABLE identities(
        number INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, key INTEGER, first INTEGER NOT NULL,
        linked INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX identities_key ON identities(key) WHERE key IS NOT NULL",
    "CREATE TABLE links(source INTEGER NOT NULL, target INTEGER NOT NULL, since INTEGER NOT NULL)",
    "CREATE INDEX links_source ON links(source, since)",
    "CREATE INDEX links_target ON links(target, since)",
    "CREATE TABLE products(number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    """CREATE TABLE product_changes(
        change INTEGER PRIMARY KEY, product INTEGER NOT NULL, attributes TEXT NOT NULL, at INTEGER NOT NULL
    )""",
    "CREATE INDEX product_changes_product ON product_changes(product)",
    """CREATE TABLE states(
        entity TEXT NOT NULL, number INTEGER NOT NULL, fingerprint TEXT NOT NULL, seq INTEGER NOT NULL,
        state BLOB NOT NULL, PRIMARY KEY (entity, number, fingerprint)
    ) WITHOUT ROWID""",
    # digest: an `identity_digest`.
    "CREATE TABLE erased(digest INTEGER PRIMARY KEY, at INTEGER NOT NULL)",
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # One row: the newest numbers, and how often somebody was erased.
    """CREATE TABLE progress(
        seq INTEGER NOT NULL, change INTEGER NOT NULL, products INTEGER NOT NULL, identities INTEGER NOT NULL,
        erasures INTEGER NOT NULL
    )""",
    "INSERT INTO progress VALUES (0, 0, 0, 0, 0)",
)

#: Files that knew nothing of decisions on messages get the indexes.
UPGRADES = {1: _MESSAGE_INDEXES}

INSERT_EVENT = f"INSERT INTO events VALUES ({', '.join('?' * 19)})"

#: What makes an event again: the columns of the event, then those of who did it.
SELECT_EVENTS = """
    SELECT seq, event, session, (SELECT id FROM products WHERE number = product), order_id, quantity, price, currency,
        channel, time, known, event_id, placement, decision_id, more,
        who, named.kind, named.id, (SELECT id FROM identities WHERE number = visitor AND key IS NOT NULL)
    FROM events LEFT JOIN identities AS named ON named.number = who
"""

#: Of an erased event stays what happened to a product, when, and nothing that is anybody's. Texts are overwritten in
#: their place by zeros.
BLANK_EVENTS = "UPDATE events SET who = {nobody}, visitor = NULL, order_key = NULL, event_key = NULL, {texts}".format(
    nobody=NOBODY,
    texts=", ".join(
        f"{column} = zeroblob(length(CAST({column} AS BLOB)))"
        for column in ("session", "order_id", "event_id", "placement", "decision_id", "more")
    ),
)

_NAMES = {kind.value: name for name, kind in EVENT_NAMES.items()}


def row_of(
    event: Event, seq: int, who: int, visitor: int | None, product: int | None, order_key: int | None, key: int | None
) -> tuple[Any, ...]:
    """An event as `INSERT_EVENT` takes it."""
    return (
        seq,
        EVENT_NAMES.get(event.event, event.event),
        who,
        visitor,
        event.session_id,
        product,
        event.order_id,
        order_key,
        event.quantity,
        event.price,
        event.currency,
        event.channel,
        event.time,
        event.known,
        event.event_id,
        key,
        event.placement,
        event.decision_id,
        None if event.more is None else orjson.dumps(event.more).decode(),
    )


def event_of(row: Sequence[Any]) -> tuple[int, Event]:
    """A row of `SELECT_EVENTS` as its sequence number and the event."""
    (seq, event, session, product, order, quantity, price, currency, channel, time, known) = row[:11]
    (event_id, placement, decision, more, who, kind, identifier, visitor) = row[11:]
    name = event if isinstance(event, str) else _NAMES[event]
    if who == NOBODY:
        return seq, Event(
            name, time, known, product_id=product, quantity=quantity, price=price, currency=currency, channel=channel
        )
    return seq, Event(
        name,
        time,
        known,
        customer_id=identifier if kind == "customer" else None,
        anonymous_id=identifier if kind == "visitor" else visitor,
        session_id=session,
        product_id=product,
        order_id=order,
        quantity=quantity,
        price=price,
        currency=currency,
        channel=channel,
        event_id=event_id,
        placement=placement,
        decision_id=decision,
        more=None if more is None else orjson.loads(more),
    )
