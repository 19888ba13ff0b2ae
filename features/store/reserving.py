"""Contacts that decisions reserve, in the SQLite file of the log of decisions, within transactions of others.

A reservation is an optimistic one: who decides reads a person's version first, and writes only if it is still that.
Rows hold numbers, digests, and names of actions and channels: nothing that is somebody's as text.
"""
# ruff: noqa: S608 - what is put into statements are names and numbers of ours

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, Final

import orjson

from features.store.base import Choice, ChoiceState, Contact, Reservation, Standing, Use
from features.store.database import Connection

SCHEMA = (
    # decision: the number of one; what it chose. who: the digest of the identity it is kept under. state: see `STATES`.
    # action, channel, send_at, until: of the contact; NULL on hold. uses: JSON of `Use`.
    """CREATE TABLE choices(
        decision INTEGER PRIMARY KEY, who INTEGER NOT NULL, at INTEGER NOT NULL, question INTEGER NOT NULL,
        state INTEGER NOT NULL, changed INTEGER NOT NULL, action TEXT, channel TEXT, send_at INTEGER, until INTEGER,
        uses TEXT
    )""",
    "CREATE INDEX choices_who ON choices(who)",
    # How often something was decided for an identity. Never removed: who decides meanwhile relies on it.
    "CREATE TABLE versions(who INTEGER PRIMARY KEY, version INTEGER NOT NULL)",
    # Digests of Idempotency-Keys.
    "CREATE TABLE keys(key INTEGER PRIMARY KEY, decision INTEGER NOT NULL)",
    "CREATE INDEX keys_decision ON keys(decision)",
    """CREATE TABLE budgets(
        budget TEXT NOT NULL, period TEXT NOT NULL, used REAL NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (budget, period)
    ) WITHOUT ROWID""",
)

STATES: Final[tuple[ChoiceState, ...]] = ("hold", "reserved", "released")
HOLD, RESERVED, RELEASED = range(3)

#: Budgets are money and counts added up in floating point.
ROUNDING = 1e-9

SELECT = """SELECT id, choices.at, question, state, changed, action, channel, send_at, until
    FROM choices JOIN decisions ON number = decision"""


def standing(connection: Connection, who: Sequence[int], since: int) -> Standing:
    """See `features.store.base.DecisionStore.standing`."""
    marks = _marks(who)
    sql = f"{SELECT} WHERE who IN ({marks}) AND (choices.at >= ? OR until > ?) AND id IS NOT NULL ORDER BY decision"
    choices = tuple(choice_of(row) for row in connection.execute(sql, (*who, since, since)))
    return Standing(version(connection, who), choices)


def version(connection: Connection, who: Sequence[int]) -> int:
    """How often something was decided for a person's identities."""
    sql = f"SELECT ifnull(sum(version), 0) FROM versions WHERE who IN ({_marks(who)})"
    return int(connection.execute(sql, who).fetchone()[0])


def may_reserve(connection: Connection, reservation: Reservation) -> bool:
    """Whether nothing happened since it was decided, and every budget has a place left."""
    if version(connection, reservation.who) != reservation.expected:
        return False
    freed = {} if reservation.replaces is None else _taken(connection, reservation.replaces)
    return all(
        used(connection, use.budget, use.period) - freed.get((use.budget, use.period), 0.0) + use.amount
        <= use.limit + ROUNDING * max(1.0, abs(use.limit))
        for use in reservation.uses
    )


def reserve(connection: Connection, number: int, reservation: Reservation) -> None:
    """Write what a decision, which is written already, chose."""
    at, made_at = reservation.at, reservation.decision.at
    if reservation.replaces is not None:
        release(connection, reservation.replaces, at)
    contact = reservation.contact
    columns = (None,) * 4 if contact is None else (contact.action, contact.channel, contact.send_at, contact.until)
    uses = orjson.dumps([astuple(use) for use in reservation.uses]).decode() if reservation.uses else None
    connection.execute(
        "INSERT INTO choices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            reservation.who[0],
            at,
            reservation.question,
            HOLD if contact is None else RESERVED,
            at,
            *columns,
            uses,
        ),
    )
    _take(connection, reservation.uses, made_at, 1)
    touch(connection, reservation.who[0])
    if reservation.key is not None:
        sql = "INSERT INTO keys VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET decision = excluded.decision"
        connection.execute(sql, (reservation.key, number))


def release(connection: Connection, decision_id: str, at: int) -> bool:
    """Give up the contact of a decision; False if it has none."""
    sql = """SELECT decision, uses FROM choices WHERE state = ? AND
        decision = (SELECT number FROM decisions WHERE id = ?)"""
    found = connection.execute(sql, (RESERVED, decision_id)).fetchone()
    if found is None:
        return False
    number, uses = found
    connection.execute("UPDATE choices SET state = ?, changed = ? WHERE decision = ?", (RELEASED, at, number))
    _take(connection, _uses(uses), 0, -1)
    return True


def exchange(connection: Connection, decision_id: str, contact: Contact, at: int) -> bool:
    """Put another contact in the place of a decision's; False if it has none."""
    sql = """SELECT decision FROM choices WHERE state = ? AND
        decision = (SELECT number FROM decisions WHERE id = ?)"""
    found = connection.execute(sql, (RESERVED, decision_id)).fetchone()
    if found is None:
        return False
    sql = "UPDATE choices SET action = ?, channel = ?, send_at = ?, until = ?, changed = ? WHERE decision = ?"
    connection.execute(sql, (contact.action, contact.channel, contact.send_at, contact.until, at, found[0]))
    return True


def touch(connection: Connection, who: int) -> None:
    """Something was decided for an identity."""
    sql = "INSERT INTO versions VALUES (?, 1) ON CONFLICT (who) DO UPDATE SET version = version + 1"
    connection.execute(sql, (who,))


def used(connection: Connection, budget: str, period: str) -> float:
    """What contacts have taken of a budget."""
    sql = "SELECT used FROM budgets WHERE budget = ? AND period = ?"
    found = connection.execute(sql, (budget, period)).fetchone()
    return float(found[0]) if found else 0.0


def forget(connection: Connection, numbers: Sequence[int]) -> None:
    """Remove what decisions chose; what they took of budgets stays taken.

    What is being decided for the same people meanwhile will not be kept.
    """
    rows = [(number,) for number in numbers]
    sql = "UPDATE versions SET version = version + 1 WHERE who = (SELECT who FROM choices WHERE decision = ?)"
    connection.executemany(sql, rows)
    connection.executemany("DELETE FROM choices WHERE decision = ?", rows)
    connection.executemany("DELETE FROM keys WHERE decision = ?", rows)


def choice_of(row: Sequence[Any]) -> Choice:
    """From a row of `SELECT`."""
    decision_id, at, question, state, changed, action, channel, send_at, until = row
    contact = None if action is None else Contact(action, channel, send_at, until)
    return Choice(decision_id, at, question, STATES[state], changed, contact)


def _take(connection: Connection, uses: Sequence[Use], at: int, sign: int) -> None:
    sql = """INSERT INTO budgets VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET used = used + excluded.used, at = max(at, excluded.at)"""
    connection.executemany(sql, [(use.budget, use.period, sign * use.amount, at) for use in uses])


def _taken(connection: Connection, decision_id: str) -> dict[tuple[str, str], float]:
    """What a contact that still holds its place took of budgets."""
    sql = "SELECT uses FROM choices WHERE state = ? AND decision = (SELECT number FROM decisions WHERE id = ?)"
    found = connection.execute(sql, (RESERVED, decision_id)).fetchone()
    return {(use.budget, use.period): use.amount for use in _uses(found[0])} if found else {}


def _uses(text: str | None) -> list[Use]:
    return [] if text is None else [Use(*one) for one in orjson.loads(text)]


def _marks(who: Sequence[int]) -> str:
    return ",".join("?" * len(who))
