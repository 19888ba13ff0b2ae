"""The event log in memory: for tests, and as the plain statement of what a store does. Nothing survives the process."""
# ruff: noqa: D102 - the protocols say what the methods do

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from features.contract import EVENT_NAMES
from features.events import NO_ANSWER, Kind
from features.people import identity_digest
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
from features.store.links import (
    Link,
    Span,
    best_named,
    forgotten,
    owner,
    person_of,
    spans,
    unseen,
    whose,
)
from features.store.tails import TAIL_KINDS, Line, tail_of, take_back
from features.store.traits import traits_of


@dataclass(frozen=True)
class _Entry:
    """An event in the log. who: number of the identity it belongs to, 0 if that was erased; product: -1 for none."""

    seq: int
    who: int
    product: int
    event: Event

    @property
    def kind(self) -> Kind:
        return EVENT_NAMES.get(self.event.event, Kind.CUSTOM)


class MemoryEvents:
    """An `EventStore` in memory."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._log: list[_Entry] = []
        self._seq = 0
        self._event_ids: set[str] = set()
        self._identities: dict[tuple[Identity, str], int] = {}
        self._names: dict[int, tuple[Identity, str]] = {}
        self._first_seen: dict[int, int] = {}
        self._last_identity = 0
        self._links: list[Link] = []
        self._products: dict[str, int] = {}
        self._changes: list[ProductChange] = []
        self._states: dict[tuple[Entity, str, int], tuple[int, bytes]] = {}
        self._erased: dict[int, int] = {}
        self._erasures = 0
        self._settings: dict[str, str] = {}

    def append(self, events: Sequence[Event]) -> Appended:
        owners = [whose(event) for event in events]
        with self._lock:
            return Appended(
                [self._append(event, named) for event, named in zip(events, owners, strict=True)], self._seq
            )

    def _append(self, event: Event, named: tuple[Identity, str]) -> bool:
        if event.event_id is not None:
            if event.event_id in self._event_ids:
                return False
            self._event_ids.add(event.event_id)
        self._seq += 1
        is_new = named not in self._identities
        who = self._identity(*named)
        if event.customer_id is not None and event.anonymous_id is not None:
            visitor = self._identity("visitor", event.anonymous_id)
            if event.event == "identify":
                self._link(visitor, who)
        if named[0] == "order" and is_new:
            bought = (entry for entry in reversed(self._log) if entry.who and _buys(entry.event, named[1]))
            if (purchase := next(bought, None)) is not None:
                self._link(who, purchase.who)
        elif named[0] != "order" and event.order_id is not None and _buys(event, event.order_id):
            order = self._identities.get(("order", event.order_id))
            if order is not None:
                self._link(order, who)
        product = -1 if event.product_id is None else self._product(event.product_id)
        self._log.append(_Entry(self._seq, who, product, event))
        return True

    def _identity(self, kind: Identity, identifier: str) -> int:
        if (kind, identifier) not in self._identities:
            self._last_identity += 1
            self._identities[kind, identifier] = self._last_identity
            self._names[self._last_identity] = kind, identifier
            self._first_seen[self._last_identity] = self._seq
        return self._identities[kind, identifier]

    def _product(self, product_id: str) -> int:
        return self._products.setdefault(product_id, len(self._products))

    def _link(self, source: int, target: int) -> None:
        links = [link for link in self._links if link.source == source]
        if not links or owner(links, source) != target:
            self._links.append(Link(source, target, self._seq))

    def watermark(self) -> Watermark:
        with self._lock:
            return Watermark(self._seq, len(self._changes), len(self._products))

    def first_known_from(self, known: int) -> int:
        with self._lock:
            return next((entry.seq for entry in self._log if entry.event.known >= known), self._seq + 1)

    # One person

    def person(
        self,
        *,
        customer_id: str | None = None,
        anonymous_id: str | None = None,
        session_id: str | None = None,
        upto: int = LATEST,
    ) -> Person:
        with self._lock:
            named = best_named(customer_id, anonymous_id, session_id)
            number = 0 if named is None else self._identities.get(named, 0)
            if number == 0 or self._first_seen[number] > upto:
                return unseen(named)
            return self._person(owner(self._links_from(number, upto), number), upto)

    def _person(self, root: int, upto: int) -> Person:
        return person_of(root, self._spans(root, upto), self._names.__getitem__, upto)

    def _spans(self, root: int, upto: int = LATEST) -> list[Span]:
        return spans(root, lambda number: self._links_from(number, upto), lambda number: self._links_to(number, upto))

    def _links_from(self, source: int, upto: int = LATEST) -> list[Link]:
        return [link for link in self._links if link.source == source and link.since <= upto]

    def _links_to(self, target: int, upto: int = LATEST) -> list[Link]:
        return [link for link in self._links if link.target == target and link.since <= upto]

    def _entries(self, found: Sequence[Span], upto: int = LATEST) -> list[_Entry]:
        """The log of a person, ascending."""
        return [
            entry
            for entry in self._log
            if entry.seq <= upto and any(who == entry.who and low <= entry.seq <= high for who, low, high in found)
        ]

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
        with self._lock:
            entries = [entry for entry in self._entries(person.spans, upto) if entry.event.known < known_before]
        within = {entry.seq for entry in entries if entry.seq >= first and entry.event.known >= known_from}
        rows = [
            (entry.event.time, entry.seq, entry.product, entry.kind.value)
            for entry in entries
            if entry.seq in within and entry.product >= 0 and entry.kind in TAIL_KINDS
        ]
        lines = _lines(entries, within)
        return tail_of(rows, newest, *take_back(lines))

    def events_of(self, person: Person, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        with self._lock:
            entries = self._entries(person.spans, upto)
        return ((entry.seq, entry.event) for entry in entries if entry.seq >= first)

    def messages_of(
        self, person: Person, *, since: int = 0, upto: int = LATEST, known_before: int = LATEST
    ) -> list[tuple[int, Event]]:
        with self._lock:
            return [
                (entry.seq, entry.event)
                for entry in self._entries(person.spans, upto)
                if max(entry.event.known, entry.event.time) < known_before
                and (
                    entry.event.time >= since
                    if entry.kind == Kind.SEND
                    else entry.kind not in NO_ANSWER and entry.event.decision_id is not None
                )
            ]

    def bought(
        self, person: Person, *, upto: int = LATEST, known_before: int = LATEST, newest: int = 200
    ) -> list[Purchase]:
        with self._lock:
            entries = [entry for entry in self._entries(person.spans, upto) if entry.event.known < known_before]
        taken, _ = take_back(_lines(entries, {entry.seq for entry in entries}))
        kept = [entry for entry in entries if entry.kind == Kind.PURCHASE and entry.seq not in taken]
        kept = sorted(kept, key=lambda entry: (entry.event.time, entry.seq))[-newest:]
        return [Purchase(entry.event.time, entry.event.product_id, entry.event.price) for entry in kept]

    def newest_time(self, person: Person, event: str, *, channel: str | None = None, first: int = 0) -> int | None:
        with self._lock:
            found = (entry for entry in self._entries(person.spans) if entry.seq >= first)
            return max(
                (e.event.time for e in found if e.event.event == event and channel in (None, e.event.channel)),
                default=None,
            )

    def sessions_of(self, person: Person) -> tuple[str, ...]:
        with self._lock:
            named = {person.session_id, *(entry.event.session_id for entry in self._entries(person.spans))}
            return tuple(sorted(session_id for session_id in named if session_id is not None))

    def traits(self, person: Person) -> Json:
        with self._lock:
            return traits_of(entry.event for entry in self._entries(person.spans))

    # Products

    def product_ids(self, first: int = 0, upto: int = LATEST) -> list[str]:
        with self._lock:
            return list(self._products)[first:upto]

    def put_products(self, products: Sequence[tuple[str, Json | None]], at: int) -> int:
        with self._lock:
            for product_id, attributes in products:
                self._product(product_id)
                said = [change.attributes for change in self._changes if change.product_id == product_id]
                if not said or _as_json(said[-1]) != _as_json(attributes):
                    self._changes.append(ProductChange(len(self._changes) + 1, product_id, attributes, at))
            return len(self._changes)

    def product_changes(self, after: int = 0, upto: int = LATEST) -> list[ProductChange]:
        with self._lock:
            return self._changes[after:upto]

    def product(self, product_id: str) -> ProductChange | None:
        with self._lock:
            return next((change for change in reversed(self._changes) if change.product_id == product_id), None)

    def traffic(self, after: int = 0, upto: int = LATEST, limit: int = 50_000) -> Traffic:
        with self._lock:
            entries = [entry for entry in self._log if after < entry.seq <= upto and entry.product >= 0][:limit]
        return Traffic(
            seq=np.array([entry.seq for entry in entries], dtype=np.int64),
            product=np.array([entry.product for entry in entries], dtype=np.int64),
            kind=np.array([entry.kind for entry in entries], dtype=np.int8),
            time=np.array([entry.event.time for entry in entries], dtype=np.int64),
            known=np.array([entry.event.known for entry in entries], dtype=np.int64),
        )

    def events_about(self, product: int, *, first: int = 0, upto: int = LATEST) -> Iterator[tuple[int, Event]]:
        with self._lock:
            entries = [entry for entry in self._log if entry.product == product and first <= entry.seq <= upto]
        return ((entry.seq, entry.event) for entry in entries)

    # States

    def checkpoints(self, entity: Entity, numbers: Sequence[int], fingerprint: str) -> dict[int, tuple[int, bytes]]:
        with self._lock:
            kept = {number: self._states.get((entity, fingerprint, number)) for number in numbers}
            return {number: state for number, state in kept.items() if state is not None}

    def save_checkpoints(
        self, entity: Entity, fingerprint: str, states: Sequence[tuple[int, int, bytes]], *, erasures: int
    ) -> None:
        with self._lock:
            if erasures != self._erasures:
                return
            for number, seq, state in states:
                there = number in self._names if entity == "person" else 0 <= number < len(self._products)
                before, _ = self._states.get((entity, fingerprint, number), (-1, b""))
                if there and seq > before:
                    self._states[entity, fingerprint, number] = seq, state

    def erasures(self) -> int:
        with self._lock:
            return self._erasures

    def drop_checkpoints(self, *, but: str) -> None:
        with self._lock:
            self._states = {key: state for key, state in self._states.items() if key[1] == but}

    # The whole

    def rows(self, after: int = 0, limit: int = 50_000) -> list[tuple[int, Event]]:
        with self._lock:
            return [(entry.seq, entry.event) for entry in self._log if entry.seq > after and entry.who][:limit]

    def everyone(self) -> Iterator[tuple[Person, Json]]:
        with self._lock:
            customers = sorted(identifier for kind, identifier in self._identities if kind == "customer")
            people = [self.person(customer_id=identifier) for identifier in customers]
            return iter([(person, self.traits(person)) for person in people])

    def erase(self, *, customer_id: str | None = None, anonymous_id: str | None = None, at: int) -> Erased | None:
        with self._lock:
            named = best_named(customer_id, anonymous_id, None)
            if named is None:
                raise ValueError("name whom to erase: a customer or a visitor")
            number = self._identities.get(named, 0)
            if not number:
                self._note(named, at)
                return None
            root = owner(self._links_from(number), number)
            person = self._person(root, LATEST)
            erased = Erased(person.customer_id, person.anonymous_ids, self.sessions_of(person))
            self._forget(self._spans(root), at)
            return erased

    def _forget(self, found: list[Span], at: int) -> None:
        self._erasures += 1
        events = [entry.event for entry in self._entries(found)]
        sessions = {("session", event.session_id) for event in events if event.session_id is not None}
        orders = {("order", event.order_id) for event in events if event.order_id is not None}
        named = {number for name, number in self._identities.items() if name in sessions | orders}
        bought = {link.source for link in self._links}
        found = sorted({*found, *((number, 0, LATEST) for number in named - bought)})
        gone = forgotten(found)
        for number in {number for number, _, _ in found}:
            self._note(self._names[number], at)
        erased = {entry.seq for entry in self._entries(found)}
        self._event_ids -= {entry.event.event_id or "" for entry in self._log if entry.seq in erased}
        self._links = [link._replace(target=link.source) if link.target in gone else link for link in self._links]
        kept = {entry.who for entry in self._log if entry.seq not in erased}
        kept |= {link.source for link in self._links if link.target != link.source}
        gone |= {number for number, _, _ in found} - kept
        gone_visitors = {name for kind, name in (self._names[number] for number in gone) if kind == "visitor"}
        self._log = [
            _nobodys(entry) if entry.seq in erased else _without_visitor(entry, gone_visitors) for entry in self._log
        ]
        self._links = [link for link in self._links if link.source not in gone]
        touched = {number for number, _, _ in found}
        self._states = {key: kept for key, kept in self._states.items() if key[0] != "person" or key[2] not in touched}
        for number in gone:
            del self._identities[self._names.pop(number)]

    def _note(self, named: tuple[Identity, str], at: int) -> None:
        digest = identity_digest(*named)
        self._erased[digest] = max(at, self._erased.get(digest, at))

    def erased(self) -> dict[int, int]:
        with self._lock:
            return dict(self._erased)

    def erased_at(self, kind: Identity, identifier: str) -> int:
        with self._lock:
            return self._erased.get(identity_digest(kind, identifier), 0)

    def setting(self, name: str, value: str) -> str:
        with self._lock:
            return self._settings.setdefault(name, value)

    def close(self) -> None:
        pass


def _lines(entries: Sequence[_Entry], within: Collection[int]) -> list[Line]:
    """The purchases and refunds of one person. within: sequence numbers of the part asked for."""
    return [
        Line(
            entry.seq,
            entry.event.time,
            entry.event.known,
            entry.kind,
            entry.product,
            entry.event.order_id,
            entry.event.quantity,
            entry.event.price,
            entry.seq in within,
        )
        for entry in entries
        if entry.kind in (Kind.PURCHASE, Kind.REFUND)
    ]


def _buys(event: Event, order_id: str) -> bool:
    """Whether an event says who bought an order."""
    return event.event == "purchase" and event.order_id == order_id and whose(event)[0] != "order"


def _as_json(attributes: Json | None) -> bytes:
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)


def _nobodys(entry: _Entry) -> _Entry:
    event = entry.event
    return replace(
        entry,
        who=0,
        event=Event(
            event.event,
            event.time,
            event.known,
            product_id=event.product_id,
            quantity=event.quantity,
            price=event.price,
            currency=event.currency,
            channel=event.channel,
        ),
    )


def _without_visitor(entry: _Entry, gone: set[str]) -> _Entry:
    if entry.event.customer_id is not None and entry.event.anonymous_id in gone:
        return replace(entry, event=entry.event._replace(anonymous_id=None))
    return entry
