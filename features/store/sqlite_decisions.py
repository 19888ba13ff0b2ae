"""The log of decisions in an SQLite file: it outlives its process at once, and its machine once it was flushed.

As in the event log, what is of one person stands as text only in rows that are blanked in their place.
"""
# ruff: noqa: D102 - the protocol says what the methods do
# ruff: noqa: S608 - what is put into statements are names and numbers of ours

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import orjson

from features.people import digest as digest_of
from features.store import reserving
from features.store.base import (
    ERASED,
    Choice,
    Contact,
    Decision,
    Reservation,
    Standing,
    StoreError,
    Watermark,
)
from features.store.database import Connect, Connection, Database, among, connect

VERSION = 2

#: Deleting a row may move its neighbours and leave copies of them in the unused part of a page, out of reach for
#: `erase`. So what is pruned is blanked first, and so many blank rows are left before the oldest decision that is kept.
BUFFER = 200

SCHEMA = (
    # body: the decision as JSON. customer, visitor, session: digests of their ids; session: only where neither of the
    # others is named. Once forgotten: NULL, and zeros as the body.
    """CREATE TABLE decisions(
        number INTEGER PRIMARY KEY, at INTEGER NOT NULL, id TEXT, customer INTEGER, visitor INTEGER, session INTEGER,
        bundle TEXT, body BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX decisions_id ON decisions(id) WHERE id IS NOT NULL",
    # All that is ever searched for, in the order of writing: an entry more costs little, and whole decisions need not
    # be read to find those of a person or a bundle.
    "CREATE INDEX decisions_at ON decisions(at, customer, visitor, session, bundle)",
    "CREATE TABLE erased(digest INTEGER PRIMARY KEY, at INTEGER NOT NULL)",
    "CREATE TABLE texts(digest TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
    *reserving.SCHEMA,
)

#: Files that only knew lists of products get the tables of contacts.
UPGRADES = {1: reserving.SCHEMA}

INSERT = "INSERT INTO decisions(at, id, customer, visitor, session, bundle, body) VALUES (?, ?, ?, ?, ?, ?, ?)"

BLANK = """UPDATE decisions SET id = NULL, customer = NULL, visitor = NULL, session = NULL, bundle = NULL,
    body = zeroblob(length(body)) WHERE number = ?"""

#: A list does not wait longer for whoever keeps the file locked, such as a backup: it is sent, its decision lost.
BUSY_SECONDS = 0.2

#: Decisions forgotten in one transaction: others can write in between.
PAGE = 1000


class SqliteDecisions:
    """A `DecisionStore` in the file ``path``, made if it is not there.

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
            path,
            SCHEMA,
            VERSION,
            synchronous="NORMAL",
            checkpoints=False,
            busy_seconds=BUSY_SECONDS,
            connect=connect,
            errors=errors,
            upgrades=UPGRADES,
        )
        self._texts: set[str] = set()
        self._dirty = False

    def write(self, *decisions: Decision) -> None:
        rows = [_row(decision) for decision in decisions]
        if len(rows) == 1:
            self._database.write(INSERT, rows[0])
        else:
            with self._database.writing() as connection:
                connection.executemany(INSERT, rows)
        self._dirty = True

    def standing(self, who: Sequence[int], *, since: int) -> Standing:
        with self._database.reading() as connection:
            return reserving.standing(connection, who, since)

    def reserve(self, reservations: Sequence[Reservation]) -> list[bool]:
        kept = []
        with self._database.writing() as connection:
            for reservation in reservations:
                kept.append(reserving.may_reserve(connection, reservation))
                if kept[-1]:
                    number = _insert(connection, reservation.decision)
                    reserving.reserve(connection, number, reservation)
        self._dirty = True
        return kept

    def revise(self, of: str, contact: Contact | None, record: Decision, *, who: Sequence[int], expected: int) -> bool:
        with self._database.writing() as connection:
            if reserving.version(connection, who) != expected:
                return False
            if contact is None:
                done = reserving.release(connection, of, record.at)
            else:
                done = reserving.exchange(connection, of, contact, record.at)
            if done:
                _insert(connection, record)
                reserving.touch(connection, who[0])
        self._dirty = True
        return done

    def choice(self, decision_id: str) -> Choice | None:
        found = self._database.read(f"{reserving.SELECT} WHERE id = ?", (decision_id,))
        return reserving.choice_of(found[0]) if found else None

    def by_key(self, key: int) -> str | None:
        sql = "SELECT id FROM keys JOIN decisions ON number = decision WHERE key = ?"
        found = self._database.read(sql, (key,))
        return None if not found else found[0][0]

    def used(self, budget: str, period: str) -> float:
        return reserving.used(self._database.connection(), budget, period)

    def read(self, decision_id: str) -> Decision | Literal["erased"] | None:
        found = self._database.read("SELECT body FROM decisions WHERE id = ?", (decision_id,))
        if found:
            said = orjson.loads(found[0][0])
            return Decision(**{**said, "watermark": Watermark(**said["watermark"])})
        erased = self._database.read("SELECT 1 FROM erased WHERE digest = ?", (digest_of(decision_id),))
        return ERASED if erased else None

    def ids(self, *, after: int = 0, limit: int = 10_000, actions: bool = False) -> list[tuple[int, str]]:
        only = "AND number IN (SELECT decision FROM choices)" if actions else ""
        sql = f"SELECT number, id FROM decisions WHERE number > ? AND id IS NOT NULL {only} ORDER BY number LIMIT ?"
        return [(number, identifier) for number, identifier in self._database.read(sql, (after, limit))]

    def keep_text(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest not in self._texts:
            self._database.write("INSERT INTO texts VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, text))
            self._dirty = True
            self._texts.add(digest)
        return digest

    def text(self, digest: str) -> str | None:
        found = self._database.read("SELECT text FROM texts WHERE digest = ?", (digest,))
        return str(found[0][0]) if found else None

    def bundles(self) -> set[str]:
        sql = "SELECT DISTINCT bundle FROM decisions WHERE bundle IS NOT NULL"
        return {bundle for (bundle,) in self._database.read(sql)}

    def erase(
        self, *, customer_ids: Sequence[str], anonymous_ids: Sequence[str], session_ids: Sequence[str] = ()
    ) -> int:
        people = {"customer": set(customer_ids), "visitor": set(anonymous_ids), "session": set(session_ids)}
        # Lists are not to wait for a look at all decisions: only those written meanwhile are left for the transaction.
        with self._database.reading() as connection:
            (last,) = connection.execute("SELECT ifnull(max(number), 0) FROM decisions").fetchone()
            older = list(_decisions_of(connection, people))
        forgotten = 0
        for start in range(0, len(older) + 1, PAGE):
            with self._database.writing() as connection:
                found = older[start : start + PAGE]
                if start + PAGE > len(older):
                    found += _decisions_of(connection, people, after=last)
                forgotten += _forget(connection, found)
        self._database.scrub()
        return forgotten

    def prune(self, before: int) -> int:
        pruned = 0
        while found := self._blank_some(before):
            pruned += found
        while self._remove_some():
            pass
        for table in ("erased", "budgets"):
            self._database.write(f"DELETE FROM {table} WHERE at < ?", (before,))
        self._dirty = True
        return pruned

    def _blank_some(self, before: int) -> int:
        with self._database.writing() as connection:
            # A contact that is still to be sent counts, however old its decision is.
            sql = """SELECT number FROM decisions WHERE at < ? AND bundle IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM choices WHERE decision = number AND until >= ?) LIMIT ?"""
            found = connection.execute(sql, (before, before, PAGE)).fetchall()
            connection.executemany(BLANK, found)
            reserving.forget(connection, [number for (number,) in found])
        return len(found)

    def _remove_some(self) -> int:
        """Make room: remove what was forgotten before the oldest decision that is kept."""
        with self._database.writing() as connection:
            kept = connection.execute(
                "SELECT number FROM decisions NOT INDEXED WHERE id IS NOT NULL ORDER BY number LIMIT 1"
            ).fetchone()
            if kept is None:
                kept = connection.execute("SELECT ifnull(max(number), 0) + 1 FROM decisions").fetchone()
            sql = "SELECT number FROM decisions WHERE number < ? ORDER BY number LIMIT ?"
            found = connection.execute(sql, (kept[0] - BUFFER, PAGE)).fetchall()
            connection.executemany("DELETE FROM decisions WHERE number = ?", found)
        return len(found)

    def flush(self) -> None:
        if self._dirty:
            self._dirty = False
            try:
                self._database.sync()
            except StoreError:
                self._dirty = True
                raise

    def close(self) -> None:
        self._database.close()


def _decisions_of(connection: Connection, people: Mapping[str, set[str]], after: int = 0) -> Iterator[int]:
    """Numbers of the decisions for some people. ``people``: ids by the column that has their digests."""
    fields = {"customer": "customer_id", "visitor": "anonymous_id", "session": "session_id"}
    # By the index of all columns that are searched for, unless it is about the newest.
    newer = f"AND number > {after}" if after else ""
    for column, ids in people.items():
        sql = f"SELECT number FROM decisions WHERE {column} IN ({{}}) {newer}"
        if column != "customer":
            sql += " AND customer IS NULL"
        for (number,) in list(among(connection, sql, [digest_of(identifier) for identifier in sorted(ids)])):
            (body,) = connection.execute("SELECT body FROM decisions WHERE number = ?", (number,)).fetchone()
            if orjson.loads(body)[fields[column]] in ids:
                yield number


def _forget(connection: Connection, numbers: Sequence[int]) -> int:
    """Blank those decisions that are still there, within a transaction."""
    sql = "SELECT id, at, number FROM decisions WHERE number = ? AND id IS NOT NULL"
    there = [row for number in numbers for row in connection.execute(sql, (number,))]
    notes = [(digest_of(identifier), at) for identifier, at, _ in there]
    connection.executemany("INSERT INTO erased VALUES (?, ?) ON CONFLICT DO NOTHING", notes)
    connection.executemany(BLANK, [(number,) for *_, number in there])
    reserving.forget(connection, [number for *_, number in there])
    return len(there)


def _insert(connection: Connection, decision: Decision) -> int:
    """Write a decision within a transaction; returns its number."""
    return int(connection.execute(f"{INSERT} RETURNING number", _row(decision)).fetchall()[0][0])


def _row(decision: Decision) -> tuple[object, ...]:
    """A decision as `INSERT` takes it."""
    customer_id, anonymous_id, session_id = decision.customer_id, decision.anonymous_id, decision.session_id
    return (
        decision.at,
        decision.id,
        None if customer_id is None else digest_of(customer_id),
        None if anonymous_id is None else digest_of(anonymous_id),
        digest_of(session_id) if session_id is not None and customer_id is anonymous_id is None else None,
        decision.model["bundle"],
        orjson.dumps(decision),
    )
