"""Forgetting a person in the event log of SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.people import identity_digest
from features.store.base import LATEST, Identity
from features.store.database import Connection, among
from features.store.event_tables import BLANK_EVENTS
from features.store.links import Span, forgotten


def note(connection: Connection, named: tuple[Identity, str], at: int) -> None:
    """Remember that somebody was erased, by their digest."""
    connection.execute(
        "INSERT INTO erased VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET at = max(at, excluded.at)",
        (identity_digest(*named), at),
    )


def find(connection: Connection, named: tuple[Identity, str]) -> int | None:
    """The number of an identity."""
    sql = "SELECT number FROM identities WHERE key = ? AND kind = ? AND id = ?"
    found = connection.execute(sql, (identity_digest(*named), *named)).fetchone()
    return None if found is None else int(found[0])


def forget(connection: Connection, found: Sequence[Span], at: int) -> None:
    """Blank a person's events and identities, within a transaction.

    Sessions that their events name are forgotten with them, and orders unless somebody else bought them. An identity
    that is somebody else's at another time, such as a shared device, stays theirs, and from the erased person's time on
    nobody's but its own. It goes with the last of them, if no event is its own.
    """
    found = sorted({*found, *((number, 0, LATEST) for number in _named_along(connection, found))})
    touched = list(dict.fromkeys(number for number, _, _ in found))
    for kind, identifier in list(among(connection, "SELECT kind, id FROM identities WHERE number IN ({})", touched)):
        note(connection, (kind, identifier), at)
    for span in found:
        connection.execute(f"{BLANK_EVENTS} WHERE who = ? AND seq BETWEEN ? AND ?", span)
    gone = forgotten(found)
    for number in gone:
        connection.execute("UPDATE links SET target = source WHERE target = ?", (number,))
    for number in touched:
        if number in gone or _is_nobodys(connection, number):
            connection.execute("DELETE FROM links WHERE source = ?", (number,))
            connection.execute(
                "UPDATE identities SET id = zeroblob(length(CAST(id AS BLOB))), key = NULL WHERE number = ?", (number,)
            )
        connection.execute("DELETE FROM states WHERE entity = 'person' AND number = ?", (number,))
    connection.execute("UPDATE progress SET erasures = erasures + 1")


def _is_nobodys(connection: Connection, number: int) -> bool:
    """Whether nobody holds an identity at any time, and no event is its own."""
    held = (
        "SELECT 1 FROM links WHERE source = ? AND target <> source UNION ALL SELECT 1 FROM events WHERE who = ? LIMIT 1"
    )
    return connection.execute(held, (number, number)).fetchone() is None


def _named_along(connection: Connection, found: Sequence[Span]) -> Iterator[int]:
    """Numbers of the sessions that a person's events name, and of such orders without a buyer."""
    sql = "SELECT DISTINCT session, order_id FROM events WHERE who = ? AND seq BETWEEN ? AND ?"
    named = {row for span in found for row in connection.execute(sql, span)}
    for session_id in {session_id for session_id, _ in named if session_id is not None}:
        if (number := find(connection, ("session", session_id))) is not None:
            yield number
    for order_id in {order_id for _, order_id in named if order_id is not None}:
        number = find(connection, ("order", order_id))
        bought = "SELECT 1 FROM links WHERE source = ?"
        if number is not None and connection.execute(bought, (number,)).fetchone() is None:
            yield number
