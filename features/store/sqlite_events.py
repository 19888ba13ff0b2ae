"""The event log in an SQLite file: on disk before anything is acknowledged, shared by threads and processes."""
# ruff: noqa: D102 - the protocol says what the methods do
# ruff: noqa: S608 - what is put into statements are names and numbers of ours

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from features.contract import EVENT_NAMES
from features.events import Kind
from features.people import identity_digest
from features.store.appending import Appender
from features.store.base import (
    LATEST,
    Appended,
    Entity,
    Erased,
    Event,
    Identity,
    Json,
    Person,
    ProductChange,
    Purchase,
    Tail,
    Traffic,
    Watermark,
)
from features.store.database import Connect, Connection, Database, among, connect
from features.store.erasing import find, forget, note
from features.store.event_tables import (
    IN_TAIL,
    IS_ANSWER,
    IS_LINE,
    IS_REFUND,
    IS_SEND,
    IS_TELLING,
    NOBODY,
    SCHEMA,
    SELECT_EVENTS,
    UPGRADES,
    VERSION,
    event_of,
)
from features.store.links import Link, Span, best_named, owner, person_of, spans, unseen
from features.store.tails import REACH, Line, tail_of, take_back
from features.store.traits import traits_of

#: Events read at a time: a reader holds nothing up in between.
PAGE = 10_000

HAS_REFUND = f"SELECT 1 FROM events WHERE who = ? AND {IS_REFUND} LIMIT 1"


class SqliteEvents:
    """An `EventStore` in the file ``path``, made if it is not there.

    Args:
        path: the file; beside it SQLite keeps ``-wal`` and ``-shm``.
        connect, errors: see `Database`.

    Raises:
        StoreError: the file cannot be used, or is of another version.
    """

    def __init__(
        self,
        path: Path,
        *,
        connect: Connect = connect,
        errors: tuple[type[Exception], ...] = (sqlite3.Error,),
    ) -> None:
        self._database = Database(
            path, SCHEMA, VERSION, synchronous="FULL", connect=connect, errors=errors, upgrades=UPGRADES
        )
        self._appender = Appender(self._database)

    def append(self, events: Sequence[Event]) -> Appended:
        return self._appender.append(events)

    def watermark(self) -> Watermark:
        return Watermark(*self._database.read("SELECT seq, change, products FROM progress")[0])

    def first_known_from(self, known: int) -> int:
        with self._database.reading() as connection:
            sql = "SELECT seq FROM events WHERE known >= ? ORDER BY seq LIMIT 1"
            found = connection.execute(sql, (known,)).fetchone()
            if found is None:
                found = connection.execute("SELECT seq + 1 FROM progress").fetchone()
            return int(found[0])

    # One person

    def person(
        self,
        *,
        customer_id: str | None = None,
        anonymous_id: str | None = None,
        session_id: str | None = None,
        upto: int = LATEST,
    ) -> Person:
        named = best_named(customer_id, anonymous_id, session_id)
        if named is None:
            return unseen(None)
        found = self._database.read(
            "SELECT number, first, linked FROM identities WHERE key = ? AND kind = ? AND id = ?",
            (identity_digest(*named), *named),
        )
        if not found or found[0][1] > upto:
            return unseen(named)
        number, _, linked = found[0]
        if not linked:
            return person_of(number, [(number, 0, LATEST)], lambda _: named, upto)
        with self._database.reading() as connection:
            return _linked_person(connection, number, upto)

    def tail(
        self,
        person: Person,
        *,
        first: int = 0,
        upto: int = LATEST,
        known_from: int = 0,
        known_before: int = LATEST,
        newest: int = 1000,
    ) -> Tail:
        # By arrival, as the index has them: nothing to sort.
        sql = f"""SELECT time, seq, product, event FROM events
            WHERE who = ? AND seq BETWEEN ? AND ? AND known >= ? AND known < ? AND {IN_TAIL}
            ORDER BY seq DESC LIMIT ?"""
        rows: list[tuple[int, int, int, int]] = []
        refunds = False
        for who, low, high in person.spans:
            part = (who, max(low, first), min(high, upto), known_from, known_before, REACH * newest)
            rows += self._database.read(sql, part)
            refunds = refunds or bool(self._database.read(HAS_REFUND, (who,)))
        if not refunds:
            return tail_of(rows, newest)
        return tail_of(rows, newest, *take_back(self._lines(person, first, upto, known_from, known_before)))

    def _lines(self, person: Person, first: int, upto: int, known_from: int, known_before: int) -> list[Line]:
        sql = f"""SELECT seq, time, known, event, ifnull(product, -1), order_id, quantity, price FROM events
            WHERE who = ? AND seq BETWEEN ? AND ? AND known < ? AND {IS_LINE}"""
        return [
            Line._make((*row, row[0] >= first and row[2] >= known_from))
            for who, low, high in person.spans
            for row in self._database.read(sql, (who, low, min(high, upto), known_before))
        ]

    def events_of(self, person: Person, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        sql = f"{SELECT_EVENTS} WHERE who = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT {PAGE}"
        low = first
        while True:
            # The first page of each identity; what lies beyond the shortest full page is asked for again.
            pages = [
                self._database.read(sql, (who, max(since, low), min(until, upto)))
                for who, since, until in person.spans
                if max(since, low) <= min(until, upto)
            ]
            full = [page[-1][0] for page in pages if len(page) == PAGE]
            high = min(full, default=LATEST)
            rows = [row for page in pages for row in page if row[0] <= high]
            yield from map(event_of, sorted(rows) if len(pages) > 1 else rows)
            if not full:
                return
            low = high + 1

    def messages_of(
        self, person: Person, *, since: int = 0, upto: int = LATEST, known_before: int = LATEST
    ) -> list[tuple[int, Event]]:
        found: list[tuple[int, Event]] = []
        for who, low, high in person.spans:
            for condition, first in ((IS_SEND, since), (IS_ANSWER, 0)):
                sql = f"""{SELECT_EVENTS} WHERE who = ? AND seq BETWEEN ? AND ? AND time >= ? AND time < ?
                    AND known < ? AND {condition}"""
                limits = (who, low, min(high, upto), first, known_before, known_before)
                found += map(event_of, self._database.read(sql, limits))
        return sorted(found, key=itemgetter(0))

    def bought(
        self, person: Person, *, upto: int = LATEST, known_before: int = LATEST, newest: int = 200
    ) -> list[Purchase]:
        sql = f"""SELECT time, seq, (SELECT id FROM products WHERE number = product), price FROM events
            WHERE who = ? AND seq BETWEEN ? AND ? AND known < ? AND event = {Kind.PURCHASE:d}"""
        rows: list[Any] = []
        refunds = False
        for who, low, high in person.spans:
            rows += self._database.read(sql, (who, low, min(high, upto), known_before))
            refunds = refunds or bool(self._database.read(HAS_REFUND, (who,)))
        taken = take_back(self._lines(person, 0, upto, 0, known_before))[0] if refunds and rows else ()
        kept = sorted((row for row in rows if row[1] not in taken), key=itemgetter(0, 1))
        return [Purchase(time, product_id, price) for time, _, product_id, price in kept[-newest:]]

    def newest_time(self, person: Person, event: str, *, channel: str | None = None, first: int = 0) -> int | None:
        sql = """SELECT max(time) FROM events
            WHERE who = ? AND seq BETWEEN ? AND ? AND event = ? AND channel IS ifnull(?, channel)"""
        name = EVENT_NAMES.get(event, event)
        found = (
            self._database.read(sql, (who, max(low, first), high, name, channel))[0][0]
            for who, low, high in person.spans
        )
        return max((time for time in found if time is not None), default=None)

    def sessions_of(self, person: Person) -> tuple[str, ...]:
        with self._database.reading() as connection:
            return _sessions_of(connection, person)

    def traits(self, person: Person) -> Json:
        sql = f"{SELECT_EVENTS} WHERE who = ? AND seq BETWEEN ? AND ? AND {IS_TELLING}"
        return traits_of(event_of(row)[1] for span in person.spans for row in self._database.read(sql, span))

    # Products

    def product_ids(self, first: int = 0, upto: int = LATEST) -> list[str]:
        sql = "SELECT id FROM products WHERE number >= ? AND number < ? ORDER BY number"
        return [identifier for (identifier,) in self._database.read(sql, (first, upto))]

    def put_products(self, products: Sequence[tuple[str, Json | None]], at: int) -> int:
        said = [orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS).decode() for _, attributes in products]
        with self._database.writing() as connection:
            numbers = self._appender.products(connection, [product_id for product_id, _ in products])
            (change,) = connection.execute("SELECT change FROM progress").fetchone()
            before = _newest_attributes(connection, list(dict.fromkeys(numbers)))
            rows = []
            for number, attributes in zip(numbers, said, strict=True):
                if before.get(number) != attributes:
                    before[number] = attributes
                    change += 1
                    rows.append((change, number, attributes, at))
            connection.executemany("INSERT INTO product_changes VALUES (?, ?, ?, ?)", rows)
            connection.execute("UPDATE progress SET change = ?", (change,))
        return int(change)

    def product_changes(self, after: int = 0, upto: int = LATEST) -> list[ProductChange]:
        sql = """SELECT change, id, attributes, at FROM product_changes JOIN products ON number = product
            WHERE change > ? AND change <= ? ORDER BY change"""
        rows = self._database.read(sql, (after, upto))
        return [ProductChange(change, name, orjson.loads(attributes), at) for change, name, attributes, at in rows]

    def product(self, product_id: str) -> ProductChange | None:
        sql = """SELECT change, attributes, at FROM product_changes
            WHERE product = (SELECT number FROM products WHERE id = ?) ORDER BY change DESC LIMIT 1"""
        found = self._database.read(sql, (product_id,))
        return ProductChange(found[0][0], product_id, orjson.loads(found[0][1]), found[0][2]) if found else None

    def traffic(self, after: int = 0, upto: int = LATEST, limit: int = 50_000) -> Traffic:
        # In the order of the table: not by the index of products.
        sql = """SELECT seq, product, iif(typeof(event) = 'integer', event, 0), time, known FROM events NOT INDEXED
            WHERE seq > ? AND seq <= ? AND product IS NOT NULL ORDER BY seq LIMIT ?"""
        rows = np.array(self._database.read(sql, (after, upto, limit)), dtype=np.int64).reshape(-1, 5)
        seq, product, kind, time, known = rows.T.copy()
        return Traffic(seq, product, kind.astype(np.int8), time, known)

    def events_about(self, product: int, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        return self._pages("product = ? AND seq BETWEEN ? AND ?", (product,), first, upto)

    def _pages(self, condition: str, parameters: tuple[int, ...], first: int, upto: int) -> Iterator[tuple[int, Event]]:
        sql = f"{SELECT_EVENTS} WHERE {condition} ORDER BY seq LIMIT {PAGE}"
        while rows := self._database.read(sql, (*parameters, first, upto)):
            yield from map(event_of, rows)
            first = rows[-1][0] + 1

    # States

    def checkpoints(self, entity: Entity, numbers: Sequence[int], fingerprint: str) -> dict[int, tuple[int, bytes]]:
        sql = "SELECT seq, state FROM states WHERE entity = ? AND number = ? AND fingerprint = ?"
        found = ((number, self._database.read(sql, (entity, number, fingerprint))) for number in numbers)
        return {number: (rows[0][0], rows[0][1]) for number, rows in found if rows}

    def save_checkpoints(
        self, entity: Entity, fingerprint: str, states: Sequence[tuple[int, int, bytes]], *, erasures: int
    ) -> None:
        # Whoever was erased before has no state any more.
        there = (
            "SELECT 1 FROM identities WHERE number = ? AND key IS NOT NULL"
            if entity == "person"
            else "SELECT 1 FROM products WHERE number = ?"
        )
        with self._database.writing() as connection:
            if connection.execute("SELECT erasures FROM progress").fetchone() != (erasures,):
                return
            connection.executemany(
                f"""INSERT INTO states SELECT ?, ?, ?, ?, ? WHERE EXISTS ({there})
                ON CONFLICT DO UPDATE SET seq = excluded.seq, state = excluded.state WHERE excluded.seq > seq""",
                [(entity, number, fingerprint, seq, state, number) for number, seq, state in states],
            )

    def erasures(self) -> int:
        return int(self._database.read("SELECT erasures FROM progress")[0][0])

    def drop_checkpoints(self, *, but: str) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM states WHERE fingerprint <> ?", (but,))

    # The whole

    def rows(self, after: int = 0, limit: int = 50_000) -> list[tuple[int, Event]]:
        sql = f"{SELECT_EVENTS} WHERE seq > ? AND who <> {NOBODY} ORDER BY seq LIMIT ?"
        return [event_of(row) for row in self._database.read(sql, (after, limit))]

    def everyone(self) -> Iterator[tuple[Person, Json]]:
        sql = "SELECT id FROM identities WHERE kind = 'customer' AND key IS NOT NULL ORDER BY id"
        for (customer_id,) in self._database.read(sql):
            person = self.person(customer_id=customer_id)
            yield person, self.traits(person)

    def erase(self, *, customer_id: str | None = None, anonymous_id: str | None = None, at: int) -> Erased | None:
        named = best_named(customer_id, anonymous_id, None)
        if named is None:
            raise ValueError("name whom to erase: a customer or a visitor")
        with self._database.writing() as connection:
            number = find(connection, named)
            erased = None
            if number is None:
                note(connection, named, at)
            else:
                person = _linked_person(connection, number, LATEST)
                erased = Erased(person.customer_id, person.anonymous_ids, _sessions_of(connection, person))
                forget(connection, person.spans, at)
        self._database.scrub()
        return erased

    def erased(self) -> dict[int, int]:
        return dict(self._database.read("SELECT digest, at FROM erased"))

    def erased_at(self, kind: Identity, identifier: str) -> int:
        found = self._database.read("SELECT at FROM erased WHERE digest = ?", (identity_digest(kind, identifier),))
        return int(found[0][0]) if found else 0

    def setting(self, name: str, value: str) -> str:
        found = self._database.read("SELECT value FROM settings WHERE name = ?", (name,))
        if not found:
            with self._database.writing() as connection:
                connection.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value))
                found = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchall()
        return str(found[0][0])

    def close(self) -> None:
        self._database.close()


def _linked_person(connection: Connection, number: int, upto: int) -> Person:
    """The person that an identity is part of, as of a sequence number."""

    def links(column: str, end: int) -> list[Link]:
        sql = f"SELECT source, target, since FROM links WHERE {column} = ? AND since <= ? ORDER BY since"
        return [Link(*row) for row in connection.execute(sql, (end, upto))]

    root = owner(links("source", number), number)
    found = spans(root, lambda source: links("source", source), lambda target: links("target", target))
    names = among(connection, "SELECT number, kind, id FROM identities WHERE number IN ({})", _numbers(found))
    name_of: dict[int, tuple[Identity, str]] = {other: (kind, identifier) for other, kind, identifier in names}
    return person_of(root, found, name_of.__getitem__, upto)


def _sessions_of(connection: Connection, person: Person) -> tuple[str, ...]:
    """See `EventStore.sessions_of`."""
    sql = "SELECT DISTINCT session FROM events WHERE who = ? AND seq BETWEEN ? AND ? AND session IS NOT NULL"
    named = {session_id for span in person.spans for (session_id,) in connection.execute(sql, span)}
    return tuple(sorted(named if person.session_id is None else named | {person.session_id}))


def _numbers(found: Sequence[Span]) -> list[int]:
    return list(dict.fromkeys(number for number, _, _ in found))


def _newest_attributes(connection: Connection, numbers: Sequence[int]) -> dict[int, Any]:
    """What is known of products, as JSON."""
    sql = """SELECT product, attributes FROM product_changes WHERE change IN
        (SELECT max(change) FROM product_changes WHERE product IN ({}) GROUP BY product)"""
    return dict(among(connection, sql, numbers))
