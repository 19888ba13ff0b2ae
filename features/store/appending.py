"""Events into the log of SQLite: duplicates found, identities and products numbered, people linked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from features.people import digest, identity_digest
from features.store.base import Appended, Event, Identity
from features.store.database import Connection, Database, among
from features.store.event_tables import INSERT_EVENT, row_of
from features.store.links import whose

#: Numbers of identities or products kept in memory at most; beyond it they are asked for anew.
REMEMBERED = 200_000

Named = tuple[Identity, str]


@dataclass
class _Numbers:
    """Numbers that were committed, until the next time somebody is erased."""

    erasures: int
    identities: dict[Named, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)


class Appender:
    """The writing side of the event log. Calls may be made from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = _Numbers(-1)

    def append(self, events: Sequence[Event]) -> Appended:
        """See `EventStore.append`."""
        owners = [whose(event) for event in events]
        keys = [None if event.event_id is None else digest(event.event_id) for event in events]
        with self._database.writing() as connection:
            batch = self._batch(connection)
            fresh = _fresh(connection, events, keys)
            batch.look_up([(event, named) for event, named, new in zip(events, owners, fresh, strict=True) if new])
            for event, named, key, new in zip(events, owners, keys, fresh, strict=True):
                if new:
                    batch.add(event, named, key)
            batch.write()
        batch.remember()
        return Appended(fresh, batch.seq)

    def products(self, connection: Connection, product_ids: Sequence[str]) -> list[int]:
        """The numbers of products, made where there are none, within a transaction."""
        batch = _Batch(connection, _Numbers(-1))
        batch.look_up_products(product_ids)
        numbers = [batch.product(product_id) for product_id in product_ids]
        batch.write()
        return numbers

    def _batch(self, connection: Connection) -> _Batch:
        (erasures,) = connection.execute("SELECT erasures FROM progress").fetchone()
        known = self._numbers
        if known.erasures != erasures or max(len(known.identities), len(known.products)) > REMEMBERED:
            # A new object: whoever is about to remember numbers of before must not do so here.
            known = self._numbers = _Numbers(erasures)
        return _Batch(connection, known)


class _Batch:
    """What one transaction adds."""

    def __init__(self, connection: Connection, known: _Numbers) -> None:
        self._connection = connection
        self._known = known
        self.seq, self._identity_count, self._product_count = connection.execute(
            "SELECT seq, identities, products FROM progress"
        ).fetchone()
        self._identities: dict[Named, int] = {}
        self._products: dict[str, int] = {}
        self._rows: list[tuple[object, ...]] = []
        self._new_identities: list[tuple[int, str, str, int, int]] = []
        self._new_products: list[tuple[int, str]] = []
        self._new_links: list[tuple[int, int, int]] = []
        self._linked: dict[int, int] = {}  # the newest target of a source
        self._bought: dict[str, int] = {}  # who bought an order, in this batch

    def look_up(self, events: Sequence[tuple[Event, Named]]) -> None:
        """Find the numbers of everything named that has one."""
        names: dict[Named, None] = {}
        for event, named in events:
            names[named] = None
            if event.anonymous_id is not None and named[0] == "customer":
                names["visitor", event.anonymous_id] = None
            if event.order_id is not None and event.event == "purchase":
                names["order", event.order_id] = None
        self._look_up_identities(name for name in names if name not in self._known.identities)
        self.look_up_products(event.product_id for event, _ in events if event.product_id is not None)

    def _look_up_identities(self, names: Iterable[Named]) -> None:
        keys = [identity_digest(*name) for name in names]
        found = among(self._connection, "SELECT kind, id, number FROM identities WHERE key IN ({})", keys)
        self._identities |= {(kind, identifier): number for kind, identifier, number in found}

    def look_up_products(self, product_ids: Iterable[str]) -> None:
        """Find the numbers of products that have one."""
        names = list(dict.fromkeys(name for name in product_ids if name not in self._known.products))
        self._products |= dict(among(self._connection, "SELECT id, number FROM products WHERE id IN ({})", names))

    def add(self, event: Event, named: Named, key: int | None) -> None:
        """One event that is no duplicate."""
        self.seq += 1
        is_new = self._find(named) is None
        who = self._identity(named)
        visitor = None
        if named[0] == "customer" and event.anonymous_id is not None:
            visitor = self._identity(("visitor", event.anonymous_id))
            if event.event == "identify":
                self._link(visitor, who)
        order_key = None
        if event.order_id is not None:
            if named[0] == "order":
                if is_new and (buyer := self._buyer(event.order_id)) is not None:
                    self._link(who, buyer)
            elif event.event == "purchase":
                order_key = digest(event.order_id)
                self._bought[event.order_id] = who
                order = self._find(("order", event.order_id))
                if order is not None:
                    self._link(order, who)
        product = None if event.product_id is None else self.product(event.product_id)
        self._rows.append(row_of(event, self.seq, who, visitor, product, order_key, key))

    def _find(self, named: Named) -> int | None:
        number = self._known.identities.get(named)
        return number if number is not None else self._identities.get(named)

    def _identity(self, named: Named) -> int:
        number = self._find(named)
        if number is None:
            self._identity_count += 1
            number = self._identities[named] = self._identity_count
            self._new_identities.append((number, *named, identity_digest(*named), self.seq))
        return number

    def product(self, product_id: str) -> int:
        """The number of a product, made if there is none."""
        number = self._known.products.get(product_id)
        if number is None:
            number = self._products.get(product_id)
        if number is None:
            number = self._products[product_id] = self._product_count
            self._product_count += 1
            self._new_products.append((number, product_id))
        return number

    def _link(self, source: int, target: int) -> None:
        if source not in self._linked:
            newest = "SELECT target FROM links WHERE source = ? ORDER BY since DESC LIMIT 1"
            found = self._connection.execute(newest, (source,)).fetchone()
            self._linked[source] = -1 if found is None else found[0]
        if self._linked[source] != target:
            self._linked[source] = target
            self._new_links.append((source, target, self.seq))

    def _buyer(self, order_id: str) -> int | None:
        if order_id in self._bought:
            return self._bought[order_id]
        found = self._connection.execute(
            "SELECT who, order_id FROM events WHERE order_key = ? ORDER BY seq DESC", (digest(order_id),)
        )
        return next((who for who, identifier in found if identifier == order_id), None)

    def write(self) -> None:
        """Put everything into the tables."""
        connection = self._connection
        for sql, rows in (
            (INSERT_EVENT, self._rows),
            ("INSERT INTO identities(number, kind, id, key, first) VALUES (?, ?, ?, ?, ?)", self._new_identities),
            ("INSERT INTO products VALUES (?, ?)", self._new_products),
            ("INSERT INTO links VALUES (?, ?, ?)", self._new_links),
            ("UPDATE identities SET linked = 1 WHERE number IN (?, ?)", [link[:2] for link in self._new_links]),
        ):
            if rows:
                connection.executemany(sql, rows)
        connection.execute(
            "UPDATE progress SET seq = ?, identities = ?, products = ?",
            (self.seq, self._identity_count, self._product_count),
        )

    def remember(self) -> None:
        """What was found and made may be used by the next batch, now that it is committed."""
        self._known.identities.update(self._identities)
        self._known.products.update(self._products)


def _fresh(connection: Connection, events: Sequence[Event], keys: Sequence[int | None]) -> list[bool]:
    """Which events are no duplicates."""
    asked = [key for key in keys if key is not None]
    there = {row[0] for row in among(connection, "SELECT event_id FROM events WHERE event_key IN ({})", asked)}
    fresh = []
    for event in events:
        fresh.append(event.event_id is None or event.event_id not in there)
        if event.event_id is not None:
            there.add(event.event_id)
    return fresh
